"""What the host's process itself lets others see."""
import os
import subprocess
import time

# Root may look at everybody, by more than one capability, so neither side has any here.
PLAIN = ["setpriv", "--bounding-set", "-all"] if os.geteuid() == 0 else []


def may_read(pid, name):
    """Whether another process of the same user may look into that one: what ptrace asks, too."""
    done = subprocess.run([*PLAIN, "cat", "/proc/%d/%s" % (pid, name)], capture_output=True,
                          timeout=20, check=False)
    return done.returncode == 0 and len(done.stdout) > 0


def test_T59_the_same_user_can_neither_trace_nor_read_the_host_nor_have_its_core(tmp_path):
    from lib import Host
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
