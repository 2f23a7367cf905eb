"""The wire as another language's libraries speak it: npm's zeromq and @msgpack/msgpack."""
import base64
import json
import os
import subprocess

import upstreams
from world import world

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node", "client.mjs")


def node_asks(host, curve, requests):
    given = {"endpoint": host.endpoint, "host_key": host.host_key(), "public": curve.public,
             "secret": curve.secret, "requests": requests}
    done = subprocess.run([upstreams.NODE, SCRIPT], input=json.dumps(given).encode(), check=False,
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_a_node_client_issues_checks_calls_and_is_refused(tmp_path, recorder):
    recorder.answer({"*": {"body": '{"id": "ch_1"}'}})
    with world(tmp_path, recorder.url) as w:
        issued, status = node_asks(w.host, w.desk, [
            {"v": 1, "op": "issue", "scope": "support", "id": "n-1"},
            {"v": 1, "op": "status"}])
        assert issued["ok"] and issued["id"] == "n-1" and status["ready"] is True
        token = issued["token"]
        call = {"v": 1, "token": token, "method": "GET",
                "url": "https://api.stripe.com/v1/charges/ch_1"}
        checked, called, denied, forged = node_asks(w.host, w.agent, [
            {**call, "op": "check"}, {**call, "op": "proxy"},
            {**call, "op": "proxy", "method": "DELETE"},
            {**call, "op": "proxy", "token": token[:-1] + ("A" if token[-1] != "A" else "B")}])
        assert checked["allowed"] is True and checked["rule"] == "read"
        assert called["status"] == 200 and base64.b64decode(called["body"]) == b'{"id": "ch_1"}'
        assert denied["error"]["code"] == "not_allowed"
        assert forged["error"]["code"] == "token_invalid"
        assert len(recorder.requests()) == 1
