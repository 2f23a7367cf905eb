"""Credentials that a plugin mints: a GitHub App's installation tokens, against an emulator that
verifies the App's signature and what each token may do."""
import base64
import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import msgpack
import pytest
from lib import Curve, Host, Refused, canary

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "upstreams"))
import upstreams

API = "https://api.github.com/repos/acme/"
POLICY = """sallyport 1

scope triage {
  key bot
  ttl 1h

  @issues allow {GET POST} https://api.github.com/repos/acme/site/issues
  @vault  allow GET https://api.github.com/repos/acme/vault/issues
}

scope issues-only {
  key bot
  ttl 1h

  @issues allow {GET POST} https://api.github.com/repos/acme/site/issues
}

scope watched {
  key bot
  ttl 1h
  mode observe

  @issues allow GET https://api.github.com/repos/acme/site/issues
}

principal desk {
  curve "%s"
  may issue issues-only for 1h
  may issue triage for 1h
  may issue watched for 1h
}
"""


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    path = tmp_path_factory.mktemp("app") / "app.pem"
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", path, "2048"], check=True,
                   capture_output=True)
    return path


class App:
    """A host with a key that is a GitHub App, and its upstream's log."""

    def __init__(self, folder, pem):
        self.folder, self.log = folder, folder / "github.log"
        self.pem = pem
        self.desk = Curve()
        self.host = Host(folder / "state")
        self.github = upstreams.github(log=self.log, pem=pem)
        try:
            self.host.write_policy("app.scope", POLICY % self.desk.public)
            self.host.start()
            self.add()
            self.host.reload()
        except BaseException:
            self.close()
            raise

    def add(self, **settings):
        self.host.key_add("bot", "github", {"upstream": self.github.url, "app_id": "12345",
                                            "installation_id": "100", **settings},
                          {"private_key": self.pem.read_text()})

    def issue(self, scope="issues-only"):
        return self.client().ok("issue", scope=scope)["token"]

    def client(self):
        return self.host.client(self.desk)

    def get(self, token, path="site/issues", client=None):
        return (client or self.client()).ok("proxy", token=token, method="GET", url=API + path)

    def refused(self, token):
        with pytest.raises(Refused) as refused:
            self.get(token)
        return refused.value.error

    def seen(self, start):
        return [line for line in self.log.read_text().splitlines() if line.startswith(start)]

    def leases(self):
        with self.host.admin() as admin:
            return admin.ok("lease.list")["leases"]

    def wait(self, holds, timeout=10):
        end = time.monotonic() + timeout
        while not holds():
            assert time.monotonic() < end, (self.leases(), self.log.read_text(), self.host.log())
            time.sleep(0.05)

    def records(self, kind):
        return [r for r in self.host.audit_records() if r["type"] == kind]

    def close(self):
        self.host.stop()
        self.github.stop()


@pytest.fixture
def app(tmp_path, pem):
    made = App(tmp_path, pem)
    yield made
    made.close()


def test_a_call_with_an_app_key_mints_what_the_scope_needs_and_no_more(app):
    token = app.issue()
    assert app.get(token)["status"] == 200
    assert app.seen("POST ") == ["POST /app/installations/100/access_tokens 201"]
    (lease,) = app.leases()
    assert lease["permissions"] == "issues:write repository:site"
    assert (lease["state"], lease["tokens"]) == ("live", 1)
    # the second call finds it there
    assert app.get(token)["status"] == 200
    assert len(app.seen("POST ")) == 1
    # issues can be written with it
    done = app.client().ok("proxy", token=token, method="POST", url=API + "site/issues",
                           headers={"content-type": "application/json"},
                           body=b'{"title": "from the desk"}')
    assert done["status"] == 201
    kinds = [r["type"] for r in app.host.audit_records()]
    order = [kinds.index(k) for k in ("intent", "lease.mint", "lease.http", "lease.live",
                                      "lease.use", "outcome")]
    assert order == sorted(order)


