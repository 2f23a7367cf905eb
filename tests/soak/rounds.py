"""Rounds of kill -9: a host under load is killed at a random moment, started again on what it left,
and held to all that it had acknowledged (ledger.py).

    acknowledged token      works after the kill; acknowledged as revoked: refused for good
    revocation not answered either way, and the same way from then on
    rotation                the upstream gets the last acknowledged key, or one asked for since
    key added, removed      is there, is not there
    request id              at most one effect upstream; answered: exactly one, and the same answer;
                            not answered: asked for again, and then one of the two, or outcome_unknown
    budget                  what reached the upstream never sums up to more than it, and nothing is
                            refused for which there is room; an empty one is followed by another
    always                  the store is whole, the audit verifies, nothing temporary is left behind,
                            the host ends where it is killed and nowhere else
"""
import collections
import os
import random
import re
import secrets
import shutil
import sqlite3
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "e2e"), os.path.join(HERE, "..", "upstreams")]
from lib import Curve, Host, canary  # noqa: E402
from ledger import BUDGET, Broken, Effects, Ledger, Purse  # noqa: E402
import upstreams  # noqa: E402

WINDOW = 50  # rounds in which each of these happens, or the soak shows nothing
HAPPENS = ("issued", "revoked", "called", "spent", "rotated", "key_added", "key_removed", "reloaded",
           "looks_tokens", "looks_ids", "looks_retried", "looks_keys", "looks_budget")
POLICY = """sallyport 1

scope open {
  key  main
  ttl  4h

  @any allow GET https://api.stripe.com/v1/charges/*
}

scope till-%d {
  key  main
  ttl  4h

  @pay allow POST https://api.stripe.com/v1/charges/* where body.amount in 1..1000
         budget sum(body.amount) <= %d per day
}

principal desk {
  curve "%s"
  may issue open for 4h
  may issue till-%d for 4h
}
"""
URL = "https://api.stripe.com/v1/charges/"


class Killed(Exception):
    """No answer will come: the host is gone."""


