"""What many at a time cost: connections that say nothing, and calls under way.

Each has a host of its own, with the limits that so many need. The process that measures holds the
idle connections, so it and the host may open that many files.
"""
import os
import re
import resource
import socket
import statistics
import subprocess
import time

import msgpack

KEY = "sk_test_benchmark0000000000000000"
IDLE = 10000
IN_FLIGHT = (32, 128)
TOKENS = 100000
WRK_CONNECTIONS = 32
NAMES = ["idle_connections_mib", "check_with_100000_tokens", "added_p99_ms_half_load",
         *("proxy_in_flight_%d" % n for n in IN_FLIGHT)]
REQUEST = "GET /v1/charges/ch_1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n"


def resident_mib(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) / 1024


def start(bench, name, policy, settings):
    """A host in front of the upstream, and a token for it."""
    from lib import Curve, Host
    upstream, desk = bench.start("upstream"), Curve()
    host = Host(os.path.join(bench.folder, name), settings=settings)
    host.start()
    origin = "http://localhost:" + upstream.where[0]
    host.key_add("bench-key", "stripe", {"upstream": origin}, {"api_key": KEY})
    host.write_policy("bench.scope", policy % desk.public)
    host.reload()
    return host, desk, host.client(desk).ok("issue", scope="bench")["token"], origin


def use(sock, request):
    sock.sendall(request)
    answer = sock.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError("the front door answered: %r" % answer[:200])
    return sock


