"""How streamed request bodies end before their end: an upstream that has its answer early, a client that
leaves, a token that dies. Nothing that was taken for the call stays taken."""
import json
import os
import socket
import struct
import time

import pytest
from lib import is_sanitized
from uploading import PIECE, SETTINGS, Upload, bodies, ends, uploads, wait_until

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


@pytest.mark.skipif(is_sanitized(), reason="a sanitized guard searches for longer than its upstream waits")
def test_one_that_streams_is_whole_as_well(w):
    """Over 256 KiB it goes on as it comes, and its reader is held up by its own writing."""
    status, connection, body = answered_early(w, "status=200&pad=500000&close=2")
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


# ---- clients that leave, and what stays of them ------------------------------------------------


def leave(upload):
    upload.close()


def reset(upload):
    upload.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    upload.close()


def half_close(upload):
    """Said enough, and waits for an answer to half a body."""
    upload.sock.shutdown(socket.SHUT_WR)
    assert upload.answer() is None
    upload.close()


def break_framing(upload):
    upload.sock.sendall(b"zz\r\n" if upload.chunked else b"")
    upload.close()


def bad_extension(upload):
    if upload.chunked:
        upload.sock.sendall(b"5;a=b\r\nhello\r\n")
        assert upload.answer()[0] == 400
    upload.close()


def bad_trailer(upload):
    if upload.chunked:
        upload.sock.sendall(b"0\r\nContent-Length: 5\r\nHost: evil\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert upload.answer()[0] == 400
    upload.close()


WAYS = [leave, reset, half_close, break_framing, bad_extension, bad_trailer]
FEW = {**SETTINGS, "limits": {**SETTINGS["limits"], "calls_per_client": "8"},
       "upstream": {**SETTINGS["upstream"], "slots_per_key": "4", "slots": "8"}}


def descriptors(w):
    return len(os.listdir("/proc/%d/fd" % w.host.pid))


def rest(w):
    """Wait until nothing is under way. (One connection is all it takes: they are descriptors, too.)"""
    with w.host.admin() as admin:
        def is_over():
            status = admin.ok("status")
            return not (status["calls_open"] or status["calls_in_flight"] or status["http_connections"])
        wait_until(is_over)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_T8_nothing_stays_of_calls_whose_client_fails_in_the_middle(tmp_path, tls):
    """Far more of them than there are slots: were one kept, the next would be busy."""
    with uploads(tmp_path, FEW, tls) as w:
        upload = Upload(w, size=5)
        upload.send(b"hello")
        assert upload.answer()[0] == 200
        upload.close()
        rest(w)
        before = descriptors(w)
        for target in ("/v1/files", "/v1/files?wait=1", "/v1/files?events=3"):
            for way in WAYS:
                for size in (50 << 20, None):
                    upload = Upload(w, target, size=size)
                    upload.send(PIECE * 2)
                    way(upload)
                    rest(w)
        for _ in range(4):
            upload = Upload(w, size=300000)
            upload.send_all(300000)
            assert upload.answer()[0] == 200
            upload.close()
        rest(w)
        assert descriptors(w) <= before + 4  # kept connections to the upstream
        found = ends(w)
        assert len(found) == len([r for r in w.host.audit_records() if r["type"] == "intent"])
        # (An answer that streams beside the body had begun; its upstream may be the first to end it.)
        assert {(r["outcome"], r["code"]) for r in found[1:-4]} <= {
            ("unknown", "bad_request"), ("not_sent", "bad_request"), ("answered", "bad_request"),
            ("answered", "upstream_failed")}, found


def test_a_client_that_has_said_all_and_waits_gets_its_answer(w):
    for size in (5, 300000, None):
        upload = Upload(w, size=size)
        upload.send_all(size or 300000)
        upload.sock.shutdown(socket.SHUT_WR)
        status, _, body = upload.answer()
        assert status == 200 and json.loads(body)["sha256"] == upload.hash.hexdigest()
        assert upload.answer() is None


BUDGET = '''
scope counted {
  key  stripe-main
  ttl  4h
  @put allow POST https://api.stripe.com/** budget count <= 2 per day
}

principal desk {'''


@pytest.mark.parametrize("reached", [True, False], ids=["reached", "unreachable"])
def test_a_budget_counts_what_may_have_reached_the_upstream_and_nothing_else(w, reached):
    w.POLICY = w.POLICY.replace("\nprincipal desk {", BUDGET).replace(
        "may issue open for 4h", "may issue open for 4h\n  may issue counted for 4h")
    w.write_policy()
    w.host.reload()
    token = w.issue("counted")
    if not reached:
        w.up.stop()
    for _ in range(2):
        upload = Upload(w, size=50 << 20, token=token)
        upload.send(PIECE * 2)
        if reached:
            wait_until(lambda: w.host.admin().ok("status")["calls_in_flight"] == 1)
        else:
            assert upload.answer()[0] == 502
        upload.close()
        rest(w)
    upload = Upload(w, size=50 << 20, token=token)
    upload.send(b"")
    if reached:
        status, headers, body = upload.answer()
        assert (status, json.loads(body)["code"], headers["connection"]) == (429, "budget_exceeded", "close")
    else:
        upload.close()
        with w.as_agent() as agent:
            checked = agent.ok("check", token=token, method="POST", url="https://api.stripe.com/v1/files")
        assert checked["allowed"], checked
