"""The helpers must be able to fail: a search that finds nothing proves nothing by itself."""
import base64
import http.client
import json

import upstreams
from lib import canary, occurrences


def test_a_planted_key_is_found_in_every_form(tmp_path):
    key = canary("sk_test_") + "+/%"
    planted = [key.encode(), key.encode().hex().encode(), key.replace("+", "%2B")
               .replace("/", "%2F").replace("%%", "%25%").encode()[:-1] + b"%25",
               json.dumps({"k": key}).encode()]
    planted += [base64.b64encode(b"Basic xx"[:n] + key.encode() + b": more")
                for n in range(1, 7)]
    planted += [base64.urlsafe_b64encode(b"x" * n + key.encode()) for n in range(3)]
    for number, data in enumerate(planted):
        path = tmp_path / str(number)
        path.write_bytes(b"before " + data + b" after")
        assert occurrences(key, path) == [str(path)], data
    (tmp_path / "clean").write_bytes(canary("sk_test_").encode())
    assert occurrences(key, tmp_path / "clean") == []


def ask(port, method, path, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_the_loopback_stripe_refuses_a_key_that_is_not_its_own():
    with upstreams.stripe() as up:
        assert ask(up.port, "GET", "/v1/charges", {})[0] == 401
        assert ask(up.port, "GET", "/v1/charges", {"Authorization": "Bearer spt_x"})[0] == 401
        assert ask(up.port, "GET", "/v1/charges", {"Authorization": "Bearer sk_test_x"})[0] == 200


def test_the_loopback_github_refuses_a_token_that_is_not_its_own():
    with upstreams.github("ghp_right") as up:
        path = "/repos/acme/site"
        assert ask(up.port, "GET", path, {"Authorization": "Bearer ghp_wrong"})[0] == 401
        assert ask(up.port, "GET", "/user", {})[0] == 401
        status, body = ask(up.port, "GET", path, {"Authorization": "token ghp_right"})
        assert status == 200 and json.loads(body)["full_name"] == "acme/site"


def test_the_recorder_tells_what_was_on_the_wire(recorder):
    recorder.answer({"GET /a": {"status": 418, "headers": [["x-a", "b"]], "body": "tea"}})
    assert ask(recorder.port, "GET", "/a?q=%2e", {"X-Odd": "1"}) == (418, b"tea")
    seen = recorder.requests()
    assert len(seen) == 1 and seen[0]["head"].startswith(b"GET /a?q=%2e HTTP/1.1\r\n")
    assert ("X-Odd", "1") in seen[0]["headers"]