class Soak:
    def __init__(self, folder, seed):
        self.random = random.Random(seed)
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        # Each answer is another, so that "the same" means something.
        self.recorder = upstreams.Recorder(os.path.join(self.folder, "recorder"),
                                           {"*": {"body": "{\"at\": NOW}"}})
        self.host = Host(os.path.join(self.folder, "state"))
        self.desk = Curve()
        self.ledger = Ledger(os.path.join(self.folder, "ledger.jsonl"))
        self.effects = Effects(self.recorder.log)
        self.counts = collections.Counter()
        self.n_purses = 0
        self.faults = []  # of load threads
        self.stopping = threading.Event()

    def close(self):
        self.host.stop(expect=None)
        self.recorder.stop()
        self.ledger.file.close()

    def set_up(self):
        self.host.start()
        first = canary("sk_test_")
        self.host.key_add("main", "stripe", {"upstream": self.recorder.url}, {"api_key": first})
        self.ledger.secrets = [first]
        self.fill_purse()

    def fill_purse(self):
        """A budget that nobody has spent of, and two tokens that share it."""
        number = self.n_purses = self.n_purses + 1
        self.host.write_policy("soak.scope", POLICY % (number, BUDGET, self.desk.public, number))
        self.host.reload()
        with self.host.client(self.desk) as desk:
            self.ledger.purse = Purse(number, [desk.ok("issue", scope="till-%d" % number)["token"]
                                               for _ in range(2)])

    # ---- the load ----

    def issue_and_revoke(self, client):
        live = self.ledger.live()
        if len(live) < 4 or self.random.random() < 0.6:
            self.ledger.note("issue")
            self.ledger.set_token(client.ok("issue", scope="open")["token"], "live")
            self.counts["issued"] += 1
        else:
            token = self.random.choice(live)
            self.ledger.set_token(token, "revoking")
            client.ok("revoke", token=token)
            self.ledger.set_token(token, "revoked")
            self.counts["revoked"] += 1

    def call(self, client):
        ledger, live = self.ledger, self.ledger.live()
        if self.random.random() < 0.3:
            asked = ledger.ask(self.random.choice(ledger.purse.tokens), self.random.randint(1, 30))
        elif live:
            asked = ledger.ask(self.random.choice(live))
        else:
            return
        reply = client.ask("proxy", **asked.fields())
        if reply["ok"]:
            ledger.told(asked, reply["body"])
            self.counts["spent" if asked.purse else "called"] += 1
        elif reply["error"]["code"] == "budget_exceeded" and asked.purse:
            ledger.refused(asked)
        elif reply["error"]["code"] == "token_revoked" and asked.token not in ledger.live():
            ledger.refused(asked)
        else:
            raise Broken("a call was refused: %s" % reply["error"])

    def administer(self, admin):
        ledger, dice = self.ledger, self.random.random()
        there = [key for key, state in ledger.keys.items() if state == "there"]
        if dice < 0.4:
            fresh = canary("sk_test_")
            ledger.maybe_secrets.append(fresh)
            ledger.note("rotate")
            admin.ok("key.rotate", id="main", secrets={"api_key": fresh})
            ledger.secrets, ledger.maybe_secrets = [fresh], []
            self.counts["rotated"] += 1
        elif dice < 0.6:
            name = "key-%s" % secrets.token_hex(4)
            ledger.set_key(name, "adding")
            admin.ok("key.add", id=name, provider="stripe", settings={"upstream": self.recorder.url},
                     secrets={"api_key": canary("sk_test_")})
            ledger.set_key(name, "there")
            self.counts["key_added"] += 1
        elif dice < 0.8 and there:
            name = self.random.choice(there)
            ledger.set_key(name, "removing")
            admin.ok("key.remove", id=name)
            ledger.set_key(name, "gone")
            self.counts["key_removed"] += 1
        else:
            ledger.note("reload")
            admin.ok("policy.reload")
            self.counts["reloaded"] += 1

    def gone(self):
        if self.host.process.poll() is not None:
            raise Killed

    def work(self, make, step):
        """A step until the host is killed. What else ends a thread fails the round."""
        try:
            with make() as client:
                client.check_alive = self.gone
                while not self.stopping.is_set():
                    step(client)
        except Killed:
            pass
        except BaseException as why:  # a thread that ends unheard would leave rounds without load
            self.faults.append("%s: %s: %s" % (step.__name__, type(why).__name__, why))

    def kill(self):
        """Kill it, and tell whether it was our kill that ended it."""
        before = self.host.process.poll()
        self.host.process.kill()
        self.host.process.wait()
        if before is not None or self.host.process.returncode != -9:
            raise Broken("sallyportd ended by itself, with %d:\n%s"
                         % (self.host.process.returncode, self.host.log()[-8000:]))
        errors = re.findall(r"^\S+ error .*", self.host.log(), re.M)
        self.want("log", not errors, "sallyportd logged errors: %s" % errors[:3])

    def load(self, seconds):
        self.stopping.clear()
        steps = [(lambda: self.host.client(self.desk, step_ms=20), self.issue_and_revoke),
                 (lambda: self.host.client(self.desk, step_ms=20), self.call),
                 (lambda: self.host.client(self.desk, step_ms=20), self.call),
                 (lambda: self.host.admin(step_ms=20), self.administer)]
        threads = [threading.Thread(target=self.work, args=pair) for pair in steps]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        try:
            self.kill()
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join()
        self.host.clients = []  # each was its thread's to close
        if self.faults:
            raise Broken("the load failed: %s" % self.faults[0])

    # ---- what has to hold ----

    def want(self, kind, holds, what):
        self.counts["looks_" + kind] += 1
        if not holds:
            raise Broken(what)

    def check_tokens(self, client):
        for token, state in list(self.ledger.tokens.items()):
            reply = client.ask("check", token=token, method="GET", url=URL + "x")
            code = "ok" if reply["ok"] and reply.get("allowed", True) else \
                (reply.get("error") or {}).get("code") or reply.get("code")
            self.want("tokens", code in {"live": ("ok",), "revoked": ("token_revoked",),
                                         "revoking": ("ok", "token_revoked")}[state],
                      "a token that is %s: %s" % (state, code))
            if state == "revoking":
                self.ledger.set_token(token, "live" if code == "ok" else "revoked")

    def check_ids(self, client):
        for asked in list(self.ledger.ids.values()):
            n = self.effects.by_name[asked.name]
            self.want("ids", n <= 1, "request id %s had %d effects" % (asked.name, n))
            self.want("ids", asked.told != "answered" or n == 1,
                      "request id %s was answered and had no effect" % asked.name)
            if asked.purse or self.ledger.tokens.get(asked.token) == "live":
                self.ask_again(client, asked)
                self.effects.read()
                n = self.effects.by_name[asked.name]
                self.want("ids", n == 1 if asked.told == "answered" else n <= 1,
                          "request id %s was asked for again and had %d effects" % (asked.name, n))

    def ask_again(self, client, asked):
        """As a client does that saw no answer, and as one does that forgot it."""
        reply = client.ask("proxy", **asked.fields())
        code = "ok" if reply["ok"] else reply["error"]["code"]
        if asked.told == "answered":
            self.want("ids", code == "ok" and reply["body"] == asked.body and reply.get("replayed"),
                      "request id %s is not answered as it was: %s" % (asked.name, code))
        elif asked.told == "unknown":
            self.want("ids", code == "outcome_unknown",
                      "request id %s is known all at once: %s" % (asked.name, code))
        elif code == "ok":
            self.ledger.told(asked, reply["body"])
            self.counts["retried_replayed" if reply.get("replayed") else "retried_anew"] += 1
            self.counts["looks_retried"] += 1
        elif code == "budget_exceeded" and asked.purse and not self.effects.by_name[asked.name]:
            self.ledger.refused(asked)
            asked.told = "refused"
        else:
            self.want("retried", code == "outcome_unknown",
                      "request id %s was not answered, and then: %s" % (asked.name, code))
            asked.told = "unknown"
            self.counts["retried_unknown"] += 1

    def check_keys(self, client, admin):
        ledger = self.ledger
        listed = {key["id"] for key in admin.ok("key.list")["keys"]}
        for name, state in list(ledger.keys.items()):
            there = name in listed
            self.want("keys", there or state != "there", "the key %s is gone" % name)
            self.want("keys", not there or state != "gone", "the key %s is back" % name)
            ledger.set_key(name, "there" if there else "gone")
        live = ledger.live()
        if live:
            client.ok("proxy", token=live[0], method="GET", url=URL + "probe")
            self.effects.read()
            used = self.effects.last_key
            self.want("keys", used in ledger.secrets + ledger.maybe_secrets,
                      "the key in use is neither the acknowledged one nor one asked for since")
            ledger.secrets, ledger.maybe_secrets = [used], []

    def check_budgets(self):
        self.effects.read()
        for number, spent in self.effects.spent.items():
            self.want("budget", spent <= BUDGET, "%d went out of a budget of %d" % (spent, BUDGET))
            if number == self.ledger.purse.number:
                possible = self.ledger.purse.possible
                self.want("budget", spent <= possible,
                          "%d was asked for, and %d went out" % (possible, spent))

    def check_files(self):
        left = [name for _, _, names in os.walk(self.host.dir) for name in names
                if ".tmp" in name or name.endswith((".new", ".part"))]
        self.want("files", not left, "temporary files are left: %s" % left)

    def check_store(self):
        """Of a copy, with its log: a host that runs has the store for itself alone."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("store.db", "store.db-wal"):
                if os.path.exists(os.path.join(self.host.dir, name)):
                    shutil.copy(os.path.join(self.host.dir, name), folder)
            store = sqlite3.connect(os.path.join(folder, "store.db"))
            said = store.execute("PRAGMA integrity_check").fetchall()
            store.close()
        self.want("store", said == [("ok",)], "the store is damaged: %s" % said)

    def check_audit(self):
        out = self.host.cli("audit", "verify", "--head", expect=None)
        self.want("audit", out.startswith("verified"), "the audit does not verify: %s" % out)

    def check(self, whole):
        self.check_budgets()
        with self.host.client(self.desk) as client, self.host.admin() as admin:
            self.check_tokens(client)
            self.check_ids(client)
            self.check_keys(client, admin)
        self.check_budgets()
        self.check_files()
        if whole:
            self.check_audit()
        self.ledger.forget_old()
        if self.ledger.purse.is_empty:
            self.fill_purse()
            self.counts["purses"] += 1

    # ---- rounds ----

    def one(self, number):
        dice = self.random.random()
        if dice < 0.15:  # amid the start
            self.host.launch()
            time.sleep(self.random.uniform(0, 0.15))
            self.kill()
            self.counts["kills_at_start"] += 1
        if number % 10 == 0:
            self.check_store()
        self.host.start()
        self.check(whole=number % 10 == 0)
        self.load(self.random.uniform(0.01, 0.3))
        self.counts["kills"] += 1

    def looks(self):
        """At what was acknowledged; the store, the audit and the log are whole without any load."""
        return sum(self.counts["looks_" + kind] for kind in ("tokens", "ids", "retried", "keys", "budget"))

    def run(self, rounds, progress=lambda number, counts: None):
        self.set_up()
        self.host.kill9()
        looked, window = [], collections.Counter()
        for number in range(1, rounds + 1):
            before = self.looks()
            self.one(number)
            looked.append(self.looks() - before)
            if looked[-1] == 0 and number > 1:  # before the first there was no load
                raise Broken("round %d held the host to nothing" % number)
            if number % WINDOW == 0:
                self.want_all_happened(window)
                window = self.counts.copy()
            progress(number, self.counts)
        self.check_store()
        self.host.start()
        self.check(whole=True)
        return dict(self.counts, promises=self.looks(), least_promises=min(looked[1:], default=0),
                    spent_in_all=sum(self.effects.spent.values()))

    def want_all_happened(self, before):
        """A soak whose load has dried up holds every promise."""
        missing = [name for name in HAPPENS if self.counts[name] == before[name]]
        if missing:
            raise Broken("in %d rounds there was no %s" % (WINDOW, ", ".join(missing)))
