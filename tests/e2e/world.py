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
    def __init__(self, host, rate):
        self.host = host
        self.desk, self.agent = Curve(), Curve()
        self.key = canary("sk_test_")
        host.write_policy("world.scope", POLICY % {"rate": rate, "desk": self.desk.public,
                                                   "agent": self.agent.public})

    def issue(self, scope="support", **fields):
        """A token, issued by the desk."""
        with self.host.client(self.desk) as desk:
            return desk.ok("issue", scope=scope, **fields)["token"]

    def as_agent(self):
        return self.host.client(self.agent)


@contextlib.contextmanager
def world(folder, upstream, rate="1000/min", **host_options):
    """upstream: the URL that calls to api.stripe.com are delivered to."""
    with Host(folder / "state", **host_options) as host:
        host.start()
        made = World(host, rate)
        host.key_add("stripe-main", "stripe", {"upstream": upstream}, {"api_key": made.key})
        host.key_add("stripe-other", "stripe", {"upstream": upstream},
                     {"api_key": canary("sk_test_")})
        host.reload()
        yield made
