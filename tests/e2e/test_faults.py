"""Calls of libc that fail in a running host, each in turn, once and for ever (tests/faults is preloaded
into it). In the suite a seeded sample of them; SALLYPORT_LONG=1 takes every one."""
import collections
import contextlib
import errno
import os
import random
import re
import signal
import sqlite3
import subprocess

import pytest
from lib import Faults, NoAnswer, canary, is_instrumented, occurrences
from lib.faults import CLASSES
from lib.host import ROOT
from world import CHARGE, world

pytestmark = pytest.mark.skipif(is_instrumented(), reason="nothing stands before libc there")
LONG = bool(os.environ.get("SALLYPORT_LONG"))
SEED = int(os.environ.get("SALLYPORT_SEED", "41"))
MEMORY = 1 << CLASSES.index("memory")
SAMPLE = 3  # of each flow, class and way
ANSWER_S = 10
STEP_MS = 20  # how soon a host that has ended is noticed
SHORT_S = 0.4  # how long nothing at all can be allocated
# What libzmq does where memory is short, by design: it names its own source, and aborts.
ZMQ_GAVE_UP = re.compile(r"\(src/\w+\.[ch]pp:\d+\)$|bad_alloc'$", re.M)
with open(os.path.join(ROOT, "engine", "code.h"), encoding="utf-8") as header:
    CODES = set(re.findall(r'X\(SP_CODE_\w+, "(\w+)"', header.read()))


class Ledger:
    """One world, what was acknowledged in it, and what has to be so after any fault."""

    def __init__(self, w, faults):
        self.w, self.host, self.faults = w, w.host, faults
        self.tokens, self.revoked, self.keys = [w.issue()], [], {"stripe-main", "stripe-other"}
        self.secrets = [w.key]  # the last that was acknowledged, and those that may have followed
        self.answers, self.canaries, self.ended = [], [w.key], 0
        self.connect()

    def connect(self):
        self.desk = self.host.client(self.w.desk, step_ms=STEP_MS)
        self.agent = self.host.client(self.w.agent, step_ms=STEP_MS)
        self.admin = self.host.admin(step_ms=STEP_MS)
        for client in (self.desk, self.agent, self.admin):
            client.ok("status")  # connected: what comes is the operation's alone

    def ask(self, client, op, **fields):
        """The answer; None where the host has ended, or where none can be had: while nothing can be
        allocated, no answer can be. Then it has to answer others as soon as there is memory."""
        no_memory = self.faults.get("for_ever") and self.faults.fails("memory")
        try:
            reply = client.ask(op, timeout=SHORT_S if no_memory else ANSWER_S, **fields)
        except NoAnswer:
            assert no_memory, "%s: no answer, and the host runs" % op
            self.faults.disarm()
            return self.answers_now()
        except AssertionError:
            if self.host.process.poll() is None:
                raise
            return None
        self.answers.append(repr({k: v for k, v in reply.items() if k != "body"}))
        assert reply["ok"] or reply["error"]["code"] in CODES, reply
        return reply

    def answers_now(self):
        try:
            with self.host.admin() as admin:
                admin.ask("status", timeout=ANSWER_S)
        except AssertionError:
            assert self.host.process.poll() is not None

    def again(self):
        """Without faults: the host is started again, and all that was acknowledged is there."""
        status = self.host.process.poll()
        if status is not None:
            self.ended += 1
            gave_up = ZMQ_GAVE_UP.search(self.host.log())
            assert status >= 0 or (
                status == -signal.SIGABRT and gave_up and self.faults.get("mask") == MEMORY), (
                status, self.host.log()[-3000:])
        self.host.kill9()
        database = sqlite3.connect(os.path.join(self.host.dir, "store.db"))
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        database.close()
        self.host.start()
        self.connect()
        for token in self.tokens[-3:]:
            self.check_works(token)
        for token in self.revoked[-3:]:
            assert self.agent.refused("proxy", token=token, method="GET", url=CHARGE)["code"] \
                == "token_revoked"
        have = {key["id"] for key in self.admin.ok("key.list")["keys"]}
        assert self.keys <= have, (self.keys, have)

    def check_works(self, token):
        reply = self.agent.ok("proxy", token=token, method="GET", url=CHARGE)
        assert reply["status"] == 200
        sent = self.w.recorder.requests()[-1]["head"]
        used = [s for s in self.secrets if s.encode() in sent]
        assert used, "the upstream saw another key"
        self.secrets = used  # what a restart found is what is

    def check_end(self):
        self.host.cli("audit", "verify")
        for token in self.tokens:
            assert self.agent.ok("inspect", token=token)
        for secret in self.canaries:
            assert occurrences(secret, self.host.dir, self.host.log_path) == []
            assert not any(secret in answer for answer in self.answers)


