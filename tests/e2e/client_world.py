"""What the tests of the client libraries share: a host that can be killed and comes back at the same
address, and the ten lines of a README."""
import contextlib
import json
import os
import re
import socket
import threading

import msgpack
import upstreams
import zmq
from lib import Curve, Host
from lib.host import ROOT
from world import World

CLIENTS = os.path.join(ROOT, "host", "clients")
SLOW = "https://api.stripe.com/v1/slow"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def client_world(folder):
    """The small world of world.py, with .recorder, and .env: what the desk's programs need to know."""
    endpoint = "tcp://127.0.0.1:%d" % free_port()
    with upstreams.Recorder(str(folder / "recorder")) as recorder, Host(folder / "state") as host:
        host.init("--listen", endpoint)
        host.start()
        made = World(host, rate="1000/min")
        host.key_add("stripe-main", "stripe", {"upstream": recorder.url}, {"api_key": made.key})
        host.reload()
        made.recorder = recorder
        made.answer()
        made.env = {"SALLYPORT_DIR": host.dir, "SALLYPORT_KEY_FILE": made.desk.write(folder / "desk.key")}
        made.agent_key = made.agent.write(folder / "agent.key")
        yield made


def answer(self, slow_ms=1000):
    self.recorder.answer({"*": {"body": '{"id": "ch_1"}'},
                          "POST /v1/slow": {"body": '{"id": "slow"}', "delay_ms": slow_ms}})


World.answer = answer


def example(library, language):
    """The first block of that language in a library's README."""
    with open(os.path.join(CLIENTS, library, "README.md"), encoding="utf-8") as file:
        return re.search(r"^```%s\n(.*?)^```$" % language, file.read(), re.M | re.S).group(1)


EVENTS = [["content-type", "text/event-stream"]]


@contextlib.contextmanager
def upstream(w, answer):
    """The recorder gives this answer for a while."""
    w.recorder.answer({"*": answer})
    try:
        yield
    finally:
        w.answer()


def events(n, every_ms):
    return {"headers": EVENTS, "chunks": [[every_ms, "data: NOW\n\n"]] * n}


# Its second trailer is a credential, and stays with the host.
TRAILING = {"headers": EVENTS, "chunks": [[0, "data: 1\n\n"]],
            "trailers": [["X-Checksum", "12ab"], ["Set-Cookie", "a=b"], ["Server-Timing", "db;dur=1"],
                         ["x-checksum", "34cd"]]}
TRAILERS = [["x-checksum", "12ab"], ["server-timing", "db;dur=1"], ["x-checksum", "34cd"]]

STATUS = {"ok": True, "version": "0.1.0", "protocol": 1, "state": "ready", "ready": True}


@contextlib.contextmanager
def mute_host(answers=()):
    """A peer under CURVE that answers status and nothing else, or these bytes: (endpoint, host key, what
    was asked)."""
    keys, asked, stop = Curve(), [], threading.Event()
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.linger = 0
    router.curve_server = True
    router.curve_publickey, router.curve_secretkey = keys.public.encode(), keys.secret.encode()
    port = router.bind_to_random_port("tcp://127.0.0.1")

    def serve():
        while not stop.is_set():
            if router.poll(50):
                peer, _, body = router.recv_multipart()
                asked.append(body)
                message = msgpack.unpackb(body)
                if message["op"] == "status":
                    given = {"id": message["id"]} if "id" in message else {}
                    router.send_multipart([peer, b"", msgpack.packb({"v": 1, **STATUS, **given})])
                elif "token" in message:
                    for answer in answers:
                        router.send_multipart([peer, b"", answer])
        router.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield "tcp://127.0.0.1:%d" % port, keys.public, asked
    finally:
        stop.set()
        thread.join()
        context.term()


def not_status(asked):
    """The messages that were no status, as bytes."""
    return [body for body in asked if msgpack.unpackb(body)["op"] != "status"]


def vectors():
    with open(os.path.join(CLIENTS, "narrow.json"), encoding="utf-8") as file:
        return json.load(file)


def codes_of_the_protocol():
    """{code: retryable} of docs/protocol.md."""
    with open(os.path.join(ROOT, "docs", "protocol.md"), encoding="utf-8") as file:
        rows = re.search(r"^## Errors\n(.*?)^## ", file.read(), re.M | re.S).group(1)
    return {code: word == "yes" for code, word in re.findall(r"^\| `(\w+)` \| (yes|no) \|", rows, re.M)}


__all__ = ["CLIENTS", "EVENTS", "SLOW", "TRAILERS", "TRAILING", "client_world", "codes_of_the_protocol", "events", "example",
           "free_port", "mute_host", "not_status", "upstream", "vectors"]
