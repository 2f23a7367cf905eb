"""A world that is held to what it acknowledged while calls of libc fail in its host, and the flows that are
run in it: before() without faults, then run() with them."""
import contextlib
import json
import os
import re
import signal
import sqlite3
import time

from lib import Curve, NoAnswer, canary, occurrences
from lib.faults import CLASSES
from lib.host import ROOT, command
from world import CHARGE, World

LONG = bool(os.environ.get("SALLYPORT_LONG"))
SEED = int(os.environ.get("SALLYPORT_SEED", "41"))
ANSWER_S = 10
STEP_MS = 20  # how soon a host that has ended is noticed
SHORT_S = 0.4  # how long an answer is waited for that may never come
BREAKING = ("socket", "recv", "send", "poll")  # a client's connection may be what breaks
with open(os.path.join(ROOT, "engine", "code.h"), encoding="utf-8") as header:
    CODES = set(re.findall(r'X\(SP_CODE_\w+, "(\w+)"', header.read()))

# What libraries do, by design, where they cannot go on: libzmq names its own source and aborts, libuv and
# libsodium abort without a word.
ZMQ_GAVE_UP = re.compile(r"\(src/\w+\.[ch]pp:\d+\)$|bad_alloc'$", re.M)
ZMQ_WANTS = ("memory", "socket", "recv", "send", "poll", "spawn")
SILENT = ("random", "poll")


def died_by_a_library(log, classes):
    """Whether an abort was a library's own, which these classes of faults led to."""
    if re.search(r"Assertion|malloc\(\)|free\(\)|corrupted", log) and not ZMQ_GAVE_UP.search(log):
        return False
    return all(one in SILENT or (one in ZMQ_WANTS and ZMQ_GAVE_UP.search(log)) for one in classes)


@contextlib.contextmanager
def said_where(where):
    """A failure inside names the fault that led to it."""
    try:
        yield
    except Exception as error:
        raise AssertionError("%s: %s" % (where, error)) from error


