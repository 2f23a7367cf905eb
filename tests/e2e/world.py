"""The small world that most tests here begin with: one Stripe key behind a recorder, a principal
(the desk), a client that is none (the agent), and a scope with a read, a judged write and a deny."""
import contextlib

from lib import Curve, Host, canary

POLICY = """sallyport 1

let reasons = {"duplicate", "requested_by_customer"}

scope support {
  key   stripe-main
  ttl   4h
  rate  %(rate)s

  @read      allow GET  https://api.stripe.com/v1/charges/*
  @refund    allow POST https://api.stripe.com/v1/refunds
               where body.charge starts "ch_" and body.amount in 1..5000
                 and body only {charge, amount, reason} and body.reason in reasons
  @nocapture deny * https://api.stripe.com/v1/charges/*/capture
}

scope open {
  key  stripe-main
  ttl  4h
  rate 1000/min

  @any allow {GET POST} https://api.stripe.com/**
}

principal desk {
  curve "%(desk)s"
  may issue support for 4h
  may issue open for 4h
}

client agent { curve "%(agent)s" }
"""
FORM = {"content-type": "application/x-www-form-urlencoded"}
CHARGE = "https://api.stripe.com/v1/charges/ch_1"
REFUNDS = "https://api.stripe.com/v1/refunds"


class World:
    POLICY, SCOPE = POLICY, "support"

    def __init__(self, host, **values):
        self.host = host
        self.desk, self.agent = Curve(), Curve()
        self.key = canary("sk_test_")
        self.values = {**values, "desk": self.desk.public, "agent": self.agent.public}
        self.write_policy()

    def write_policy(self, old="", new=""):
        """The world's policy, with something in it changed."""
        self.host.write_policy("world.scope", self.POLICY.replace(old, new) % self.values)

    def issue(self, scope=None, **fields):
        """A token, issued by the desk."""
        with self.host.client(self.desk) as desk:
            return desk.ok("issue", scope=scope or self.SCOPE, **fields)["token"]

    def as_agent(self):
        return self.host.client(self.agent)


@contextlib.contextmanager
def world(folder, upstream, rate="1000/min", kind=World, **host_options):
    """upstream: the URL that calls to api.stripe.com are delivered to. kind: a World."""
    with Host(folder / "state", **host_options) as host:
        host.start()
        made = kind(host, rate=rate)
        host.key_add("stripe-main", "stripe", {"upstream": upstream}, {"api_key": made.key})
        host.key_add("stripe-other", "stripe", {"upstream": upstream},
                     {"api_key": canary("sk_test_")})
        host.reload()
        yield made
