"""Client and AsyncClient: the same operations, waited for in two ways.

Each request has a socket of its own while it is under way, so threads and tasks may share a client.
Idle sockets are kept. A new one asks `status` first: that tells within connect_timeout whether a
connection comes about at all, before anything that has an effect is sent.
"""
import threading
import uuid

import msgpack
import zmq
import zmq.asyncio

from . import replies, steps, streams
from .errors import BadReply, NoAnswer, NotConnected
from .settings import Settings

_IDLE_MAX = 8
_REPLY_MAX = 64 << 20
_PROBE = msgpack.packb({"v": 1, "op": "status"})


class _Operations:
    """What can be asked. AsyncClient's methods give awaitables of what Client's return.

    settings: a Settings, or None to find them (with `found`: the arguments of Settings.find).
    timeout: seconds for one attempt; the host gives an upstream 60.
    attempts: how often a request that may be repeated is sent. After a time-out the same bytes go
        out again under the same id, and the host makes the call once at most. issue() is never
        repeated."""

    def __init__(self, settings=None, *, timeout=70.0, connect_timeout=5.0, attempts=2, **found):
        self.settings = settings or Settings.find(**found)
        self.timeout, self.connect_timeout, self.attempts = timeout, connect_timeout, attempts
        self._lock = threading.Lock()
        self._idle, self._closed = [], False
        self._context = self._new_context()

    def issue(self, scope, args=None, *, ttl=None, narrow=None, bind=None):
        """A token (Issued) for a scope's name, or for the JSON scope form as a dict. ttl: "4h" or
        seconds; narrow: rules that restrict it; bind: the only CURVE key that may use it."""
        return self._ask("issue", replies.Issued, once=True, scope=scope, args=args, ttl=ttl,
                         narrow=narrow, bind=bind)

    def proxy(self, token, method, url, *, headers=None, body=None, key=None, id=None):
        """Make one HTTP call with the key: an Answer, whatever the upstream's status. headers: a
        dict or pairs. id: by default a fresh one; give your own (1 to 64 bytes) to repeat a call
        across processes with one effect at most."""
        return self._ask("proxy", replies.Answer, id=id, token=token, method=method, url=url,
                         key=key, headers=_pairs(headers), body=body)

    def stream(self, token, method, url, *, headers=None, body=None, key=None, id=None):
        """As proxy(), but the body is read as it comes: a Stream once the head is there. For
        server-sent events and large answers. Sent once: the host does not keep what streamed, so
        the same id again is the refusal `answer_dropped`."""
        return self._stream(id, token=token, method=method, url=url, key=key,
                            headers=_pairs(headers), body=body, **streams.FIELDS)

    def check(self, token, method, url, *, headers=None, body=None, key=None):
        """Whether proxy() would be allowed (Checked); nothing is sent upstream."""
        return self._ask("check", replies.Checked, token=token, method=method, url=url, key=key,
                         headers=_pairs(headers), body=body)

    def inspect(self, token):
        """What a token may do (Inspected)."""
        return self._ask("inspect", replies.Inspected, token=token)

    def revoke(self, token=None, *, root=None):
        """Revoke a token and all narrowed from it, by itself or, as its principal, by root id."""
        return self._ask("revoke", replies.Revoked, token=token, root=root)

    def status(self):
        """Whether the host is ready (Status)."""
        return self._ask("status", replies.Status)

    def _request(self, op, id, fields):
        """(request id, bytes): made once, so that an attempt repeats what the first one sent."""
        id = id or str(uuid.uuid4())
        given = {name: value for name, value in fields.items() if value is not None}
        return id, msgpack.packb({"v": 1, "op": op, "id": id, **given})

    def _open(self, kind=zmq.REQ):
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.maxmsgsize = _REPLY_MAX
        socket.curve_serverkey = self.settings.host_key.encode()
        socket.curve_publickey = self.settings.keys.public.encode()
        socket.curve_secretkey = self.settings.keys.secret.encode()
        socket.connect(self.settings.endpoint)
        return socket

    def _check_open(self):
        with self._lock:
            if self._closed:
                raise NotConnected("the client is closed")

    def _take(self):
        with self._lock:
            if self._closed:
                raise NotConnected("the client is closed")
            return self._idle.pop() if self._idle else None

    def _keep(self, socket):
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE_MAX:
                self._idle.append(socket)
                return
        socket.close(0)

    def _shut(self):
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for socket in idle:
            socket.close(0)
        self._context.destroy(0)

    def _not_connected(self):
        return NotConnected(
            "no answer from %s in %g s: no host is listening there, the host key is another one, "
            "or this client key is not registered (a host refuses unknown keys without a word). "
            "Nothing was sent" % (self.settings.endpoint, self.connect_timeout))

    def _ask(self, op, kind, id=None, once=False, **fields):
        return self._run(self._asking(op, kind, id, once, fields))

    def _stream(self, id, **fields):
        return self._run(self._streaming(id, fields))

    def _exchange(self, socket, data, timeout):
        """Steps: the reply's bytes; None after the time-out."""
        yield socket.send(data)
        if not (yield socket.poll(int(timeout * 1000))):
            return None
        return _one((yield socket.recv_multipart()))

    def _attempt(self, data):
        """Steps: (whether it was sent, the reply or None)."""
        socket, good = self._take(), False
        try:
            if socket is None:
                socket = self._open()
                probed = yield from self._exchange(socket, _PROBE, self.connect_timeout)
                if probed is None:
                    return False, None
                replies.is_reply(probed)
            reply = yield from self._exchange(socket, data, self.timeout)
            good = reply is not None
            return True, reply
        finally:
            if good:
                self._keep(socket)
            elif socket is not None:
                socket.close(0)

    def _asking(self, op, kind, id, once, fields):
        id, data = self._request(op, id, fields)
        was_sent = False
        for _ in range(1 if once else max(1, self.attempts)):
            sent, reply = yield from self._attempt(data)
            was_sent = was_sent or sent
            if reply is not None:
                return replies.read(reply, kind, id)
            if not was_sent:
                raise self._not_connected()
        raise self._no_answer(op, id)

    def _streaming(self, id, fields):
        id, data = self._request("proxy", id, fields)
        self._check_open()
        stream = self._stream_kind(self._open(zmq.DEALER), id)
        good = False
        try:
            socket = stream._socket
            yield socket.send_multipart([b"", _PROBE])
            if not (yield socket.poll(int(self.connect_timeout * 1000))):
                raise self._not_connected()
            replies.is_reply(_one((yield socket.recv_multipart())[1:]))
            yield socket.send_multipart([b"", data])
            good = yield from stream._opening(self.timeout)
        finally:
            if not good:
                stream._shut()
        if not good:
            raise self._no_answer("proxy", id)
        return stream

    def _no_answer(self, op, id):
        return NoAnswer("no answer from %s to '%s': it may have been carried out. Request id %s"
                        % (self.settings.endpoint, op, id), id)


class Client(_Operations):
    """Waits in the calling thread. Threads may share it; close() when none uses it any more."""

    _new_context = zmq.Context
    _stream_kind = streams.Stream
    _run = staticmethod(steps.run)

    def close(self):
        self._shut()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class AsyncClient(_Operations):
    """For asyncio; of one event loop. A cancelled request may have had its effect."""

    _new_context = zmq.asyncio.Context
    _stream_kind = streams.AsyncStream
    _run = staticmethod(steps.run_async)

    async def close(self):
        self._shut()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()


def _pairs(headers):
    items = headers.items() if hasattr(headers, "items") else headers
    return None if items is None else [[name, value] for name, value in items]


def _one(frames):
    if len(frames) != 1:
        raise BadReply("the host's answer has %d parts" % len(frames))
    return frames[0]
