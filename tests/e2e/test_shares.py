"""T51: one who floods takes their share alone, of the front door's calls and of a key's slots."""
import contextlib
import socket
import time

import msgpack
import pytest
from test_http_hostile import get, post, read_all, statuses
from world import CHARGE, world

HTTP = {"http local": {"listen": "127.0.0.1:0", "mode": "provider stripe"}}


@contextlib.contextmanager
def started(folder, recorder, **settings):
    with world(folder, recorder.url, settings={**HTTP, **settings}) as w:
        w.recorder = recorder
        w.port = int(w.host.http_at("local").rsplit(":", 1)[1])
        yield w


def send(w, token, make=get, *args):
    w.token = token
    sock = socket.create_connection(("127.0.0.1", w.port), timeout=20)
    sock.sendall(make(w, *args))
    return sock


def await_requests(recorder, n):
    end = time.monotonic() + 10
    while len(recorder.requests()) < n and time.monotonic() < end:
        time.sleep(0.02)


CLOSE = ("/v1/charges/ch_1", b"Connection: close\r\n")


@pytest.mark.alone
def test_T51_a_token_that_floods_the_front_door_leaves_others_their_share(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}", "delay_ms": 2000}})
    with started(tmp_path, recorder, limits={"calls": 8, "calls_per_client": 4}) as w:
        flooder, other = w.issue("open"), w.issue("open")
        flood = [send(w, flooder, get, *CLOSE) for _ in range(12)]
        await_requests(recorder, 4)
        began = time.monotonic()
        guest = send(w, other, get, *CLOSE)
        refused = [read_all(sock) for sock in flood[4:]]
        assert time.monotonic() - began < 1.5
        for answer in refused:  # at once, and so that nobody takes it for the upstream's
            assert statuses(answer) == [503] and b"problem+json" in answer and b"busy" in answer
            assert b"this token has its full number of calls" in answer
        assert statuses(read_all(guest)) == [200]
        assert [statuses(read_all(sock)) for sock in flood[:4]] == [[200]] * 4
        # What was given back is there again.
        assert statuses(read_all(send(w, flooder, get, *CLOSE))) == [200]


def test_T51_bodies_that_never_come_take_a_share_and_no_more(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}"}})
    with started(tmp_path, recorder, limits={"calls": 8, "calls_per_client": 4}) as w:
        flooder, other = w.issue("open"), w.issue("open")
        slow = [send(w, flooder, post, b"Content-Length: 10\r\n", b"a=") for _ in range(8)]
        time.sleep(0.3)
        assert statuses(read_all(send(w, other, get, *CLOSE))) == [200]
        assert [statuses(read_all(sock)) for sock in slow[4:]] == [[503]] * 4
        for sock in slow:
            sock.close()
        time.sleep(0.3)
        assert statuses(read_all(send(w, flooder, get, *CLOSE))) == [200]


@pytest.mark.parametrize("over", ["http", "zmq"])
def test_T51_no_token_takes_all_slots_of_a_key(tmp_path, recorder, over):
    recorder.answer({"*": {"body": "{}", "delay_ms": 1500}})
    with started(tmp_path, recorder, upstream={"slots_per_key": 4}) as w:
        flooder, other = w.issue("open"), w.issue("open")
        if over == "http":
            flood = [send(w, flooder, get, *CLOSE) for _ in range(8)]
        else:
            flood = [w.as_agent() for _ in range(8)]
            for client in flood:
                client.send(msgpack.packb({"v": 1, "op": "proxy", "token": flooder,
                                           "method": "GET", "url": CHARGE}))
        await_requests(recorder, 3)
        with w.as_agent() as agent:
            assert agent.ok("proxy", token=other, method="GET", url=CHARGE)["status"] == 200
        if over == "http":
            seen = sorted(status for sock in flood for status in statuses(read_all(sock)))
            assert seen == [200] * 3 + [503] * 5
        else:
            codes = [msgpack.unpackb(client.receive()).get("error", {}).get("code")
                     for client in flood]
            assert sorted(codes, key=str) == sorted([None] * 3 + ["busy"] * 5, key=str)
