"""What many at a time cost: connections that say nothing, and calls under way.

Each has a host of its own, with the limits that so many need. The process that measures holds the
idle connections, so it and the host may open that many files.
"""
import os
import resource
import socket

import msgpack

KEY = "sk_test_benchmark0000000000000000"
IDLE = 10000
IN_FLIGHT = (32, 128)
NAMES = ["idle_connections_mib", *("proxy_in_flight_%d" % n for n in IN_FLIGHT)]
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


def measure(bench, wanted, policy, call, expect, say):
    os.environ["SALLYPORT_BUILD"] = bench.build
    if "idle_connections_mib" in wanted:
        bench.results["idle_connections_mib"] = idle_connections(bench, policy, say)
    if any(name.startswith("proxy_in_flight_") for name in wanted):
        in_flight(bench, wanted, policy, call, expect)
