"""sallyport restore: a backup takes the store's place, whole or not at all, and no token of either
time works afterwards."""
import glob
import json
import os
import shutil
import sqlite3
import subprocess

import pytest
from lib import build_file, canary, is_sanitized
from world import CHARGE, FORM, REFUNDS, world

GOOD = b"charge=ch_1&amount=4000&reason=duplicate"


@pytest.fixture
def w(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}"}})
    with world(tmp_path, recorder.url) as made:
        made.recorder, made.backup = recorder, str(tmp_path / "backup.db")
        yield made


def store(w):
    return os.path.join(w.host.dir, "store.db")


def files(w):
    """All that a refused restore must leave as it was."""
    found = {}
    for name in glob.glob(os.path.join(w.host.dir, "**"), recursive=True):
        if os.path.isfile(name) and not name.endswith("lock"):
            with open(name, "rb") as file:
                found[name] = file.read()
    return found


def types(w):
    out = []
    for path in sorted(glob.glob(os.path.join(w.host.dir, "audit", "*.jsonl"))):
        with open(path, encoding="utf-8") as file:
            out += [json.loads(line) for line in file]
    return out


def test_a_backup_is_restored_and_every_token_is_void(w):
    before = w.issue()
    call = {"token": before, "method": "POST", "url": REFUNDS, "headers": FORM, "body": GOOD}
    w.as_agent().ok("proxy", id="r-1", **call)
    w.host.cli("backup", w.backup)
    after = w.issue()
    w.host.key_add("later", "stripe", {"upstream": w.recorder.url},
                   {"api_key": canary("sk_test_")})
    w.host.stop()
    done = json.loads(w.host.cli("--json", "restore", w.backup))
    assert done["tokens_voided"] == 1 and done["keys"] == 2
    assert done["audit_seq"] > done["backup_seq"] > 0
    assert os.path.exists(done["kept"]) and sorted(os.listdir(w.host.dir)).count("store.db") == 1
    assert not glob.glob(store(w) + ".restoring*")
    w.host.start()
    for token in before, after:
        error = w.as_agent().refused("proxy", token=token, method="GET", url=CHARGE)
        assert error["code"] == "token_invalid"
    assert w.as_agent().refused("proxy", id="r-1", **call)["code"] == "token_invalid"
    assert "later" not in w.host.cli("key", "list")
    # The keys of the backup work, and so does all else.
    fresh = w.issue()
    assert w.as_agent().ok("proxy", token=fresh, method="GET", url=CHARGE)["status"] == 200
    w.host.cli("audit", "verify", "--head")
    w.host.stop()
    records = [record for record in types(w) if record["type"] == "restore"]
    assert len(records) == 1 and records[0]["tokens_voided"] == 1
    assert records[0]["backup_seq"] == done["backup_seq"]
    # Once: the next start says nothing of it.
    w.host.start()
    w.host.stop()
    assert len([record for record in types(w) if record["type"] == "restore"]) == 1


def test_a_backup_of_a_lost_store_is_restored(w):
    w.host.cli("backup", w.backup)
    w.host.stop()
    for name in glob.glob(store(w) + "*"):
        os.unlink(name)
    out = w.host.cli("restore", w.backup)
    assert "restored: 2 keys" in out and "is kept as" not in out
    w.host.start()
    assert w.as_agent().ok("proxy", token=w.issue(), method="GET", url=CHARGE)["status"] == 200
    w.host.cli("audit", "verify", "--head")


def test_the_log_of_a_lost_store_does_not_come_to_belong_to_the_backup(w, tmp_path, monkeypatch):
    w.host.cli("backup", w.backup)
    w.host.stop()
    os.unlink(store(w))
    with open(store(w) + "-wal", "wb") as file:
        file.write(b"of the store that is gone")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    w.host.cli("restore", w.backup)
    assert os.listdir(tmp_path / "here") == []
    assert len(glob.glob(store(w) + ".before-*-wal")) == 1
    w.host.start()
    assert w.as_agent().ok("proxy", token=w.issue(), method="GET", url=CHARGE)["status"] == 200


def test_a_damaged_store_is_kept_and_replaced(w):
    w.host.cli("backup", w.backup)
    w.host.stop()
    with open(store(w), "r+b") as file:
        file.write(b"\0" * 4096)
    kept = json.loads(w.host.cli("--json", "restore", w.backup))["kept"]
    with open(kept, "rb") as file:
        assert file.read(4096) == b"\0" * 4096
    w.host.start()
    assert w.as_agent().ok("proxy", token=w.issue(), method="GET", url=CHARGE)["status"] == 200


def test_an_interrupted_restore_left_the_old_store_and_is_repeated(w):
    token = w.issue()
    w.host.cli("backup", w.backup)
    w.host.stop()
    with open(store(w) + ".restoring", "wb") as file:  # as a crash would leave it
        file.write(b"half a copy")
    w.host.start()
    assert w.as_agent().ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
    w.host.stop()
    w.host.cli("restore", w.backup)
    w.host.start()
    assert w.as_agent().refused("proxy", token=token, method="GET",
                                url=CHARGE)["code"] == "token_invalid"