def minted(app, number):
    """What the emulator says of the nth token that it minted."""
    done = subprocess.run(["curl", "-sS", "-H", "authorization: Bearer "
                           "ghp_sallyportLoopbackToken000000000000",
                           app.github.url + "/_emulate/installation-tokens"],
                          check=True, capture_output=True)
    return json.loads(done.stdout)["installation_tokens"][number]


def test_the_emulator_knows_the_minted_token_for_what_the_scope_needs_alone(app):
    assert app.get(app.issue())["status"] == 200
    token = app.issue("triage")
    assert app.get(token)["status"] == 200 and app.get(token, "vault/issues")["status"] == 200
    assert sorted(one["permissions"] for one in app.leases()) == [
        "issues:read issues:write repository:site repository:vault",
        "issues:write repository:site"]
    one, two = minted(app, 0), minted(app, 1)
    assert one["permissions"] == {"metadata": "read", "issues": "write"}
    assert one["repository_selection"] == "selected" and len(one["repository_ids"]) == 1
    assert len(two["repository_ids"]) == 2


def test_the_emulator_itself_refuses_the_minted_token_elsewhere(app):
    """Two scopes with one token's permissions: the narrower lease, used where it does not reach.
    sallyport would never send such a call, so the credential is read out of the emulator's log."""
    seen = app.folder / "authorization.log"
    app.github.stop()
    app.github = upstreams.github(log=app.log, pem=app.pem, seen=seen)
    with app.host.admin() as admin:
        admin.ok("key.set", id="bot", settings={"upstream": app.github.url})
    assert app.get(app.issue())["status"] == 200
    token = [line for line in seen.read_text().splitlines() if "ghs_" in line][-1]

    def status(path, *options):
        done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H",
                               "authorization: " + token, *options, app.github.url + path],
                              check=True, capture_output=True)
        return int(done.stdout)

    assert status("/repos/acme/site/issues") == 200
    assert status("/repos/acme/vault/issues") in (403, 404)  # another repository
    assert status("/repos/acme/site/contents/x", "-X", "PUT", "-H",
                  "content-type: application/json", "-d",
                  '{"message": "m", "content": "eA=="}') in (403, 404)  # another permission


def test_mode_observe_needs_all_that_the_app_may(app):
    token = app.issue("watched")
    assert app.get(token)["status"] == 200 and app.get(token, "vault/issues")["status"] == 200
    (lease,) = app.leases()
    assert "permission:*" in lease["permissions"] and "repository:*" in lease["permissions"]


def test_tokens_with_the_same_permissions_share_a_lease_and_the_last_one_ends_it(app):
    first, second = app.issue(), app.issue()
    client = app.client()
    assert app.get(first, client=client)["status"] == 200
    assert app.get(second, client=client)["status"] == 200
    (lease,) = app.leases()
    assert lease["tokens"] == 2 and len(app.seen("POST ")) == 1
    client.ok("revoke", token=first)
    time.sleep(1.5)
    assert [one["state"] for one in app.leases()] == ["live"]
    client.ok("revoke", token=second)
    app.wait(lambda: not app.leases())
    assert app.seen("DELETE ") == ["DELETE /installation/token 204"]
    assert [r["how"] for r in app.records("lease.gone")] == ["revoked"]


def test_twenty_calls_at_once_wait_for_one_minting(app):
    token = app.issue()
    clients = [app.client() for _ in range(20)]
    call = {"v": 1, "op": "proxy", "token": token, "method": "GET", "url": API + "site/issues"}
    for client in clients:
        client.send(msgpack.packb(call))
    assert [msgpack.unpackb(client.receive())["status"] for client in clients] == [200] * 20
    assert len(app.seen("POST ")) == 1


def test_a_lease_survives_a_restart_and_ends_after_one(app):
    token = app.issue()
    assert app.get(token)["status"] == 200
    app.host.kill9()
    app.host.start()
    assert app.get(token)["status"] == 200
    assert len(app.seen("POST ")) == 1
    app.host.restart()
    app.client().ok("revoke", token=token)
    app.wait(lambda: not app.leases())
    assert app.seen("DELETE ") == ["DELETE /installation/token 204"]


