"""Signed requests: an upstream that computes each signature anew."""
import base64
import hashlib
import hmac
import os
import re
import signal
import time

import pytest
from lib import Curve, Host, canary
from test_workers import is_gone, workers

SECRET = "sesame-" + canary("s")
RAW = b"\x00\x01raw key\xff"
POLICY = """sallyport 1
scope signed {
  key plain, coded, aws, broken
  ttl 1h
  allow {GET POST} https://plain.test/**
  allow POST https://coded.test/**
  allow GET https://s3.eu-central-1.amazonaws.com/**
  allow GET https://broken.test/**
}
principal desk { curve "%s" may issue signed for 1h }
"""


@pytest.fixture(scope="module", params=["worker", "none"])
def w(request, tmp_path_factory):
    import upstreams
    folder = tmp_path_factory.mktemp("sign")
    settings = {"host": {"plugin_isolation": "none"}} if request.param == "none" else None
    with upstreams.Recorder(str(folder / "recorder")) as recorder, \
            Host(folder / "state", settings=settings) as host:
        recorder.answer({"*": {"body": "{}"}})
        host.start()
        desk = Curve()
        here = {"upstream": recorder.url}

        def add(name, secret, **values):
            host.key_add(name, "hmac", {"host": name + ".test", **here, **values},
                         {"api_key": secret})

        add("plain", SECRET, key_id="ops-1")
        add("coded", base64.b64encode(RAW).decode(), secret_encoding="base64", encoding="base64",
            algorithm="sha512", message="{timestamp}{method}{target}{body}", header="x-ledger-sign",
            value="v1={signature}", nonce_header="none")
        add("aws", SECRET, style="aws4", key_id="AKIDEXAMPLE", region="eu-central-1", service="s3",
            host="s3.eu-central-1.amazonaws.com")
        add("broken", "no base64!", secret_encoding="base64")
        host.write_policy("sign.scope", POLICY % desk.public)
        host.reload()
        client = host.client(desk)
        host.isolated = request.param == "worker"
        token = client.ok("issue", scope="signed")["token"]

        def call(method, url, **fields):
            answer = client.ok("proxy", token=token, method=method, url=url, **fields)
            assert answer["status"] == 200
            seen = recorder.requests()[-1]
            return seen, {name.lower(): value for name, value in seen["headers"]}

        host.call, host.token, host.agent, host.recorder = call, token, client, recorder
        yield host


def test_each_request_is_signed_anew_with_the_hosts_time_and_nonce(w):
    nonces = set()
    for body in b"", b'{"amount":1.10}', b"\x00\xff" * 5000:
        sent = {"body": body, "headers": [["content-type", "application/json"]]} if body else {}
        seen, headers = w.call("POST", "https://plain.test/v1/pay?b=2&a=%20", **sent)
        assert seen["target"] == "/v1/pay?b=2&a=%20"
        message = "\n".join([headers["x-timestamp"], headers["x-nonce"], "POST", seen["target"],
                             hashlib.sha256(seen["body"]).hexdigest()])
        assert seen["body"] == body
        assert headers["x-signature"] == hmac.new(SECRET.encode(), message.encode(),
                                                  "sha256").hexdigest()
        assert abs(int(headers["x-timestamp"]) - time.time()) < 30
        assert re.fullmatch("[0-9a-f]{32}", headers["x-nonce"]) and headers["x-key-id"] == "ops-1"
        nonces.add(headers["x-nonce"])
    assert len(nonces) == 3


def test_base64_sha512_and_a_message_of_ones_own(w):
    seen, headers = w.call("POST", "https://coded.test/x", body=b"a=1",
                           headers=[["content-type", "application/x-www-form-urlencoded"]])
    message = headers["x-timestamp"] + "POST/xa=1"
    made = base64.b64encode(hmac.new(RAW, message.encode(), "sha512").digest()).decode()
    assert headers["x-ledger-sign"] == "v1=" + made
    assert "x-nonce" not in headers and "x-key-id" not in headers


