"""A host at half of what it can, for long: what it takes must not grow, and nothing may fail.

Two loads (bench_load) call over ZeroMQ and over HTTP, each at half of the rate that both reached together
when they sent as fast as answers came; requests are due at their own times. Beside them a client of
each kind comes and goes, with tokens that are issued, narrowed, used, refused and revoked, or left to
expire; the key is rotated and the policy read anew, as in a life.
"""
import base64
import collections
import hashlib
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "e2e")]
from lib import Curve, Host, build_file, canary  # noqa: E402
import msgpack  # noqa: E402
import samples  # noqa: E402

GROWTH_MAX_MIB = 8
CLIENTS, TOKENS = 64, 8
AUDIT_BYTES = 1200  # of a call, about: two records
STEP_S, ADMIN_EVERY_S, SAMPLE_EVERY_S = 0.4, 20, 1
OK_200 = {"zmq": msgpack.packb("status") + msgpack.packb(200), "http": b"HTTP/1.1 200"}
CHARGES = "https://api.stripe.com/v1/charges/"
POLICY = """sallyport 1

scope steady {
  key  main
  ttl  4h

  @read   allow GET  https://api.stripe.com/v1/charges/*
  @refund allow POST https://api.stripe.com/v1/refunds
            where body.charge starts "ch_" and body.amount in 1..5000 and body only {charge, amount}
}

scope brief {
  key  main
  ttl  1m
  rate 6000/min

  @read allow GET https://api.stripe.com/v1/charges/*
          budget count <= 1000000000 per day
}

principal desk {
  curve "%s"
  may issue steady for 4h
  may issue brief for 1m
}
"""


def narrow(token, caveat):
    """As docs/tokens.md has it."""
    text = token.removeprefix("spt_")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    body, tag = raw[:-32], raw[-32:]
    part = len(caveat).to_bytes(8, "little") + caveat
    tag = hashlib.blake2b(part, digest_size=32, key=tag).digest()
    raw = body + len(caveat).to_bytes(2, "big") + caveat + tag
    return "spt_" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Failed(Exception):
    """What the host did and should not have done."""


class Load:
    """bench_load; its parts as they come."""

    def __init__(self, argv):
        self.parts, self.total = [], None
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.threads = [threading.Thread(target=work) for work in (self._read, self._complaints)]
        self.complaint = ""
        for thread in self.threads:
            thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.parts.append(json.loads(line))

    def _complaints(self):
        self.complaint = self.process.stderr.read()

    def wait(self):
        self.process.wait()
        for thread in self.threads:
            thread.join()
        self.process.stdout.close()
        self.process.stderr.close()
        if self.process.returncode != 0:
            raise Failed("the load: %s%s" % (self.complaint, self.parts[-1:]))
        self.total = self.parts.pop()
        return self.total

    def stop(self):
        self.process.kill()


class Churn(threading.Thread):
    """Clients and tokens that come and go; counts what happened, and keeps what should not have."""

    def __init__(self, soak):
        super().__init__()
        self.soak, self.counts, self.faults = soak, collections.Counter(), []
        self.stopping = threading.Event()
        self.at_work = threading.Lock()  # whoever holds it sees the host without any of these clients
        self.admin_at = 0

    def want(self, reply, code):
        got = "ok" if reply["ok"] else reply["error"]["code"]
        self.counts[got] += 1
        if got != code:
            self.faults.append("%s, and not %s: %s" % (got, code, reply.get("error")))

    def http(self, token, path, status):
        door = http.client.HTTPConnection("127.0.0.1", self.soak.http_port, timeout=60)
        try:
            door.request("GET", path, headers={"Authorization": "Bearer " + token})
            got = door.getresponse()
            got.read()
            self.counts["http_%d" % got.status] += 1
            if got.status != status:
                self.faults.append("HTTP %d, and not %d" % (got.status, status))
        finally:
            door.close()

    def step(self, number):
        path = "ch_%d" % number
        with self.soak.host.client(self.soak.desk) as desk:
            self.soak.host.clients.remove(desk)  # it closes itself
            token = desk.ok("issue", scope="brief")["token"]
            child = narrow(token, b"allow GET " + (CHARGES + path).encode())
            call = {"token": child, "method": "GET", "url": CHARGES + path, "id": "id-%d" % number}
            self.want(desk.ask("proxy", **call), "ok")
            self.want(desk.ask("proxy", **call), "ok")  # the stored answer
            self.want(desk.ask("proxy", token=child, method="GET", url=CHARGES + "ch_0"), "not_allowed")
            self.http(child, "/v1/charges/" + path, 200)
            self.want(desk.ask("inspect", token=token), "ok")
            if number % 3:  # the others expire
                self.want(desk.ask("revoke", token=token), "ok")
                self.want(desk.ask("proxy", **call), "token_revoked")
                self.http(child, "/v1/charges/" + path, 401)

    def administer(self):
        with self.soak.host.admin() as admin:
            self.soak.host.clients.remove(admin)
            self.want(admin.ask("key.rotate", id="main", secrets={"api_key": canary("sk_test_")}), "ok")
            self.want(admin.ask("policy.reload"), "ok")

    def run(self):
        number, due = 0, time.monotonic()
        try:
            while not self.stopping.wait(max(0, due - time.monotonic())):
                number, due = number + 1, max(due + STEP_S, time.monotonic())
                with self.at_work:
                    self.step(number)
                    if time.monotonic() >= self.admin_at:
                        self.admin_at = time.monotonic() + ADMIN_EVERY_S
                        self.administer()
        except Exception as why:  # a thread that ends unheard would leave a soak without its half
            self.faults.append("%s: %s" % (type(why).__name__, why))