def test_an_upstream_that_is_down_at_the_end_is_asked_again(app):
    token = app.issue()
    assert app.get(token)["status"] == 200
    port = app.github.port
    app.github.stop()
    app.client().ok("revoke", token=token)
    app.wait(lambda: [one["state"] for one in app.leases()] == ["ending"])
    app.host.await_log("lease.not_revoked")
    # GitHub is back, under the same name and without a memory: 401 means that it is gone
    app.github = upstreams.Upstream("github", [
        upstreams.NODE, os.path.join(upstreams.HERE, "github.mjs"), str(port),
        "ghp_sallyportLoopbackToken000000000000", str(app.log), str(app.pem)])
    app.wait(lambda: not app.leases(), timeout=30)


def test_rotation_and_removal_of_the_key_end_its_leases(app):
    token = app.issue()
    client = app.client()
    assert app.get(token, client=client)["status"] == 200
    with app.host.admin() as admin:
        admin.ok("key.rotate", id="bot", secrets={"private_key": app.pem.read_text()})
        app.wait(lambda: not app.leases())
        assert app.get(token, client=client)["status"] == 200  # minted again, by the new version
        assert len(app.seen("POST ")) == 2
        admin.ok("key.remove", id="bot")
    assert not app.leases()
    assert app.seen("DELETE ") == ["DELETE /installation/token 204"] * 2


def test_an_administrator_lists_and_ends_leases(app):
    token = app.issue()
    assert app.get(token)["status"] == 200
    listed = app.host.cli_json("lease", "list")["leases"]
    assert listed[0]["key"] == "bot" and listed[0]["expires"] > time.time() * 1000
    assert "repository:site" in app.host.cli("lease", "list")
    app.host.cli("lease", "revoke", "00" * 16, expect=1)
    app.host.cli("lease", "revoke", expect=2)
    assert app.host.cli_json("lease", "revoke", listed[0]["lease"])["ended"] == 1
    app.wait(lambda: not app.leases())
    assert app.get(token)["status"] == 200  # the token lives: it gets another
    assert app.host.cli_json("lease", "revoke", "--key", "bot")["ended"] == 1
    app.wait(lambda: not app.leases())
    assert app.host.cli_json("lease", "revoke", "--all")["ended"] == 0


def test_a_failed_minting_says_why_and_rests_before_the_next(app):
    with app.host.admin() as admin:
        admin.ok("key.remove", id="bot")
    app.add(installation_id="999")
    app.host.reload()
    token = app.issue()
    for _ in range(3):
        error = app.refused(token)
        assert error["code"] == "upstream_failed"
        assert "no installation of that id" in error["reason"]
    assert len(app.seen("POST ")) == 1  # the others were told without asking again


def test_a_key_that_is_no_rsa_key_is_told_apart(app, tmp_path):
    other = tmp_path / "ec.pem"
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", other, "2048"], check=True,
                   capture_output=True)
    with app.host.admin() as admin:
        admin.ok("key.rotate", id="bot", secrets={"private_key": other.read_text()})
        token = app.issue()
        assert "do not belong together" in app.refused(token)["reason"]
        admin.ok("key.rotate", id="bot", secrets={"private_key": "x" * 900})
        assert "no RSA private key" in app.refused(token)["reason"]


def test_key_test_of_an_app_mints_for_that_request_and_ends_it(app):
    with app.host.admin() as admin:
        done = admin.ok("key.test", id="bot", url=API + "site/issues")
        assert done["status"] == 200 and done["accepted"]
    app.wait(lambda: not app.leases())
    assert app.seen("DELETE ") == ["DELETE /installation/token 204"]


def test_T58_neither_the_private_key_nor_the_minted_token_is_anywhere_in_the_clear(app):
    token = app.issue()
    assert app.get(token)["status"] == 200
    app.host.stop()
    secret = app.pem.read_text().splitlines()[5].encode()
    for folder, _, names in os.walk(app.host.dir):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    content = file.read()
                assert secret not in content and b"ghs_" not in content, path
    assert "ghs_" not in app.host.log()


# ---- OAuth 2.0, through rest ----

