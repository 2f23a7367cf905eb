"""How streamed request bodies end before their end: an upstream that has its answer early, a client that
leaves, a token that dies. Nothing that was taken for the call stays taken."""
import json
import time

import pytest
from uploading import Upload, bodies, ends, uploads

BODY = 20 << 20


@pytest.fixture(params=["plain", "tls"])
def w(request, tmp_path):
    with uploads(tmp_path, tls=request.param == "tls") as made:
        yield made


def answered_early(w, query, size=BODY):
    """The answer to a body that nobody takes to its end."""
    upload = Upload(w, "/v1/files?after=100000&" + query, size=size)
    try:
        upload.push(size)
    except OSError:
        pass
    try:
        status, headers, body = upload.answer()
    finally:
        upload.close()
    return status, headers["connection"], body


# ---- an upstream that does not want the rest ---------------------------------------------------


@pytest.mark.parametrize("query", ["status=413", "status=413&bye=1", "status=200", "status=200&bye=1",
                                   "status=401&pad=100000", "status=201&pad=100000",
                                   "status=413&trailers=1"])
def test_an_answer_that_is_whole_wins_over_the_reset_behind_it(w, query):
    """Its upstream says all, listens no more, and closes with most of the body unread."""
    wanted = int(query[7:10])
    for _ in range(3):
        status, connection, body = answered_early(w, query + "&close=0.4")
        assert (status, connection) == (wanted, "close") and b"sha256" in body, body[:200]
    assert [(r["outcome"], r["status"], r["bytes_sent"] < BODY)
            for r in ends(w)] == [("answered", wanted, True)] * 3


def test_one_that_streams_is_whole_as_well(w):
    """Over 256 KiB it goes on as it comes, and its reader is held up by its own writing."""
    status, connection, body = answered_early(w, "status=200&close=2&pad=500000")
    assert (status, connection) == (200, "close") and len(body) > 500000
    outcome, = ends(w)
    assert (outcome["outcome"], outcome["code"]) == ("answered", "ok")


@pytest.mark.parametrize("query", ["status=200&trailers=1&cut=1", "status=413&trailers=1&cut=1&bye=1"])
def test_half_an_answer_wins_over_nothing(w, query):
    status, connection, body = answered_early(w, query + "&close=0.4")
    assert (status, connection, json.loads(body)["code"]) == (502, "close", "upstream_failed")
    assert ends(w)[0]["outcome"] == "unknown"


def test_an_upstream_that_resets_at_once_is_heard_or_it_failed(w):
    """It may take its own answer away; whatever comes of it, the call ends, and at once."""
    for status in (413, 200):
        began = time.monotonic()
        seen = [answered_early(w, "status=%d&close=0" % status) for _ in range(5)]
        assert {one[0] for one in seen} <= {status, 502} and time.monotonic() - began < 20
    assert {(r["outcome"], r.get("status", 0)) for r in ends(w)} <= {
        ("answered", 413), ("answered", 200), ("unknown", 0)}


@pytest.mark.parametrize("bye", ["", "&bye=1"])
def test_an_upstream_that_said_no_is_not_sent_the_rest(w, bye):
    """This one would read on; it gets no more than what was on its way."""
    began = time.monotonic()
    status, connection, _ = answered_early(w, "status=403" + bye, size=200 << 20)
    assert (status, connection) == (403, "close") and time.monotonic() - began < 5
    assert bodies(w, 1)[0]["bytes"] < 100 << 20


@pytest.mark.parametrize("query", ["status=413", "status=413&bye=1", "status=200&pad=100000"])
def test_a_body_that_is_read_whole_is_no_different(w, query):
    """A rule reads it: it is all there before any of it goes out."""
    data = b'{"amount": 5}' + b" " * (900 << 10)
    for _ in range(3):
        upload = Upload(w, "/v1/whole/after=1000&close=0.4&" + query, size=len(data),
                        token=w.issue("readers"), more="Content-Type: application/json\r\n")
        upload.send(data)
        status, _, body = upload.answer()
        assert status == int(query[7:10]) and b"sha256" in body, body[:200]
        upload.close()
