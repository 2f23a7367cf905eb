"""A short run of tests/soak: what holds there for a thousand rounds is looked at in each run of the tests."""
import json
import os
import signal
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "soak"))
import ledger  # noqa: E402 # they stand beside this folder
import rounds  # noqa: E402


@pytest.fixture
def soak(tmp_path):
    made = rounds.Soak(tmp_path / "soak", seed=11)
    yield made
    made.close()


@pytest.fixture
def loaded(soak):
    """One with a call of each kind acknowledged, four live tokens and a fifth that is revoked."""
    soak.set_up()
    with soak.host.client(soak.desk) as desk:
        for _ in range(5):
            soak.ledger.set_token(desk.ok("issue", scope="open")["token"], "live")
        for token, amount in ((soak.ledger.live()[0], 0), (soak.ledger.purse.tokens[0], 7)):
            asked = soak.ledger.ask(token, amount)
            soak.ledger.told(asked, desk.ok("proxy", **asked.fields())["body"])
        last = soak.ledger.live()[-1]
        desk.ok("revoke", token=last)
        soak.ledger.set_token(last, "revoked")
    soak.check(whole=False)
    soak.ledger.maybe_secrets = []
    return soak


@pytest.mark.alone
def test_T39_random_kills_lose_nothing_that_was_acknowledged(soak):
    counts = soak.run(12)
    assert counts["kills"] == 12 and counts["promises"] > 100 and counts["least_promises"] > 0
    assert min(counts[step] for step in ("issued", "called", "spent", "rotated")) > 0
    assert counts["looks_retried"] > 0


def record_again(soak, method):
    """As if the upstream had seen it once more."""
    with open(soak.recorder.log, encoding="ascii") as file:
        line = next(line for line in file if json.loads(line)["method"] == method)
    with open(soak.recorder.log, "a", encoding="ascii") as file:
        file.write(line)


def never_answered(soak):
    """As if the host had made a call and forgotten it: the same again is then a second one."""
    asked = soak.ledger.ask(soak.ledger.live()[0])
    with soak.host.client(soak.desk) as desk:
        fields = asked.fields()
        del fields["id"]
        desk.ok("proxy", **fields)


def revive(soak):
    """As if a revocation had been lost; the token of another stands for it."""
    soak.ledger.set_token(soak.ledger.live()[0], "revoked")


def lose_token(soak):
    soak.ledger.set_token("spt_" + "A" * 64, "live")


def spend_too_much(soak):
    for _ in range(ledger.BUDGET // 7):
        record_again(soak, "POST")


def lose_answer(soak):
    asked = next(asked for asked in soak.ledger.ids.values() if not asked.purse)
    asked.body = b"another answer"


def lose_effect(soak):
    soak.ledger.told(soak.ledger.ask(soak.ledger.live()[0]), b"{}")


@pytest.mark.parametrize("lie, says", [
    (revive, "a token that is revoked: ok"),
    (lose_token, "a token that is live: token_invalid"),
    (lambda soak: soak.ledger.set_key("never-added", "there"), "is gone"),
    (lambda soak: soak.ledger.set_key("main", "gone"), "is back"),
    (lambda soak: soak.ledger.secrets.__setitem__(0, "sk_test_other"), "the key in use"),
    (lose_effect, "was answered and had no effect"),
    (lose_answer, "is not answered as it was"),
    (lambda soak: record_again(soak, "GET"), "had 2 effects"),
    (never_answered, "was asked for again and had 2 effects"),
    (lambda soak: record_again(soak, "POST"), "7 was asked for, and 14 went out"),
    (spend_too_much, "went out of a budget of 5000"),
])
def test_a_promise_that_did_not_hold_would_be_seen(loaded, lie, says):
    lie(loaded)
    with pytest.raises(rounds.Broken, match=says):
        loaded.check(whole=False)


def test_a_refusal_where_the_budget_has_room_would_be_seen(loaded):
    asked = loaded.ledger.ask(loaded.ledger.purse.tokens[0], 30)
    with pytest.raises(rounds.Broken, match="30 was refused of a budget of which at most 7 of 5000"):
        loaded.ledger.refused(asked)


def test_a_host_that_ends_by_itself_would_be_seen(loaded):
    loaded.host.signal(signal.SIGABRT)
    loaded.host.process.wait()
    with pytest.raises(rounds.Broken, match="(?s)ended by itself, with -6:.* ready "):
        loaded.load(0.01)


def test_one_that_crashes_under_load_would_be_seen(loaded):
    timer = threading.Timer(0.2, loaded.host.signal, [signal.SIGSEGV])
    timer.start()
    with pytest.raises(rounds.Broken, match="ended by itself"):
        loaded.load(2)
    timer.join()


def test_a_load_that_breaks_would_be_seen(loaded, monkeypatch):
    monkeypatch.setattr(loaded, "call", lambda client: {}["no such"])
    monkeypatch.setattr(loaded.call, "__name__", "call", raising=False)
    with pytest.raises(rounds.Broken, match="the load failed: call: KeyError"):
        loaded.load(0.3)


def test_a_load_that_dries_up_would_be_seen(loaded):
    before = loaded.counts.copy()
    loaded.counts.update({name: 1 for name in rounds.HAPPENS if name != "spent"})
    with pytest.raises(rounds.Broken, match="in 50 rounds there was no spent$"):
        loaded.want_all_happened(before)


def test_an_empty_budget_is_followed_by_another(loaded):
    with loaded.host.client(loaded.desk) as desk:
        begun = time.monotonic()
        while not loaded.ledger.purse.is_empty:
            asked = loaded.ledger.ask(loaded.ledger.purse.tokens[0], 1000)
            reply = desk.ask("proxy", **asked.fields())
            if reply["ok"]:
                loaded.ledger.told(asked, reply["body"])
            else:
                assert reply["error"]["code"] == "budget_exceeded"
                loaded.ledger.refused(asked)
            assert time.monotonic() - begun < 60
    loaded.check(whole=False)
    assert loaded.ledger.purse.number == 2 and loaded.effects.spent == {1: 4007}
    loaded.load(0.5)
    assert loaded.ledger.purse.possible > 0 and not loaded.ledger.purse.is_empty