OAUTH = """sallyport 1

scope crm {
  key crm
  ttl 1h

  @read allow GET https://api.example.com/v1/**
}

principal desk {
  curve "%s"
  may issue crm for 1h
}
"""
SETTINGS = {"host": "api.example.com, login.example.com", "style": "oauth2",
            "token_url": "https://login.example.com/oauth/token", "client_id": "desk{1}",
            "oauth_scope": "read write"}


class Crm:
    def __init__(self, folder, recorder, secrets=None, **settings):
        self.recorder = recorder
        self.minted(3600)
        self.host = Host(folder / "state", settings={"http health": {"listen": "127.0.0.1:0",
                                                                     "mode": "health"}})
        self.desk = Curve()
        self.secret = canary("cs-")
        self.host.write_policy("crm.scope", OAUTH % self.desk.public)
        self.host.start()
        self.host.key_add("crm", "rest", {**SETTINGS, "upstream": recorder.url, **settings},
                          secrets or {"client_secret": self.secret})
        self.host.reload()
        self.client = self.host.client(self.desk)
        self.token = self.client.ok("issue", scope="crm")["token"]

    def minted(self, life, **more):
        self.access = canary("at-")
        answer = {"access_token": self.access, "token_type": "Bearer", "expires_in": life}
        self.recorder.answer({
            "POST /oauth/token": {"headers": [["content-type", "application/json"]],
                                  "body": json.dumps({**answer, **more})},
            "POST /oauth/revoke": {"body": "{}"}, "*": {"body": "{}"}})

    def get(self):
        return self.client.ask("proxy", token=self.token, method="GET",
                               url="https://api.example.com/v1/people")

    def seen(self, target):
        return [r for r in self.recorder.requests() if r["target"] == target]

    def leases(self):
        with self.host.admin() as admin:
            return admin.ok("lease.list")["leases"]


@pytest.fixture
def crm(tmp_path, recorder):
    made = []

    def make(**options):
        made.append(Crm(tmp_path, recorder, **options))
        return made[0]

    yield make
    made[0].host.stop()


def test_client_credentials_get_an_access_token_which_calls_then_carry(crm):
    crm = crm()
    assert crm.get()["status"] == 200 and crm.get()["status"] == 200
    (asked,) = crm.seen("/oauth/token")
    basic = base64.b64encode(("desk{1}:" + crm.secret).encode()).decode()
    assert dict(asked["headers"])["authorization"] == "Basic " + basic
    assert asked["body"] == b"grant_type=client_credentials&scope=read%20write"
    calls = crm.seen("/v1/people")
    assert [dict(c["headers"])["authorization"] for c in calls] == ["Bearer " + crm.access] * 2


def test_a_refresh_token_and_the_secret_go_into_the_body_where_that_is_asked_for(crm):
    secrets = {"client_secret": canary("cs-"), "refresh_token": canary("rt/") + "+="}
    crm = crm(secrets=secrets, client_auth="body")
    assert crm.get()["status"] == 200
    (asked,) = crm.seen("/oauth/token")
    assert "authorization" not in dict(asked["headers"])
    sent = urllib.parse.parse_qs(asked["body"].decode(), strict_parsing=True)
    assert sent == {"grant_type": ["refresh_token"], "client_id": ["desk{1}"],
                    "scope": ["read write"], "client_secret": [secrets["client_secret"]],
                    "refresh_token": [secrets["refresh_token"]]}


def test_a_lease_is_renewed_ahead_of_its_end_and_the_old_one_revoked(crm):
    crm = crm(revoke_url="https://login.example.com/oauth/revoke")
    crm.minted(5)
    first, end = crm.access, time.monotonic() + 5.5
    assert crm.get()["status"] == 200
    crm.minted(3600)
    while time.monotonic() < end:
        assert crm.get()["status"] == 200
        time.sleep(0.2)
    calls = [dict(c["headers"])["authorization"][7:] for c in crm.seen("/v1/people")]
    assert calls[0] == first and calls[-1] == crm.access  # no call had to wait, or failed
    assert len(crm.seen("/oauth/token")) == 2
    (revoked,) = crm.seen("/oauth/revoke")
    assert first in revoked["body"].decode() and crm.access not in revoked["body"].decode()
    with urllib.request.urlopen(crm.host.http_at("health") + "/metrics", timeout=20) as answer:
        figures = answer.read().decode()
    assert 'sallyport_lease_events_total{event="renewed"} 1\n' in figures


