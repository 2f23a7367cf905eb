"""Request bodies that go on as they come through the HTTP front door: in constant memory, held back by
their upstream, cut where they must not go on; and those that a rule reads, which are read whole."""
import hashlib
import json
import os
import subprocess
import time

import pytest
from lib import is_sanitized
from uploading import PIECE, SETTINGS, Upload, bodies, end_token, ends, last_body, memory_kib, uploads, wait_until

LONG = bool(os.environ.get("SALLYPORT_LONG"))
UPLOAD = (1024 if LONG else 16 if is_sanitized() else 128) << 20


@pytest.fixture
def w(tmp_path):
    with uploads(tmp_path) as made:
        yield made


@pytest.fixture(params=["plain", "tls"])
def either(request, tmp_path):
    """The upstream has TLS, or has none."""
    with uploads(tmp_path, tls=request.param == "tls") as made:
        yield made


# ---- memory and pressure -----------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_large_upload_stays_under_64_mib_of_memory(either, framing):
    w = either
    began = time.monotonic()
    upload = Upload(w, size=UPLOAD if framing == "length" else None)
    upload.send_all(UPLOAD)
    status, headers, body = upload.answer()
    took, peak = time.monotonic() - began, memory_kib(w.host.pid, "VmHWM")
    print("%d MiB %s to %s in %.1f s, at most %d KiB resident"
          % (UPLOAD >> 20, framing, w.up.url.split(":")[0], took, peak))
    assert status == 200 and "connection" not in headers
    assert json.loads(body) == {"bytes": UPLOAD, "sha256": upload.hash.hexdigest()}
    seen = last_body(w)
    assert (seen["framing"], seen["whole"]) == (framing, True)
    names = [name.lower() for name, _ in seen["headers"]]
    assert "expect" not in names and "content-type" not in names
    assert is_sanitized() or peak < (64 << 10)
    # The connection goes on.
    upload.begin(w, "/v1/files", 5)
    upload.send(b"hello")
    assert upload.answer()[0] == 200
    one, two = ends(w)
    assert (one["bytes_sent"], one["status"], two["bytes_sent"]) == (UPLOAD, 200, 5)
    intents = [r for r in w.host.audit_records() if r["type"] == "intent"]
    assert intents[0]["body_kind"] == "streamed" and "body" not in intents[0]
    assert "body" in intents[1]


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_requests_behind_a_body_are_answered_in_their_turn(w, framing):
    get = "GET /v1/charges/ch_%d HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"
    upload = Upload(w, size=300000 if framing == "length" else None)
    upload.send(PIECE * 4)
    rest = PIECE[:300000 - len(PIECE) * 4]
    upload.hash.update(rest)
    last = rest if framing == "length" else b"%x\r\n%s\r\n0\r\n\r\n" % (len(rest), rest)
    upload.sock.sendall(last + (get % (1, w.token) + get % (2, w.token)).encode())
    file = upload.sock.makefile("rb")
    answers = []
    for _ in range(3):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += file.read(1)
        assert head.startswith(b"HTTP/1.1 200")
        answers.append(json.loads(file.read(int(head.lower().split(b"content-length: ")[1].split()[0]))))
    assert answers[0] == {"bytes": 300000, "sha256": upload.hash.hexdigest()}
    assert [body["bytes"] for body in answers[1:]] == [0, 0]
    assert [seen["target"] for seen in bodies(w, 3)] == ["/v1/files", "/v1/charges/ch_1",
                                                          "/v1/charges/ch_2"]


def test_a_slow_upstream_holds_its_client_back(either):
    w = either
    size = (16 if is_sanitized() else 64) << 20
    before = memory_kib(w.host.pid, "VmRSS")
    upload = Upload(w, "/v1/files?wait=3", size=size, sndbuf=65536)
    sent = upload.push(size)
    assert sent < size * 3 // 4, sent
    assert is_sanitized() or memory_kib(w.host.pid, "VmRSS") - before < (8 << 10)
    wait_until(lambda: upload.push(1 << 16) == 1 << 16)
    left = size - sent - (1 << 16)
    upload.send_all(left)
    status, _, body = upload.answer()
    assert status == 200 and json.loads(body)["bytes"] == size


def test_an_upload_may_take_longer_than_a_whole_answer(w):
    """`total` is 3 s: it runs from the end of the body on."""
    upload = Upload(w, size=40 * len(PIECE))
    for _ in range(40):
        upload.send(PIECE)
        time.sleep(0.1)
    assert upload.answer()[0] == 200


