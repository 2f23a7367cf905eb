"""A short run of tests/soak: what holds there for a thousand rounds is looked at in each run of the tests."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "soak"))
import rounds  # noqa: E402 # it stands beside this folder


@pytest.fixture
def soak(tmp_path):
    made = rounds.Soak(tmp_path / "soak", seed=11)
    yield made
    made.close()


@pytest.mark.alone
def test_T39_random_kills_lose_nothing_that_was_acknowledged(soak):
    counts = soak.run(12)
    assert counts["kills"] == 12 and counts["promises"] > 100
    assert min(counts[step] for step in ("issue_and_revoke", "call", "administer")) > 5


@pytest.mark.parametrize("lie, says", [
    (lambda ledger: ledger.tokens.update({next(iter(ledger.tokens)): "revoked"}), "a token that is"),
    (lambda ledger: ledger.keys.update({"never-added": "there"}), "is gone"),
    (lambda ledger: ledger.keys.update({"main": "gone"}), "is back"),
    (lambda ledger: ledger.secrets.__setitem__(0, "sk_test_other"), "the key in use"),
    (lambda ledger: ledger.ids.update({"id-0": ("", b"{}")}), "had no effect"),
])
def test_a_promise_that_did_not_hold_would_be_seen(soak, lie, says):
    soak.set_up()
    with soak.host.client(soak.desk) as desk:
        for _ in range(4):
            soak.ledger.tokens[desk.ok("issue", scope="open")["token"]] = "live"
    soak.check(whole=False)
    soak.ledger.maybe_secrets = []
    lie(soak.ledger)
    with pytest.raises(rounds.Broken, match=says):
        soak.check(whole=False)
