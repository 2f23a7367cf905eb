"""One client of the wire: a REQ socket under CURVE, MessagePack maps, and a time-out on all."""
import time

import msgpack
import zmq

TIMEOUT_S = 20


class Refused(Exception):
    """An answer with ok: false; .error is its map, .code its code."""

    def __init__(self, error):
        super().__init__("%s: %s" % (error.get("code"), error))
        self.error = error
        self.code = error["code"]


class NoAnswer(Exception):
    """Nothing came in time: what CURVE's and ZAP's silent refusals look like."""


class Client:
    def __init__(self, endpoint, host_key, curve, timeout=TIMEOUT_S, check_alive=None, step_ms=500):
        """check_alive: called each step_ms while an answer is waited for; raises where none can
        come."""
        self.endpoint, self.host_key, self.curve = endpoint, host_key, curve
        self.timeout = timeout
        self.check_alive = check_alive or (lambda: None)
        self.step_ms = step_ms
        self.context = zmq.Context()
        self.socket = None

    def _open(self):
        if self.socket is None:
            self.socket = self.context.socket(zmq.REQ)
            self.socket.linger = 0
            if self.curve is not None:
                self.socket.curve_serverkey = self.host_key.encode()
                self.socket.curve_publickey = self.curve.public.encode()
                self.socket.curve_secretkey = self.curve.secret.encode()
            self.socket.connect(self.endpoint)
        return self.socket

    def send(self, message):
        """Any bytes, as they are; an answer, as bytes, is had with receive()."""
        self._open().send(message)

    def receive(self, timeout=None):
        socket = self._open()
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        while not socket.poll(max(0, min(self.step_ms, int(1000 * (end - time.monotonic()))))):
            self.check_alive()
            if time.monotonic() < end:
                continue
            # A REQ socket that waits for an answer can do nothing else: start over.
            self.reset()
            raise NoAnswer("no answer from %s" % self.endpoint)
        return socket.recv()

    def raw(self, message, timeout=None):
        self.send(message)
        return self.receive(timeout)

    def raw_reply(self, op, timeout=None, **fields):
        """The bytes of the reply to a well-formed request."""
        return self.raw(msgpack.packb({"v": 1, "op": op, **fields}), timeout)

    def ask(self, op, timeout=None, **fields):
        """The whole reply as a dict, refused or not."""
        reply = msgpack.unpackb(self.raw_reply(op, timeout, **fields), strict_map_key=True)
        assert reply["v"] == 1 and isinstance(reply["ok"], bool), reply
        return reply

    def ok(self, op, **fields):
        """The reply; raises Refused where it is a refusal."""
        reply = self.ask(op, **fields)
        if not reply["ok"]:
            raise Refused(reply["error"])
        return reply

    def refused(self, op, **fields):
        """The error map of a request that must be refused."""
        reply = self.ask(op, **fields)
        assert not reply["ok"], "not refused: %r" % {k: v for k, v in reply.items() if k != "token"}
        return reply["error"]

    def reset(self):
        if self.socket is not None:
            self.socket.close(0)
            self.socket = None

    def close(self):
        self.reset()
        self.context.term()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
