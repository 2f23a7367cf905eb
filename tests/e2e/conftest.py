"""Lets every test here import `lib` (its helpers) and `upstreams` (tests/upstreams)."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "upstreams")]


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: left out where time is short (under TSan)")
    config.addinivalue_line("markers", "alone: measures, so nothing else runs meanwhile")


@pytest.fixture
def host(tmp_path):
    """A running host with no keys and no policy, in a folder that goes away."""
    from lib import Host
    with Host(tmp_path / "state") as running:
        running.start()
        yield running


@pytest.fixture
def recorder(tmp_path):
    """An upstream that writes down what reaches it (tests/upstreams/recorder.py)."""
    import upstreams
    with upstreams.Recorder(str(tmp_path / "recorder")) as running:
        yield running


@pytest.fixture
def ledger(tmp_path, recorder):
    """A world in whose host calls of libc can be made to fail, and what it acknowledged."""
    from fault_world import FaultWorld, Ledger
    from lib import Faults
    from world import world
    recorder.answer({"*": {"body": '{"id": "ch_1"}'}})
    with Faults(tmp_path / "faults") as faults:
        with world(tmp_path, recorder.url, rate="100000/min", env=faults.env, kind=FaultWorld) as w:
            w.recorder = recorder
            yield Ledger(w, faults)