# ---- the flows: before() without faults, then run() with them --------------------------------


class Flow:
    def __init__(self, ledger):
        self.l = ledger

    def before(self):
        pass


class Issue(Flow):
    def run(self):
        reply = self.l.ask(self.l.desk, "issue", scope="support")
        if reply and reply["ok"]:
            self.l.tokens.append(reply["token"])
        return reply


class Proxy(Flow):
    def run(self):
        reply = self.l.ask(self.l.agent, "proxy", token=self.l.tokens[-1], method="GET", url=CHARGE)
        assert not reply or not reply["ok"] or reply["status"] == 200
        return reply


class Revoke(Flow):
    def before(self):
        self.token = self.l.desk.ok("issue", scope="support")["token"]

    def run(self):
        reply = self.l.ask(self.l.agent, "revoke", token=self.token)
        if reply and reply["ok"]:
            self.l.revoked.append(self.token)
        return reply


class KeyAdd(Flow):
    n = 0

    def run(self):
        KeyAdd.n += 1
        name, secret = "k%d" % KeyAdd.n, canary("sk_test_")
        self.l.canaries.append(secret)
        reply = self.l.ask(self.l.admin, "key.add", id=name, provider="stripe",
                           settings={}, secrets={"api_key": secret})
        if reply and reply["ok"]:
            self.l.keys.add(name)
        return reply


class Rotate(Flow):
    def run(self):
        secret = canary("sk_test_")
        self.l.canaries.append(secret)
        self.l.secrets.append(secret)  # not acknowledged, and yet perhaps there
        reply = self.l.ask(self.l.admin, "key.rotate", id="stripe-main",
                           secrets={"api_key": secret})
        if reply and reply["ok"]:
            self.l.secrets = [secret]
        return reply


class Reload(Flow):
    n = 0

    def before(self):
        Reload.n += 1
        self.l.w.write_policy("1..5000", "1..%d" % (5000 + Reload.n))

    def run(self):
        return self.l.ask(self.l.admin, "policy.reload")


class Unseal(Flow):
    def before(self):
        with open(os.path.join(self.l.host.dir, "unseal.key"), "rb") as file:
            self.secret = file.read()
        self.l.admin.ok("seal")

    def run(self):
        return self.l.ask(self.l.admin, "unseal", secret=self.secret)


FLOWS = (Issue, Proxy, Revoke, KeyAdd, Rotate, Reload, Unseal)


@contextlib.contextmanager
def said_where(where):
    """A failure inside names the fault that led to it."""
    try:
        yield
    except Exception as error:
        raise AssertionError("%s: %s" % (where, error)) from error


@pytest.fixture
def ledger(tmp_path, recorder):
    recorder.answer({"*": {"body": '{"id": "ch_1"}'}})
    with Faults(tmp_path / "faults") as faults:
        with world(tmp_path, recorder.url, rate="100000/min", env=faults.env) as w:
            w.recorder = recorder
            yield Ledger(w, faults)


@pytest.mark.parametrize("kind", FLOWS, ids=lambda kind: kind.__name__.lower())
def test_T41_each_call_fails_in_turn_once_and_for_ever(ledger, kind):
    chosen, flow = random.Random(SEED), kind(ledger)
    counts = {}
    for _ in range(3):  # the first may prepare what is kept
        flow.before()
        with ledger.faults.armed():
            assert flow.run()["ok"]
        counts = ledger.faults.counts()
    assert counts["memory"] and counts["write"], counts
    told = collections.Counter()
    for name in CLASSES:
        for nth in some_of(chosen, counts[name], SAMPLE):
            for for_ever in (False, True):
                flow.before()
                where = "%s, %s %d, %s" % (kind.__name__, name, nth, "for ever" if for_ever else "once")
                with said_where(where):
                    with ledger.faults.armed([name], nth, for_ever):
                        reply = flow.run()
                    ledger.again()
                told[name, "nothing" if not reply else reply["ok"] or reply["error"]["code"]] += 1
                if LONG and reply and not reply["ok"]:
                    print(where, reply["error"]["code"], reply["error"]["reason"])
    ledger.check_end()
    print(kind.__name__, counts, dict(told), "ended: %d" % ledger.ended)


def some_of(chosen, n, few):
    """The calls, of n, that fail one after the other."""
    every = range(1, n + 1)
    return every if LONG else sorted(chosen.sample(every, min(few, n)))


def ask_in_vain(ledger, client):
    """An answer, none, or the end of the host; with a host that runs afterwards."""
    try:
        client.ask("status", timeout=SHORT_S)
        return
    except (NoAnswer, AssertionError):
        ledger.faults.disarm()
    with contextlib.suppress(subprocess.TimeoutExpired):
        ledger.host.process.wait(0.2)  # it may be about to
        ledger.again()


