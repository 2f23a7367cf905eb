"""System calls of a running host that fail (tests/faults is preloaded into it)."""
import pytest
from lib import build_file, is_sanitized
from world import world

pytestmark = pytest.mark.skipif(is_sanitized(), reason="a sanitizer must be loaded first")


def test_T41_a_failed_fsync_stops_writing(tmp_path, recorder):
    armed = tmp_path / "armed"
    armed.write_bytes(b"0")
    env = {"LD_PRELOAD": build_file("tests", "libfaults.so"), "SALLYPORT_FAULTS": str(armed)}
    with world(tmp_path, recorder.url, env=env) as w:
        acknowledged = w.issue()
        with armed.open("r+b", buffering=0) as file:
            file.write(b"1")
        with w.host.client(w.desk) as desk:
            errors = [desk.refused("issue", scope="support") for _ in range(3)]
        # The disk failed once; nobody is told afterwards that it holds what it may not hold.
        assert armed.read_bytes() == b"0"
        assert {error["code"] for error in errors} == {"audit_unavailable"}, errors
        assert "fdatasync" in errors[0]["reason"], errors
        w.host.kill9()
        w.host.start()
        w.host.cli("audit", "verify")
        with w.as_agent() as agent:
            assert not agent.ok("inspect", token=acknowledged)["expired"]
        assert w.issue()
