"""File descriptors that run out, in earnest (RLIMIT_NOFILE) and by injection (tests/faults)."""
import contextlib
import os
import re
import socket
import threading
import time
import urllib.parse

import pytest
from lib import Faults, Host, is_instrumented, is_sanitized
from world import CHARGE, world

LIMIT = 160  # descriptors of the host
HOSTILE = 400  # connections that say nothing
WINDOW_S = 1.5


def cpu_s(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Silent:
    """Connections to an endpoint that say nothing, and are made again when they are closed."""

    def __init__(self, endpoint, n):
        url = urllib.parse.urlparse(endpoint)
        self.at, self.n, self.ending, self.open = (url.hostname, url.port), n, False, {}
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ending:
            for i in range(self.n):
                if i in self.open and not self.gone(self.open[i]):
                    continue
                with contextlib.suppress(OSError):
                    self.open[i] = socket.create_connection(self.at, 1)
                    self.open[i].setblocking(False)
            time.sleep(0.1)

    @staticmethod
    def gone(one):
        try:
            while one.recv(4096):
                pass
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending = True
        self.thread.join()
        for one in self.open.values():
            one.close()


def check_served(w, agent, admin, token):
    """Who is connected is answered, upstream too, and administration lets in, all the while; and nothing
    spins. The share of a core that it took."""
    began, cpu, n = time.monotonic(), cpu_s(w.host.pid), 0
    while time.monotonic() - began < WINDOW_S:
        assert agent.ask("proxy", token=token, method="GET", url=CHARGE, timeout=5)["status"] == 200
        assert admin.ask("status", timeout=5)["ok"]
        with w.host.admin() as another:
            assert another.ask("status", timeout=5)["ok"]
        n += 1
        time.sleep(0.1)
    return (cpu_s(w.host.pid) - cpu) / (time.monotonic() - began), n


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer's own descriptors and times")
def test_T50_connections_that_take_all_descriptors_keep_nobody_out_who_is_in(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}"}})
    with world(tmp_path, recorder.url, rate="100000/min",
               wrapper=["prlimit", "--nofile=%d:%d" % (LIMIT, LIMIT)]) as w:
        token, agent, admin = w.issue(), w.as_agent(), w.host.admin()
        assert agent.ok("status") and admin.ok("status")
        with Silent(w.host.endpoint, HOSTILE):
            time.sleep(0.5)
            share, n = check_served(w, agent, admin, token)
            held = len(os.listdir("/proc/%d/fd" % w.host.pid))
        print("%d descriptors, %.0f %% of a core, %d rounds" % (held, 100 * share, n))
        assert held > LIMIT / 2, "the descriptors did not run short"
        assert share < 0.3, "it spins"
        assert "descriptors" in w.host.log(), "nobody is told"
        with w.as_agent() as another:  # there is room again
            assert another.ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200


@pytest.mark.skipif(is_instrumented(), reason="nothing stands before libc there")
def test_T50_an_accept_that_always_fails_does_not_spin(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}"}})
    with Faults(tmp_path / "faults") as faults, world(
            tmp_path, recorder.url, rate="100000/min", env=faults.env) as w:
        token, agent = w.issue(), w.as_agent()
        assert agent.ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
        with faults.armed(["socket"], 1, True):
            for other in (w.as_agent(), w.host.admin()):
                other.send(b"")  # it connects, and waits to be accepted
            began, cpu = time.monotonic(), cpu_s(w.host.pid)
            while time.monotonic() - began < WINDOW_S:
                assert agent.ask("check", token=token, method="GET", url=CHARGE, timeout=5)["ok"]
                time.sleep(0.1)
            share = (cpu_s(w.host.pid) - cpu) / (time.monotonic() - began)
            assert faults.get("n_failed")
        print("%.0f %% of a core, %d failed" % (100 * share, faults.get("n_failed")))
        assert share < 0.15, "it spins"
        assert w.as_agent().ok("status")


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer's own descriptors and times")
def test_T50_a_host_that_gets_too_few_descriptors_to_start_says_so(tmp_path):
    told = {}
    for limit in (12, 24, 40, 56, 72, 96):
        host = Host(tmp_path / str(limit), wrapper=["prlimit", "--nofile=%d:%d" % (limit, limit)])
        host.init()
        host.launch()
        try:
            host.await_log(r" \w+ ready\b")
            told[limit] = "ready"
            host.stop()
        except AssertionError:
            assert host.process.poll() is not None, host.log()
            assert re.search(r"^sallyportd: |Too many open files", host.log(), re.M), host.log()
            told[limit] = host.process.returncode
    print(told)
    assert told[12] != "ready" and told[96] == "ready", told