def test_T43_a_backup_put_back_by_hand_keeps_the_host_sealed(w):
    token = w.issue()
    w.host.cli("backup", w.backup)
    w.host.client(w.desk).ok("revoke", token=token)
    w.host.stop()
    for name in glob.glob(store(w) + "*"):
        os.unlink(name)
    shutil.copy(w.backup, store(w))
    w.host.start(state="failed")
    assert "sallyport restore" in w.host.log()
    assert w.as_agent().refused("proxy", token=token, method="GET", url=CHARGE)["code"] == "sealed"
    w.host.stop()
    w.host.cli("restore", w.backup)
    w.host.start()
    assert w.as_agent().refused("proxy", token=token, method="GET",
                                url=CHARGE)["code"] == "token_invalid"


def test_T43_the_store_of_another_host_keeps_the_host_sealed(w, tmp_path):
    token = w.issue()
    w.host.stop()
    (tmp_path / "other").mkdir()
    with world(tmp_path / "other", w.recorder.url) as other:
        stranger = other.issue()
        other.host.stop()
        for name in glob.glob(store(w) + "*"):
            os.unlink(name)
        shutil.copy(store(other), store(w))
    w.host.start(state="failed")
    for each in (token, stranger):
        assert w.as_agent().refused("proxy", token=each, method="GET",
                                    url=CHARGE)["code"] == "sealed"
    assert w.recorder.requests() == []


def test_a_running_host_is_not_touched(w):
    token = w.issue()
    w.host.cli("backup", w.backup)
    assert "stop it first" in w.host.cli("restore", w.backup, expect=1)
    assert w.as_agent().ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200


def damage_middle(path):
    with open(path, "r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xff" * (os.path.getsize(path) // 2))


def other_tables(path):
    os.unlink(path)
    with sqlite3.connect(path) as database:
        database.execute("create table notes (text)")


@pytest.mark.parametrize("spoil", [
    lambda path: os.truncate(path, 0),
    lambda path: os.truncate(path, os.path.getsize(path) // 2),
    lambda path: os.truncate(path, os.path.getsize(path) - 4096),
    lambda path: os.truncate(path, 100),
    damage_middle,
    other_tables,
    os.unlink,
], ids=["empty", "half", "a page short", "a header", "damaged", "another database", "missing"])
def test_what_is_no_good_backup_changes_nothing(w, spoil):
    token = w.issue()
    w.host.cli("backup", w.backup)
    w.host.stop()
    spoil(w.backup)
    before = files(w)
    assert "nothing was changed" in w.host.cli("restore", w.backup, expect=2)
    assert files(w) == before
    w.host.start()
    assert w.as_agent().ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200


def test_another_hosts_backup_is_refused(w, tmp_path, recorder):
    (tmp_path / "other").mkdir()
    with world(tmp_path / "other", recorder.url) as other:
        other.host.cli("backup", w.backup)
    w.host.stop()
    before = files(w)
    assert "does not open the backup" in w.host.cli("restore", w.backup, expect=1)
    assert files(w) == before


def test_restoring_does_not_hide_a_damaged_audit(w):
    w.host.cli("backup", w.backup)
    w.issue()
    w.host.stop()
    path = sorted(glob.glob(os.path.join(w.host.dir, "audit", "*.jsonl")))[0]
    with open(path, encoding="utf-8") as file:
        lines = file.readlines()
    # One record changed; and then the end cut off.
    for bad in (lines[:2] + [lines[2].replace('"type":"', '"type":"x', 1)] + lines[3:], lines[:-3]):
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(bad)
        assert "find out why" in w.host.cli("restore", w.backup, expect=1)
    # An operator who knows why can go on: the audit is kept, and begins anew.
    shutil.move(os.path.join(w.host.dir, "audit"), str(w.host.dir) + ".audit")
    os.unlink(store(w))
    w.host.cli("restore", w.backup)
    w.host.start()
    w.host.cli("audit", "verify", "--head")


CALLS = "openat,read,write,pwrite64,fsync,fdatasync,ftruncate,rename,link,unlink"


@pytest.mark.skipif(is_sanitized() or not shutil.which("strace"), reason="needs strace, and time")
def test_killed_at_any_system_call_it_leaves_the_old_store_or_the_new_one(w, tmp_path):
    w.host.cli("backup", w.backup)
    w.issue()
    w.host.stop()
    seen, at = set(), 0
    begin = str(tmp_path / "begin")
    shutil.copytree(w.host.dir, begin, ignore=shutil.ignore_patterns("*.sock"))
    while True:
        at += 1
        state = str(tmp_path / "at")
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(begin, state)
        done = subprocess.run(
            ["strace", "-qq", "-o", "/dev/null", "-e", "trace=" + CALLS,
             "-e", "inject=%s:signal=SIGKILL:when=%d" % (CALLS, at),
             build_file("host", "sallyport"), "--dir", state, "restore", w.backup],
            capture_output=True, check=False, timeout=60)
        with sqlite3.connect(os.path.join(state, "store.db")) as database:
            assert database.execute("pragma integrity_check").fetchone() == ("ok",)
            # Issued after the backup: 1 in the old store; and in the new one there is none.
            tokens = database.execute("select count(*) from tokens").fetchone()[0]
            restored = database.execute(
                "select count(*) from meta where name = 'restore.mark'").fetchone()[0]
        database.close()
        assert (tokens, restored) in ((1, 0), (0, 1)), at
        seen.add(restored)
        if done.returncode == 0:
            break
        assert done.returncode in (-9, 137) and at < 2000, done
    assert seen == {0, 1} and at > 20
