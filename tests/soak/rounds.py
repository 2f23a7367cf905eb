"""Rounds of kill -9: a host under load is killed at a random moment, started again on what it left,
and held to all that it had acknowledged.

The ledger lies outside of the host's folder. A step is written into it before it is asked for, and
again when its answer is there; so of each step it is known whether it was acknowledged, was not
asked for, or may have happened. What the upstream saw is the upstream's own record.

    acknowledged token      works after the kill; acknowledged as revoked: refused for good
    revocation not answered either way, and the same way from then on
    rotation                the upstream gets the last acknowledged key, or one asked for since
    key added, removed      is there, is not there
    request id              at most one effect upstream; answered: exactly one, and the same answer
    budget                  what reached the upstream never sums up to more than it
    always                  the store is whole, the audit verifies, nothing temporary is left behind
"""
import base64
import collections
import json
import os
import random
import secrets
import shutil
import sqlite3
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "e2e"), os.path.join(HERE, "..", "upstreams")]
from lib import Curve, Host, NoAnswer, Refused, canary  # noqa: E402
import upstreams  # noqa: E402

BUDGET = 5000
KEPT_TOKENS, KEPT_IDS = 40, 30
POLICY = """sallyport 1

scope open {
  key  main
  ttl  4h

  @any allow GET https://api.stripe.com/v1/charges/*
}

scope spender {
  key  main
  ttl  4h

  @pay allow POST https://api.stripe.com/v1/charges where body.amount in 1..1000
         budget sum(body.amount) <= %d per day
}

principal desk {
  curve "%%s"
  may issue open for 4h
  may issue spender for 4h
}
""" % BUDGET
CHARGES = "https://api.stripe.com/v1/charges"
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Broken(Exception):
    """A promise that did not hold."""


class Ledger:
    """What was asked for and what was acknowledged; its file is for whoever looks into a failure."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.lock = threading.Lock()
        self.tokens = collections.OrderedDict()  # token: "live", "revoking", "revoked"
        self.secrets, self.maybe_secrets = [], []  # the acknowledged one; those asked for since
        self.keys = {}  # id: "adding", "there", "removing", "gone"
        self.ids = collections.OrderedDict()  # request id: None, or the answer's body

    def note(self, *words):
        with self.lock:
            self.file.write(json.dumps(words) + "\n")
            self.file.flush()
            os.fsync(self.file.fileno())

    def forget_old(self):
        """Live tokens and ids past a bound: a round is to take as long as the one before it."""
        with self.lock:
            while len(self.tokens) > KEPT_TOKENS:
                self.tokens.popitem(last=False)
            while len(self.ids) > KEPT_IDS:
                self.ids.popitem(last=False)
            self.keys = {k: state for k, state in self.keys.items() if state != "gone"}


class Effects:
    """The upstream's record, read on from where it was read last."""

    def __init__(self, path):
        self.path, self.at = path, 0
        self.by_target, self.spent, self.last_key = collections.Counter(), 0, None

    def read(self):
        if not os.path.exists(self.path):
            return
        with open(self.path, encoding="ascii") as file:
            file.seek(self.at)
            while (line := file.readline()).endswith("\n"):
                self.at += len(line)
                entry = json.loads(line)
                self.by_target[entry["target"]] += 1
                headers = {name.lower(): value for name, value in entry["headers"]}
                self.last_key = headers.get("authorization", "").removeprefix("Bearer ")
                if entry["method"] == "POST":
                    self.spent += int(base64.b64decode(entry["body"]).decode().split("=")[1])


