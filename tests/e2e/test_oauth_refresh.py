"""Refresh tokens that the server replaces at each use: the new one is the key's next version before
what came with it is used, and the old one is never sent again. Against a server that revokes the
whole family when it is."""
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from lib import Curve, Host, build_file, canary

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "upstreams"))
import upstreams

POLICY = """sallyport 1
scope people { key crm ttl 1h allow GET https://api.example.com/people/** }
scope orders { key crm ttl 1h allow GET https://api.example.com/orders/** }
principal desk { curve "%s" may issue people for 1h may issue orders for 1h }
"""


class Crm:
    def __init__(self, folder):
        self.secret, self.first = canary("cs-"), canary("rt-first-")
        self.server = upstreams.oauth("desk", self.secret, self.first)
        self.desk = Curve()
        self.host = Host(folder / "state")
        self.host.write_policy("crm.scope", POLICY % self.desk.public)
        self.host.start()
        self.host.key_add("crm", "rest", {
            "host": "api.example.com, login.example.com", "style": "oauth2", "client_id": "desk",
            "token_url": "https://login.example.com/oauth/token",
            "revoke_url": "https://login.example.com/oauth/revoke", "upstream": self.server.url},
            {"client_secret": self.secret, "refresh_token": self.first})
        self.host.reload()
        self.connect()
        self.tokens = {s: self.client.ok("issue", scope=s)["token"] for s in ("people", "orders")}

    def connect(self):
        self.client = self.host.client(self.desk)

    def ask(self, scope="people", client=None):
        return (client or self.client).ask("proxy", token=self.tokens[scope], method="GET",
                                           url="https://api.example.com/%s/1" % scope)

    def get(self, scope="people"):
        reply = self.ask(scope)
        assert reply["ok"] and reply["status"] == 200, reply

    def end_leases(self):
        with self.host.admin() as admin:
            admin.ok("lease.revoke", all=True)
            end = time.monotonic() + 20
            while admin.ok("lease.list")["leases"]:
                assert time.monotonic() < end
                time.sleep(0.05)

    def version(self):
        with self.host.admin() as admin:
            return admin.ok("key.show", id="crm")["version"]

    def in_flight(self):
        """A minting, by a `key test`: back when the server has replaced the refresh token and not
        yet said so."""
        self.server.control(delay_ms=2000)
        before = self.server.state()["refreshed"]
        asking = subprocess.Popen([build_file("host", "sallyport"), "--dir", self.host.dir,
                                   "--endpoint", self.host.endpoint, "key", "test", "crm"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while self.server.state()["refreshed"] == before:
            assert time.monotonic() < end
            time.sleep(0.02)
        self.server.control(delay_ms=0)
        return asking

    def assert_never_reused(self):
        state = self.server.state()
        assert state["reused"] == 0 and len(set(state["sent"])) == len(state["sent"]), state


@pytest.fixture
def crm(tmp_path):
    made = Crm(tmp_path)
    yield made
    made.host.stop()
    made.server.stop()


def test_each_refresh_token_is_sent_once_and_what_replaces_it_is_the_next_version(crm):
    for n in range(4):
        crm.get()
        crm.get("orders")
        assert crm.version() == n + 2
        crm.end_leases()
    crm.assert_never_reused()
    records = [r for r in crm.host.audit_records() if r["type"] == "key.refresh"]
    assert [r["key_version"] for r in records] == [2, 3, 4, 5]
    mints = [r["lease"] for r in crm.host.audit_records() if r["type"] == "lease.mint"]
    assert [r["lease"] for r in records] == mints
    crm.host.cli("audit", "verify", "--head")


def test_a_lease_lives_through_a_refresh_and_is_renewed_ahead_of_its_end(crm):
    crm.server.control(life=5)
    end = time.monotonic() + 8
    while time.monotonic() < end:
        crm.get()
        crm.get("orders")
        time.sleep(0.1)
    assert 2 <= crm.server.state()["refreshed"] <= 4
    crm.assert_never_reused()


def test_a_server_that_gives_the_same_token_again_makes_no_version(crm):
    crm.server.control(same=True)
    crm.get()
    crm.end_leases()
    crm.get()
    assert crm.version() == 1 and crm.server.state()["sent"] == [crm.first] * 2


def test_two_scopes_and_a_key_test_at_once_send_no_token_twice(crm):
    crm.server.control(delay_ms=300)
    replies = []

    def ask(scope):
        with crm.host.client(crm.desk) as client:
            replies.append(crm.ask(scope, client=client)["status"])

    def test_key():
        with crm.host.admin() as admin:
            replies.append(admin.ok("key.test", id="crm")["status"])

    for _ in range(3):
        threads = [threading.Thread(target=ask, args=(s,)) for s in ("people", "orders")]
        threads += [threading.Thread(target=test_key) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        crm.end_leases()
    assert replies == [200] * 15
    assert crm.server.state()["refreshed"] >= 3 * 3  # each `key test` has one of its own
    crm.assert_never_reused()


def test_T39_kill_9_after_the_answer_loses_no_refresh_token(crm):
    for _ in range(3):
        crm.get()
        crm.host.kill9()
        crm.host.start()
        crm.connect()
        crm.get("orders")
        crm.end_leases()
    crm.get()
    crm.assert_never_reused()


def test_T39_kill_9_before_the_answer_needs_a_new_refresh_token_and_says_so(crm):
    """Nobody but the server knows the token: this one cannot be saved."""
    asking = crm.in_flight()
    crm.host.kill9()
    asking.wait(60)
    crm.host.start()
    crm.connect()
    error = crm.ask()["error"]
    assert error["code"] == "upstream_failed" and "refresh_token" in error["reason"]
    assert crm.server.state()["reused"] == 1  # once: the next calls are told without asking
    crm.ask()
    assert crm.server.state()["reused"] == 1
    crm.server.stop()
    crm.server = upstreams.oauth("desk", crm.secret, "rt-by-the-operator")
    with crm.host.admin() as admin:
        admin.ok("key.set", id="crm", settings={"upstream": crm.server.url})
        admin.ok("key.rotate", id="crm", secrets={"client_secret": crm.secret,
                                                  "refresh_token": "rt-by-the-operator"})
    crm.get()
    assert crm.server.state()["sent"] == ["rt-by-the-operator"]


def test_T45_a_worker_that_dies_meanwhile_takes_no_refresh_token_with_it(crm):
    crm.get()
    crm.end_leases()
    asking = crm.in_flight()
    children = "/proc/%d/task/%d/children" % (crm.host.pid, crm.host.pid)
    with open(children, encoding="ascii") as file:
        pids = file.read().split()
    for pid in map(int, pids):
        os.kill(pid, signal.SIGKILL)
    asking.wait(60)
    assert crm.version() == 3
    time.sleep(1.1)  # the minting that failed rests
    crm.get()
    crm.assert_never_reused()


def test_an_answer_with_a_refresh_token_and_no_credential_is_a_refusal_that_keeps_it(crm):
    crm.server.control(bare=True)
    assert crm.ask()["error"]["code"] == "upstream_failed"
    assert crm.version() == 2
    crm.server.control(bare=False)
    time.sleep(1.1)
    crm.get()
    crm.assert_never_reused()


def test_a_setting_that_is_changed_meanwhile_and_the_new_token_both_hold(crm):
    asking = crm.in_flight()
    with crm.host.admin() as admin:
        admin.ok("key.set", id="crm", settings={"oauth_scope": "all"})
    asking.wait(60)
    with crm.host.admin() as admin:
        shown = admin.ok("key.show", id="crm")
    assert shown["version"] == 3 and shown["settings"]["oauth_scope"] == "all"
    crm.get()
    crm.assert_never_reused()


def test_a_token_that_an_operator_gives_meanwhile_stays(crm):
    asking = crm.in_flight()
    with crm.host.admin() as admin:
        admin.ok("key.rotate", id="crm", secrets={"client_secret": crm.secret,
                                                  "refresh_token": "rt-by-the-operator"})
    asking.wait(60)
    crm.ask()
    assert crm.server.state()["sent"][-1] == "rt-by-the-operator"


def test_stopping_while_a_refresh_is_under_way_is_clean(crm):
    asking = crm.in_flight()
    crm.host.restart()
    asking.wait(60)


def test_T58_no_refresh_token_is_anywhere_in_the_clear(crm):
    crm.get()
    crm.end_leases()
    crm.get()
    current = crm.server.state()["current"]
    crm.host.stop()
    for folder, _, names in os.walk(crm.host.dir):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    content = file.read()
                assert crm.first.encode() not in content and current.encode() not in content, path
    assert current not in crm.host.log()
