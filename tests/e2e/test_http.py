"""The HTTP front door in base-URL mode: curl and Python's requests through every kind of listener,
where the token may stand, what refusals look like, and what of a request stays behind."""
import base64
import http.client
import json
import os
import socket
import ssl
import subprocess
import time

import pytest
from lib import Curve, Host, occurrences
from world import FORM, world

LISTENERS = {
    "http local": {"listen": "127.0.0.1:0"},
    "http stripe": {"listen": "127.0.0.1:0", "mode": "provider stripe"},
    "http bytoken": {"listen": "127.0.0.1:0", "mode": "token"},
    "http socket": {"listen": "unix:http.sock", "mode": "provider stripe"},
    "http health": {"listen": "127.0.0.1:0", "mode": "health"},
}


@pytest.fixture
def w(tmp_path, recorder):
    recorder.answer({"*": {"body": '{"id": "ch_1"}'}})
    with world(tmp_path, recorder.url, settings=LISTENERS) as made:
        made.recorder = recorder
        made.at = made.host.http_at
        yield made


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def header(self, name):
        """All values of one header, joined as HTTP joins them; None where it is not there."""
        values = [value for key, value in self.headers if key.lower() == name]
        return ", ".join(values) if values else None


def curl(url, *options, data=None):
    """One call with the real curl: status, headers and body."""
    argv = ["curl", "-s", "-S", "-i", "--max-time", "20", *options, url]
    if data is not None:
        argv += ["--data-binary", "@-"]
    done = subprocess.run(argv, input=data or b"", capture_output=True, timeout=30, check=False,
                          env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr.decode()
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100"):
        head, _, body = body.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
    return Answer(int(lines[0].split(" ")[1]), headers, body)


def bearer(token):
    return ["-H", "Authorization: Bearer " + token]


def sent(w):
    return w.recorder.requests()[-1]


def test_curl_through_a_prefixed_listener_reaches_the_upstream_with_the_real_key(w):
    answer = curl(w.at("local") + "/stripe/v1/charges/ch_1?limit=3",
                  *bearer(w.issue()))
    assert answer.status == 200 and answer.json() == {"id": "ch_1"}
    request = sent(w)
    assert request["target"] == "/v1/charges/ch_1?limit=3"
    headers = {name.lower(): value for name, value in request["headers"]}
    assert headers["host"] == "api.stripe.com" and w.key in headers["authorization"]
    assert b"spt_" not in request["head"]


# ---- routes -----------------------------------------------------------------------------------


def test_each_kind_of_listener_takes_the_paths_that_its_route_says(w):
    token = w.issue()
    for url in (w.at("local") + "/stripe/v1/charges/ch_1", w.at("stripe") + "/v1/charges/ch_1",
                w.at("bytoken") + "/v1/charges/ch_1"):
        assert curl(url, *bearer(token)).status == 200, url
        assert sent(w)["target"] == "/v1/charges/ch_1"
    assert len(w.recorder.requests()) == 3


def test_a_unix_socket_serves_curl_and_the_upstreams_own_name_on_it(w):
    socket = w.at("socket")[len("unix:"):]
    assert os.stat(socket).st_mode & 0o777 == 0o660
    for url in ("http://localhost/v1/charges/ch_1", "http://api.stripe.com/v1/charges/ch_1"):
        assert curl(url, "--unix-socket", socket, *bearer(w.issue())).status == 200
    w.host.stop()
    assert not os.path.exists(socket)


@pytest.mark.parametrize("path", ["/", "/v1/charges/ch_1", "/Stripe/v1/charges/ch_1", "/github/x",
                                  "/stripe%2fv1/charges", "/stripe;x/v1/charges/ch_1"])
def test_a_path_that_names_no_provider_of_the_token_is_refused(w, path):
    answer = curl(w.at("local") + path, *bearer(w.issue()))
    assert answer.status in (403, 404)
    assert answer.json()["code"] in ("not_found", "key_not_in_scope")
    assert w.recorder.requests() == []


@pytest.mark.parametrize("path", ["/v1/charges/%2e%2e/refunds", "/v1//charges/ch_1", "/v1/./charges",
                                  "/v1/charges/ch_1%00", "/v1/charges/ch_1;x", "/v1/a%5cb",
                                  "/../v1/charges/ch_1", "/v1/charges/%c0%af", "//v1/charges"])
def test_T16_an_ambiguous_path_is_refused_on_every_route(w, path):
    token = w.issue("open")
    for url in (w.at("local") + "/stripe" + path, w.at("stripe") + path):
        answer = curl(url, "--path-as-is", *bearer(token))
        assert (answer.status, answer.json()["code"]) == (400, "bad_request"), path
    assert w.recorder.requests() == []


# ---- the token --------------------------------------------------------------------------------


def basic(user, password):
    return ["-H", "Authorization: Basic "
            + base64.b64encode(("%s:%s" % (user, password)).encode()).decode()]


def test_the_token_is_found_where_clients_put_their_api_keys(w):
    token, url = w.issue(), w.at("stripe") + "/v1/charges/ch_1"
    places = [bearer(token), ["-H", "authorization: bearer " + token],
              ["-H", "Authorization: token " + token], ["-H", "X-Api-Key: " + token],
              ["-u", token + ":"], basic("x-access-token", token), basic("", token),
              bearer("rk_test_" + token), ["-u", "sk_test_" + token + ":"],
              ["-H", "Authorization: token ghp_" + token]]
    for options in places:
        assert curl(url, *options).status == 200, options[1][:30]
        assert b"spt_" not in sent(w)["head"] and b"spt_" not in base64.b64decode(
            (sent(w)["head"].split(b"Basic ") + [b""])[1].split(b"\r")[0] or b"")
    assert len(w.recorder.requests()) == len(places)


def test_without_one_good_token_nothing_is_sent(w):
    token, url = w.issue(), w.at("stripe") + "/v1/charges/ch_1"
    cases = [([], 401), (bearer(w.key), 401), (bearer(token + "A"), 401), (bearer(""), 401),
             (["-H", "Authorization: " + token], 401), (["-H", "Authorization: Digest x=y"], 401),
             (["-H", "Authorization: Basic %%%"], 401), (basic("a", "b"), 401),
             (basic(token, token), 401), (bearer("jwt_" + token), 401),
             (bearer(token) + ["-H", "X-Api-Key: " + token], 400),
             (bearer(token) + bearer(token), 400),
             (["-H", "X-Api-Key: " + token, "-H", "X-Api-Key: " + token], 400)]
    for options, status in cases:
        answer = curl(url, *options)
        assert answer.status == status, (options, answer.body)
        if status == 401:
            assert answer.json()["code"] == "token_invalid"
            assert 'Basic realm="sallyport"' in answer.header("www-authenticate")
        assert token not in answer.body.decode() and w.key not in answer.body.decode()
    assert w.recorder.requests() == []


def test_T11_a_bound_token_is_refused_since_its_binding_cannot_be_proven(w):
    token = w.issue(bind=w.agent.public)
    answer = curl(w.at("stripe") + "/v1/charges/ch_1", *bearer(token))
    assert (answer.status, answer.json()["code"]) == (401, "token_binding")
    assert w.as_agent().ok("proxy", token=token, method="GET",
                           url="https://api.stripe.com/v1/charges/ch_1")["status"] == 200


def test_T13_a_revoked_token_is_refused(w):
    token = w.issue()
    with w.host.client(w.desk) as desk:
        desk.ok("revoke", token=token)
    answer = curl(w.at("stripe") + "/v1/charges/ch_1", *bearer(token))
    assert (answer.status, answer.json()["code"]) == (401, "token_revoked")


# ---- refusals and answers ---------------------------------------------------------------------


def test_a_refusal_says_which_rule_and_that_repeating_is_of_no_use(w):
    url, token = w.at("stripe") + "/v1/refunds", w.issue()
    form = ["-H", "Content-Type: " + FORM["content-type"]]
    good = b"charge=ch_1&amount=4000&reason=duplicate"
    bad = good.replace(b"4000", b"9000")
    assert curl(url, *form, *bearer(token), data=good).status == 200
    assert sent(w)["body"] == good
    answer = curl(url, *form, *bearer(token), data=bad)
    problem = answer.json()
    assert answer.status == 403 and problem["status"] == 403
    assert answer.header("content-type").startswith("application/problem+json")
    assert problem["code"] == "not_allowed" and problem["rule"] == "refund"
    assert "amount" in problem["reason"] and problem["retryable"] is False
    assert answer.header("stripe-should-retry") == answer.header("x-should-retry") == "false"
    answer = curl(w.at("stripe") + "/v1/charges/ch_1/capture", "-X", "POST", *bearer(token))
    assert answer.status == 403 and answer.json()["code"] in ("denied", "not_allowed")
    assert len(w.recorder.requests()) == 1
    w.host.stop()
    kinds = [record["type"] for record in w.host.audit_records()]
    assert kinds.count("denied") == 2 and kinds.count("intent") == 1


def test_a_used_up_rate_is_429_with_the_time_to_wait(tmp_path, recorder):
    with world(tmp_path, recorder.url, rate="1/min", settings=LISTENERS) as w:
        url, token = w.host.http_at("stripe") + "/v1/charges/ch_1", w.issue()
        assert curl(url, *bearer(token)).status == 200
        answer = curl(url, *bearer(token))
        assert (answer.status, answer.json()["code"]) == (429, "rate_limited")
        assert 1 <= int(answer.header("retry-after")) <= 60
        assert answer.header("x-should-retry") is None


def test_answers_go_on_with_status_headers_and_body_as_they_are(w):
    w.recorder.answer({
        "GET /v1/charges/a": {"status": 404, "body": "no \u00e9", "headers": [
            ["content-type", "text/plain"], ["etag", '"x"'], ["x-ratelimit-remaining", "7"],
            ["set-cookie", "session=1"], ["connection", "x-hop"], ["x-hop", "1"],
            ["idempotency-key", "k"]]},
        "GET /v1/charges/c": {"status": 304, "headers": [["etag", '"y"']], "body": ""},
        "GET /v1/charges/d": {"status": 204, "headers": [["x-d", "1"]], "body": ""}})
    base, token = w.at("stripe") + "/v1/charges/", w.issue("open")
    answer = curl(base + "a", *bearer(token))
    assert answer.status == 404 and answer.body == "no \u00e9".encode()
    assert answer.header("etag") == '"x"' and answer.header("x-ratelimit-remaining") == "7"
    assert answer.header("set-cookie") is None and answer.header("x-hop") is None
    assert answer.header("idempotency-key") == "k"
    answer = curl(base + "c", *bearer(token))
    assert (answer.status, answer.body, answer.header("etag")) == (304, b"", '"y"')
    answer = curl(base + "d", *bearer(token))
    assert (answer.status, answer.body, answer.header("content-length")) == (204, b"", None)


def test_head_has_the_length_of_a_body_that_does_not_come(tmp_path, recorder):
    recorder.answer({"*": {"headers": [["content-length", "1234"], ["x-b", "1"]]}})
    reader = Curve()
    with world(tmp_path, recorder.url, settings=LISTENERS) as w:
        w.host.write_policy("head.scope", """sallyport 1
scope heads {
  key stripe-main
  ttl 1h
  allow HEAD https://api.stripe.com/v1/charges/*
}
principal reader { curve "%s" may issue heads for 1h }
""" % reader.public)
        w.host.reload()
        token = w.host.client(reader).ok("issue", scope="heads")["token"]
        answer = curl(w.host.http_at("stripe") + "/v1/charges/b", "-I", *bearer(token))
        assert (answer.status, answer.header("content-length")) == (200, "1234")
        assert answer.body == b""


def test_links_and_locations_lead_back_to_the_front_door(w):
    port = w.recorder.port
    w.recorder.answer({"*": {"status": 201, "headers": [
        ["location", "https://api.stripe.com/v1/charges/ch_2"],
        ["content-location", "/v1/charges/ch_3"],
        ["link", '<https://api.stripe.com/v1/charges?page=2>; rel="next", '
                 '<https://elsewhere.example/v1>; rel="last", </v1/charges?page=1>; rel="first", '
                 '<http://localhost:%d/v1/charges?page=3>; title="a,b>"; rel=x' % port]]}})
    token = w.issue()
    base = w.at("local")
    answer = curl(base + "/stripe/v1/charges/ch_1", *bearer(token))
    assert answer.header("location") == base + "/stripe/v1/charges/ch_2"
    assert answer.header("content-location") == "/stripe/v1/charges/ch_3"
    assert answer.header("link") == (
        '<%s/stripe/v1/charges?page=2>; rel="next", </stripe/v1/charges?page=1>; rel="first", '
        '<%s/stripe/v1/charges?page=3>; title="a,b>"; rel=x' % (base, base))
    answer = curl("http://api.stripe.com/v1/charges/ch_1", "--unix-socket",
                  w.at("socket")[len("unix:"):], *bearer(token))
    assert answer.header("location") == "https://api.stripe.com/v1/charges/ch_2"
    assert "<https://api.stripe.com/v1/charges?page=3>" in answer.header("link")


def test_T30_an_answer_that_holds_the_key_is_not_passed_on(w):
    w.recorder.answer({"*": {"echo": True}})
    answer = curl(w.at("stripe") + "/v1/charges/ch_1", *bearer(w.issue()))
    assert (answer.status, answer.json()["code"]) == (502, "response_blocked")
    assert w.key.encode() not in answer.body and answer.header("x-should-retry") == "false"


def test_T31_a_range_that_would_carve_the_key_out_of_an_answer_does_not_leave(w):
    """An upstream that echoes the key and honours ranges would give it in pieces."""
    token = w.issue()
    for lines in (["Range: bytes=0-3"], ["Range: bytes=-4", "If-Range: x"], ["Request-Range: bytes=0-3"]):
        options = [word for line in lines for word in ("-H", line)]
        assert curl(w.at("stripe") + "/v1/charges/ch_1", *bearer(token), *options).status == 200
        names = {name.lower() for name, _ in sent(w)["headers"]}
        assert not {"range", "if-range", "request-range"} & names
    w.recorder.answer({"*": {"echo": True}})  # and the whole of it is found
    answer = curl(w.at("stripe") + "/v1/charges/ch_1", *bearer(token), "-H", "Range: bytes=0-3")
    assert answer.status == 502 and w.key.encode() not in answer.body


# ---- T26: what stays behind -------------------------------------------------------------------


def test_T26_what_belongs_to_this_hop_or_to_nobody_stays_here(w):
    options = []
    for line in ("Cookie: a=b", "Proxy-Authorization: Basic eDp5", "Proxy-Connection: keep-alive",
                 "X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4", "Via: 1.1 x",
                 "X-Real-IP: 1.2.3.4", "Connection: keep-alive, Idempotency-Key",
                 "Idempotency-Key: nominated", "TE: trailers", "Accept-Encoding: br",
                 "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "X-Unknown: 1", "Accept: text/x"):
        options += ["-H", line]
    answer = curl(w.at("stripe") + "/v1/charges/ch_1", *bearer(w.issue()), *options)
    assert answer.status == 200
    names = {name.lower() for name, _ in sent(w)["headers"]}
    assert "accept" in names and "authorization" in names
    for name in ("cookie", "proxy-authorization", "proxy-connection", "x-forwarded-for", "via",
                 "forwarded", "x-real-ip", "idempotency-key", "te", "upgrade", "http2-settings",
                 "x-unknown"):
        assert name not in names, name


@pytest.mark.parametrize("line", ["X-HTTP-Method-Override: DELETE", "X-Original-URL: /v1/refunds",
                                  "X-Rewrite-URL: /", "X-Host: evil.example", "X-Method: PUT"])
def test_T18_an_override_of_method_or_url_is_refused_by_name(w, line):
    answer = curl(w.at("stripe") + "/v1/charges/ch_1", *bearer(w.issue("open")), "-H", line)
    assert answer.status == 400 and line.split(":")[0].lower() in answer.json()["reason"]
    assert w.recorder.requests() == []


# ---- TLS, settings ----------------------------------------------------------------------------


def certificate(folder, name="localhost"):
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=" + name, "-addext", "subjectAltName=DNS:" + name],
                   check=True, capture_output=True, timeout=30)
    os.chmod(key, 0o600)
    return cert, key


@pytest.fixture
def tls(tmp_path, recorder):
    recorder.answer({"*": {"body": '{"id": "ch_1"}', "headers": [
        ["location", "https://api.stripe.com/v1/x"]]}})
    cert, key = certificate(tmp_path)
    settings = {"http tls": {"listen": "127.0.0.1:0", "mode": "provider stripe",
                             "tls_cert": cert, "tls_key": key},
                "limits": {"http_grace": "1s"}}
    with world(tmp_path, recorder.url, settings=settings) as made:
        made.recorder, made.cert = recorder, cert
        made.port = int(made.host.http_at("tls").rsplit(":", 1)[1])
        made.url = "https://localhost:%d" % made.port
        yield made


def test_tls_with_the_certificate_that_the_operator_gave(tls):
    answer = curl(tls.url + "/v1/charges/ch_1", "--cacert", tls.cert, *bearer(tls.issue()))
    assert answer.status == 200 and answer.header("location") == tls.url + "/v1/x"
    done = subprocess.run(["curl", "-sS", "--max-time", "5", tls.url + "/"], capture_output=True,
                          check=False, timeout=10)
    assert done.returncode == 60  # the client trusts whom it was told to, and nobody else


def test_tls_connections_are_kept_and_carry_large_bodies(tls):
    tls.recorder.answer({"*": {"body": "b" * (6 << 20)}})
    client = http.client.HTTPSConnection("localhost", tls.port, timeout=20,
                                         context=ssl.create_default_context(cafile=tls.cert))
    for _ in range(3):
        client.request("POST", "/v1/refunds", body=b"a" * (3 << 20),
                       headers={"Authorization": "Bearer " + tls.issue("open")})
        answer = client.getresponse()
        assert answer.status == 200 and answer.read() == b"b" * (6 << 20)
    client.close()
    assert [len(request["body"]) for request in tls.recorder.requests()] == [3 << 20] * 3


def test_pipelined_requests_in_one_record_of_tls_are_made_once_each(tls):
    tls.recorder.answer({"*": {"body": "{}", "delay_ms": 100}})
    one = "GET /v1/charges/%d HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\n%s\r\n"
    token = tls.issue("open")
    with ssl.create_default_context(cafile=tls.cert).wrap_socket(
            socket.create_connection(("localhost", tls.port), timeout=20),
            server_hostname="localhost") as sock:
        first = one % (0, token, "X-Fill: %s\r\n" % ("f" * 7000))
        # Records hold 16 KiB at most, so these are several, read at once.
        sock.sendall((first * 4 + one % (1, token, "Connection: close\r\n")).encode())
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    assert data.count(b"HTTP/1.1 200 OK") == 5
    assert [r["target"][-1] for r in tls.recorder.requests()] == ["0"] * 4 + ["1"]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_T29_what_is_no_handshake_and_old_tls_end(tls):
    for first in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b""):
        with socket.create_connection(("localhost", tls.port), timeout=10) as sock:
            began = time.monotonic()
            sock.sendall(first)
            assert b"HTTP" not in b"".join(iter(lambda: sock.recv(65536), b""))
            assert time.monotonic() - began < 5
    old, other = (ssl.create_default_context(cafile=tls.cert) for _ in range(2))
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    other.set_alpn_protocols(["h2"])
    for context in (old, other):
        with socket.create_connection(("localhost", tls.port), timeout=10) as sock:
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(sock, server_hostname="localhost")
    assert curl(tls.url + "/v1/charges/ch_1", "--cacert", tls.cert,
                *bearer(tls.issue())).status == 200