class Soak:
    """share: of the rate that it can do; held: of the share, how much has to be reached."""

    def __init__(self, folder, seconds, share=0.5, held=0.95, probe_s=5, every_s=5):
        self.folder, self.seconds, self.share, self.held = str(folder), seconds, share, held
        self.probe_s, self.every_s, self.settle_s = probe_s, every_s, min(10, seconds / 5)
        os.makedirs(self.folder, exist_ok=True)
        self.upstream = subprocess.Popen([build_file("tests", "bench", "bench_upstream")],
                                         stdout=subprocess.PIPE, text=True)
        port = self.upstream_port = int(self.upstream.stdout.readline().split()[1])
        self.host = Host(os.path.join(self.folder, "state"), settings={
            "upstream": {"slots": 512, "slots_per_key": 512},
            "http stripe": {"listen": "127.0.0.1:0", "mode": "provider stripe"}})
        self.desk = Curve()
        self.samples = samples.Samples()
        self.loads = {}
        self.host.start()
        self.host.key_add("main", "stripe", {"upstream": "http://localhost:%d" % port},
                          {"api_key": canary("sk_test_")})
        self.host.write_policy("soak.scope", POLICY % self.desk.public)
        self.host.reload()
        self.http_port = int(self.host.http_at("stripe").rsplit(":", 1)[1])
        self.requests = self.write_requests()

    def close(self):
        for load in self.loads.values():
            load.stop()
        self.host.stop(expect=None)
        self.upstream.kill()
        self.upstream.wait()
        self.upstream.stdout.close()

    # ---- the load ----

    def write_requests(self):
        """The calls of the loads, in files: eight tokens, reads and refunds by turns."""
        argv = {"zmq": [], "http": []}
        desk = self.host.client(self.desk)
        for i in range(TOKENS):
            token = desk.ok("issue", scope="steady")["token"]
            method, path, body = (("GET", "/v1/charges/ch_1", b""),
                                  ("POST", "/v1/refunds", b"charge=ch_1&amount=4000"))[i % 2]
            headers = {"content-type": "application/x-www-form-urlencoded"} if body else {}
            fields = {"v": 1, "op": "proxy", "token": token, "method": method,
                      "url": "https://api.stripe.com" + path, "headers": headers}
            lines = ["%s %s HTTP/1.1" % (method, path), "Host: localhost", "Authorization: Bearer " + token]
            lines += ["%s: %s" % pair for pair in headers.items()]
            lines += ["Content-Length: %d" % len(body)] if body else []
            for kind, data in (("zmq", msgpack.packb({**fields, **({"body": body} if body else {})})),
                               ("http", "\r\n".join(lines + ["", ""]).encode() + body)):
                name = os.path.join(self.folder, "%s-%d" % (kind, i))
                with open(name, "wb") as file:
                    file.write(data)
                argv[kind] += ["--request", name]
        key_file = self.desk.write(os.path.join(self.folder, "desk.key"))
        argv["zmq"] += ["--endpoint", self.host.endpoint, "--server-key", self.host.host_key(),
                        "--key-file", key_file]
        argv["http"] += ["--http", str(self.http_port)]
        return argv

    def start_loads(self, seconds, rates=None, every_s=None):
        for kind, where in self.requests.items():
            argv = [build_file("tests", "bench", "bench_load"), *where, "--clients", str(CLIENTS),
                    "--seconds", str(seconds), "--pid", str(self.host.pid), "--warmup", "0.5",
                    "--expect", OK_200[kind].hex()]
            argv += ["--rate", "%.1f" % rates[kind]] if rates else []
            argv += ["--every", str(every_s)] if every_s else []
            self.loads[kind] = Load(argv)

    def probe(self):
        """What both reach together when each client sends as soon as it has its answer."""
        self.start_loads(self.probe_s)
        return {kind: load.wait()["per_s"] for kind, load in self.loads.items()}

    def want_room(self, rates):
        needed = sum(rates.values()) * self.seconds * AUDIT_BYTES * 1.5
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise Failed("the audit may take %d MiB, and %s has %d; name a folder with more (--folder)"
                         % (needed / samples.MIB, self.folder, free / samples.MIB))

    # ---- the run ----

    def sample(self, at):
        with self.host.admin() as admin:
            self.host.clients.remove(admin)
            status = admin.ok("status")
        audit = samples.folder_bytes(os.path.join(self.host.dir, "audit"))
        sample = self.samples.take(at, self.host.pid, audit=audit, tokens=status["tokens"],
                                   upstream=samples.connections_to(self.upstream_port))
        return sample

    def others(self, no_more_than=0):
        """Descriptors but those to the upstream, which are kept for the calls to come, while no client of
        the churn is there; what it had open is given time to go."""
        with self.churn.at_work:
            least, end = None, time.monotonic() + self.settle_s
            while least is None or (least > no_more_than and time.monotonic() < end):
                time.sleep(0.2)
                now = samples.Sample(0, self.host.pid).descriptors \
                    - samples.connections_to(self.upstream_port)
                least = now if least is None or now < least else least
        return least

    def run(self, progress=lambda sample, loads: None):
        self.most = self.probe()
        self.rates = {kind: per_s * self.share for kind, per_s in self.most.items()}
        self.want_room(self.rates)
        self.start_loads(self.seconds + self.settle_s, self.rates, self.every_s)
        churn = self.churn = Churn(self)
        churn.start()
        begun, first, last = time.monotonic(), None, None
        try:
            while last is None:
                at = time.monotonic() - begun
                progress(self.sample(at), self.loads)
                if first is None and at >= samples.warm_up_s(self.seconds):
                    first = self.others()
                if at > self.seconds - self.settle_s:
                    last = self.others(first)
                if churn.faults or any(load.process.poll() is not None for load in self.loads.values()):
                    break
                time.sleep(SAMPLE_EVERY_S)
        finally:
            churn.stopping.set()
            churn.join()
        if churn.faults:
            raise Failed("beside the load: %s" % churn.faults[0])
        for load in self.loads.values():
            load.wait()
        self.host.check_alive()
        self.others_seen = first, last
        return self.report()

    # ---- what came out ----

    def report(self):
        whole = self.seconds
        pairs = {name: self.samples.medians(name, whole) for name in ("rss", "workers_rss", "tokens")}
        pairs["threads"] = self.samples.least("threads", whole)
        mib = {name: [value / samples.MIB for value in pairs[name]] for name in ("rss", "workers_rss")}
        calls = sum(load.total["requests"] for load in self.loads.values())
        report = {"seconds": whole, "warm_up_s": round(samples.warm_up_s(whole), 1),
                  "calls": calls, "most_per_s": round(sum(self.most.values()), 1)}
        for kind, load in self.loads.items():
            report[kind] = {
                "per_s": load.total["per_s"], "of": round(self.rates[kind], 1),
                "p50_ms": load.total["p50_us"] / 1e3, "p99_ms": load.total["p99_us"] / 1e3,
                "p99_ms_median_part": statistics.median(part["p99_us"] for part in load.parts) / 1e3,
                "p99_ms_worst_part": max(part["p99_us"] for part in load.parts) / 1e3,
                "cpu_us": load.total["cpu_us_per_request"]}
        last = self.samples.all[-1]
        report.update({
            "resident_mib": [round(value, 2) for value in mib["rss"]],
            "workers_resident_mib": [round(value, 2) for value in mib["workers_rss"]],
            "growth_mib": round(sum(pair[1] - pair[0] for pair in mib.values()), 2),
            "growth_mib_per_hour": round(self.samples.per_hour("rss", whole) / samples.MIB, 2),
            "descriptors": self.others_seen, "threads": pairs["threads"],
            "upstream_connections": max(one.upstream for one in self.samples.all),
            "tokens": pairs["tokens"],
            "audit_mib": round(last.audit / samples.MIB, 1),
            "audit_bytes_per_call": round((last.audit - self.samples.all[0].audit) / calls, 1),
            "beside": dict(self.churn.counts)})
        report["broken"] = verdict(report, self.held)
        return report


def verdict(report, held):
    """What of the report is not as it has to be."""
    broken = []
    if report["growth_mib"] >= GROWTH_MAX_MIB:
        broken.append("resident memory grew by %.2f MiB" % report["growth_mib"])
    for name in ("descriptors", "threads"):
        before, after = report[name]
        if after > before:
            broken.append("%s grew from %d to %d" % (name, before, after))
    # As many as calls were under way at a time, and as many of the key's last version while it ends.
    if report["upstream_connections"] > 2 * (2 * CLIENTS + 1):
        broken.append("%d connections to the upstream" % report["upstream_connections"])
    for kind in ("zmq", "http"):
        if report[kind]["per_s"] < held * report[kind]["of"]:
            broken.append("%s fell behind: %.0f of %.0f a second"
                          % (kind, report[kind]["per_s"], report[kind]["of"]))
    return broken