def test_aws_signature_version_4(w):
    seen, headers = w.call("GET", "https://s3.eu-central-1.amazonaws.com/bucket/a%20b?x-id=GetObject&list")
    date, empty = headers["x-amz-date"], hashlib.sha256(b"").hexdigest()
    assert headers["x-amz-content-sha256"] == empty
    names = "host;x-amz-content-sha256;x-amz-date"
    canonical = ("GET\n/bucket/a%%20b\nlist=&x-id=GetObject\nhost:s3.eu-central-1.amazonaws.com\n"
                 "x-amz-content-sha256:%s\nx-amz-date:%s\n\n%s\n%s" % (empty, date, names, empty))
    scope = date[:8] + "/eu-central-1/s3/aws4_request"
    message = "AWS4-HMAC-SHA256\n%s\n%s\n%s" % (date, scope,
                                              hashlib.sha256(canonical.encode()).hexdigest())
    key = ("AWS4" + SECRET).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/%s, SignedHeaders=%s, Signature=%s"
        % (scope, names, hmac.new(key, message.encode(), "sha256").hexdigest()))


def test_T61_a_clients_own_signature_time_and_nonce_are_dropped(w):
    theirs = [["x-signature", "0" * 64], ["x-timestamp", "1"], ["X-Nonce", "mine"], ["x-key-id", "root"]]
    seen, headers = w.call("GET", "https://plain.test/a", headers=theirs)
    assert headers["x-timestamp"] != "1" and headers["x-nonce"] != "mine"
    assert headers["x-key-id"] == "ops-1" and headers["x-signature"] != "0" * 64
    assert [name.lower() for name, _ in seen["headers"]].count("x-signature") == 1


def test_what_cannot_be_signed_is_refused_and_not_sent(w):
    before = len(w.recorder.requests())
    error = w.agent.refused("proxy", token=w.token, method="GET", url="https://broken.test/x")
    assert "no base64" in error["reason"] and "no base64!" not in error["reason"]
    assert len(w.recorder.requests()) == before


def test_T45_a_dead_plugin_holds_up_no_signature(w):
    if not w.isolated:
        pytest.skip("there is no worker")
    w.call("GET", "https://plain.test/before")  # from here on the host has the plan
    pid = workers(w)["hmac.so"]
    os.kill(pid, signal.SIGKILL)
    assert is_gone(pid)
    for _ in range(3):
        _, headers = w.call("GET", "https://plain.test/after")
        assert len(headers["x-signature"]) == 64
    time.sleep(0.3)  # its back-off


def test_T58_the_secret_is_in_no_request_and_in_no_log(w):
    w.call("GET", "https://plain.test/last")
    assert all(SECRET not in str(seen["head"])
               for seen in w.recorder.requests())
    assert SECRET not in w.log()


@pytest.mark.parametrize("values, words", [
    ({"message": "{timestamp}"}, "{body}"),
    ({"algorithm": "md5"}, "sha256 or sha512"),
    ({"style": "aws4"}, "needs key_id"),
])
def test_a_wrong_configuration_is_refused_when_the_key_is_added(w, values, words):
    args = ["key", "add", "wrong", "--provider", "hmac", "--set", "host=wrong.test"]
    for name, value in values.items():
        args += ["--set", "%s=%s" % (name, value)]
    assert words in w.cli(*args, stdin=b"secret-" + b"1" * 20, expect=2)


@pytest.mark.parametrize("name, value, words", [
    ("message", "{body}{api_key}", "a name that there is not"),
    ("header", "host", "which is the host's"),
    ("value", "signature", "nowhere"),
])
def test_templates_that_no_host_takes_sign_nothing(w, name, value, words):
    before = len(w.recorder.requests())
    w.cli("key", "set", "plain", "--set", "%s=%s" % (name, value))
    try:
        error = w.agent.refused("proxy", token=w.token, method="GET", url="https://plain.test/x")
        assert words in error["reason"]
    finally:
        w.cli("key", "set", "plain", "--unset", name)
    assert len(w.recorder.requests()) == before
    w.call("GET", "https://plain.test/x")
