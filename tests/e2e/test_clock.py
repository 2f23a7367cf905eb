"""A wall clock that jumps while the host runs, and while it does not (tests/faults is preloaded into it)."""
import time

import pytest
from lib import is_instrumented
from world import CHARGE

pytestmark = pytest.mark.skipif(is_instrumented(), reason="nothing stands before libc there")
HOUR_S, DAY_S = 3600, 86400
LIFE_S = 2


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S, DAY_S])
def test_T53_a_clock_that_jumps_neither_ends_a_life_nor_lengthens_it(ledger, jump_s):
    """Life goes by the boot clock while the machine runs, through a restart of the host as well."""
    w, faults = ledger.w, ledger.faults
    short, long = w.issue(ttl=LIFE_S), w.issue(ttl="30m")
    issued = time.monotonic()
    assert ledger.agent.ok("check", token=short, method="GET", url=CHARGE)["allowed"]
    faults.put("wall_s", jump_s)
    fresh = w.issue(ttl=LIFE_S)
    fresh_at = time.monotonic()
    assert ledger.agent.ok("proxy", token=long, method="GET", url=CHARGE)["status"] == 200
    if time.monotonic() - issued < LIFE_S - 0.5:
        assert ledger.agent.ok("check", token=short, method="GET", url=CHARGE)["allowed"]
    time.sleep(max(0, fresh_at + LIFE_S + 0.1 - time.monotonic()))
    for token in (short, fresh):
        assert ledger.agent.refused("proxy", token=token, method="GET", url=CHARGE)["code"] \
            == "token_expired"
    assert ledger.agent.ok("proxy", token=long, method="GET", url=CHARGE)["status"] == 200
    for now in (jump_s, 0, -jump_s):  # and back, and beyond, over restarts
        w.host.kill9()
        faults.put("wall_s", now)
        w.host.start()
        with w.as_agent() as agent:
            for token in (short, fresh):
                error = agent.refused("proxy", token=token, method="GET", url=CHARGE)
                assert error["code"] in ("token_expired", "token_invalid"), error
            check_long(agent, long, jump_s)
    w.host.cli("audit", "verify")


def check_long(agent, token, jump_s):
    """Half an hour is not over; after a jump of a day it may have been tidied away."""
    reply = agent.ask("proxy", token=token, method="GET", url=CHARGE)
    assert reply["ok"] or (abs(jump_s) >= DAY_S and reply["error"]["code"] == "token_invalid"), reply


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_T53_a_clock_that_jumps_gives_no_rate_back(ledger, jump_s):
    w = ledger.w
    w.write_policy("rate  %(rate)s", "rate  3/min")
    w.host.reload()
    token = w.issue()
    for _ in range(3):
        assert ledger.agent.ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
    ledger.faults.put("wall_s", jump_s)
    assert ledger.agent.refused("proxy", token=token, method="GET", url=CHARGE)["code"] == "rate_limited"
