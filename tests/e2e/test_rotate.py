"""`key rotate --upstream`: a plugin replaces the key at the upstream, and a crash at any point leaves
a key that works and nothing that lives unknown."""
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from lib import BUILD, Curve, Host, build_file, canary

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "upstreams"))
import upstreams

POLICY = """sallyport 1
scope s { key k ttl 1h allow GET https://api.example.com/** }
principal desk { curve "%s" may issue s for 1h }
"""


class Rotating:
    def __init__(self, folder, plugin="rotating.so"):
        self.first = canary("test_")
        self.up = upstreams.keys(self.first)
        self.host = Host(folder / "state")
        self.desk = Curve()
        self.host.write_policy("p.scope", POLICY % self.desk.public)
        plugins = folder / "plugins"
        plugins.mkdir(mode=0o755)
        for source in (os.path.join(BUILD, "lib/sallyport/plugins/rest.so"),
                       build_file("tests", "bad", plugin)):
            shutil.copy(source, plugins)
            os.chmod(plugins / os.path.basename(source), 0o644)
        conf = folder / "state" / "sallyport.conf"
        conf.write_text(re.sub(r"^plugin_dir = .*$", "plugin_dir = %s" % plugins, conf.read_text(),
                               flags=re.M))
        for path in plugins.iterdir():
            self.host.cli("plugin", "pin", path)
        self.host.start()
        self.host.key_add("k", "rotating", {"host": "api.example.com", "upstream": self.up.url},
                          {"api_key": self.first})
        self.host.reload()
        self.connect()
        self.token = self.client.ok("issue", scope="s")["token"]

    def connect(self):
        self.client = self.host.client(self.desk)

    def assert_works(self):
        reply = self.client.ok("proxy", token=self.token, method="GET",
                               url="https://api.example.com/x")
        assert reply["status"] == 200

    def rotate(self, *options, expect=0):
        return self.host.cli("key", "rotate", "k", "--upstream", *options, expect=expect)

    def begin(self, what):
        """Begin one, and come back when `what` was asked of the upstream."""
        before = self.up.state()["asked"].count(what)
        asking = subprocess.Popen([build_file("host", "sallyport"), "--dir", self.host.dir,
                                   "--endpoint", self.host.endpoint, "key", "rotate", "k",
                                   "--upstream"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        self.wait(lambda: self.up.state()["asked"].count(what) > before)
        return asking

    def wait(self, condition, timeout=30):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.05)

    def again(self):
        self.host.kill9()
        self.host.start()
        self.connect()

    def show(self):
        with self.host.admin() as admin:
            return admin.ok("key.show", id="k")

    def leases(self):
        with self.host.admin() as admin:
            return admin.ok("lease.list")["leases"]

    def types(self):
        return [r["type"] for r in self.host.audit_records()
                if r["type"].startswith(("key.s", "lease.", "key.test"))]


@pytest.fixture
def r(tmp_path):
    made = Rotating(tmp_path)
    yield made
    made.host.stop()
    made.up.stop()


def test_a_key_is_replaced_upstream_and_its_tokens_go_on(r):
    r.assert_works()
    r.rotate("--url", "https://api.example.com/me")
    assert r.show()["version"] == 2
    r.assert_works()
    r.wait(lambda: not r.leases())
    (live,) = r.up.state()["live"]
    assert live != r.first
    r.assert_works()
    assert r.up.state()["asked"].count("GET /me") == 1
    assert r.types() == ["key.succession", "lease.http", "lease.live", "key.test", "key.succeed",
                         "lease.http", "lease.gone"]
    r.rotate()
    r.wait(lambda: not r.leases())
    assert r.show()["version"] == 3 and len(r.up.state()["live"]) == 1
    r.assert_works()
    r.host.cli("audit", "verify", "--head")
    assert live not in r.host.log()


def test_a_plugin_built_for_the_frozen_extensions_rotates_today(tmp_path):
    r = Rotating(tmp_path, "abi_extensions.so")
    try:
        r.rotate("--url", "https://api.example.com/me")
        r.wait(lambda: not r.leases())
        assert r.show()["version"] == 2 and r.up.state()["live"] != [r.first]
        r.assert_works()
    finally:
        r.host.stop()
        r.up.stop()


def test_what_the_secret_says_is_read_off_the_successor(r):
    r.up.control(prefix="live_")
    r.rotate()
    assert r.show()["settings"]["livemode"] == "true"


@pytest.mark.parametrize("changes, says", [
    ({"stillborn": True}, "401"), ({"prefix": "bad_"}, "has to begin with")])
def test_a_successor_that_is_no_good_is_ended_and_the_key_stays(r, changes, says):
    r.up.control(**changes)
    assert says in r.rotate(expect=1)
    r.wait(lambda: not r.leases())
    state = r.up.state()
    assert state["live"] == [r.first] and state["dead"] == []
    assert r.show()["version"] == 1
    r.assert_works()


def test_an_upstream_that_makes_none_leaves_all_as_it_is(r):
    r.up.stop()
    r.rotate(expect=1)
    assert not r.leases() and r.show()["version"] == 1
    assert [a for a in r.host.audit_records() if a["type"] == "lease.gone"][0]["how"] == "lost"
    r.up = upstreams.keys(r.first)
    with r.host.admin() as admin:
        admin.ok("key.set", id="k", settings={"upstream": r.up.url})
    r.rotate()


def test_T39_kill_9_before_the_answer_keeps_the_key_and_says_that_one_may_be_lost(r):
    r.up.control(delay_ms=3000)
    asking = r.begin("POST /keys")
    r.again()
    asking.wait(60)
    r.wait(lambda: not r.leases())
    r.assert_works()
    assert r.show()["version"] == 1
    assert r.first in r.up.state()["live"]
    assert [a for a in r.host.audit_records() if a["type"] == "lease.gone"][0]["how"] == "lost"
    r.up.control(delay_ms=0)
    r.rotate()


def test_T39_kill_9_before_the_trial_goes_on_at_the_next_start(r):
    r.up.control(answers=False)
    assert "tried again" in r.rotate(expect=1)
    r.again()
    assert len(r.up.state()["live"]) == 2 and r.show()["version"] == 1
    assert "not over" in r.rotate(expect=1)
    r.up.control(answers=True)
    r.wait(lambda: not r.leases())
    assert r.show()["version"] == 2 and len(r.up.state()["live"]) == 1
    r.assert_works()


def test_T39_kill_9_before_the_end_ends_the_predecessor_after_the_next_start(r):
    r.up.control(revokes=False)
    r.rotate()
    r.wait(lambda: "POST /keys/revoke" in r.up.state()["asked"])
    for _ in range(2):
        r.again()
        r.assert_works()
        r.wait(lambda n=r.up.state()["asked"].count("POST /keys/revoke"):
               r.up.state()["asked"].count("POST /keys/revoke") > n)
    assert r.first in r.up.state()["live"] and r.show()["version"] == 2
    r.up.control(revokes=True)
    r.wait(lambda: not r.leases())
    assert len(r.up.state()["live"]) == 1 and r.first not in r.up.state()["live"]
    r.assert_works()


def test_a_key_that_an_operator_changes_meanwhile_stays_the_operators(r):
    r.up.control(answers=False)
    r.rotate(expect=1)
    with r.host.admin() as admin:
        admin.ok("key.rotate", id="k", secrets={"api_key": r.first})
    r.up.control(answers=True)
    r.wait(lambda: not r.leases())
    assert r.up.state()["live"] == [r.first] and r.show()["version"] == 2
    r.assert_works()


def test_a_provider_that_rotates_nothing_says_so(r):
    r.host.key_add("other", "rest", {"host": "api.example.org"}, {"api_key": canary("x")})
    said = r.host.cli("key", "rotate", "other", "--upstream", expect=2)
    assert "does not replace keys upstream" in said and "--secret" in said
    r.host.cli("key", "rotate", "lost", "--upstream", expect=None)
    assert "not for that host" in r.host.cli("key", "rotate", "k", "--upstream", "--url",
                                             "https://elsewhere.example.org/", expect=None)


def test_stopping_while_a_rotation_is_under_way_is_clean(r):
    r.up.control(delay_ms=3000)
    asking = r.begin("POST /keys")
    r.host.restart()
    asking.wait(60)
    r.connect()
    r.assert_works()


def test_plugin_check_finds_nothing_wrong_with_a_plugin_that_rotates(r):
    said = r.host.cli("plugin", "check", build_file("tests", "bad", "rotating.so"))
    assert "rotations" in said
