"""The HTTP front door against clients that mean harm: raw sockets, so that each byte is ours."""
import select
import socket
import threading
import time

import pytest
from world import world

SETTINGS = {"http local": {"listen": "127.0.0.1:0", "mode": "provider stripe"},
            "limits": {"http_grace": "1s", "http_idle": "2s", "http_connections": "40",
                       "message_max": "1M", "http_held": "8M"}}


@pytest.fixture
def w(tmp_path, recorder):
    recorder.answer({"*": {"body": '{"id": "ch_1"}'}})
    with world(tmp_path, recorder.url, settings=SETTINGS) as made:
        made.recorder = recorder
        made.port = int(made.host.http_at("local").rsplit(":", 1)[1])
        made.token = made.issue("open")
        yield made


def connect(w):
    return socket.create_connection(("127.0.0.1", w.port), timeout=15)


def read_all(sock):
    """Until the other side closes (or resets)."""
    data = b""
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


def exchange(w, data):
    """All that comes back for these bytes until the host closes."""
    with connect(w) as sock:
        sock.sendall(data)
        return read_all(sock)


def statuses(data):
    """The status of each answer, by its framing."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        found.append(int(lines[0].split()[1]))
        lengths = [line.split(b":")[1] for line in lines if line.startswith(b"content-length:")]
        data = data[int(lengths[0]):] if lengths else data
    return found


def get(w, path="/v1/charges/ch_1", more=b"", method=b"GET"):
    return (method + b" " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
            + w.token.encode() + b"\r\n" + more + b"\r\n")


def post(w, more, body):
    return get(w, "/v1/refunds", more, b"POST") + body


# ---- T25: request smuggling --------------------------------------------------------------------

CL = b"Content-Length: 5\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = b"0\r\n\r\nGET /v1/evil HTTP/1.1\r\nHost: x\r\n\r\n"
AMBIGUOUS = {
    "CL+TE": (CL + TE, SMUGGLED), "TE+CL": (TE + CL, SMUGGLED),
    "two CL": (CL + b"Content-Length: 6\r\n", b"a=bcd"), "same CL twice": (CL + CL, b"a=bcd"),
    "CL list": (b"Content-Length: 5, 5\r\n", b"a=bcd"),
    "CL plus": (b"Content-Length: +5\r\n", b"a=bcd"),
    "CL hex": (b"Content-Length: 0x5\r\n", b"a=bcd"),
    "CL negative": (b"Content-Length: -1\r\n", b""), "CL empty": (b"Content-Length:\r\n", b""),
    "CL huge": (b"Content-Length: 18446744073709551621\r\n", b"a=bcd"),
    "CL blank inside": (b"Content-Length: 5 5\r\n", b"a=bcd"),
    "TE identity": (b"Transfer-Encoding: identity\r\n", SMUGGLED),
    "TE gzip": (b"Transfer-Encoding: gzip, chunked\r\n", SMUGGLED),
    "TE after": (b"Transfer-Encoding: chunked, identity\r\n", SMUGGLED),
    "TE odd": (b"Transfer-Encoding: xchunked\r\n", SMUGGLED),
    "TE quoted": (b'Transfer-Encoding: "chunked"\r\n', SMUGGLED),
    "TE tab": (b"Transfer-Encoding:\x0bchunked\r\n", SMUGGLED),
    "TE twice": (TE + TE, SMUGGLED),
    "TE twice, other": (TE + b"Transfer-encoding: x\r\n", SMUGGLED),
    "blank before colon": (b"Content-Length : 5\r\n", b"a=bcd"),
    "TE blank before colon": (b"Transfer-Encoding : chunked\r\n", SMUGGLED),
    "blank at the start": (b" Content-Length: 5\r\n", b"a=bcd"),
    "folded": (b"X-A: 1\r\n Content-Length: 5\r\n", b"a=bcd"),
    "folded TE": (b"Transfer-Encoding:\r\n chunked\r\n", SMUGGLED),
    "bare LF": (b"X-A: 1\nContent-Length: 5\r\n", b"a=bcd"),
    "bare CR": (b"X-A: 1\rContent-Length: 5\r\n", b"a=bcd"),
    "NUL": (b"X-A: 1\0\r\n", b""), "control": (b"X-A: \x01\r\n", b""),
    "no colon": (b"X-A\r\n", b""), "empty name": (b": x\r\n", b""),
    "name with blank": (b"X A: 1\r\n", b""), "name beyond ASCII": ("X-\u00e4: 1\r\n".encode(), b""),
    "two hosts": (b"Host: evil\r\n", b""), "bad expectation": (b"Expect: 200-ok\r\n", b""),
    "chunk extension": (TE, b"5;a=b\r\na=bcd\r\n0\r\n\r\n"),
    "chunk extension, empty": (TE, b"5;\r\na=bcd\r\n0\r\n\r\n"),
    "chunk size blank": (TE, b"5 \r\na=bcd\r\n0\r\n\r\n"),
    "chunk size 0x": (TE, b"0x5\r\na=bcd\r\n0\r\n\r\n"),
    "chunk size sign": (TE, b"+5\r\na=bcd\r\n0\r\n\r\n"),
    "chunk size LF": (TE, b"5\na=bcd\r\n0\r\n\r\n"),
    "chunk end LF": (TE, b"5\r\na=bcd\n0\r\n\r\n"),
    "chunk too long": (TE, b"5\r\na=bcdef\r\n0\r\n\r\n"),
    "chunk size overflow": (TE, b"10000000000000005\r\na=bcd\r\n0\r\n\r\n"),
    "chunk size of many zeros": (TE, b"0" * 400 + b"5\r\na=bcd\r\n0\r\n\r\n"),
    "last chunk LF": (TE, b"5\r\na=bcd\r\n0\n\n"),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_T25_an_ambiguous_request_is_400_and_the_connection_ends(w, name):
    more, body = AMBIGUOUS[name]
    reply = exchange(w, post(w, more, body) + get(w, "/v1/evil"))
    assert statuses(reply) == [417 if name == "bad expectation" else 400], reply
    assert b"connection: close" in reply
    assert w.recorder.requests() == []


@pytest.mark.parametrize("trailer", [b"Authorization: Bearer x", b"X-Api-Key: x", b"Cookie: a=b",
                                     b"X-Checksum: 1", b"Content-Length: 3"])
def test_T28_trailers_are_refused_whatever_they_carry(w, trailer):
    reply = exchange(w, post(w, TE, b"5\r\na=bcd\r\n0\r\n" + trailer + b"\r\n\r\n")
                     + get(w, "/v1/evil"))
    assert statuses(reply) == [400], reply
    assert w.recorder.requests() == []


HEADS = {
    "empty line first": b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "LF alone": b"GET / HTTP/1.1\nHost: x\n\n", "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: x\r\n\r\n",
    "HTTP/3": b"GET / HTTP/3.0\r\nHost: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n", "bad host": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "host with user": b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "T27 absolute form": b"GET http://api.stripe.com/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "T27 absolute form, other host": b"GET http://evil/ HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n",
    "CONNECT": b"CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "lower-case method": b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
    "invented method": b"GETS / HTTP/1.1\r\nHost: x\r\n\r\n",
    "two blanks": b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tab": b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    "blank in target": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "chunked in 1.0": b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", HEADS)
def test_T25_what_is_no_request_of_http_1_1_is_refused_and_the_connection_ends(w, name):
    reply = exchange(w, HEADS[name] + get(w))
    assert statuses(reply) in ([400], [505]), reply
    assert w.recorder.requests() == []


def test_http_2_is_told_that_it_is_not_spoken_here(w):
    settings = b"\0\0\0\x04\0\0\0\0\0"
    reply = exchange(w, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + get(w))
    assert statuses(reply) == [505] and b"HTTP/2 is not spoken here" in reply
    # One that would rather have it than HTTP/1.1 goes on with that, once.
    offer = (b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n\r\n")
    reply = exchange(w, get(w).replace(b"\r\n\r\n", b"\r\n" + offer))
    assert statuses(reply) == [200] and b"101" not in reply.split(b"\r\n")[0]
    names = [name.lower() for name, _ in w.recorder.requests()[0]["headers"]]
    assert len(w.recorder.requests()) == 1 and not {"upgrade", "http2-settings", "connection"} & set(names)


def test_T25_the_body_that_goes_on_is_framed_anew(w):
    body = b"3\r\na=b\r\n2\r\n&c\r\n0\r\n\r\n"
    reply = exchange(w, post(w, TE + b"Content-Type: text/plain\r\nConnection: close\r\n", body))
    assert statuses(reply) == [200]
    request = w.recorder.requests()[0]
    headers = {name.lower(): value for name, value in request["headers"]}
    assert request["body"] == b"a=b&c" and headers["content-length"] == "5"
    assert "transfer-encoding" not in headers


def test_T25_pipelined_requests_are_answered_in_order_and_each_once(w):
    w.recorder.answer({"GET /v1/charges/%d" % i: {"body": str(i), "delay_ms": 150 - 50 * i}
                       for i in range(4)})
    data = b"".join(get(w, "/v1/charges/%d" % i) for i in range(3))
    reply = exchange(w, data + post(w, CL + b"Connection: close\r\n", b"a=bcd") + get(w, "/evil"))
    assert statuses(reply) == [200] * 4
    assert [request["target"] for request in w.recorder.requests()] == [
        "/v1/charges/0", "/v1/charges/1", "/v1/charges/2", "/v1/refunds"]


def test_T25_requests_in_pieces_of_any_size_are_the_same_requests(w):
    data = post(w, TE, b"3\r\na=b\r\n2\r\n&c\r\n0\r\n\r\n") + get(w, more=b"Connection: close\r\n")
    for size in (1, 2, 7, 64):
        with connect(w) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(data), size):
                sock.sendall(data[at:at + size])
            assert statuses(read_all(sock)) == [200, 200], size
    assert {request["body"] for request in w.recorder.requests()} == {b"a=b&c", b""}


def test_a_connection_is_kept_and_closed_as_the_client_asks(w):
    with connect(w) as sock:
        for _ in range(3):
            sock.sendall(get(w))
            assert b"200 OK" in sock.recv(65536)
    reply = exchange(w, get(w).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert statuses(reply) == [200] and b"connection: close" in reply


def test_100_continue_comes_before_the_body_and_only_for_a_good_token(w):
    head = get(w, "/v1/refunds", CL + b"Expect: 100-continue\r\nConnection: close\r\n", b"POST")
    with connect(w) as sock:
        sock.sendall(head)
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"a=bcd")
        assert statuses(read_all(sock)) == [200]
    reply = exchange(w, head.replace(b"spt_", b"spt-"))
    assert statuses(reply) == [401]
    assert len(w.recorder.requests()) == 1


# ---- limits ------------------------------------------------------------------------------------


def test_what_is_over_a_limit_is_refused(w):
    cases = [(get(w, "/v1/charges/" + "a" * 8200), 414),
             (get(w, more=b"X-A: " + b"a" * 70000 + b"\r\n"), 431),
             (get(w, more=b"".join(b"X-%d: 1\r\n" % i for i in range(200))), 431),
             (get(w, more=b"".join(b"X-%d: 1\r\n" % i for i in range(80))), 413)]
    # Bodies that a rule reads; others go on as they come (test_http_upload.py).
    w.token = w.issue("support")
    cases += [(post(w, b"Content-Length: 2000000\r\n", b""), 413),
              (post(w, b"Content-Length: 2000000\r\nExpect: 100-continue\r\n", b""), 413),
              (post(w, TE, b"80000\r\n" + b"a" * 0x80000 + b"\r\n" + b"80000\r\n" + b"a" * 0x80000
                    + b"\r\n1\r\na\r\n0\r\n\r\n"), 413)]
    for data, status in cases:
        with connect(w) as sock:
            sock.sendall(data)
            assert sock.recv(65536).split()[1] == b"%d" % status
    assert w.recorder.requests() == []
    # What is just within them goes on.
    w.token = w.issue("open")
    reply = exchange(w, post(w, b"Content-Length: 1048576\r\nConnection: close\r\n", b"a" * (1 << 20)))
    assert statuses(reply) == [200] and len(w.recorder.requests()[0]["body"]) == 1 << 20


def test_without_a_token_no_body_is_read(w):
    head = get(w, "/v1/refunds", b"Content-Length: 1000000\r\n", b"POST")
    with connect(w) as sock:
        sock.sendall(head.replace(w.token.encode(), b"spt_no"))
        assert sock.recv(65536).split()[1] == b"401"


def test_T29_slow_heads_and_bodies_end_by_time(w):
    for first in (b"", b"GET / HT", get(w)[:-2], post(w, CL, b"a="), post(w, TE, b"5\r\na")):
        began = time.monotonic()
        with connect(w) as sock:
            sock.sendall(first)
            reply = read_all(sock)
        assert (statuses(reply) == [408]) if first else reply == b""
        assert 0.8 < time.monotonic() - began < 6, first
    # One byte now and then does not buy time.
    with connect(w) as sock:
        began, data = time.monotonic(), get(w)
        try:
            for at in range(60):
                sock.sendall(data[at:at + 1])
                time.sleep(0.1)
        except OSError:
            pass
        assert time.monotonic() - began < 5
    assert w.recorder.requests() == []


def test_T29_an_idle_connection_ends_and_one_in_use_does_not(w):
    with connect(w) as sock:
        for _ in range(3):
            sock.sendall(get(w))
            assert b"200 OK" in sock.recv(65536)
            time.sleep(1)
        began = time.monotonic()
        assert read_all(sock) == b"" and time.monotonic() - began < 5


def test_T29_a_slow_reader_is_cut_off(w):
    w.recorder.answer({"*": {"body": "a" * (7 << 20)}})
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", w.port))
        sock.sendall(get(w))
        time.sleep(5)
        sock.settimeout(15)
        assert len(read_all(sock)) < 7 << 20
    assert len(exchange(w, get(w, more=b"Connection: close\r\n"))) > 7 << 20


def test_T50_past_the_connections_limit_the_rest_still_works(w):
    held = [connect(w) for _ in range(60)]
    time.sleep(0.3)
    assert w.as_agent().ok("status")["ready"] is True
    time.sleep(2)  # those that say nothing are gone by now
    assert statuses(exchange(w, get(w, more=b"Connection: close\r\n"))) == [200]
    for sock in held:
        sock.close()


@pytest.mark.alone
def test_T50_who_opens_all_connections_and_says_nothing_keeps_nobody_out(w):
    held = [connect(w) for _ in range(60)]
    began = time.monotonic()
    for _ in range(5):
        assert statuses(exchange(w, get(w, more=b"Connection: close\r\n"))) == [200]
    # Before those that say nothing are gone by time: what made room was closed at once.
    ended = [sock for sock in held if select.select([sock], [], [], 0)[0] and not sock.recv(1)]
    assert time.monotonic() - began < 1 and len(ended) >= 20
    for sock in held:
        sock.close()


def test_T8_a_client_that_goes_away_in_the_middle_leaves_nothing_behind(w):
    w.recorder.answer({"*": {"delay_ms": 300}})
    for _ in range(20):
        with connect(w) as sock:
            sock.sendall(get(w))
        with connect(w) as sock:
            sock.sendall(post(w, CL, b"a"))
    time.sleep(1.5)
    assert statuses(exchange(w, get(w, more=b"Connection: close\r\n"))) == [200]
    end = time.monotonic() + 5  # the last record may wait a moment for company
    while w.host.admin().ok("status")["calls_open"] > 0 and time.monotonic() < end:
        time.sleep(0.02)
    assert w.host.admin().ok("status")["calls_open"] == 0


def test_a_client_that_has_shut_its_side_still_gets_its_answers(w):
    """The end of what it says may come while a call is under way, and while an answer is written."""
    w.recorder.answer({"*": {"delay_ms": 200, "body": "x" * 200000}})
    for n in (1, 3):
        with connect(w) as sock:
            sock.sendall(get(w) * n)
            sock.shutdown(socket.SHUT_WR)
            time.sleep(0.5)
            assert statuses(read_all(sock)) == [200] * n


def test_sigterm_lets_a_call_end_and_takes_no_more(w):
    w.recorder.answer({"*": {"delay_ms": 700, "body": "{}"}})
    idle, busy, replies = connect(w), connect(w), []
    idle.sendall(get(w)[:0])
    busy.sendall(get(w))
    reader = threading.Thread(target=lambda: replies.append(read_all(busy)))
    reader.start()
    time.sleep(0.3)
    w.host.process.terminate()
    time.sleep(0.2)
    with pytest.raises(OSError):
        connect(w)
    reader.join(10)
    assert statuses(replies[0]) == [200] and b"connection: close" in replies[0]
    assert w.host.process.wait(10) == 0
    idle.close()
    busy.close()
