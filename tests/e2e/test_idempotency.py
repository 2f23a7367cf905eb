"""Idempotency keys upstream: one root token's own, and made where a client sent none."""
import pytest
from world import FORM, REFUNDS, world

BODY = b"charge=ch_1&amount=5&reason=duplicate"


@pytest.fixture
def w(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}"}})
    with world(tmp_path, recorder.url) as made:
        made.agent = made.as_agent()
        made.recorder = recorder
        yield made


def sent(w, token, headers=(), **fields):
    """The Idempotency-Key that the upstream saw."""
    assert w.agent.ok("proxy", token=token, method="POST", url=REFUNDS, body=BODY,
                      headers=[*FORM.items(), *headers], **fields)["status"] == 200
    seen = {name.lower(): value for name, value in w.recorder.requests()[-1]["headers"]}
    return seen.get("idempotency-key")


def test_T9_a_clients_key_finds_no_answer_of_another_token(w):
    first, second = w.issue(), w.issue()
    mine = [["Idempotency-Key", "order-77"]]
    keys = [sent(w, first, mine), sent(w, first, mine), sent(w, second, mine),
            sent(w, first, [["Idempotency-Key", "order-78"]])]
    assert keys[0] == keys[1] and len(set(keys)) == 3
    assert all(len(key) == 48 and "order" not in key for key in keys)


def test_one_is_made_of_the_request_id(w):
    first, second = w.issue(), w.issue()
    assert sent(w, first) is None
    keys = [sent(w, first, id="a"), sent(w, first, id="b"), sent(w, second, id="a")]
    assert all(keys) and len(set(keys)) == 3
    n = len(w.recorder.requests())
    sent(w, first, id="a")  # the stored answer
    assert len(w.recorder.requests()) == n


def test_what_was_not_sent_goes_out_with_the_same_key(w):
    token = w.issue()
    made = sent(w, token, id="again")
    w.host.cli("key", "set", "stripe-main", "--set", "upstream=http://127.0.0.1:9")
    error = w.agent.refused("proxy", token=token, method="POST", url=REFUNDS, body=BODY,
                            headers=list(FORM.items()), id="later")
    assert error["retryable"]
    w.host.cli("key", "set", "stripe-main", "--set", "upstream=" + w.recorder.url)
    later = sent(w, token, id="later")
    assert later and later != made
