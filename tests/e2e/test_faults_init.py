"""Calls of libc that fail during `sallyport init` and `sallyport token narrow`, each in turn, once and for
ever (tests/faults is preloaded into the command). In the suite a seeded sample of them; SALLYPORT_LONG=1
takes every one."""
import collections
import os
import random
import shutil
import signal
import stat
import subprocess

import pytest
from fault_world import LONG, SEED, died_by_a_library, said_where, some_of
from lib import Faults, Host, is_instrumented
from lib.faults import CLASSES
from lib.host import build_file
from world import CHARGE, world

pytestmark = pytest.mark.skipif(is_instrumented(), reason="nothing stands before libc there")
SAMPLE = 1  # of each class and way


def sallyport(folder, *args, env=None, stdin=b"", stdout=subprocess.PIPE):
    return subprocess.run(
        [build_file("host", "sallyport"), "--dir", str(folder), *args], check=False, stdout=stdout,
        stderr=subprocess.PIPE, env={**os.environ, **(env or {})}, input=stdin, timeout=60)


def init(folder, env=None):
    whom = ["--user", "root"] if os.geteuid() == 0 else []
    return sallyport(folder, "init", *whom, "--plugins", build_file("lib", "sallyport", "plugins"),
                     "--listen", "tcp://127.0.0.1:*", env=env)


def each_fault(faults, counts):
    """Every call of the sample, once and for ever: (words for it, class, how to arm)."""
    chosen = random.Random(SEED)
    for name in CLASSES:
        for for_ever in (False, True):
            for nth in some_of(chosen, counts[name], SAMPLE):
                yield "%s %d, %s" % (name, nth, "for ever" if for_ever else "once"), name, (
                    [name], nth, for_ever)


def check_told(done, name):
    """How a command ends that a fault was injected into."""
    if done.returncode < 0:
        assert done.returncode == -signal.SIGABRT and died_by_a_library(
            done.stderr.decode(), [name]), (done.returncode, done.stderr)
    elif done.returncode:
        assert done.returncode in (1, 2, 3, 4), done
        assert done.stderr.startswith(b"sallyport: "), done.stderr


def secrets_of(folder):
    found = []
    for name in ("host.key", "admin.key"):
        path = folder / name
        if path.exists():
            found += [line.split()[1] for line in path.read_bytes().splitlines()
                      if line.startswith(b"secret ")]
    return found


def check_modes(folder):
    for name in os.listdir(folder):
        mode = os.lstat(folder / name).st_mode
        assert name == "host.pub" or stat.S_ISLNK(mode) or not mode & 0o077, (name, oct(mode))


def check_whole(folder, n_pins):
    """A host that starts, unseals itself, and knows all its plugins."""
    assert len((folder / "plugins.pins").read_text().splitlines()) == n_pins
    assert not (folder / "sallyport.conf.new").exists()
    with Host(folder) as host:
        host.start()
        assert "ready" in host.cli("status")


def test_T41_init_makes_a_whole_host_or_says_why_not_and_can_be_asked_again(tmp_path):
    told = collections.Counter()
    with Faults(tmp_path / "faults") as faults:
        with faults.armed():
            assert init(tmp_path / "first", faults.env).returncode == 0
        counts = faults.counts()
        n_pins = len((tmp_path / "first" / "plugins.pins").read_text().splitlines())
        for i, (where, name, how) in enumerate(each_fault(faults, counts)):
            folder = tmp_path / ("n%d" % i)
            with said_where("init, " + where):
                with faults.armed(*how):
                    done = init(folder, faults.env)
                check_told(done, name)
                told[name, done.returncode] += 1
                secrets = secrets_of(folder) if folder.exists() else []
                if done.returncode:
                    assert not (folder / "sallyport.conf").exists()  # the half of one looks like none
                    assert init(folder).returncode == 0
                else:
                    check_whole(folder, n_pins)
                check_modes(folder)
                assert set(os.listdir(tmp_path / "first")) <= set(os.listdir(folder))
                for secret in secrets + secrets_of(folder):
                    assert secret not in done.stdout + done.stderr
                shutil.rmtree(folder)
    print("init", counts, dict(told), "faults: %d" % sum(told.values()))


