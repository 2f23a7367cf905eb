"""Disks that are full, read-only, slow, or that lie (tests/faults is preloaded into the host)."""
import contextlib
import errno
import os
import statistics
import subprocess
import threading
import time

import pytest
from fault_world import Ledger
from lib import Faults, Host, is_instrumented
from world import CHARGE, world

pytestmark = pytest.mark.skipif(is_instrumented(), reason="nothing stands before libc there")


# ---- a full disk ----------------------------------------------------------------------------


def check_full(ledger):
    """Nothing can be written: issue is refused, revoke takes effect and says what it is worth, and reads
    go on."""
    token, kept = ledger.tokens
    for _ in range(2):
        error = ledger.agent.refused("revoke", token=token)
        assert error["code"] == "audit_unavailable" and error["retryable"], error
        assert "until it restarts" in error["reason"], error
        assert ledger.agent.ok("check", token=kept, method="GET", url=CHARGE)["allowed"]
        judged = ledger.agent.ok("check", token=token, method="GET", url=CHARGE)
        assert not judged["allowed"] and judged["code"] == "token_revoked", judged
    error = ledger.desk.refused("issue", scope="support")
    assert error["code"] == "audit_unavailable" and error["retryable"], error
    n = len(ledger.w.recorder.requests())
    for one in (token, kept):
        assert ledger.agent.refused("proxy", token=one, method="GET", url=CHARGE)["code"] in (
            "audit_unavailable", "token_revoked")
    assert len(ledger.w.recorder.requests()) == n, "a key was used, and no record says so"
    assert ledger.agent.ok("inspect", token=token)["revoked"]
    assert not ledger.agent.ok("inspect", token=kept)["expired"]
    assert ledger.agent.ok("status") and ledger.admin.ok("status")
    assert {key["id"] for key in ledger.admin.ok("key.list")["keys"]} == ledger.keys
    assert "stripe-main" in ledger.host.cli("key", "list")


def check_room(ledger):
    """There is room again, and a restart: all goes on, and what was told is asked for once more."""
    token, kept = ledger.tokens
    ledger.tokens = [kept]
    ledger.again()
    assert ledger.agent.ok("revoke", token=token)
    ledger.revoked.append(token)
    ledger.tokens.append(ledger.w.issue())
    ledger.again()
    ledger.check_end()


def test_T40_a_full_disk_refuses_issue_and_lets_revoke_and_reads_go_on(ledger):
    ledger.tokens.append(ledger.w.issue())
    with ledger.faults.armed(["write", "sync", "truncate"], 1, True, errno.ENOSPC):
        check_full(ledger)
        assert ledger.faults.get("n_failed")
    check_room(ledger)


def test_T40_a_file_system_that_is_full(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}"}})
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", disk],
                      capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with Faults(tmp_path / "faults") as faults, world(
                disk, recorder.url, rate="100000/min", env=faults.env) as w:
            w.recorder = recorder
            ledger = Ledger(w, faults)
            ledger.tokens.append(w.issue())
            ballast = disk / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while file.write(bytes(4096)) == 4096:
                    pass
            for _ in range(10000):  # the last page of each file has room left
                if not ledger.ask(ledger.desk, "issue", scope="support")["ok"]:
                    break
            check_full(ledger)
            ballast.unlink()
            check_room(ledger)
    finally:
        subprocess.run(["umount", disk], check=True)


# ---- read-only ------------------------------------------------------------------------------


def test_T40_a_disk_that_turns_read_only_is_like_a_full_one(ledger):
    ledger.tokens.append(ledger.w.issue())
    with ledger.faults.armed(["write", "truncate", "name"], 1, True, errno.EROFS):
        check_full(ledger)
        assert ledger.faults.get("n_failed")
    check_room(ledger)


