"""The main path over real sockets: a key is registered, a scope compiled, a token issued, and calls
made with it; and every way past it that the design names is refused."""
import os
import threading
import time

import pytest
import upstreams
from lib import Curve, NoAnswer, Refused, occurrences
from world import CHARGE, FORM, REFUNDS, world

GOOD = b"charge=ch_1&amount=4000&reason=duplicate"


def flipped(token):
    """The token with one bit of its middle changed."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = len(token) // 2
    return token[:at] + alphabet[alphabet.index(token[at]) ^ 1] + token[at + 1:]


@pytest.fixture
def w(tmp_path, recorder):
    recorder.answer({"*": {"body": '{"id": "ch_1"}'}})
    with world(tmp_path, recorder.url) as made:
        made.recorder = recorder
        yield made


def test_a_call_carries_the_key_and_nothing_of_the_client(w):
    reply = w.as_agent().ok("proxy", token=w.issue(), method="GET", url=CHARGE,
                            headers={"accept": "application/json"})
    assert reply["status"] == 200 and reply["body"] == b'{"id": "ch_1"}'
    seen = w.recorder.requests()[0]
    headers = {name.lower(): value for name, value in seen["headers"]}
    assert seen["target"] == "/v1/charges/ch_1" and headers["host"] == "api.stripe.com"
    assert headers["authorization"] == "Bearer " + w.key
    assert b"spt_" not in seen["head"]


def test_a_judged_body_goes_upstream_byte_for_byte(w):
    w.as_agent().ok("proxy", token=w.issue(), method="POST", url=REFUNDS, headers=FORM, body=GOOD)
    assert w.recorder.requests()[0]["body"] == GOOD


@pytest.mark.parametrize("method, url, body, code", [
    ("POST", REFUNDS, b"charge=ch_1&amount=5001&reason=duplicate", "not_allowed"),
    ("POST", REFUNDS, b"charge=ch_1&reason=duplicate", "not_allowed"),
    ("POST", REFUNDS, b"charge=ch_1&amount=05&reason=duplicate", "not_allowed"),
    ("POST", REFUNDS, b"charge=ch_1&amount=1&amount=2&reason=duplicate", "not_allowed"),
    ("POST", REFUNDS, GOOD + b"&expand=x", "not_allowed"),
    ("DELETE", CHARGE, None, "not_allowed"),
    ("POST", CHARGE + "/capture", b"", "denied"),
    ("GET", "https://api.stripe.com/v1/charges/%2e%2e", None, "bad_request"),
    ("GET", "https://example.com/v1/charges/ch_1", None, "key_not_in_scope"),
    ("get", CHARGE, None, "bad_request"),
])
def test_what_the_scope_does_not_allow_never_reaches_the_upstream(w, method, url, body, code):
    fields = {"token": w.issue(), "method": method, "url": url, "headers": FORM}
    if body is not None:
        fields["body"] = body
    error = w.as_agent().refused("proxy", **fields)
    assert error["code"] == code, error
    assert w.recorder.requests() == []


def test_a_refusal_names_the_nearest_rule_and_what_failed(w):
    error = w.as_agent().refused("proxy", token=w.issue(), method="POST", url=REFUNDS,
                                 headers=FORM, body=GOOD.replace(b"4000", b"5001"))
    assert error["rule"] == "refund" and "amount" in error["reason"] and not error["retryable"]


def test_another_key_is_refused(w):
    error = w.as_agent().refused("proxy", token=w.issue(), method="GET", url=CHARGE,
                                 key="stripe-other")
    assert error["code"] == "key_not_in_scope"


def test_T1_an_unknown_client_gets_no_answer_and_a_client_cannot_issue(w):
    with pytest.raises(NoAnswer):
        w.host.client(Curve(), timeout=2).ask("status")
    assert w.as_agent().refused("issue", scope="support")["code"] == "not_permitted"
    assert w.host.client(w.desk).refused("key.list")["code"] == "unknown_op"
    with pytest.raises(NoAnswer):
        w.host.admin(w.desk, timeout=2).ask("status")


def test_T10_a_flipped_and_a_cut_token_get_the_same_refusal(w):
    token, agent = w.issue(), w.as_agent()
    errors = [agent.refused("proxy", token=bad, method="GET", url=CHARGE)
              for bad in (flipped(token), token[:-1], "spt_", "nonsense")]
    assert {error["code"] for error in errors} == {"token_invalid"}
    assert all(error == errors[0] for error in errors)


def test_T11_a_bound_token_works_for_its_client_alone(w):
    token = w.issue(bind=w.agent.public)
    assert w.as_agent().ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
    error = w.host.client(w.desk).refused("proxy", token=token, method="GET", url=CHARGE)
    assert error["code"] == "token_binding"


def test_T12_an_expired_token_is_refused(w):
    token = w.issue(ttl="1s")
    time.sleep(1.1)
    error = w.as_agent().refused("proxy", token=token, method="GET", url=CHARGE)
    assert error["code"] == "token_expired"


def test_T9_the_same_id_again_has_one_upstream_effect(w):
    token, agent = w.issue(), w.as_agent()
    call = {"token": token, "method": "POST", "url": REFUNDS, "headers": FORM, "body": GOOD}
    first = agent.ok("proxy", id="r-1", **call)
    again = agent.ok("proxy", id="r-1", **call)
    assert again["body"] == first["body"] and again["replayed"] is True
    other = {**call, "body": GOOD.replace(b"4000", b"1")}
    assert agent.refused("proxy", id="r-1", **other)["code"] == "conflict"
    assert len(w.recorder.requests()) == 1


def test_T15_the_call_over_the_rate_is_refused_with_the_time_to_wait(tmp_path, recorder):
    with world(tmp_path, recorder.url, rate="5/min") as w:
        tokens, agent = [w.issue(), w.issue()], w.as_agent()
        for number in range(5):
            agent.ok("proxy", token=tokens[number % 2], method="GET", url=CHARGE)
        error = agent.refused("proxy", token=w.issue(), method="GET", url=CHARGE)
        assert error["code"] == "rate_limited" and error["retryable"] is True
        assert 0 < error["retry_after_ms"] <= 60000
        assert len(recorder.requests()) == 5


def test_the_json_form_means_exactly_what_it_says(w):
    form = {"allowedKeyIds": ["stripe-main"], "allowedProviders": ["stripe"],
            "allowedMethods": ["GET"], "allowedDomains": ["api.stripe.com"],
            "rateLimitPerMinute": 2, "expiresIn": "4h"}
    token, agent = w.issue(form), w.as_agent()
    call = {"token": token, "method": "GET", "url": "https://api.stripe.com/v1/anything"}
    assert agent.ok("proxy", **call)["status"] == 200
    assert agent.refused("proxy", **{**call, "method": "POST"})["code"] == "not_allowed"
    assert agent.ok("proxy", **call)["status"] == 200
    assert agent.refused("proxy", **call)["code"] == "rate_limited"
    for wider in ({"allowedMethods": ["GET", "DELETE"]}, {"allowedKeyIds": ["stripe-other"]},
                  {"allowedDomains": ["files.stripe.com"]}, {"expiresIn": "5h"}):
        with pytest.raises(Refused) as refused:
            w.issue({**form, **wider})
        assert refused.value.code == "not_granted", wider


def test_a_rotated_key_is_used_by_the_same_token(w):
    token, agent = w.issue(), w.as_agent()
    agent.ok("proxy", token=token, method="GET", url=CHARGE)
    with w.host.admin() as admin:
        admin.ok("key.rotate", id="stripe-main", secrets={"api_key": "sk_test_rotated0123456789"})
    agent.ok("proxy", token=token, method="GET", url=CHARGE)
    sent = [dict(seen["headers"]) for seen in w.recorder.requests()]
    sent = [{name.lower(): value for name, value in headers.items()} for headers in sent]
    assert [headers["authorization"] for headers in sent] == [
        "Bearer " + w.key, "Bearer sk_test_rotated0123456789"]


def test_T39_after_kill_9_the_token_works_and_the_revoked_one_does_not(w):
    token, gone = w.issue(), w.issue()
    w.host.client(w.desk).ok("revoke", token=gone)
    w.host.kill9()
    w.host.start()
    agent = w.as_agent()
    assert agent.ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
    error = agent.refused("proxy", token=gone, method="GET", url=CHARGE)
    assert error["code"] == "token_revoked"
    w.host.cli("audit", "verify", "--head")


def test_T20_a_broken_policy_keeps_the_old_one(w):
    token = w.issue()
    w.host.write_policy("broken.scope", "sallyport 1\nscope x { key nobody allow }\n")
    with pytest.raises(Refused) as refused:
        w.host.reload()
    assert "broken.scope" in str(refused.value.error)
    w.host.reload_by_signal()
    w.host.await_log("broken.scope")
    assert w.as_agent().ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
    assert w.issue()


def test_the_audit_tells_each_call_and_a_changed_byte_is_named(w):
    agent, token = w.as_agent(), w.issue()
    agent.ok("proxy", token=token, method="GET", url=CHARGE)
    agent.refused("proxy", token=token, method="DELETE", url=CHARGE)
    w.host.stop()
    kinds = [record["type"] for record in w.host.audit_records()]
    assert kinds.count("intent") == 1 and kinds.count("outcome") == 1 and "denied" in kinds
    w.host.cli("audit", "verify")
    folder = w.host.dir + "/audit"
    path = os.path.join(folder, sorted(n for n in os.listdir(folder) if n.endswith(".jsonl"))[0])
    with open(path, "r+b") as file:
        data = file.read()
        at = data.index(b'"type":"intent"') + len(b'"type":"int')
        file.seek(at)
        file.write(bytes([data[at] ^ 1]))
    w.host.cli("audit", "verify", expect=1)


def test_the_keys_are_nowhere_but_upstream(w):
    token, agent = w.issue(), w.as_agent()
    replies = [agent.raw_reply("proxy", token=token, method="GET", url=CHARGE),
               agent.raw_reply("inspect", token=token), agent.raw_reply("status"),
               agent.raw_reply("proxy", token=token, method="PUT", url=CHARGE)]
    assert all(w.key.encode() not in reply for reply in replies)
    for name in ("environ", "cmdline"):
        with open("/proc/%d/%s" % (w.host.pid, name), "rb") as file:
            assert w.key.encode() not in file.read()
    w.host.stop()
    assert occurrences(w.key, w.host.dir, w.host.log_path) == []
    # The same search does find it where it must be.
    assert occurrences(w.key, w.recorder.log) == [w.recorder.log]


def test_against_the_loopback_stripe_and_github(tmp_path):
    with upstreams.stripe() as stripe, upstreams.github("ghp_" + "Aa1" * 12) as github:
        with world(tmp_path, stripe.url) as w:
            w.host.key_add("bot", "github", {"upstream": github.url},
                           {"token": "ghp_" + "Aa1" * 12})
            w.host.write_policy("bot.scope", """sallyport 1
