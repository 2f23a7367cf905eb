"""Answers that stream through the HTTP front door: events as they come, large bodies in constant
memory, back-pressure, and a stream that is cut where it must not go on."""
import base64
import socket
import threading
import time

import pytest
from lib import is_sanitized
from uploading import end_token
from world import world

EVENTS = [["content-type", "text/event-stream; charset=utf-8"]]
SETTINGS = {"http local": {"listen": "127.0.0.1:0", "mode": "provider stripe"},
            "limits": {"http_grace": "2s", "calls_per_client": "400"},
            "upstream": {"total": "2s", "stream_idle": "3s", "response_max": "1M", "slots": "400",
                         "slots_per_key": "400"}}


@pytest.fixture
def w(tmp_path, recorder):
    with world(tmp_path, recorder.url, settings=SETTINGS) as made:
        made.recorder = recorder
        made.port = int(made.host.http_at("local").rsplit(":", 1)[1])
        made.token = made.issue("open")
        yield made


class Stream:
    """A call whose answer is read piece by piece."""

    def __init__(self, w, path="/v1/charges/ch_1", version="1.1", rcvbuf=0):
        self.sock = socket.socket()
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(20)
        self.sock.connect(("127.0.0.1", w.port))
        self.sock.sendall(("GET %s HTTP/%s\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"
                           % (path, version, w.token)).encode())
        self.file = self.sock.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, value = line.decode().split(":", 1)
            self.headers[name.lower()] = value.strip()

    def chunk(self):
        """The next one; b"" at a proper end, None where the answer broke off."""
        try:
            line = self.file.readline()
            if not line:
                return None
            size = int(line, 16)
            data = self.file.read(size)
            return data if self.file.read(2) == b"\r\n" and len(data) == size else None
        except ConnectionResetError:
            return None

    def rest(self):
        """All that still comes, and whether it came to a proper end."""
        pieces = []
        while chunk := self.chunk():
            pieces.append(chunk)
        return b"".join(pieces), chunk == b""

    def close(self):
        self.file.close()
        self.sock.close()


def rss_kib(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1])


def wait_until(check, seconds=10):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.alone
def test_events_come_within_50_ms_of_being_sent(w):
    w.recorder.answer({"*": {"headers": EVENTS,
                             "chunks": [[150, "data: NOW\n\n"]] * 20 + [[0, "data: end\n\n"]]}})
    stream, late = Stream(w), []
    assert stream.status == 200 and stream.headers["transfer-encoding"] == "chunked"
    assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
    for _ in range(20):
        late.append(time.time() - float(stream.chunk().split()[1]))
    assert sorted(late)[10] < 0.05, late
    # 3 s in all: longer than a whole answer may take.
    assert stream.rest() == (b"data: end\n\n", True)
    # The connection goes on.
    w.recorder.answer({"*": {"body": "{}"}})
    stream.sock.sendall(("GET /v1/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Api-Key: %s\r\n"
                         "\r\n" % w.token).encode())
    assert stream.file.read().startswith(b"HTTP/1.1 200 OK")
    w.host.stop()
    outcomes = [r for r in w.host.audit_records() if r["type"] == "outcome"]
    assert len(outcomes) == 2


@pytest.mark.alone
def test_the_head_of_an_event_stream_comes_before_its_first_event(w):
    w.recorder.answer({"*": {"headers": EVENTS, "chunks": [[1500, "data: 1\n\n"]]}})
    began = time.monotonic()
    stream = Stream(w)
    assert stream.status == 200 and time.monotonic() - began < 1
    assert stream.rest() == (b"data: 1\n\n", True)


def test_a_large_answer_streams_in_constant_memory(w):
    size = (16 if is_sanitized() else 512) << 20
    w.recorder.answer({"*": {"fill": 1 << 20}})
    assert len(Stream(w).rest()[0]) == 1 << 20
    before = rss_kib(w.host.pid)
    w.recorder.answer({"*": {"fill": size}})
    stream, n = Stream(w), 0
    while chunk := stream.chunk():
        n += len(chunk)
    assert chunk == b"" and n == size
    # (A sanitizer keeps what is freed for a while.)
    assert is_sanitized() or rss_kib(w.host.pid) - before < (48 << 10)


def test_a_reader_that_waits_holds_the_upstream_back(w):
    size = (16 if is_sanitized() else 64) << 20
    w.recorder.answer({"*": {"fill": size}})
    before = rss_kib(w.host.pid)
    stream = Stream(w)
    time.sleep(1)
    assert is_sanitized() or rss_kib(w.host.pid) - before < (24 << 10)
    data, whole = stream.rest()
    assert whole and len(data) == size


def test_T29_a_reader_that_takes_nothing_is_cut_off(w):
    w.recorder.answer({"*": {"fill": 64 << 20}})
    stream = Stream(w, rcvbuf=4096)
    admin = w.host.admin()
    wait_until(lambda: admin.ok("status")["calls_open"] == 1)
    wait_until(lambda: admin.ok("status")["calls_open"] == 0)
    assert stream.rest()[1] is False


def test_T8_a_client_that_leaves_ends_the_call_upstream(w):
    w.recorder.answer({"*": {"headers": EVENTS, "chunks": [[100, "data: 1\n\n"]] * 300}})
    streams = [Stream(w) for _ in range(20)]
    admin = w.host.admin()
    assert all(stream.chunk() for stream in streams)
    assert admin.ok("status")["calls_in_flight"] == 20
    for stream in streams:
        stream.close()
    wait_until(lambda: admin.ok("status")["calls_in_flight"] == 0, 3)
    wait_until(lambda: admin.ok("status")["http_connections"] == 0, 3)


