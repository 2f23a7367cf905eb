"""Calls of libc that fail in a running host, each in turn, once and for ever (tests/faults is preloaded
into it). In the suite a seeded sample of them; SALLYPORT_LONG=1 takes every one."""
import collections
import contextlib
import random
import subprocess

import pytest
from fault_world import (ANSWER_S, FLOWS, LONG, SEED, SHORT_S, STEP_MS, Start, said_where,
                         some_of)
from lib import NoAnswer, is_instrumented
from lib.faults import CLASSES
from world import CHARGE

pytestmark = pytest.mark.skipif(is_instrumented(), reason="nothing stands before libc there")
SAMPLE = {"memory": 2, "write": 2}  # of each flow and way; of other classes one


@pytest.mark.parametrize("kind", FLOWS, ids=lambda kind: kind.__name__.lower())
def test_T41_each_call_fails_in_turn_once_and_for_ever(ledger, kind):
    chosen, flow = random.Random(SEED), kind(ledger)
    counts = {}
    for _ in range(2):  # the first may prepare what is kept; the host is a new one each time
        flow.before()
        with ledger.faults.armed():
            assert flow.run()["ok"]
        counts = ledger.faults.counts()
        ledger.again()
    assert counts["memory"] and counts["poll"], counts
    told = collections.Counter()
    for name in CLASSES:
        for for_ever in (False, True):
            for nth in some_of(chosen, counts[name], SAMPLE.get(name, 1)):
                flow.before()
                where = "%s, %s %d, %s" % (kind.__name__, name, nth, "for ever" if for_ever else "once")
                with said_where(where):
                    with ledger.faults.armed([name], nth, for_ever):
                        reply = flow.run()
                    ledger.again()
                    flow.after()
                told[name, "nothing" if not reply else reply["ok"] or reply["error"]["code"]] += 1
                if LONG and reply and not reply["ok"]:
                    print(where, reply["error"]["code"], reply["error"]["reason"])
    flow.end()
    ledger.check_end()
    print(kind.__name__, counts, dict(told), "faults: %d" % sum(told.values()),
          "ended: %d" % ledger.ended)


def ask_in_vain(ledger, client):
    """An answer, none, or the end of the host; with a host that runs afterwards."""
    try:
        client.ask("status", timeout=SHORT_S)
        return
    except (NoAnswer, AssertionError):
        ledger.faults.disarm()
    with contextlib.suppress(subprocess.TimeoutExpired):
        ledger.host.process.wait(0.2)  # it may be about to
        ledger.again()


def test_T41_what_follows_half_an_answer_is_not_taken_for_its_rest(ledger):
    """Where there is no memory for an answer's body, nothing of it is sent: the next peer's answer would
    go to the peer whose answer was begun."""
    with ledger.faults.armed():
        ledger.agent.ok("status")
    for nth in range(1, ledger.faults.get("memory") + 1):
        with ledger.faults.armed(["memory"], nth):
            ask_in_vain(ledger, ledger.agent)
        assert ledger.faults.get("n_failed")
        assert ledger.desk.ask("status", timeout=ANSWER_S)["ok"], nth


def test_T41_a_call_that_memory_was_short_for_once_is_answered_soon(ledger):
    """Where libcurl could not even note its new socket, nobody watched it, and the call hung for a minute."""
    ledger.w.recorder.answer({"*": {"body": "{}", "close": True}})  # a new connection each time
    token, told = ledger.tokens[0], collections.Counter()
    with ledger.faults.armed():
        assert ledger.agent.ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
    for nth in range(1, ledger.faults.get("memory") + 1):
        with said_where("memory %d" % nth), ledger.faults.armed(["memory"], nth):
            reply = ledger.ask(ledger.agent, "proxy", token=token, method="GET", url=CHARGE)
        told["none" if not reply else reply["ok"] or reply["error"]["code"]] += 1
        if not reply or told["audit_unavailable"]:
            told["audit_unavailable"] = 0
            ledger.again()
    print(dict(told))
    assert told[True] and told["upstream_unreachable"] + told["upstream_failed"], told


def test_T41_a_handshake_without_memory_keeps_no_other_client_out(ledger):
    def connect():
        return ledger.host.client(ledger.w.agent, step_ms=STEP_MS)

    with ledger.faults.armed():
        assert connect().ok("status")
    for nth in some_of(random.Random(SEED), ledger.faults.get("memory"), 12):
        with ledger.faults.armed(["memory"], nth):
            ask_in_vain(ledger, connect())
        assert connect().ask("status", timeout=ANSWER_S)["ok"], nth


def test_T41_a_failed_fsync_stops_writing(ledger):
    w, faults = ledger.w, ledger.faults
    acknowledged = w.issue()
    with faults.armed(["sync"], 1):
        errors = [ledger.desk.refused("issue", scope="support") for _ in range(3)]
    # The disk failed once; nobody is told afterwards that it holds what it may not hold.
    assert faults.get("n_failed") == 1
    assert {error["code"] for error in errors} == {"audit_unavailable"}, errors
    assert "fdatasync" in errors[0]["reason"], errors
    # The same request may succeed later, but not before an operator did something: whoever asks again is
    # told so, and asks seldom. Where one record alone could not be made, nobody has to restart anything.
    errors += [ledger.agent.refused(op, **fields) for op, fields in (
        ("proxy", {"token": acknowledged, "method": "GET", "url": CHARGE}),
        ("revoke", {"token": acknowledged}))]
    for error in errors:
        assert error["code"] == "audit_unavailable" and error["retryable"], error
        assert "restart" in error["hint"] and error["retry_after_ms"] >= 10000, error
    ledger.again()
    ledger.check_end()
    with w.as_agent() as agent:
        assert not agent.ok("inspect", token=acknowledged)["expired"]
    assert w.issue()


def test_T41_what_fails_once_for_want_of_memory_does_not_ask_for_a_restart(ledger):
    for nth in range(1, 200):
        with ledger.faults.armed(["memory"], nth):
            reply = ledger.ask(ledger.desk, "issue", scope="support")
        error = reply["error"] if reply and not reply["ok"] else {}
        if error.get("code") == "audit_unavailable" and "retry_after_ms" not in error:
            assert "restart" not in error["hint"] and error["retryable"], error
            assert ledger.desk.ok("issue", scope="support")
            return
        if not reply or error.get("code") == "audit_unavailable":
            ledger.again()
    raise AssertionError("no record failed alone")


def test_T41_a_folder_that_cannot_be_read_to_its_end_is_not_taken_for_a_short_one(ledger):
    """Of the audit's, the next records would begin again at 1, and no later start would take the log."""
    start = Start(ledger)
    with ledger.faults.armed():
        assert start.run()["ok"]
    told = []
    for nth in range(1, ledger.faults.counts()["list"] + 1):
        with said_where("entry %d" % nth), ledger.faults.armed(["list"], nth):
            told.append(start.run())
    ledger.again()
    ledger.check_end()
    assert None in told, "not one start was refused"
