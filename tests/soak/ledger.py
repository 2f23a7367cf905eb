"""What was asked for, what was acknowledged, and what the upstream saw of it.

The ledger lies outside of the host's folder. A step is written into it before it is asked for, and
again when its answer is there; so of each step it is known whether it was acknowledged, was not
asked for, or may have happened. Load threads write it while others read: each method takes the lock.
"""
import base64
import collections
import json
import os
import threading

BUDGET = 5000
KEPT_TOKENS, KEPT_IDS = 40, 30
CHARGES = "/v1/charges/"


class Broken(Exception):
    """A promise that did not hold."""


class Asked:
    """A call with a request id; told: "open" (no answer came), "answered", "unknown"."""

    def __init__(self, name, token, purse=None, amount=0):
        self.name, self.token, self.purse, self.amount = name, token, purse, amount
        self.told, self.body = "open", None

    def fields(self):
        """The same request each time; what a host takes for another under this id is a conflict."""
        url = "https://api.stripe.com" + CHARGES + self.name
        if self.purse is None:
            return {"token": self.token, "method": "GET", "url": url, "id": self.name}
        return {"token": self.token, "method": "POST", "url": url, "id": self.name,
                "headers": {"content-type": "application/x-www-form-urlencoded"},
                "body": b"amount=%d" % self.amount}


class Purse:
    """A budget and the tokens that draw on it; possible: what may have been spent of it so far."""

    def __init__(self, number, tokens):
        self.number, self.tokens = number, tokens
        self.possible, self.is_empty = 0, False


class Ledger:
    """The file is for whoever looks into a failure."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.lock = threading.RLock()
        self.tokens = collections.OrderedDict()  # token: "live", "revoking", "revoked"
        self.secrets, self.maybe_secrets = [], []  # the acknowledged one; those asked for since
        self.keys = {}  # id: "adding", "there", "removing", "gone"
        self.ids = collections.OrderedDict()  # request id: Asked
        self.purse = None
        self.n_ids = 0

    def note(self, *words):
        with self.lock:
            self.file.write(json.dumps(words) + "\n")
            self.file.flush()
            os.fsync(self.file.fileno())

    def set_token(self, token, state):
        with self.lock:
            self.tokens[token] = state
        self.note(state, token)

    def live(self):
        with self.lock:
            return [token for token, state in self.tokens.items() if state == "live"]

    def set_key(self, name, state):
        with self.lock:
            self.keys[name] = state
        self.note(state, name)

    def ask(self, token, amount=0):
        """A call that is about to be made; of the purse where it has an amount."""
        with self.lock:
            self.n_ids += 1
            purse = self.purse if amount else None
            name = ("p%d-id-%d" % (purse.number, self.n_ids)) if purse else "id-%d" % self.n_ids
            asked = self.ids[name] = Asked(name, token, purse, amount)
            if purse:
                purse.possible += amount
        self.note("call", name, amount)
        return asked

    def told(self, asked, body):
        with self.lock:
            asked.told, asked.body = "answered", body
        self.note("called", asked.name)

    def refused(self, asked):
        """Its budget had no room, which is a lie where all that may have been spent leaves room."""
        with self.lock:
            del self.ids[asked.name]
            purse = asked.purse
            if purse is None:
                return
            rightly, purse.is_empty = purse.possible > BUDGET, True
            purse.possible -= asked.amount
        self.note("no room", asked.name)
        if not rightly:
            raise Broken("%d was refused of a budget of which at most %d of %d was spent"
                         % (asked.amount, purse.possible, BUDGET))

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
        self.by_name, self.spent = collections.Counter(), collections.Counter()
        self.last_key = None

    def read(self):
        if not os.path.exists(self.path):
            return
        with open(self.path, encoding="ascii") as file:
            file.seek(self.at)
            while (line := file.readline()).endswith("\n"):
                self.at += len(line)
                entry = json.loads(line)
                name = entry["target"].removeprefix(CHARGES)
                self.by_name[name] += 1
                headers = {name.lower(): value for name, value in entry["headers"]}
                self.last_key = headers.get("authorization", "").removeprefix("Bearer ")
                if entry["method"] == "POST":
                    amount = int(base64.b64decode(entry["body"]).decode().split("=")[1])
                    self.spent[int(name[1:].split("-")[0])] += amount