def test_an_upstream_that_takes_nothing_or_does_not_answer_ends_the_call(w):
    upload = Upload(w, "/v1/files?wait=9", size=64 << 20)
    upload.push(64 << 20)
    status, headers, body = upload.answer()
    assert (status, headers["connection"]) == (504, "close")
    assert json.loads(body)["code"] == "upstream_timeout"


# ---- verdicts ----------------------------------------------------------------------------------


def test_100_continue_comes_after_the_verdict_and_a_refusal_instead_of_it(w):
    expect = "Expect: 100-continue\r\n"
    upload = Upload(w, size=300000, more=expect)
    assert upload.answer()[0] == 100
    upload.send_all(300000)
    assert upload.answer()[0] == 200
    for token, target, size, code in ((w.issue("support"), "/v1/files", 300000, "not_allowed"),
                                      (w.issue("support"), "/v1/files", 5, "not_allowed"),
                                      (w.issue("support"), "/v1/charges/a/capture", None, "denied"),
                                      (w.token, "/v1/a/../b", 300000, "bad_request")):
        upload = Upload(w, target, size=size, more=expect, token=token)
        status, headers, body = upload.answer()
        assert json.loads(body)["code"] == code and headers["connection"] == "close"
    assert len(bodies(w, 1)) == 1


def test_no_100_continue_comes_where_the_upstream_cannot_be_reached(w):
    w.up.stop()
    upload = Upload(w, size=300000, more="Expect: 100-continue\r\n")
    status, headers, body = upload.answer()
    assert (status, json.loads(body)["code"]) == (502, "upstream_unreachable")
    assert headers["connection"] == "close"


def read_by(w, target, body, size=None):
    upload = Upload(w, target, size=len(body) if size is None else size, token=w.issue("readers"),
                    more="Content-Type: application/json\r\n")
    upload.send(body)
    return upload.answer()


def test_T24_a_body_that_a_rule_reads_is_read_whole_or_refused(w):
    def padded(size, text):
        return text[:-1] + b" " * (size - len(text)) + text[-1:]
    good, bad = b'{"amount": 5, "kind": "good"}', b'{"amount": 5, "kind": "bad"}'
    judged = 1 << 20
    assert read_by(w, "/v1/read", padded(judged, good))[0] == 200
    assert read_by(w, "/v1/open/unless", padded(judged, good))[0] == 200
    for target, text, code in (("/v1/read", good, "not_allowed"), ("/v1/open/unless", bad, "denied"),
                               ("/v1/open/unless", good, "denied")):
        for size in (judged + 1, judged + 300000):
            data = padded(size, text)
            chunked = Upload(w, target, token=w.issue("readers"),
                             more="Content-Type: application/json\r\n")
            for at in range(0, size, 70000):
                chunked.send(data[at:at + 70000])
            chunked.sock.sendall(b"0\r\n\r\n")
            for status, _, body in (read_by(w, target, data), chunked.answer()):
                assert (status, json.loads(body)["code"]) == (403, code)
    assert read_by(w, "/v1/open/unless", padded(judged, bad))[0] == 403
    # Over what is read whole, whatever is in it, before it is read.
    status, _, body = read_by(w, "/v1/open/unless", b"", size=(2 << 20) + 1)
    assert (status, json.loads(body)["code"]) == (413, "too_large")
    assert len(bodies(w, 2)) == 2
    # No rule reads it here.
    assert read_by(w, "/v1/open/other", padded(3 << 20, good))[0] == 200
    kinds = [(r["path"], r.get("body_kind")) for r in w.host.audit_records() if r["type"] == "intent"]
    assert kinds == [("/v1/read", "json"), ("/v1/open/unless", "json"), ("/v1/open/other", "streamed")]


def test_T24_a_caveat_that_reads_the_body_has_it_read_whole(w):
    token = w.host.cli("token", "narrow", "--with",
                       'deny POST https://api.stripe.com/** where body.kind = "bad"',
                       stdin=w.token.encode()).strip()
    data = b'{"kind": "bad"' + b" " * 400000 + b"}"
    for size in (len(data), None):
        upload = Upload(w, size=size, token=token, more="Content-Type: application/json\r\n")
        upload.send(data)
        if size is None:
            upload.sock.sendall(b"0\r\n\r\n")
        status, _, body = upload.answer()
        assert (status, json.loads(body)["code"]) == (403, "denied")
    assert w.up.bodies() == []