def test_who_speaks_nothing_but_http_2_is_told_so_in_the_handshake(tls):
    for names, spoken in ((["h2"], None), (["h2", "http/1.1"], "http/1.1"), ([], None)):
        context = ssl.create_default_context(cafile=tls.cert)
        if names:
            context.set_alpn_protocols(names)
        with socket.create_connection(("localhost", tls.port), timeout=10) as sock:
            if names == ["h2"]:
                with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
                    context.wrap_socket(sock, server_hostname="localhost")
            else:
                with context.wrap_socket(sock, server_hostname="localhost") as inner:
                    assert inner.selected_alpn_protocol() == spoken
    # curl asks for both, and takes what there is.
    assert curl(tls.url + "/v1/charges/ch_1", "--http2", "--cacert", tls.cert,
                *bearer(tls.issue())).status == 200


@pytest.mark.parametrize("listener, words", [
    ({"listen": "0.0.0.0:0"}, "in the clear"), ({"listen": "localhost:1"}, "no address"),
    ({"listen": "127.0.0.1"}, "no address"), ({"listen": "127.0.0.1:70000"}, "no address"),
    ({"listen": "[::]:0"}, "in the clear"), ({"mode": "token"}, "where to listen"),
    ({"listen": "127.0.0.1:0", "mode": "anything"}, "no good value"),
    ({"listen": "127.0.0.1:0", "mode": "provider "}, "no good value"),
    ({"listen": "127.0.0.1:0", "tls_cert": "x.pem"}, "go together"),
    ({"listen": "127.0.0.1:0", "tls_cert": "x.pem", "tls_key": "y.pem"}, "no certificate"),
    ({"listen": "unix:policy"}, "something else than a socket"),
    ({"listen": "unix:" + "a" * 120}, "longer than"),
    ({"lisen": "127.0.0.1:0"}, "there is no setting"),
])
def test_a_listener_that_cannot_be_is_an_error_that_says_why(tmp_path, listener, words):
    host = Host(tmp_path / "state", settings={"http x": listener})
    host.init()
    host.launch()
    assert host.process.wait(20) == 2
    assert words in host.log(), host.log()


