"""The HTTP front door in base-URL mode: curl and Python's requests through every kind of listener,
where the token may stand, what refusals look like, and what of a request stays behind."""
import base64
import json
import os
import subprocess

import pytest
from world import FORM, world

LISTENERS = {
    "http local": {"listen": "127.0.0.1:0"},
    "http stripe": {"listen": "127.0.0.1:0", "mode": "provider stripe"},
    "http bytoken": {"listen": "127.0.0.1:0", "mode": "token"},
    "http socket": {"listen": "unix:http.sock", "mode": "provider stripe"},
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
