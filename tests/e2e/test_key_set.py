"""A key's settings are changed while it is in use: its secret, hosts and tokens stay."""
import json

import pytest
from world import CHARGE, world


@pytest.fixture
def w(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}"}})
    with world(tmp_path, recorder.url) as made:
        made.recorder = recorder
        yield made


def shown(w):
    return json.loads(w.host.cli("--json", "key", "show", "stripe-main"))


def test_a_setting_is_changed_and_dropped_while_tokens_go_on(w):
    token, agent = w.issue(), w.as_agent()
    before = shown(w)
    assert agent.ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
    w.host.cli("key", "set", "stripe-main", "--set", "stripe_account=acct_1")
    assert agent.ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
    after = shown(w)
    assert after["settings"]["stripe_account"] == "acct_1"
    assert after["settings"]["upstream"] == before["settings"]["upstream"]
    assert after["settings"].get("livemode") == before["settings"].get("livemode")
    assert after["version"] == before["version"] + 1
    assert after["rotated"] == before["rotated"] and after["hosts"] == before["hosts"]
    w.host.cli("key", "set", "stripe-main", "--unset", "stripe_account")
    assert agent.ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
    sent = [{name.lower(): value for name, value in seen["headers"]}
            for seen in w.recorder.requests()]
    assert [headers.get("stripe-account") for headers in sent] == [None, "acct_1", None]
    assert {headers["authorization"] for headers in sent} == {"Bearer " + w.key}
    w.host.stop()
    w.host.start()
    assert w.as_agent().ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
    w.host.cli("audit", "verify", "--head")


@pytest.mark.parametrize("change, words", [
    (["--set", "colour=blue"], "no setting 'colour'"),
    (["--set", "api_key=sk_test_1"], "it is a secret"),
    (["--set", "upstream=http://example.com"], "upstream"),
    (["--set", "livemode=true"], "read off the secret"),
    (["--unset", "livemode"], "cannot be unset"),
    (["--unset", "colour"], "cannot be unset"),
    (["--set", "stripe_version=soon"], "stripe_version"),
])
def test_what_is_refused_changes_nothing(w, change, words):
    before = shown(w)
    assert words in w.host.cli("key", "set", "stripe-main", *change, expect=2)
    assert shown(w) == before
    assert w.as_agent().ok("proxy", token=w.issue(), method="GET", url=CHARGE)["status"] == 200


def test_hosts_cannot_be_changed(w):
    w.host.key_add("any", "rest", {"host": "a.example", "style": "header", "name": "x-key"},
                   {"api_key": "k" * 20})
    assert "hosts" in w.host.cli("key", "set", "any", "--set", "host=b.example", expect=2)
    w.host.cli("key", "set", "any", "--set", "name=x-other")


def test_wrong_usage_and_unknown_keys(w):
    assert "--set" in w.host.cli("key", "set", "stripe-main", expect=2)
    assert "no key" in w.host.cli("key", "set", "nobody", "--set", "a=b", expect=1)