def test_a_socket_left_behind_is_replaced_and_one_in_use_is_not(tmp_path):
    settings = {"http x": {"listen": "unix:%s/x.sock" % tmp_path}}
    with Host(tmp_path / "one", settings=settings) as one, \
            Host(tmp_path / "two", settings=settings) as two:
        one.start()
        two.init()
        two.launch()
        assert two.process.wait(20) == 2 and "somebody listens there" in two.log()
        one.kill9()
        assert os.path.exists(tmp_path / "x.sock")
        two.start()
        assert two.http_at("x") == "unix:%s/x.sock" % tmp_path


def test_status_and_doctor_tell_of_the_listeners(w):
    listed = w.host.cli_json("status")["http"]
    assert listed[0] == "local: %s, prefixed" % w.at("local")
    assert listed[1] == "stripe: %s, provider stripe" % w.at("stripe") and len(listed) == 5
    assert "local: http://127.0.0.1:" in w.host.cli("status")


def test_without_a_listener_there_is_none(host):
    assert host.cli_json("status")["http"] == [] and "http.listening" not in host.log()


def test_the_token_and_the_key_are_in_no_log_and_no_file(w):
    token = w.issue()
    for options in (bearer(token), ["-u", token + ":"], bearer(token + "A")):
        curl(w.at("stripe") + "/v1/charges/ch_1", *options)
        curl(w.at("stripe") + "/v1/nothing?x=%00", *options)
    w.host.stop()
    for secret in (w.key, token, base64.b64encode((token + ":").encode()).decode()):
        assert occurrences(secret, w.host.dir, w.host.log_path) == []
    assert occurrences(w.key, w.recorder.log) == [w.recorder.log]  # the search does find it


# ---- health and metrics -----------------------------------------------------------------------


def test_health_is_asked_without_a_token_on_a_listener_of_its_own(w):
    at = w.at("health")
    assert (curl(at + "/healthz").status, curl(at + "/readyz").body) == (200, b"ready\n")
    assert curl(at + "/healthz", "-I").body == b"" and curl(at + "/healthz", "-I").status == 200
    assert curl(at + "/stripe/v1/charges/ch_1", *bearer(w.issue("open"))).status == 404
    assert curl(at + "/healthz", "-X", "POST").status == 405
    assert curl(w.at("local") + "/healthz").status == 401
    w.host.cli("seal")
    assert (curl(at + "/healthz").status, curl(at + "/readyz").status) == (200, 503)
    assert curl(at + "/readyz").body == b"sealed\n"
    assert w.recorder.requests() == []
