"""The short form of tests/soak/run, and that it would see what it looks for."""
import copy
import os
import socket
import sys
import types

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "soak"))
import samples  # noqa: E402 # they stand beside this folder
import steady  # noqa: E402
from lib import is_instrumented  # noqa: E402

pytestmark = pytest.mark.skipif(is_instrumented(), reason="its memory is the instruments'")
SECONDS = 20
# A busy machine is no worse at keeping its memory: what is asked for is little, and may be late.
EASY = {"share": 0.2, "held": 0.3, "probe_s": 2, "every_s": 2}


@pytest.fixture
def soak(tmp_path):
    made = []

    def make(seconds):
        made.append(steady.Soak(tmp_path / "soak", seconds, **EASY))
        return made[0]
    yield make
    made[0].close()


@pytest.mark.slow
@pytest.mark.alone
def test_a_host_under_load_takes_no_more_and_more(soak):
    report = soak(SECONDS).run()
    assert report["broken"] == [], report
    assert report["calls"] > 500 and report["warm_up_s"] < SECONDS / 2
    assert min(report["beside"][code] for code in ("ok", "not_allowed", "token_revoked", "http_401")) > 3
    assert report["audit_bytes_per_call"] > 300 and report["zmq"]["p99_ms"] > 0


@pytest.mark.slow
@pytest.mark.alone
def test_connections_that_are_left_would_be_seen(soak, monkeypatch):
    held, step = [], steady.Churn.step

    def leaving(self, number):
        held.append(socket.create_connection(("127.0.0.1", self.soak.http_port)))
        step(self, number)

    monkeypatch.setattr(steady.Churn, "step", leaving)
    report = soak(12).run()
    for one in held:
        one.close()
    assert len(report["broken"]) == 1 and report["broken"][0].startswith("descriptors grew from")


@pytest.mark.slow
@pytest.mark.alone
def test_an_answer_that_is_an_error_would_be_seen(soak, monkeypatch):
    monkeypatch.setitem(steady.OK_200, "http", b"HTTP/1.1 201")
    with pytest.raises(steady.Failed, match="(?s)the first wrong reply: HTTP/1.1 200"):
        soak(5).run()


@pytest.mark.slow
@pytest.mark.alone
def test_one_beside_the_load_would_be_seen(soak, monkeypatch):
    monkeypatch.setattr(steady, "narrow", lambda token, caveat: token)
    with pytest.raises(steady.Failed, match="beside the load: ok, and not not_allowed"):
        soak(30).run()


GOOD = {"growth_mib": 7.9, "descriptors": (170, 170), "threads": (5, 5), "upstream_connections": 130,
        "zmq": {"per_s": 990, "of": 1000}, "http": {"per_s": 1000, "of": 1000}}


@pytest.mark.parametrize("change, says", [
    ({}, []),
    ({"growth_mib": 8}, ["resident memory grew by 8.00 MiB"]),
    ({"descriptors": (170, 171)}, ["descriptors grew from 170 to 171"]),
    ({"descriptors": (170, 160)}, []),
    ({"threads": (5, 6)}, ["threads grew from 5 to 6"]),
    ({"upstream_connections": 400}, ["400 connections to the upstream"]),
    ({"http": {"per_s": 900, "of": 1000}}, ["http fell behind: 900 of 1000 a second"]),
])
def test_what_the_report_may_say(change, says):
    assert steady.verdict({**copy.deepcopy(GOOD), **change}, 0.95) == says


def sampled(values):
    made = samples.Samples()
    made.all = [types.SimpleNamespace(at=at, rss=value) for at, value in enumerate(values)]
    return made


def test_what_a_warm_up_takes_is_no_growth_and_what_creeps_is():
    warm = int(samples.warm_up_s(1000))
    assert warm == 100 and samples.warm_up_s(3600) == 360 and samples.warm_up_s(60) == 20
    level = sampled([min(at, warm) for at in range(1000)])
    assert level.medians("rss", 1000) == [100, 100] and level.per_hour("rss", 1000) == 0
    creeping = sampled([at / 10 for at in range(1000)])
    first, last = creeping.medians("rss", 1000)
    assert 79 < last - first < 81 and round(creeping.per_hour("rss", 1000)) == 360
    high_once = sampled([100] * 998 + [900, 100])
    assert high_once.medians("rss", 1000) == [100, 100]