def test_T40_a_host_does_not_start_on_a_read_only_file_system_and_says_so(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", disk],
                      capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        host = Host(disk / "state")
        host.log_path = str(tmp_path / "log")
        host.start().stop()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        host.launch()
        assert host.process.wait(20) == 2
        assert "Read-only file system" in host.log(), host.log()
        assert "Read-only" in Host(disk / "other").cli("init", expect=2)
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        host.start().stop()
    finally:
        subprocess.run(["umount", disk], check=True)


# ---- slow -----------------------------------------------------------------------------------

SLOW_MS, AT_ONCE = 400, 16


def test_T39_on_a_slow_disk_who_waits_waits_together_and_reads_go_on(ledger):
    """An answer is later than the fsync that makes it true; sixteen at once share theirs."""
    w, took, checks = ledger.w, [], []
    clients = [w.host.client(w.desk) for _ in range(AT_ONCE)]
    for client in clients:
        client.ok("status")

    def issue(client):
        began = time.monotonic()
        ledger.tokens.append(client.ok("issue", scope="support")["token"])
        took.append(time.monotonic() - began)

    ledger.faults.put("sync_ms", SLOW_MS)
    with ledger.faults.armed():
        threads = [threading.Thread(target=issue, args=(client,)) for client in clients]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            asked = time.monotonic()
            assert ledger.agent.ok("check", token=ledger.tokens[0], method="GET", url=CHARGE)["allowed"]
            checks.append(time.monotonic() - asked)
            time.sleep(0.02)
        whole = time.monotonic() - began
        syncs = ledger.faults.counts()["sync"]
    ledger.faults.put("sync_ms", 0)
    print("%d issued in %.2f s by %d fsyncs of %d ms; a check took %.1f ms" % (
        AT_ONCE, whole, syncs, SLOW_MS, 1000 * statistics.median(checks)))
    assert len(took) == AT_ONCE and min(took) > SLOW_MS / 1000, took
    assert syncs < AT_ONCE, "each had an fsync of its own"
    assert statistics.median(checks) < SLOW_MS / 4000, "reads wait for the disk"
    assert not [t for t in ledger.tokens if ledger.agent.ok("inspect", token=t)["expired"]]
    ledger.again()  # killed: what was told is there
    ledger.check_end()


# ---- one that lies --------------------------------------------------------------------------


def use(ledger, n=3):
    for _ in range(n):
        token = ledger.w.issue()
        assert ledger.agent.ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
    return token


def check_stays_sealed(ledger, reason):
    """Failed, with the reason in log and status; no key is used, and it says so each time."""
    host, n = ledger.host, len(ledger.w.recorder.requests())
    for _ in range(2):
        host.start(state="failed")
        assert reason in host.log(), host.log()
        with host.admin() as admin:
            status = admin.ok("status")
            assert status["state"] == "failed" and reason in status["reason"], status
        with ledger.w.as_agent() as agent:
            assert not agent.ask("proxy", token=ledger.tokens[0], method="GET", url=CHARGE)["ok"]
        host.stop()
    assert len(ledger.w.recorder.requests()) == n


@pytest.mark.parametrize("way", ["lies", "changes"])
def test_T43_an_audit_whose_disk_lies_is_found_at_the_next_start(ledger, way):
    """Writes of which the disk said yes, and that are not there, or are another."""
    with ledger.faults.armed(["write"], 1, way == "lies", way=way, path="/audit/"):
        use(ledger)
        assert ledger.faults.get("n_failed")
    ledger.host.kill9()
    check_stays_sealed(ledger, "audit")


def test_T43_a_store_whose_disk_lies_is_found_at_the_next_start(ledger):
    with ledger.faults.armed(["write"], 1, True, way="lies", path="/store.db"):
        use(ledger)
        assert ledger.faults.get("n_failed")
        ledger.host.stop()
    check_stays_sealed(ledger, "store.db is older")


def test_T43_a_copy_of_the_store_that_is_put_back_is_found_at_the_next_start(ledger):
    """Not a backup, which is marked: the file as it stood once."""
    path = os.path.join(ledger.host.dir, "store.db")
    ledger.host.restart()
    ledger.host.stop()
    with open(path, "rb") as file:
        before = file.read()
    ledger.host.start()
    ledger.connect()
    use(ledger)
    ledger.host.stop()
    with open(path, "wb") as file:
        file.write(before)
    check_stays_sealed(ledger, "store.db is older")


def test_T42_a_page_of_the_store_that_was_written_wrong_opens_nothing(ledger):
    """Each write of the store's file, when its log is taken over, has one byte that is another."""
    use(ledger)
    with ledger.faults.armed(["write"], 1, True, way="changes", path="/store.db"):
        ledger.host.stop(expect=None)
        assert ledger.faults.get("n_failed")
    ledger.host.launch()
    try:
        line = ledger.host.await_log(r" \w+ (ready|sealed|failed)\b")
    except AssertionError:
        assert ledger.host.process.wait(20) == 2 and "store" in ledger.host.log(), ledger.host.log()
        return
    if " ready" in line:
        ledger.again()  # nothing was lost: what was acknowledged is there