def test_a_body_over_its_limit_is_refused(tmp_path):
    settings = {**SETTINGS, "limits": {**SETTINGS["limits"], "http_body_max": "1M"}}
    with uploads(tmp_path, settings) as w:
        assert Upload(w, size=(1 << 20) + 1).answer()[0] == 413
        upload = Upload(w)
        upload.send(b"a" * (1 << 20))
        upload.send(b"a")
        status, headers, body = upload.answer()
        assert (status, json.loads(body)["code"], headers["connection"]) == (413, "too_large", "close")
        assert last_body(w)["whole"] is False
        upload = Upload(w, size=1 << 20)
        upload.send_all(1 << 20)
        assert upload.answer()[0] == 200


# ---- ends --------------------------------------------------------------------------------------


def test_T8_a_client_that_leaves_midway_ends_the_call_upstream(w):
    admin = w.host.admin()
    for size in (50 << 20, None):
        upload = Upload(w, size=size)
        upload.send(PIECE * 4)
        wait_until(lambda: admin.ok("status")["calls_in_flight"] == 1)
        upload.close()
        wait_until(lambda: admin.ok("status")["calls_in_flight"] == 0, 3)
    assert [seen["whole"] for seen in bodies(w, 2)] == [False, False]
    wait_until(lambda: admin.ok("status")["http_connections"] == 0, 3)
    assert [(r["outcome"], r["code"]) for r in ends(w)] == [("unknown", "bad_request")] * 2


def test_T29_a_client_that_stalls_midway_is_cut_off(w):
    for size in (50 << 20, None):
        upload = Upload(w, size=size)
        upload.send(PIECE * 4)
        began = time.monotonic()
        status, headers, body = upload.answer()
        assert (status, headers["connection"]) == (408, "close") and time.monotonic() - began < 6
        assert json.loads(body)["code"] == "bad_request"
    # One byte now and then does not buy time.
    upload = Upload(w, size=50 << 20)
    began = time.monotonic()
    try:
        for _ in range(80):
            upload.send(b"a" * 100)
            time.sleep(0.1)
    except OSError:
        pass
    assert time.monotonic() - began < 7
    assert not any(seen["whole"] for seen in w.up.bodies())


def test_T25_a_body_that_goes_wrong_midway_is_400_and_the_call_is_aborted(w):
    upload = Upload(w)
    upload.send(PIECE)
    time.sleep(0.3)
    upload.sock.sendall(b"5;x=y\r\nhello\r\n0\r\n\r\nGET /v1/evil HTTP/1.1\r\nHost: x\r\n\r\n")
    status, headers, _ = upload.answer()
    assert (status, headers["connection"]) == (400, "close")
    assert upload.answer() is None
    # Trailers of a request are refused, as ever (T28).
    upload = Upload(w)
    upload.send(PIECE * 5)
    time.sleep(0.3)
    upload.sock.sendall(b"0\r\nAuthorization: Bearer x\r\n\r\n")
    assert upload.answer()[0] == 400
    assert [seen["whole"] for seen in bodies(w, 2)] == [False, False]


def test_an_early_answer_goes_on_and_ends_the_connection(w):
    for close in ("", "&close=0"):
        upload = Upload(w, "/v1/files?after=100000&status=413" + close, size=200 << 20)
        try:
            upload.push(200 << 20)
        except OSError:
            pass
        status, headers, body = upload.answer()
        assert headers["connection"] == "close"
        # An upstream that closes with bytes unread may take its own answer away.
        assert (status == 413 and b"sha256" in body) or (close and status == 502)
    first, second = ends(w)
    assert (first["outcome"], first["status"]) == ("answered", 413)
    assert first["bytes_sent"] < 200 << 20 and second["bytes_sent"] < 200 << 20


@pytest.mark.alone
def test_an_early_answer_comes_while_its_client_says_nothing(w):
    upload = Upload(w, "/v1/files?after=100000&status=403", size=50 << 20)
    upload.send(PIECE * 2)
    began = time.monotonic()
    status, headers, _ = upload.answer()
    assert (status, headers["connection"]) == (403, "close") and time.monotonic() - began < 1.5


def test_an_answer_may_stream_beside_the_body(w):
    upload = Upload(w, "/v1/files?events=5", size=40 * len(PIECE))
    for _ in range(40):
        upload.send(PIECE)
        time.sleep(0.01)
    status, headers, body = upload.answer()
    assert status == 200 and body.count(b"data: ") == 5
    assert last_body(w)["sha256"] == upload.hash.hexdigest()