def test_T41_what_follows_half_an_answer_is_not_taken_for_its_rest(ledger):
    """Where there is no memory for an answer's body, nothing of it is sent: the next peer's answer would
    go to the peer whose answer was begun."""
    with ledger.faults.armed():
        ledger.agent.ok("status")
    for nth in range(1, ledger.faults.get("memory") + 1):
        with ledger.faults.armed(["memory"], nth):
            ask_in_vain(ledger, ledger.agent)
        assert ledger.faults.get("n_failed")
        assert ledger.desk.ask("status", timeout=ANSWER_S)["ok"], nth


def test_T41_a_handshake_without_memory_keeps_no_other_client_out(ledger):
    def connect():
        return ledger.host.client(ledger.w.agent, step_ms=STEP_MS)

    with ledger.faults.armed():
        assert connect().ok("status")
    for nth in some_of(random.Random(SEED), ledger.faults.get("memory"), 12):
        with ledger.faults.armed(["memory"], nth):
            ask_in_vain(ledger, connect())
        assert connect().ask("status", timeout=ANSWER_S)["ok"], nth


def test_T41_a_failed_fsync_stops_writing(ledger):
    w, faults = ledger.w, ledger.faults
    acknowledged = w.issue()
    with faults.armed(["sync"], 1):
        errors = [ledger.desk.refused("issue", scope="support") for _ in range(3)]
    # The disk failed once; nobody is told afterwards that it holds what it may not hold.
    assert faults.get("n_failed") == 1
    assert {error["code"] for error in errors} == {"audit_unavailable"}, errors
    assert "fdatasync" in errors[0]["reason"], errors
    ledger.again()
    ledger.check_end()
    with w.as_agent() as agent:
        assert not agent.ok("inspect", token=acknowledged)["expired"]
    assert w.issue()


# ---- a full disk ----------------------------------------------------------------------------


def check_full(ledger):
    """Nothing can be written: issue is refused, revoke takes effect and says what it is worth, and reads
    go on."""
    token, kept = ledger.tokens
    for _ in range(2):
        error = ledger.agent.refused("revoke", token=token)
        assert error["code"] == "audit_unavailable" and error["retryable"], error
        assert "until it restarts" in error["reason"], error
        assert ledger.agent.ok("check", token=kept, method="GET", url=CHARGE)["allowed"]
        judged = ledger.agent.ok("check", token=token, method="GET", url=CHARGE)
        assert not judged["allowed"] and judged["code"] == "token_revoked", judged
    error = ledger.desk.refused("issue", scope="support")
    assert error["code"] == "audit_unavailable" and error["retryable"], error
    n = len(ledger.w.recorder.requests())
    for one in (token, kept):
        assert ledger.agent.refused("proxy", token=one, method="GET", url=CHARGE)["code"] in (
            "audit_unavailable", "token_revoked")
    assert len(ledger.w.recorder.requests()) == n, "a key was used, and no record says so"
    assert ledger.agent.ok("inspect", token=token)["revoked"]
    assert not ledger.agent.ok("inspect", token=kept)["expired"]
    assert ledger.agent.ok("status") and ledger.admin.ok("status")
    assert {key["id"] for key in ledger.admin.ok("key.list")["keys"]} == ledger.keys
    assert "stripe-main" in ledger.host.cli("key", "list")


def check_room(ledger):
    """There is room again, and a restart: all goes on, and what was told is asked for once more."""
    token, kept = ledger.tokens
    ledger.tokens = [kept]
    ledger.again()
    assert ledger.agent.ok("revoke", token=token)
    ledger.revoked.append(token)
    ledger.tokens.append(ledger.w.issue())
    ledger.again()
    ledger.check_end()


def test_T40_a_full_disk_refuses_issue_and_lets_revoke_and_reads_go_on(ledger):
    ledger.tokens.append(ledger.w.issue())
    with ledger.faults.armed(["write", "sync", "truncate"], 1, True, errno.ENOSPC):
        check_full(ledger)
        assert ledger.faults.get("n_failed")
    check_room(ledger)


def test_T40_a_file_system_that_is_full(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}"}})
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", disk],
                      capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with Faults(tmp_path / "faults") as faults, world(
                disk, recorder.url, rate="100000/min", env=faults.env) as w:
            w.recorder = recorder
            ledger = Ledger(w, faults)
            ledger.tokens.append(w.issue())
            ballast = disk / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while file.write(bytes(4096)) == 4096:
                    pass
            for _ in range(10000):  # the last page of each file has room left
                if not ledger.ask(ledger.desk, "issue", scope="support")["ok"]:
                    break
            check_full(ledger)
            ballast.unlink()
            check_room(ledger)
    finally:
        subprocess.run(["umount", disk], check=True)
