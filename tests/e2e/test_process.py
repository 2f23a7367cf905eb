"""The host's process: what it lets others see, what its death leaves, who has a share of it."""
import os
import random
import subprocess
import time

import msgpack
import pytest
from lib import Host, NoAnswer, canary
from world import CHARGE, world

# Root may look at everybody, by more than one capability, so neither side has any here.
PLAIN = ["setpriv", "--bounding-set", "-all"] if os.geteuid() == 0 else []


def may_read(pid, name):
    """Whether another process of the same user may look into that one: what ptrace asks, too."""
    done = subprocess.run([*PLAIN, "cat", "/proc/%d/%s" % (pid, name)], capture_output=True,
                          timeout=20, check=False)
    return done.returncode == 0 and len(done.stdout) > 0


def test_T59_the_same_user_can_neither_trace_nor_read_the_host_nor_have_its_core(tmp_path):
    with subprocess.Popen([*PLAIN, "sleep", "60"]) as planted:
        try:
            # The same look finds an ordinary process, once it is one, so that it would find a host.
            end = time.monotonic() + 10
            while not may_read(planted.pid, "environ") and time.monotonic() < end:
                time.sleep(0.02)
            assert may_read(planted.pid, "environ") and may_read(planted.pid, "maps")
        finally:
            planted.kill()
    with Host(tmp_path / "state", wrapper=PLAIN) as host:
        host.start()
        for name in ("environ", "maps", "auxv"):
            assert not may_read(host.pid, name), name
        with open("/proc/%d/limits" % host.pid, encoding="utf-8") as file:
            core = next(line for line in file if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]


def sent_keys(recorder):
    heads = [{name.lower(): value for name, value in dict(seen["headers"]).items()}
             for seen in recorder.requests()]
    return [head["authorization"] for head in heads]


def test_T44_a_crash_amid_a_rotation_leaves_the_old_key_or_the_new_one(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}"}})
    with world(tmp_path, recorder.url) as w:
        token, key = w.issue(), w.key
        for pause_s in [0, *(random.uniform(0, 0.02) for _ in range(3)), 2]:
            fresh = canary("sk_test_")
            admin = w.host.admin()
            admin.send(msgpack.packb({"v": 1, "op": "key.rotate", "id": "stripe-main",
                                      "secrets": {"api_key": fresh}}))
            try:
                acknowledged = msgpack.unpackb(admin.receive(pause_s))["ok"]
            except NoAnswer:
                acknowledged = False
            assert acknowledged or pause_s < 2
            w.host.kill9()
            w.host.start()
            assert w.as_agent().ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
            used = sent_keys(recorder)[-1]
            assert used in ["Bearer " + fresh] + ["Bearer " + key] * (not acknowledged)
            key = used[len("Bearer "):]
        w.host.cli("audit", "verify", "--head")


@pytest.mark.alone
def test_T51_a_client_that_floods_leaves_others_their_share(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}", "delay_ms": 3000}})
    settings = {"limits": {"calls": 8, "calls_per_client": 4}}
    with world(tmp_path, recorder.url, settings=settings) as w:
        token = w.issue()
        call = msgpack.packb({"v": 1, "op": "proxy", "token": token, "method": "GET",
                              "url": CHARGE})
        flood = [w.as_agent() for _ in range(12)]
        for client in flood:
            client.send(call)
        end = time.monotonic() + 10
        while len(recorder.requests()) < 4 and time.monotonic() < end:
            time.sleep(0.02)
        begun = time.monotonic()
        with w.host.client(w.desk) as desk:
            for _ in range(20):
                assert desk.ok("status")
        assert time.monotonic() - begun < 2
        # Of the flood only its share went on; what was over it is told so.
        assert len(recorder.requests()) == 4
        codes = [msgpack.unpackb(client.receive()).get("error", {}).get("code")
                 for client in flood]
        assert sorted(codes, key=str) == sorted([None] * 4 + ["busy"] * 8, key=str)