def test_an_unused_lease_is_not_renewed_but_minted_at_the_next_call(crm):
    crm = crm()
    crm.minted(2)
    assert crm.get()["status"] == 200
    time.sleep(3)
    assert len(crm.seen("/oauth/token")) == 1 and crm.leases() == []
    assert crm.get()["status"] == 200
    assert len(crm.seen("/oauth/token")) == 2


def test_a_credential_that_the_upstream_refuses_is_not_used_again(crm):
    crm = crm()
    assert crm.get()["status"] == 200
    crm.recorder.answer({"*": {"status": 401, "body": "{}"}})
    assert crm.get()["status"] == 401
    crm.minted(3600)
    assert crm.get()["status"] == 200
    assert len(crm.seen("/oauth/token")) == 2


def test_T49_an_answer_without_a_credential_is_a_refusal_that_says_so(crm):
    crm = crm()
    for body in ("", "{}", "[]", '{"access_token": 7}', '{"access_token": "short"}',
                 '{"access_token": "aaaaaaaaaaaa", "access_token": "bbbbbbbbbbbb"}',
                 '{"access_token": "line\\nbreaks-in-it"}'):
        crm.recorder.answer({"POST /oauth/token": {"body": body}, "*": {"body": "{}"}})
        error = crm.get()["error"]
        assert error["code"] in ("upstream_failed", "bad_request", "internal"), (body, error)
        with crm.host.admin() as admin:
            admin.ok("key.set", id="crm", settings={"oauth_scope": body[:9] or "x"})
    assert crm.seen("/v1/people") == []


def test_T30_a_token_endpoint_that_echoes_the_client_secret_is_cut_off(crm):
    crm = crm()
    crm.recorder.answer({"POST /oauth/token": {"body": json.dumps(
        {"access_token": crm.access, "you_sent": crm.secret})}, "*": {"body": "{}"}})
    error = crm.get()["error"]
    assert error["code"] == "upstream_failed" and crm.secret not in json.dumps(error)


def test_a_minted_token_that_is_echoed_does_not_reach_the_client(crm):
    crm = crm()
    assert crm.get()["status"] == 200
    crm.recorder.answer({"*": {"body": json.dumps({"seen": crm.access})}})
    error = crm.get()["error"]
    assert error["code"] == "response_blocked" and crm.access not in json.dumps(error)


@pytest.mark.parametrize("wrong, says", [
    ({"token_url": "https://elsewhere.example.org/token"}, "one of the hosts"),
    ({"token_url": "http://login.example.com/token"}, "https URLs"),
    ({"revoke_url": "https://login.example.com.evil.org/x"}, "one of the hosts"),
    ({"client_auth": "maybe"}, "neither basic nor body"),
])
def test_a_wrong_set_up_is_refused_when_the_key_is_added(crm, wrong, says):
    crm = crm()
    with crm.host.admin() as admin:
        error = admin.refused("key.add", id="other", provider="rest",
                              settings={**SETTINGS, **wrong},
                              secrets={"client_secret": canary("cs-")})
    assert says in error["reason"]


def test_without_a_worker_a_key_that_mints_says_what_to_set(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}"}})
    with Host(tmp_path / "state", settings={"host": {"plugin_isolation": "none"}}) as host:
        desk = Curve()
        host.write_policy("crm.scope", OAUTH % desk.public)
        host.start()
        host.key_add("crm", "rest", {**SETTINGS, "upstream": recorder.url},
                     {"client_secret": canary("cs-")})
        host.reload()
        client = host.client(desk)
        token = client.ok("issue", scope="crm")["token"]
        error = client.refused("proxy", token=token, method="GET",
                               url="https://api.example.com/v1/people")
        assert "plugin_isolation = worker" in error["reason"]