scope issues {
  key bot
  ttl 1h
  @list allow GET https://api.github.com/repos/acme/site/issues
}
principal bots {
  curve "%s"
  may issue issues for 1h
}
""" % w.agent.public)
            # The agent's key is the bots' principal's: a key has one role.
            w.host.write_policy("world.scope", open(w.host.dir + "/policy/world.scope").read()
                                .replace('client agent { curve "%s" }' % w.agent.public, ""))
            w.host.reload()
            agent = w.as_agent()
            token = w.issue()
            assert agent.ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 404
            bot = agent.ok("issue", scope="issues")["token"]
            url = "https://api.github.com/repos/acme/site/issues"
            reply = agent.ok("proxy", token=bot, method="GET", url=url)
            assert reply["status"] == 200 and reply["body"].startswith(b"[")
            error = agent.refused("proxy", token=bot, method="GET",
                                  url=url.replace("acme/site", "octocat/hello-world"))
            assert error["code"] == "not_allowed"


def cut_off(w, end, **issue):
    """A call that the upstream would answer after 20 s; end(token) ends its token meanwhile."""
    w.recorder.answer({"*": {"body": "{}", "delay_ms": 20000}})
    token, outcome = w.issue(**issue), {}

    def call():
        start = time.monotonic()
        outcome["error"] = w.as_agent().refused("proxy", token=token, method="GET", url=CHARGE)
        outcome["after"] = time.monotonic() - start

    caller = threading.Thread(target=call)
    caller.start()
    try:
        begun = time.monotonic()
        while not w.recorder.requests():
            assert time.monotonic() - begun < 10
            time.sleep(0.02)
        end(token)
    finally:
        caller.join(30)
    return outcome


@pytest.mark.alone
def test_T66_a_revocation_cuts_the_call_that_is_under_way(w):
    ended = {}

    def revoke(token):
        w.host.client(w.desk).ok("revoke", token=token)
        ended["at"] = time.monotonic()

    outcome = cut_off(w, revoke)
    assert outcome["error"]["code"] == "token_revoked"
    assert time.monotonic() - ended["at"] < 2  # it is cut within a second; the rest is the test's
    assert "while the call was under way" in outcome["error"]["reason"]


def test_T66_expiry_cuts_the_call_that_is_under_way(w):
    outcome = cut_off(w, lambda token: None, ttl="2s")
    assert outcome["error"]["code"] == "token_expired"
    assert outcome["after"] < 5


def test_T66_the_end_of_a_caveat_cuts_the_call_that_is_under_way(w):
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
    outcome = cut_off(w, lambda token: None, narrow='until "%s"' % until)
    assert outcome["error"]["code"] == "token_expired"
    assert outcome["after"] < 6