def test_T41_init_leaves_alone_what_it_did_not_make(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    (folder / "admin.key").write_text("of another life\n")
    done = init(folder)
    assert done.returncode == 2 and b"admin.key" in done.stderr, done
    assert (folder / "admin.key").read_text() == "of another life\n"
    assert not (folder / "host.key").exists()
    # Nor is a folder taken for one that init did not finish where a host has run.
    (folder / "admin.key").unlink()
    assert init(folder).returncode == 0
    with Host(folder) as host:
        host.start()
    os.rename(folder / "sallyport.conf", folder / "sallyport.conf.new")
    before = (folder / "store.db").read_bytes()
    done = init(folder)
    assert done.returncode == 2 and b"has run" in done.stderr, done
    assert (folder / "store.db").read_bytes() == before


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_T41_init_changes_no_host_that_is_there_whatever_fails(tmp_path):
    """Nor one whose settings lie elsewhere."""
    folder = tmp_path / "state"
    assert init(folder).returncode == 0
    with Faults(tmp_path / "faults") as faults:
        for lacks in (None, "sallyport.conf"):
            if lacks:
                (folder / lacks).unlink()
            before = contents(folder)
            with faults.armed():
                assert init(folder, faults.env).returncode == 2
            counts = faults.counts()
            for name in ("stat", "name", "open", "lock"):
                for nth in range(1, counts[name] + 1):
                    for for_ever in (False, True):
                        with faults.armed([name], nth, for_ever):
                            done = init(folder, faults.env)
                        assert done.returncode in (2, 4), (name, nth, done)
                        assert contents(folder) == before, (name, nth)


def test_T41_init_that_was_killed_can_be_asked_again(tmp_path):
    """What a kill at any moment leaves: the marker, and some of the files."""
    folder = tmp_path / "state"
    assert init(folder).returncode == 0
    n_pins = len((folder / "plugins.pins").read_text().splitlines())
    for missing in ((), ("plugins.pins",), ("store.db", "unseal.key"), ("host.pub", "admin.key")):
        os.rename(folder / "sallyport.conf", folder / "sallyport.conf.new")
        for name in missing:
            (folder / name).unlink()
        assert init(folder).returncode == 0, missing
    check_whole(folder, n_pins)


# ---- narrow: the command, offline -----------------------------------------------------------


def test_T41_narrow_gives_a_token_that_is_narrower_or_none(tmp_path, recorder):
    recorder.answer({"*": {"body": '{"id": "ch_1"}'}})
    told = collections.Counter()
    rule = "allow GET " + CHARGE
    with Faults(tmp_path / "faults") as faults, world(tmp_path, recorder.url) as w:
        token = w.issue()

        def narrow(env=None):
            return sallyport(w.host.dir, "token", "narrow", "--with", rule, env=env,
                             stdin=token.encode())

        with faults.armed():
            whole = narrow(faults.env)
        assert whole.returncode == 0
        counts = faults.counts()
        agent = w.as_agent()
        for where, name, how in each_fault(faults, counts):
            with said_where("narrow, " + where):
                with faults.armed(*how):
                    done = narrow(faults.env)
                check_told(done, name)
                told[name, done.returncode] += 1
                assert token.encode() not in done.stdout + done.stderr
                # The tag is the caveat's: the same token, or none.
                assert done.stdout == (b"" if done.returncode else whole.stdout)
        narrowed = whole.stdout.decode().strip()
        assert agent.ok("check", token=narrowed, method="GET", url=CHARGE)["allowed"]
        assert not agent.ok("check", token=narrowed, method="GET", url=CHARGE + "x")["allowed"]
    print("narrow", counts, dict(told), "faults: %d" % sum(told.values()))


def test_T41_a_token_that_could_not_be_printed_is_not_said_to_be(tmp_path, recorder):
    with world(tmp_path, recorder.url) as w, open("/dev/full", "wb") as full:
        token = w.issue()
        done = sallyport(w.host.dir, "token", "narrow", "--with", "allow GET " + CHARGE, stdout=full,
                         stdin=token.encode())
        assert done.returncode == 4 and b"standard output" in done.stderr, done
