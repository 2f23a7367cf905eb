"""T58 for the whole host: a key, the passphrase and the unseal key are looked for in its memory, its
workers' and every file of its, at each stage of a key's life. tests/unit/test_egress_memory.c looks
at the way out alone, from within and over more kinds of answers."""
import os
import re
import signal
import subprocess
import sys
import time

import msgpack
import pytest
from lib import Host, canary, forms, is_sanitized, occurrences
from world import CHARGE, World

PASSPHRASE = "correct horse battery staple " + canary()
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the host's memory (T59)"),
    # Freed memory is kept by them, as it was, and their shadow is terabytes.
    pytest.mark.skipif(is_sanitized(), reason="a sanitizer keeps what is freed")]


def mappings(pid):
    """(start, end, mode, name, flags) of each that has pages; the flags as /proc/PID/smaps has them."""
    found, resident = [], False
    with open("/proc/%d/smaps" % pid, encoding="utf-8") as file:
        for line in file:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)", line)
            if head:
                found.append((int(head[1], 16), int(head[2], 16), head[3], head[4], set()))
            elif line.startswith("Rss:"):
                resident = line.split()[1] != "0"
            elif line.startswith("VmFlags:"):
                found[-1][4].update(line.split()[1:])
                if not resident:
                    found.pop()
    return found


class Found:
    """How often a secret is in a process: in guarded pages, and elsewhere (with what stands before)."""

    def __init__(self, pid, secret):
        self.guarded, self.loose = 0, []
        needles = forms(secret) if isinstance(secret, str) else {secret}
        with open("/proc/%d/mem" % pid, "rb", buffering=0) as memory:
            for start, end, mode, name, flags in mappings(pid):
                if name in ("[vvar]", "[vsyscall]") or ("w" not in mode and name.startswith("/")):
                    continue
                content = read(memory, start, end)
                for needle in needles:
                    self.count(content, needle, name, {"lo", "dd"} <= flags)

    def count(self, content, needle, name, guarded):
        at = content.find(needle)
        while at >= 0:
            if guarded:
                self.guarded += 1
            else:
                self.loose.append((name, content[max(0, at - 40):at]))
            at = content.find(needle, at + 1)


def read(memory, start, end):
    """All of a mapping that can be read (pages that nobody can are left out)."""
    content = b""
    memory.seek(start)
    try:
        while start + len(content) < end:
            more = memory.read(end - start - len(content))
            if not more:
                break
            content += more
    except OSError:
        pass
    return content


def workers_of(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


class Watch:
    """One host whose secrets are looked for everywhere."""

    def __init__(self, host, folder):
        self.host, self.folder = host, folder

    def files(self, secret):
        """Names, among them those of open files that have no name any more."""
        pid = self.host.pid
        hits = occurrences(secret, self.host.dir, self.host.log_path)
        for name in ("environ", "cmdline", "maps"):
            hits += occurrences(secret, "/proc/%d/%s" % (pid, name))
        for fd in os.listdir("/proc/%d/fd" % pid):
            path = "/proc/%d/fd/%s" % (pid, fd)
            if os.path.isfile(path):
                hits += occurrences(secret, path)
        return hits

    def nowhere(self, stage, secret, guarded):
        """In guarded pages so often, and nowhere else."""
        found = Found(self.host.pid, secret)
        assert not found.loose, (stage, found.loose)
        assert found.guarded == guarded, (stage, found.guarded)
        for worker in workers_of(self.host.pid):
            in_worker = Found(worker, secret.encode() if isinstance(secret, str) else secret)
            assert not in_worker.loose and not in_worker.guarded, (stage, "in a worker")
        if isinstance(secret, str):
            assert self.files(secret) == [], stage


def test_T58_the_search_finds_a_planted_copy(tmp_path):
    secret = canary("sk_test_")
    program = "import sys; a = sys.stdin.readline().strip(); b = a[::-1][::-1] + '.'; print(1, flush=1)\n" \
              "sys.stdin.readline()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, text=True,
                          stdout=subprocess.PIPE) as planted:
        planted.stdin.write(secret + "\n")
        planted.stdin.flush()
        assert planted.stdout.readline() == "1\n"
        found = Found(planted.pid, secret)
        planted.stdin.close()
    assert len(found.loose) >= 2 and not found.guarded
    (tmp_path / "x").write_bytes(b"..." + secret.encode().hex().encode())
    assert occurrences(secret, tmp_path) == [str(tmp_path / "x")]