def test_T8_a_client_that_leaves_ends_a_call_whose_upstream_says_nothing(w):
    """Nothing comes that could not be handed on: that the client left has to be seen by itself."""
    w.recorder.answer({"*": {"headers": EVENTS, "chunks": [[0, "data: 1\n\n"], [9000, "late"]]}})
    stream = Stream(w)
    admin = w.host.admin()
    assert stream.chunk()
    assert admin.ok("status")["calls_in_flight"] == 1
    stream.close()
    wait_until(lambda: admin.ok("status")["calls_in_flight"] == 0, 1.5)


EVENTS_FOR_EVER = {"headers": EVENTS, "chunks": [[50, "data: NOW\n\n"]] * 300}
SILENCE = {"headers": EVENTS, "chunks": [[0, "data: NOW\n\n"], [2900, "late"]]}
DOWNLOAD = {"chunks": [[0, "a" * 300000]] + [[20, "a" * 20000]] * 300}


@pytest.mark.alone
@pytest.mark.parametrize("how", ["revoked", "expired", "suspended", "sealed"])
@pytest.mark.parametrize("answer", [
    pytest.param(EVENTS_FOR_EVER, id="events"), pytest.param(SILENCE, id="silence"),
    # A sanitized guard may be searching for longer than `stream_idle`.
    pytest.param(DOWNLOAD, id="download", marks=pytest.mark.skipif(is_sanitized(), reason="too slow"))])
def test_T66_a_stream_is_cut_within_a_second(w, how, answer):
    w.recorder.answer({"*": answer, "GET /v1/leak": {"echo": True}})
    w.token = w.issue("open", **({"ttl": "1s"} if how == "expired" else {}))
    end = time.monotonic() + 1
    stream = Stream(w)
    assert stream.chunk()
    if how == "expired":
        time.sleep(max(0, end - time.monotonic()))
    else:
        end_token(w, how)
        end = time.monotonic()
    assert stream.rest()[1] is False
    # (A sanitized guard may be searching meanwhile.)
    assert is_sanitized() or time.monotonic() - end < 1.5
    w.host.stop()
    codes = [r["code"] for r in w.host.audit_records() if r["type"] == "outcome"]
    assert codes.count("sealed" if how == "sealed" else "token_" + how) == 1


def test_an_upstream_that_falls_silent_or_breaks_off_is_told_by_a_cut_stream(w):
    w.recorder.answer({"*": {"headers": EVENTS, "chunks": [[0, "data: 1\n\n"], [9000, "late"]]}})
    began = time.monotonic()
    assert Stream(w).rest() == (b"data: 1\n\n", False)
    assert 2 < time.monotonic() - began < 8
    w.recorder.answer({"*": {"headers": [["content-length", "900000"]], "body": "a" * 900000,
                             "stop_after": 500000}})
    data, whole = Stream(w).rest()
    assert not whole and set(data) == {ord("a")}


def encodings(key):
    raw = key.encode()
    yield key
    yield "".join("%%%02x" % byte for byte in raw)
    yield raw.hex().upper()
    yield "".join("\\u%04x" % byte for byte in raw)
    for before in range(3):
        yield base64.b64encode(b"x" * before + raw + b"yz").decode()
    yield base64.urlsafe_b64encode(raw).decode()


def test_T30_the_key_in_a_stream_cuts_it_however_it_is_split(w):
    for text in encodings(w.key):
        for size in (1, 5, 1000):
            pieces = [[2, text[at:at + size]] for at in range(0, len(text), size)]
            if len(pieces) > 60:
                continue
            w.recorder.answer({"*": {"headers": EVENTS, "chunks": [
                [0, "data: before\n\n"], *pieces, [0, "\n\n"], [0, "data: after\n\n"]]}})
            w.token = w.issue("open")  # the third hit suspends one
            data, whole = Stream(w).rest()
            assert not whole and b"after" not in data
            assert data.startswith(b"data: before\n\n")
            # Less than half of it, or 20 bytes, went out before it could be told for what it was.
            assert len(data) - len(b"data: before\n\n") < max(20, len(text) // 2 + 3), (text, data)
            assert w.key not in data.decode()


def test_T30_the_key_in_the_head_of_a_stream_is_a_refusal(w):
    w.recorder.answer({"*": {"headers": [*EVENTS, ["x-echo", w.key]], "chunks": [[0, "x"]]}})
    stream = Stream(w)
    assert stream.status == 502 and w.key.encode() not in stream.file.read(
        int(stream.headers["content-length"]))


def test_T30_the_key_behind_a_large_beginning_is_found(w):
    w.recorder.answer({"*": {"headers": [["content-type", "text/plain"]], "chunks": [
        [0, "a" * 300000], [0, w.key[:9]], [0, w.key[9:] + "tail"]]}})
    data, whole = Stream(w).rest()
    assert not whole and len(data) <= 300000 + 20 and b"tail" not in data


def test_a_client_of_http_1_0_gets_the_answer_whole(w):
    w.recorder.answer({"*": {"headers": EVENTS, "chunks": [[200, "data: 1\n\n"]] * 3}})
    stream = Stream(w, version="1.0")
    assert "transfer-encoding" not in stream.headers
    assert stream.file.read() == b"data: 1\n\n" * 3
    w.recorder.answer({"*": {"fill": 4 << 20}})
    assert Stream(w, version="1.0").status == 502  # over response_max


def test_three_hundred_streams_at_once(w):
    n = 100 if is_sanitized() else 300
    w.recorder.answer({"*": {"headers": EVENTS, "chunks": [[300, "data: NOW\n\n"]] * 8}})
    results, lock = [], threading.Lock()

    def one():
        data, whole = Stream(w).rest()
        with lock:
            results.append(whole and data.count(b"data: ") == 8)

    threads = [threading.Thread(target=one) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [True] * n