def idle_connections(bench, policy, say):
    """The resident memory of a host with 10,000 idle HTTP connections, beside that with none."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < IDLE + 200:
        raise RuntimeError("%d connections need more open files than %d" % (IDLE, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the host inherits it
    host, _, token, _ = start(bench, "idle", policy, {
        "http stripe": {"listen": "127.0.0.1:0", "mode": "provider stripe"},
        "limits": {"http_connections": IDLE + 100, "http_idle": "10m"}})
    request = (REQUEST % token).encode()
    held = []
    try:
        address = ("127.0.0.1", int(host.http_at("stripe").rsplit(":", 1)[1]))
        use(socket.create_connection(address, 20), request).close()
        none = resident_mib(host.pid)
        while len(held) < IDLE:  # each has been used, as a client's has that waits
            held.append(use(socket.create_connection(address, 20), request))
        full = resident_mib(host.pid)
        say("  %-20s %.1f MiB, without them %.1f MiB" % ("idle_connections_mib", full, none))
        for sock in held[::100]:  # they are still there, and are served
            use(sock, request)
    finally:
        for sock in held:
            sock.close()
        host.stop(expect=None)
    return {"value": round(full, 1), "unit": "MiB", "others": {
        "none": round(none, 1), "kib_each": round((full - none) * 1024 / IDLE, 2)}}


def in_flight(bench, wanted, policy, call, expect):
    """`proxy` beside the bare forwarder with more calls under way at a time."""
    forwarder = bench.start("forwarder")
    # One token holds three quarters of a key's slots at most.
    host, desk, token, origin = start(bench, "in-flight", policy, {
        "limits": {"calls": 1024, "calls_per_client": 1024},
        "upstream": {"slots": 1024, "slots_per_key": 1024}})
    clients = bench.args.clients
    try:
        key_file = desk.write(os.path.join(bench.folder, "in-flight.key"))
        method, path, headers, body = call
        ours = msgpack.packb({"v": 1, "op": "proxy", "token": token, "method": method,
                              "url": "https://api.stripe.com" + path, "headers": headers})
        bare = msgpack.packb({"method": method, "url": origin + path, "body": body,
                              "headers": {**headers, "authorization": "Bearer " + KEY}})
        for name in (name for name in wanted if name.startswith("proxy_in_flight_")):
            bench.args.clients = int(name.rsplit("_", 1)[1])
            bench.pair(name, lambda: bench.load(*forwarder.where, bare, forwarder.pid, expect),
                       lambda: bench.load(host.endpoint, host.host_key(), ours, host.pid, expect,
                                          key_file))
    finally:
        bench.args.clients = clients
        host.stop(expect=None)


def live_tokens(bench, policy, call, allowed, say):
    """`check` by a host with 100,000 live tokens beside one with a single one."""
    hosts, sides = [], []
    try:
        for name, n in (("one", 0), ("many", TOKENS)):
            host, desk, token, _ = start(bench, "tokens-" + name, policy, {})
            hosts.append(host)
            key_file = desk.write(os.path.join(bench.folder, name + ".key"))

            def load(request, expect, host=host, key_file=key_file):
                return bench.load(host.endpoint, host.host_key(), request, host.pid, expect, key_file)

            issue = msgpack.packb({"v": 1, "op": "issue", "scope": "bench"})
            seconds, bench.args.seconds = bench.args.seconds, 2
            before = resident_mib(host.pid)
            while n > 0:
                n -= int(load(issue, msgpack.packb("ok") + b"\xc3")["per_s"] * bench.args.seconds)
            bench.args.seconds = seconds
            live = host.admin().ok("status")["tokens"]
            each = (resident_mib(host.pid) - before) * (1 << 20) / live
            say("  %-20s a host with %d live tokens" % ("check", live))
            method, path, headers, _ = call
            request = msgpack.packb({"v": 1, "op": "check", "token": token, "method": method,
                                     "url": "https://api.stripe.com" + path, "headers": headers})
            sides.append(lambda load=load, request=request: load(request, allowed))
        bench.pair("check_with_100000_tokens", *sides)
        bench.results["token_bytes"] = {"value": round(each), "unit": "B", "others": {"live": live}}
    finally:
        for host in hosts:
            host.stop(expect=None)


def paced(address, request, per_s, seconds):
    """The 50th and the 99th percentile, in milliseconds, of requests that begin at their own time
    and not when others end: a late one is late from when it should have begun."""
    took = []
    with socket.create_connection(address, 20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.perf_counter()
        for i in range(int(per_s * seconds)):
            due = begun + i / per_s
            now = time.perf_counter()
            if now < due:
                time.sleep(due - now)
            use(sock, request)
            took.append(time.perf_counter() - due)
    took.sort()
    return took[len(took) // 2] * 1e3, took[len(took) * 99 // 100] * 1e3


def half_load(bench, policy, say):
    """What the front door adds to a call at half of the rate that it can take: a steady load of
    that half runs beside, and one client more measures, at the host and at the upstream."""
    host, _, token, origin = start(bench, "half", policy, {
        "http stripe": {"listen": "127.0.0.1:0", "mode": "provider stripe"},
        "upstream": {"slots": 512, "slots_per_key": 512}})
    runs, rates = {"direct": [], "host": []}, []
    try:
        port = int(host.http_at("stripe").rsplit(":", 1)[1])
        request = (REQUEST % token).encode()
        most = rate_of(wrk(bench, port, token, 3))
        pause_ms = round(WRK_CONNECTIONS / (most / 2) * 1e3)
        for _ in range(bench.args.rounds):
            load = wrk(bench, port, token, bench.args.seconds + 2, pause_ms)
            time.sleep(0.5)
            for side, to in (("direct", int(origin.rsplit(":", 1)[1])), ("host", port)):
                runs[side].append(paced(("127.0.0.1", to), request, 200, bench.args.seconds / 2))
            rates.append(rate_of(load))
    finally:
        host.stop(expect=None)
    p50 = {side: statistics.median(run[0] for run in them) for side, them in runs.items()}
    p99 = {side: statistics.median(run[1] for run in them) for side, them in runs.items()}
    say("  %-20s %.2f ms, direct %.2f ms, at %d of %d/s"
        % ("p99", p99["host"], p99["direct"], statistics.median(rates), most))
    return {"value": round(p99["host"] - p99["direct"], 3), "unit": "ms", "others": {
        "p50_added": round(p50["host"] - p50["direct"], 3), "p99_direct": round(p99["direct"], 3),
        "per_s": round(statistics.median(rates)), "most_per_s": round(most)}}


def wrk(bench, port, token, seconds, pause_ms=0):
    """A steady load by 32 connections, each of which waits so long after each answer."""
    script = os.path.join(bench.folder, "half.lua")
    with open(script, "w", encoding="utf-8") as file:
        file.write("wrk.headers = {Authorization = 'Bearer %s'}\n" % token)
        if pause_ms:
            file.write("function delay() return %d end\n" % pause_ms)
    return subprocess.Popen(["wrk", "-t1", "-c%d" % WRK_CONNECTIONS, "-d%ds" % seconds, "-s", script,
                             "http://127.0.0.1:%d/v1/charges/ch_1" % port],
                            stdout=subprocess.PIPE, text=True)


def rate_of(process):
    out = process.communicate()[0]
    if "Non-2xx" in out:
        raise RuntimeError("the front door refused what it should pass: " + out)
    return float(re.search(r"Requests/sec:\s*([\d.]+)", out).group(1))


def measure(bench, wanted, policy, call, expect, say):
    os.environ["SALLYPORT_BUILD"] = bench.build
    if "idle_connections_mib" in wanted:
        bench.results["idle_connections_mib"] = idle_connections(bench, policy, say)
    if "check_with_100000_tokens" in wanted:
        live_tokens(bench, policy, call, msgpack.packb("allowed") + b"\xc3", say)
    if "added_p99_ms_half_load" in wanted:
        bench.results["added_p99_ms_half_load"] = half_load(bench, policy, say)
    if any(name.startswith("proxy_in_flight_") for name in wanted):
        in_flight(bench, wanted, policy, call, expect)