def call_under_way(w, token, recorder, then):
    """A call that waits for its answer; `then` happens meanwhile."""
    before = len(recorder.requests())
    recorder.answer({"*": {"body": "{}", "delay_ms": 800}})
    client = w.as_agent()
    client.send(msgpack.packb({"v": 1, "op": "proxy", "token": token, "method": "GET", "url": CHARGE}))
    end = time.monotonic() + 10
    while len(recorder.requests()) == before and time.monotonic() < end:
        time.sleep(0.01)
    then()
    answer = msgpack.unpackb(client.receive())
    assert answer.get("status") == 200, answer
    recorder.answer({"*": {"body": "{}"}})


@pytest.fixture(name="tls")
def tls_fixture(tmp_path):
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "cert.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", "/CN=api.stripe.com", "-addext",
                    "subjectAltName=DNS:api.stripe.com", "-keyout", key, "-out", cert],
                   check=True, capture_output=True, timeout=30)
    return cert, key


def walk(tmp_path, recorder, upstream, settings, most_during):
    """A key's life; most_during: loose copies that there may be while a call waits for its answer."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text(PASSPHRASE, encoding="ascii")
    with Host(tmp_path / "state", settings=settings) as host:
        host.init("--passphrase-file", str(passphrase))
        host.start("sealed")
        watch = Watch(host, tmp_path)
        watch.nowhere("sealed at start", PASSPHRASE, 0)
        with host.admin() as admin:
            admin.ok("unseal", secret=PASSPHRASE.encode())
        watch.nowhere("unsealed", PASSPHRASE, 0)

        w = World(host, rate="1000/min")
        with host.admin() as admin:
            admin.ok("key.add", id="stripe-main", provider="stripe", settings={"upstream": upstream},
                     secrets={"api_key": w.key})
        watch.nowhere("key added", w.key, 1)
        host.reload()
        token = w.issue()
        watch.nowhere("token issued", w.key, 1)

        during = []
        call_under_way(w, token, recorder, lambda: during.append(Found(host.pid, w.key)))
        assert during[0].guarded == 1
        # Found here, it would be found elsewhere: the search sees what libcurl holds.
        assert 1 <= len(during[0].loose) <= most_during, during[0].loose
        watch.nowhere("after the call", w.key, 1)

        old, fresh = w.key, canary("sk_test_")
        with host.admin() as admin:
            admin.ok("key.rotate", id="stripe-main", secrets={"api_key": fresh})
        watch.nowhere("rotated, the old one", old, 0)
        watch.nowhere("rotated, the new one", fresh, 1)
        assert w.as_agent().ok("proxy", token=token, method="GET", url=CHARGE)["status"] == 200
        watch.nowhere("a call with the new one, the old one", old, 0)
        watch.nowhere("a call with the new one", fresh, 1)

        with host.admin() as admin:
            admin.ok("seal")
        for name, secret in (("old", old), ("new", fresh), ("passphrase", PASSPHRASE)):
            watch.nowhere("sealed, the %s" % name, secret, 0)
        host.signal(signal.SIGTERM)
        assert host.process.wait(30) == 0
        for secret in (old, fresh, PASSPHRASE):
            assert occurrences(secret, host.dir, host.log_path) == []


def test_T58_a_key_is_in_guarded_pages_alone_at_each_stage_of_its_life(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}"}})
    walk(tmp_path, recorder, recorder.url, {}, most_during=1)


def test_T58_a_key_is_in_guarded_pages_alone_where_the_upstream_has_TLS(tmp_path, tls):
    import upstreams
    with upstreams.Recorder(str(tmp_path / "recorder"), cert=tls[0], key=tls[1]) as recorder:
        recorder.answer({"*": {"body": "{}"}})
        walk(tmp_path, recorder, recorder.url, {"upstream": {"ca_file": tls[0]}}, most_during=2)


def test_T58_the_key_file_that_unseals_leaves_no_copy(tmp_path):
    with Host(tmp_path / "state") as host:
        host.start()
        with open(os.path.join(host.dir, "unseal.key"), "rb") as file:
            Watch(host, tmp_path).nowhere("unsealed by the file", file.read(), 0)