def some_of(chosen, n, few):
    """The calls, of n, that fail one after the other. Of more than 300 (the allocations of a program that
    starts) the long form takes 300, evenly spread."""
    every = range(1, n + 1)
    if LONG:
        step = -(-n // 300) or 1
        return every[chosen.randrange(step)::step]
    return sorted(chosen.sample(every, min(few, n)))


CRM = """sallyport 1

scope crm {
  key crm
  ttl 1h

  @read allow GET https://api.example.com/people
}

principal crm-desk {
  curve "%s"
  may issue crm for 1h
}
"""


class FaultWorld(World):
    """May have a key whose credential a plugin mints, too, and a principal for it."""
    PEOPLE = "https://api.example.com/people"
    LEASE_S = 20  # of a minted credential

    def add_crm(self, recorder):
        """What was minted last is self.minted."""
        self.crm = Curve()
        self.host.key_add("crm", "rest", {
            "host": "api.example.com, login.example.com", "style": "oauth2", "client_id": "desk",
            "token_url": "https://login.example.com/oauth/token", "upstream": recorder.url},
            {"client_secret": canary("cs-")})
        self.host.write_policy("crm.scope", CRM % self.crm.public)
        self.host.reload()
        self.answer(recorder)

    def answer(self, recorder):
        self.minted = canary("at-")
        grant = {"access_token": self.minted, "token_type": "Bearer", "expires_in": self.LEASE_S}
        recorder.answer({"*": {"body": '{"id": "ch_1"}'}, "POST /oauth/token": {
            "headers": [["content-type", "application/json"]], "body": json.dumps(grant)}})


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
        allocated, no answer can be, nor on a connection that broke, nor one for which there was no room; that
        one the host counts. Then it has to answer others as soon as there is no fault."""
        if self.host.process.poll() is not None:
            return None
        may_be_none = self.faults.fails(*BREAKING) or (
            self.faults.get("for_ever") and self.faults.fails("memory"))
        wait_s = SHORT_S if may_be_none else ANSWER_S / 2 if self.faults.fails("memory") else ANSWER_S
        try:
            reply = client.ask(op, timeout=wait_s, **fields)
        except NoAnswer:
            was_dropped = self.faults.fails("memory")
            self.faults.disarm()
            dropped = self.answers_now()
            assert may_be_none or (was_dropped and dropped), "%s: no answer, and the host runs" % op
            return None
        except AssertionError:
            if self.host.process.poll() is None:
                raise
            client.reset()
            return None
        self.answers.append(repr({k: v for k, v in reply.items() if k != "body"}))
        assert reply["ok"] or reply["error"]["code"] in CODES, reply
        return reply

    def answers_now(self):
        """It answers, or has ended. How many answers it could not send."""
        try:
            with self.host.admin() as admin:
                return admin.ask("status", timeout=ANSWER_S)["messages_refused"]
        except AssertionError:
            assert self.host.process.poll() is not None
            return 0

    def again(self):
        """Without faults: the host is started again, and all that was acknowledged is there."""
        status = self.host.process.poll()
        if status is not None:
            self.ended += 1
            log, mask = self.host.log(), self.faults.get("mask")
            classes = [name for i, name in enumerate(CLASSES) if mask >> i & 1]
            assert status > 0 or (status == -signal.SIGABRT and died_by_a_library(log, classes)), (
                status, log[-3000:])
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


# ---- the flows ---------------------------------------------------------------------------


class Flow:
    def __init__(self, ledger):
        self.l = ledger

    def before(self):
        pass

    def after(self):
        """Without faults, once the host was started again."""

    def end(self):
        """After all."""


class Issue(Flow):
    def run(self):
        reply = self.l.ask(self.l.desk, "issue", scope="support")
        if reply and reply["ok"]:
            assert len(reply["token"]) == len(self.l.tokens[0]), reply["token"]
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


class Narrow(Flow):
    """A token that its holder narrowed: what the caveat takes away is never let through."""
    OTHER = CHARGE + "0"

    def before(self):
        rule = "allow GET " + CHARGE
        self.token = command("token", "narrow", "--with", rule,
                             stdin=self.l.tokens[-1].encode())[0].strip()

    def run(self):
        reply = self.l.ask(self.l.agent, "proxy", token=self.token, method="GET", url=CHARGE)
        for op in ("check", "proxy"):
            wide = self.l.ask(self.l.agent, op, token=self.token, method="GET", url=self.OTHER)
            assert not wide or not wide["ok"] or (op == "check" and not wide["allowed"]), wide
        assert not any(r["target"].endswith("ch_10") for r in self.l.w.recorder.requests())
        return reply


class Renew(Flow):
    """The credential that a plugin minted is at its end, and a call has to have another."""

    def __init__(self, ledger):
        super().__init__(ledger)
        ledger.w.add_crm(ledger.w.recorder)
        ledger.keys.add("crm")

    def before(self):
        w = self.l.w
        self.l.canaries.append(w.minted)
        self.client = self.l.host.client(w.crm, step_ms=STEP_MS)
        self.token = self.client.ok("issue", scope="crm")["token"]
        self.l.faults.put("wall_s", self.l.faults.get("wall_s") + w.LEASE_S)
        w.answer(w.recorder)

    def run(self):
        w = self.l.w
        reply = self.l.ask(self.client, "proxy", token=self.token, method="GET", url=w.PEOPLE)
        if reply and reply["ok"]:
            assert reply["status"] == 200
            sent = [r for r in w.recorder.requests() if r["target"] == "/people"][-1]["head"]
            assert b"Bearer " + w.minted.encode() in sent, "an old credential was used"
        return reply

    def after(self):
        """Whatever came of it, the next call has a credential."""
        with self.l.host.client(self.l.w.crm) as client:
            assert client.ok("proxy", token=self.token, method="GET",
                             url=self.l.w.PEOPLE)["status"] == 200

    def end(self):
        """Those whose time is over go, and none stays half-made."""
        end = time.monotonic() + ANSWER_S
        while len(self.l.admin.ok("lease.list")["leases"]) > 1:
            assert time.monotonic() < end, self.l.admin.ok("lease.list")
            time.sleep(0.1)


# What a host is up without, and says so.
SAID = re.compile(r" error (policy|plugin)\.refused ")


class Start(Flow):
    """Not a request: the host itself, from its first call of libc to the line that says how it is."""

    def run(self):
        self.l.host.kill9()
        self.l.host.launch()
        try:
            line = self.l.host.await_log(r" \w+ (ready|sealed|failed)\b", 20)
        except AssertionError:
            status = self.l.host.process.poll()
            assert status is not None, "neither up nor gone"
            assert status < 0 or re.search(r"error|sallyportd: ", self.l.host.log()), self.l.host.log()
            return None
        if " ready" in line:
            self.l.faults.disarm()
            self.l.host.endpoint = re.search(r'endpoint="([^"]+)"', line).group(1)
            if not SAID.search(self.l.host.log()):
                self.l.connect()
                self.l.check_works(self.l.tokens[-1])
            return {"ok": True}
        assert "reason=" in self.l.host.log(), self.l.host.log()
        return {"ok": False, "error": {"code": "sealed", "reason": line}}


FLOWS = (Unseal, KeyAdd, Issue, Proxy, Narrow, Revoke, Renew, Reload, Rotate, Start)
