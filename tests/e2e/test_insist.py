"""`insist`: a scope for test keys acts on no live one, whatever the key was rotated to."""
import pytest
from lib import canary
from world import CHARGE, World, world


class Insists(World):
    POLICY = """sallyport 1
scope careful {
  key stripe-main
  insist livemode = false
  ttl 1h
  allow GET https://api.stripe.com/v1/charges/*
}
scope beside {
  key stripe-other
  ttl 1h
  allow GET https://api.stripe.com/v1/charges/*
}
principal desk { curve "%(desk)s" may issue careful for 1h may issue beside for 1h }
client agent { curve "%(agent)s" }
"""
    SCOPE = "careful"


@pytest.fixture
def w(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}"}})
    with world(tmp_path, recorder.url, kind=Insists) as made:
        made.recorder = recorder
        yield made


def assert_refused(w):
    with w.host.admin() as admin:
        assert "E124" in admin.refused("policy.reload")["detail"]


def rotate(w, secret):
    w.host.cli("key", "rotate", "stripe-main", "--secret", "api_key", stdin=secret.encode())


def test_T61_a_key_that_was_rotated_to_a_live_one_is_refused_at_once(w):
    token, agent = w.issue(), w.as_agent()
    get = {"token": token, "method": "GET", "url": CHARGE}
    assert agent.ok("proxy", **get)["status"] == 200
    rotate(w, canary("rk_live_"))
    for error in agent.refused("proxy", **get), agent.ok("check", **get):
        assert error["code"] == "key_not_in_scope"
        assert 'insists on livemode = "false"' in error["reason"] and '"true"' in error["reason"]
    with w.host.client(w.desk) as desk:
        assert desk.refused("issue", scope="careful")["code"] == "key_not_in_scope"
    narrow = {"allowedKeyIds": ["stripe-main"], "allowedMethods": ["GET"],
              "allowedDomains": ["api.stripe.com"], "expiresIn": "5m"}
    with w.host.client(w.desk) as desk:
        desk.refused("issue", json=narrow)
    assert_refused(w)
    assert len(w.recorder.requests()) == 1
    rotate(w, canary("rk_test_"))
    assert agent.ok("proxy", **get)["status"] == 200
    w.host.restart()
    agent = w.as_agent()
    assert agent.ok("proxy", **get)["status"] == 200
    # neither true nor false
    rotate(w, canary("sk_"))
    error = agent.refused("proxy", **get)
    assert error["code"] == "key_not_in_scope" and "not set" in error["reason"]
    assert len(w.recorder.requests()) == 3
    w.host.cli("audit", "verify", "--head")


def test_T61_a_host_that_starts_beside_a_key_of_the_other_kind_has_its_whole_policy(w):
    token, beside = w.issue(), w.issue(scope="beside")
    rotate(w, canary("rk_live_"))
    w.host.restart()
    agent = w.as_agent()
    get = {"method": "GET", "url": CHARGE}
    assert agent.ok("proxy", token=beside, **get)["status"] == 200
    assert agent.ok("proxy", token=w.issue(scope="beside"), **get)["status"] == 200
    error = agent.refused("proxy", token=token, **get)
    assert error["code"] == "key_not_in_scope" and 'insists on livemode = "false"' in error["reason"]
    with w.host.client(w.desk) as desk:
        assert desk.refused("issue", scope="careful")["code"] == "key_not_in_scope"
    assert len(w.recorder.requests()) == 2
    # loud: in the log, in status, in doctor
    assert "warning[E124]" in w.host.log() and "policy.held" in w.host.log()
    (held,) = w.host.cli_json("status")["policy_held"]
    assert held.startswith("careful: ") and 'for key stripe-main it is "true"' in held
    assert "FAIL every scope's keys are what it insists on: careful: " in w.host.cli(
        "doctor", expect=1)
    # what newly brings a mismatch is refused as ever, and the policy stays
    w.write_policy("key stripe-other\n", "key stripe-other\n  insist livemode = true\n")
    assert_refused(w)
    assert agent.ok("proxy", token=beside, **get)["status"] == 200
    w.write_policy()
    rotate(w, canary("rk_test_"))
    assert w.host.cli_json("status")["policy_held"] == []
    w.host.cli("reload")
    assert agent.ok("proxy", token=token, **get)["status"] == 200


def test_a_policy_that_names_a_key_of_the_other_kind_does_not_compile(w):
    w.write_policy("livemode = false", "livemode = true")
    assert_refused(w)
    w.write_policy("livemode = false", 'stripe_account = "acct_1"')
    assert_refused(w)
    w.host.cli("key", "set", "stripe-main", "--set", "stripe_account=acct_1")
    w.host.cli("reload")