ENDS = {"revoked": (401, "token_revoked"), "expired": (401, "token_expired"),
        "suspended": (403, "token_suspended"), "sealed": (503, "sealed")}


@pytest.mark.alone
@pytest.mark.parametrize("how", list(ENDS))
@pytest.mark.parametrize("state", ["sends", "waits"])
def test_T66_an_upload_is_cut_within_a_second(w, how, state):
    """Be it that its client sends, or that its upstream takes nothing."""
    w.token = w.issue("open", **({"ttl": "3s"} if how == "expired" else {}))
    end = time.monotonic() + 3
    upload = Upload(w, "/v1/files" + ("?wait=9" if state == "waits" else ""), size=500 << 20)
    upload.send(PIECE * 4)
    wait_until(lambda: w.host.admin().ok("status")["calls_in_flight"] == 1)
    if state == "waits":
        upload.push(500 << 20)
    if how == "expired":
        while time.monotonic() < end - 0.1:
            time.sleep(0.1)
            upload.send(PIECE if state == "sends" else b"")
    else:
        end_token(w, how)
    began = time.monotonic()
    status, headers, body = upload.answer()
    assert time.monotonic() - began < 1.5
    assert (status, json.loads(body)["code"], headers["connection"]) == (*ENDS[how], "close")
    if state == "sends":
        seen, = wait_until(lambda: [one for one in w.up.bodies() if one["target"] == "/v1/files"])
        assert seen["whole"] is False
    assert [r["outcome"] for r in ends(w) if r["code"] == ENDS[how][1]] == ["unknown"]


def test_a_kept_connection_that_died_gets_no_half_of_a_body(w):
    """A PUT may be sent twice, but not one whose body is on its way."""
    upload = Upload(w, size=5)
    upload.send(b"hello")
    assert upload.answer()[0] == 200
    for _ in range(3):
        upload = Upload(w, "/v1/files?after=0&close=0", size=1 << 20)
        try:
            upload.send_all(1 << 20)
        except OSError:
            pass
        upload.answer()
        upload = Upload(w, size=1 << 20)
        upload.send_all(1 << 20)
        answer = upload.answer()
        assert answer[0] in (200, 502)
        if answer[0] == 200:
            assert json.loads(answer[2])["sha256"] == upload.hash.hexdigest()
    assert all(seen["sha256"] == upload.hash.hexdigest()
               for seen in w.up.bodies() if seen["whole"] and seen["bytes"] == 1 << 20)


# ---- clients -----------------------------------------------------------------------------------


def curl(*options):
    done = subprocess.run(["curl", "-sS", "--max-time", "60", *options], capture_output=True,
                          timeout=90, check=False, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_curl_uploads_with_a_base_url_and_through_the_proxy(w, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(os.urandom(5 << 20))
    wanted = hashlib.sha256(file.read_bytes()).hexdigest()
    auth = ["-H", "Authorization: Bearer " + w.token]
    proxy = ["--proxy", w.host.http_at("proxy"), "--cacert", os.path.join(w.host.dir, "ca.pem")]
    base = "http://127.0.0.1:%d/v1/files" % w.port
    for options in ([base, *auth], [base, *auth, "-H", "Transfer-Encoding: chunked"],
                    ["http://api.stripe.com/v1/files", *auth, *proxy],
                    ["https://api.stripe.com/v1/files", *auth, *proxy],
                    ["https://api.stripe.com/v1/files", *auth, *proxy,
                     "-H", "Transfer-Encoding: chunked"]):
        assert wanted in curl("-T", str(file), *options), options
    assert [seen["method"] for seen in bodies(w, 5)] == ["PUT"] * 5
    assert [seen["framing"] for seen in w.up.bodies()] == ["length", "chunked", "length", "length",
                                                           "chunked"]
    assert {r["body_kind"] for r in w.host.audit_records() if r["type"] == "intent"} == {"streamed"}


def test_uploads_side_by_side_keep_their_bodies_apart(w):
    n, size = (10 if is_sanitized() else 40), 2 << 20
    uploads = [Upload(w, size=size if i % 2 else None) for i in range(n)]
    for _ in range(size // len(PIECE)):
        for i, upload in enumerate(uploads):
            upload.send(PIECE[i:] + PIECE[:i])
    for upload in uploads:
        if upload.chunked:
            upload.sock.sendall(b"0\r\n\r\n")
        status, _, body = upload.answer()
        assert status == 200 and json.loads(body)["sha256"] == upload.hash.hexdigest()
