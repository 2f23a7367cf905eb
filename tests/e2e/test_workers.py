"""Provider plugins run in processes of their own, which nobody has to look after."""
import os
import signal
import subprocess
import time

import pytest
from lib import Host, build_file
from world import CHARGE, world


def workers(host):
    """pid of each worker, by the name of its plugin."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid, encoding="utf-8") as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
            if parent == host.pid:
                with open("/proc/%s/cmdline" % pid, "rb") as file:
                    command = file.read().split(b"\0")
                if command[0] == b"sallyport-worker":
                    found[os.path.basename(command[1]).decode()] = int(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return found


def is_gone(pid, timeout=10):
    end = time.monotonic() + timeout
    while os.path.exists("/proc/%d" % pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not os.path.exists("/proc/%d" % pid)


@pytest.fixture
def w(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}"}})
    with world(tmp_path, recorder.url) as made:
        yield made


def test_each_plugin_has_a_process_and_takes_it_along(w):
    found = workers(w.host)
    assert sorted(found) == ["github.so", "hmac.so", "rest.so", "stripe.so"]
    w.host.stop()
    assert all(is_gone(pid) for pid in found.values())


def test_workers_die_with_a_host_that_is_killed(w):
    found = workers(w.host)
    w.host.kill9()
    assert found and all(is_gone(pid) for pid in found.values())


def test_T45_calls_go_on_while_the_worker_is_dead_and_it_comes_back(w):
    token = w.issue()
    agent = w.as_agent()
    assert agent.ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
    pid = workers(w.host)["stripe.so"]
    os.kill(pid, signal.SIGKILL)
    assert is_gone(pid)
    # The plan is known: no call needs the worker.
    for _ in range(10):
        assert agent.ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
    w.host.await_log("plugin.says.*was killed")
    # A new key does, and gets another one once the back-off is over.
    time.sleep(0.3)
    w.host.cli("key", "add", "stripe-2", "--provider", "stripe", stdin=b"sk_test_" + b"2" * 24)
    assert workers(w.host)["stripe.so"] != pid


def test_without_isolation_there_is_no_worker_and_the_host_says_so(tmp_path):
    host = Host(tmp_path / "host", settings={"host": {"plugin_isolation": "none"}})
    try:
        host.start()
        assert workers(host) == {}
        host.await_log("plugin.isolation.*share the host's memory")
    finally:
        host.stop()


def test_a_wrong_isolation_is_told(tmp_path):
    host = Host(tmp_path / "host", settings={"host": {"plugin_isolation": "perhaps"}})
    host.init()
    host.launch()
    assert host.process.wait(30) != 0
    assert "perhaps" in host.log() and "plugin_isolation" in host.log()


@pytest.mark.parametrize("program", ["sallyport-worker", "sallyport-plugin-probe"])
@pytest.mark.parametrize("arguments", [[], ["--help"], ["a", "b"]])
def test_nobody_is_to_start_a_worker_by_hand(program, arguments):
    done = subprocess.run([build_file("host", program), *arguments], capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=20, check=False)
    assert done.returncode == 2 and b"usage: none" in done.stderr