class Soak:
    def __init__(self, folder, seed):
        self.random = random.Random(seed)
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.recorder = upstreams.Recorder(os.path.join(self.folder, "recorder"),
                                           {"*": {"body": "{}"}})
        self.host = Host(os.path.join(self.folder, "state"))
        self.desk = Curve()
        self.ledger = Ledger(os.path.join(self.folder, "ledger.jsonl"))
        self.effects = Effects(self.recorder.log)
        self.counts = collections.Counter()
        self.unexpected = []
        self.n_ids = 0

    def close(self):
        self.host.stop(expect=None)
        self.recorder.stop()
        self.ledger.file.close()

    def set_up(self):
        self.host.start()
        first = canary("sk_test_")
        self.host.key_add("main", "stripe", {"upstream": self.recorder.url}, {"api_key": first})
        self.ledger.secrets = [first]
        self.host.write_policy("soak.scope", POLICY % self.desk.public)
        self.host.reload()
        with self.host.client(self.desk) as desk:
            self.spender = desk.ok("issue", scope="spender")["token"]

    # ---- the load ----

    def issue_and_revoke(self, client):
        ledger = self.ledger
        live = [token for token, state in ledger.tokens.items() if state == "live"]
        if len(live) < 4 or self.random.random() < 0.6:
            ledger.note("issue")
            token = client.ok("issue", scope="open")["token"]
            ledger.tokens[token] = "live"
            ledger.note("issued", token)
        else:
            token = self.random.choice(live)
            ledger.tokens[token] = "revoking"
            ledger.note("revoke", token)
            client.ok("revoke", token=token)
            ledger.tokens[token] = "revoked"
            ledger.note("revoked", token)

    def call(self, client):
        ledger, dice = self.ledger, self.random.random()
        live = [token for token, state in ledger.tokens.items() if state == "live"]
        if dice < 0.3:
            amount = self.random.randint(1, 30)
            ledger.note("spend", amount)
            client.ask("proxy", token=self.spender, method="POST", url=CHARGES, headers=FORM,
                       body=b"amount=%d" % amount)
        elif live:
            with ledger.lock:
                self.n_ids += 1
                name = "id-%d" % self.n_ids
            token = self.random.choice(live)
            ledger.ids[name] = (token, None)
            ledger.note("call", name)
            reply = client.ask("proxy", token=token, method="GET", url=CHARGES + "/" + name, id=name)
            if reply["ok"]:
                ledger.ids[name] = (token, reply["body"])
                ledger.note("called", name)
            else:
                del ledger.ids[name]  # revoked meanwhile, say

    def administer(self, admin):
        ledger, dice = self.ledger, self.random.random()
        there = [key for key, state in ledger.keys.items() if state == "there"]
        if dice < 0.4:
            fresh = canary("sk_test_")
            ledger.maybe_secrets.append(fresh)
            ledger.note("rotate")
            admin.ok("key.rotate", id="main", secrets={"api_key": fresh})
            ledger.secrets, ledger.maybe_secrets = [fresh], []
            ledger.note("rotated")
        elif dice < 0.6:
            name = "key-%s" % secrets.token_hex(4)
            ledger.keys[name] = "adding"
            ledger.note("add", name)
            admin.ok("key.add", id=name, provider="stripe", settings={"upstream": self.recorder.url},
                     secrets={"api_key": canary("sk_test_")})
            ledger.keys[name] = "there"
            ledger.note("added", name)
        elif dice < 0.8 and there:
            name = self.random.choice(there)
            ledger.keys[name] = "removing"
            ledger.note("remove", name)
            admin.ok("key.remove", id=name)
            ledger.keys[name] = "gone"
            ledger.note("removed", name)
        else:
            ledger.note("reload")
            admin.ok("policy.reload")

    def work(self, make, step):
        with make() as client:
            while not self.stopping.is_set():
                try:
                    step(client)
                    self.counts[step.__name__] += 1
                except Refused as refused:
                    self.unexpected.append("%s: %s" % (step.__name__, refused))
                    return
                except (AssertionError, NoAnswer):
                    return  # it was killed

    def load(self, seconds):
        self.stopping = threading.Event()
        steps = [(lambda: self.host.client(self.desk, step_ms=20), self.issue_and_revoke),
                 (lambda: self.host.client(self.desk, step_ms=20), self.call),
                 (lambda: self.host.client(self.desk, step_ms=20), self.call),
                 (lambda: self.host.admin(step_ms=20), self.administer)]
        threads = [threading.Thread(target=self.work, args=pair) for pair in steps]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self.host.process.kill()
        self.host.process.wait()
        self.stopping.set()
        for thread in threads:
            thread.join()
        self.host.clients = []
        if self.unexpected:
            raise Broken("a step was refused: %s" % self.unexpected[0])

    # ---- what has to hold ----

    def want(self, holds, what):
        self.counts["promises"] += 1
        if not holds:
            raise Broken(what)

    def check_tokens(self, client):
        for token, state in list(self.ledger.tokens.items()):
            reply = client.ask("check", token=token, method="GET", url=CHARGES + "/x")
            code = "ok" if reply["ok"] and reply.get("allowed", True) else \
                (reply.get("error") or {}).get("code") or reply.get("code")
            self.want(code in {"live": ("ok",), "revoked": ("token_revoked",),
                               "revoking": ("ok", "token_revoked")}[state],
                      "a token that is %s: %s" % (state, code))
            if state == "revoking":
                self.ledger.tokens[token] = "live" if code == "ok" else "revoked"

    def check_ids(self, client):
        for name, (token, body) in list(self.ledger.ids.items()):
            n = self.effects.by_target["/v1/charges/" + name]
            self.want(n <= 1, "request id %s had %d effects" % (name, n))
            self.want(body is None or n == 1, "request id %s was answered and had no effect" % name)
            if body is None or self.ledger.tokens.get(token) != "live":
                continue
            reply = client.ask("proxy", token=token, method="GET", url=CHARGES + "/" + name, id=name)
            self.want(reply["ok"] and reply["body"] == body,
                      "request id %s is not answered as it was: %r" % (name, reply.get("error")))
            self.effects.read()
            self.want(self.effects.by_target["/v1/charges/" + name] == 1,
                      "request id %s was sent again" % name)

    def check_keys(self, client, admin):
        ledger = self.ledger
        listed = {key["id"] for key in admin.ok("key.list")["keys"]}
        for name, state in list(ledger.keys.items()):
            there = name in listed
            self.want(there or state != "there", "the key %s is gone" % name)
            self.want(not there or state != "gone", "the key %s is back" % name)
            ledger.keys[name] = "there" if there else "gone"
        live = next((token for token, state in ledger.tokens.items() if state == "live"), None)
        if live:
            client.ok("proxy", token=live, method="GET", url=CHARGES + "/probe")
            self.effects.read()
            used = self.effects.last_key
            self.want(used in ledger.secrets + ledger.maybe_secrets,
                      "the key in use is neither the acknowledged one nor one asked for since")
            ledger.secrets, ledger.maybe_secrets = [used], []

    def check_files(self):
        left = [name for _, _, names in os.walk(self.host.dir) for name in names
                if ".tmp" in name or name.endswith((".new", ".part"))]
        self.want(not left, "temporary files are left: %s" % left)

    def check_store(self):
        """Of a copy, with its log: a host that runs has the store for itself alone."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("store.db", "store.db-wal"):
                if os.path.exists(os.path.join(self.host.dir, name)):
                    shutil.copy(os.path.join(self.host.dir, name), folder)
            store = sqlite3.connect(os.path.join(folder, "store.db"))
            said = store.execute("PRAGMA integrity_check").fetchall()
            store.close()
        self.want(said == [("ok",)], "the store is damaged: %s" % said)

    def check_audit(self):
        out = self.host.cli("audit", "verify", "--head", expect=None)
        self.want(out.startswith("verified"), "the audit does not verify: %s" % out)

    def check(self, whole):
        self.effects.read()
        self.want(self.effects.spent <= BUDGET,
                  "%d went out of a budget of %d" % (self.effects.spent, BUDGET))
        with self.host.client(self.desk) as client, self.host.admin() as admin:
            self.check_tokens(client)
            self.check_ids(client)
            self.check_keys(client, admin)
        self.check_files()
        if whole:
            self.check_audit()
        self.ledger.forget_old()

    # ---- rounds ----

    def one(self, number):
        dice = self.random.random()
        if dice < 0.15:  # amid the start
            self.host.launch()
            time.sleep(self.random.uniform(0, 0.15))
            self.host.kill9()
            self.counts["kills_at_start"] += 1
        if number % 10 == 0:
            self.check_store()
        self.host.start()
        self.check(whole=number % 10 == 0)
        self.load(self.random.uniform(0.01, 0.3))
        self.counts["kills"] += 1

    def run(self, rounds, progress=lambda number, counts: None):
        self.set_up()
        self.host.kill9()
        for number in range(1, rounds + 1):
            self.one(number)
            progress(number, self.counts)
        self.check_store()
        self.host.start()
        self.check(whole=True)
        return dict(self.counts, spent=self.effects.spent)
