"""Trailers of answers: they go on to those who read them, without what is no client's, and searched for
the key like everything else."""
import json
import socket

import pytest
import upstreams
from test_zmq_stream import Dealer
from world import world

SETTINGS = {"http local": {"listen": "127.0.0.1:0", "mode": "provider stripe"}}
KEPT = {"x-checksum": "12ab", "server-timing": "db;dur=1"}


@pytest.fixture
def w(tmp_path):
    up = upstreams.Uploads(str(tmp_path / "up"))
    try:
        with world(tmp_path, up.url, settings=SETTINGS) as made:
            made.port = int(made.host.http_at("local").rsplit(":", 1)[1])
            made.token = made.issue("open")
            yield made
    finally:
        up.stop()


def get(w, query, te="TE: trailers\r\n", version="1.1", method="GET"):
    """(status, headers, body, trailers); trailers is None where the answer has no proper end, and False
    where it is not in chunks."""
    with socket.create_connection(("127.0.0.1", w.port), timeout=20) as sock:
        sock.sendall(("%s /v1/files?%s HTTP/%s\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s"
                      "Connection: close\r\n\r\n" % (method, query, version, w.token, te)).encode())
        head, _, rest = sock.makefile("rb").read().partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    status = int(lines[0].split()[1])
    if headers.get("transfer-encoding") != "chunked":
        return status, headers, rest, False
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if int(size, 16) == 0:
            fields = rest.decode().split("\r\n")
            assert fields[-2:] == ["", ""] or rest == b"\r\n"
            return status, headers, body, dict(line.split(": ", 1) for line in fields if line)
        body, rest = body + rest[:int(size, 16)], rest[int(size, 16) + 2:]
    return status, headers, body, None


@pytest.mark.parametrize("te", ["TE: trailers\r\n", "TE: gzip;q=0.5, Trailers\r\nConnection: TE\r\n"])
def test_T28_trailers_go_to_those_who_read_them_without_credentials(w, te):
    status, headers, body, trailers = get(w, "trailers=1", te)
    assert (status, json.loads(body)["bytes"], trailers) == (200, 0, KEPT)
    assert headers["trailer"] == "x-checksum, server-timing" and "content-length" not in headers
    status, headers, body, trailers = get(w, "trailers=1&events=3", te)
    assert (status, body.count(b"data: "), trailers) == (200, 3, KEPT)


@pytest.mark.parametrize("te,version", [("", "1.1"), ("TE: gzip\r\n", "1.1"), ("TE: trailers\r\n", "1.0")])
def test_nobody_else_gets_them(w, te, version):
    status, headers, body, trailers = get(w, "trailers=1", te, version)
    assert (status, trailers, json.loads(body)["bytes"]) == (200, False, 0)
    assert "trailer" not in headers and int(headers["content-length"]) == len(body)
    status, headers, body, trailers = get(w, "trailers=1&events=3", te, version)
    assert (status, trailers) == (200, {} if version == "1.1" else False)
    assert body.count(b"data: ") == 3


def test_T30_the_key_in_a_trailer_is_found(w):
    status, _, body, _ = get(w, "trailers=1&echo=1")
    assert (status, json.loads(body)["code"]) == (502, "response_blocked")
    status, _, body, trailers = get(w, "trailers=1&echo=1&events=2", te="")
    assert (status, trailers) == (200, None) and w.key.encode() not in body
    status, _, body, trailers = get(w, "trailers=1&echo=1&events=2")
    assert (status, trailers) == (200, None) and w.key.encode() not in body


def test_trailers_stand_in_the_end_of_a_zeromq_stream(w):
    with Dealer(w) as dealer:
        dealer.proxy("s-1", "https://api.stripe.com/v1/files?trailers=1&events=3")
        assert dealer.next()["status"] == 200
        data, end = dealer.rest("s-1")
        assert data.count(b"data: ") == 3 and end["end"] is True
        assert end["trailers"] == [list(pair) for pair in KEPT.items()]
        dealer.proxy("s-2", "https://api.stripe.com/v1/files?events=1")
        assert dealer.next()["status"] == 200
        assert "trailers" not in dealer.rest("s-2")[1]
