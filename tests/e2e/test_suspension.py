"""T30: the third answer that holds the key suspends the root token, until an administrator lifts it."""
import time

import pytest
from test_http import bearer, curl
from test_http_stream import EVENTS, Stream, encodings
from world import CHARGE, world

SETTINGS = {"http local": {"listen": "127.0.0.1:0", "mode": "provider stripe"}}
CAVEAT = "allow GET https://api.stripe.com/v1/charges/*"


@pytest.fixture
def w(tmp_path, recorder):
    with world(tmp_path, recorder.url, settings=SETTINGS) as made:
        made.recorder = recorder
        made.port = int(made.host.http_at("local").rsplit(":", 1)[1])
        yield made


def get(w, token):
    return curl(w.host.http_at("local") + "/v1/charges/ch_1", *bearer(token))


def code(w, token):
    return get(w, token).json().get("code", "ok")


def hit(w, token, times):
    """So often the upstream sends the key back."""
    w.recorder.answer({"*": {"echo": True}})
    for _ in range(times):
        assert code(w, token) == "response_blocked"
    w.recorder.answer({"*": {"body": "{}"}})


def listed(w, token):
    with w.as_agent() as agent:
        root = agent.ok("inspect", token=token)["root"]
    return next(one for one in w.host.cli_json("token", "list")["tokens"] if one["root"] == root)


def test_T30_the_third_hit_suspends_the_root_and_its_children_through_kill_9(w):
    token, other = w.issue(), w.issue()
    child = w.host.cli("token", "narrow", "--with", CAVEAT, stdin=token.encode()).strip()
    hit(w, token, 1)
    hit(w, child, 1)
    assert code(w, token) == "ok" and listed(w, token)["guard_hits"] == 2
    hit(w, token, 1)
    before = len(w.recorder.requests())
    for each in (token, child):
        refusal = get(w, each)
        assert (refusal.status, refusal.json()["code"]) == (403, "token_suspended")
        assert refusal.header("x-should-retry") == "false" and not refusal.json()["retryable"]
        assert refusal.header("content-type").startswith("application/problem+json")
        with w.as_agent() as agent:
            assert agent.refused("proxy", token=each, method="GET", url=CHARGE)["code"] == "token_suspended"
            assert agent.ok("check", token=each, method="GET", url=CHARGE)["code"] == "token_suspended"
    assert len(w.recorder.requests()) == before and code(w, other) == "ok"
    assert code(w, token[:-2] + ("AA" if token[-2:] != "AA" else "BB")) == "token_invalid"
    w.host.kill9()
    w.host.start()
    w.port = int(w.host.http_at("local").rsplit(":", 1)[1])
    assert code(w, token) == "token_suspended" and code(w, other) == "ok"
    row = listed(w, token)
    assert row["guard_key"] == "stripe-main" and abs(row["suspended"] / 1000 - time.time()) < 60
    assert "suspended" not in listed(w, other)
    with w.as_agent() as agent:
        assert agent.ok("inspect", token=token)["suspended"] == row["suspended"]
    # An administrator lifts it by the token, which stays here, or by its id; the count begins again.
    assert w.host.cli_json("token", "resume", stdin=token.encode())["root"] == row["root"]
    hit(w, token, 2)
    assert code(w, token) == "ok"
    hit(w, token, 1)
    assert code(w, token) == "token_suspended"
    w.host.cli("token", "resume", row["root"])
    assert code(w, token) == "ok"
    w.host.cli("token", "resume", "00" * 16, expect=1)
    w.host.cli("token", "resume", stdin=b"no token", expect=2)
    w.host.cli("token", "resume", "--no-such", expect=2)
    types = [record["type"] for record in w.host.audit_records() if record.get("root") == row["root"]]
    assert types.count("guard") == 6 and types.count("suspend") == 2 and types.count("resume") == 2


@pytest.mark.alone
def test_T66_a_suspension_cuts_the_streams_that_run_within_a_second(w):
    token = w.token = w.issue("open")
    w.recorder.answer({"*": {"headers": EVENTS, "chunks": [[0, "data: 1\n\n"], [8000, "data: 2\n\n"]]}})
    stream = Stream(w)
    assert stream.chunk() == b"data: 1\n\n"
    hit(w, token, 3)
    began = time.monotonic()
    assert stream.chunk() is None and time.monotonic() - began < 1.5


def test_T30_a_hit_counts_wherever_in_a_stream_it_is(w):
    answers = [{"headers": [*EVENTS, ["x-echo", w.key]], "chunks": [[0, "x"]]}]
    for text in encodings(w.key):
        answers.append({"headers": EVENTS, "chunks": [[0, "data: 1\n\n"], [5, text[:7]], [5, text[7:]]]})
    for answer in answers:
        w.token = w.issue("open")
        w.recorder.answer({"*": answer})
        stream = Stream(w)
        if stream.status == 200:
            assert not stream.rest()[1]
        assert listed(w, w.token)["guard_hits"] == 1, answer
    # A client that leaves is none.
    w.token = w.issue("open")
    w.recorder.answer({"*": {"headers": EVENTS, "chunks": [[0, "data: 1\n\n"]] * 3}})
    Stream(w).close()
    assert Stream(w).rest()[1] and "guard_hits" not in listed(w, w.token)


def test_an_answer_that_was_stored_is_not_given_to_a_suspended_token(w):
    token = w.issue("open")
    w.recorder.answer({"*": {"body": "{}"}})
    with w.as_agent() as agent:
        call = {"token": token, "method": "GET", "url": CHARGE, "id": "once"}
        assert agent.ok("proxy", **call)["status"] == 200
        hit(w, token, 3)
        assert agent.refused("proxy", **call)["code"] == "token_suspended"
