"""One tenant asks for ten times what its rate allows: what that does to the calls of the others.

The host has two tenants, with a principal, a scope and connections each. The others' calls are due at a
steady rate, a fifth of what the host can do; their 99th percentile is taken quiet and under the flood, by
turns. The flood's limit is a tenth of what the host can do, so what it asks for is all of that. Every
answer of the others has to be the upstream's, and the flood has to get the admitted calls and no more.
"""
import json
import os
import statistics
import subprocess

import msgpack

KEY = "sk_test_benchmark0000000000000000"
NAMES = ["flood_p99_ratio", "flood_p99_ratio_http"]
OTHERS, LIMIT, TIMES = 0.2, 0.1, 10
CLIENTS = 64
STATUS_200 = {"zmq": msgpack.packb("status") + msgpack.packb(200), "http": b"HTTP/1.1 200"}
LIMITED = {"zmq": msgpack.packb("rate_limited"), "http": b"HTTP/1.1 429"}
POLICY = """sallyport 1

scope others {
  key main
  ttl 4h
  @read allow GET https://api.stripe.com/v1/charges/*
}

scope flood {
  key main
  ttl 4h
  rate %d/min burst %d
  @read allow GET https://api.stripe.com/v1/charges/*
}

principal desk {
  curve "%s"
  may issue others for 4h
}

principal crowd {
  curve "%s"
  may issue flood for 4h
}
"""


class Tenant:
    """Who calls, over which of the two ways: the arguments of bench_load."""

    def __init__(self, bench, host, name, kind, scope, curve):
        token = host.client(curve).ok("issue", scope=scope)["token"]
        path = os.path.join(bench.folder, "%s-%s" % (kind, name))
        url = "/v1/charges/ch_1"
        if kind == "zmq":
            key_file = curve.write(path + ".key")
            data = msgpack.packb({"v": 1, "op": "proxy", "token": token, "method": "GET",
                                  "url": "https://api.stripe.com" + url})
            self.argv = ["--endpoint", host.endpoint, "--server-key", host.host_key(), "--key-file",
                         key_file]
        else:
            data = ("GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n"
                    % (url, token)).encode()
            self.argv = ["--http", host.http_at("stripe").rsplit(":", 1)[1]]
        with open(path, "wb") as file:
            file.write(data)
        self.argv = [os.path.join(bench.build, "tests/bench/bench_load"), *self.argv, "--request", path,
                     "--expect", STATUS_200[kind].hex(), "--pid", str(host.pid), "--clients", str(CLIENTS)]

    def start(self, seconds, rate=0, also=b""):
        argv = [*self.argv, "--seconds", str(seconds), "--warmup", "1"]
        argv += ["--rate", "%.1f" % rate] if rate else []
        argv += ["--also", also.hex()] if also else []
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(process):
    out, complaint = process.communicate()
    if process.returncode != 0:
        raise RuntimeError("the load failed: " + complaint + out)
    return json.loads(out)


def turns(bench, kind, say):
    """The others' results, quiet and under the flood, by turns; and the flood's."""
    from lib import Curve, Host
    upstream = bench.start("upstream")
    host = Host(os.path.join(bench.folder, "flood-" + kind), settings={
        "http stripe": {"listen": "127.0.0.1:0", "mode": "provider stripe"},
        "upstream": {"slots": 512, "slots_per_key": 512}})
    desk, crowd = Curve(), Curve()
    runs, floods = {"quiet": [], "flooded": []}, []

    def write_policy(per_s):
        """Even over time: without a burst, a minute's calls could pass in its first seconds."""
        host.write_policy("flood.scope", POLICY % (per_s * 60, per_s // 20 + 1, desk.public, crowd.public))

    try:
        write_policy(1)
        host.start()
        host.key_add("main", "stripe", {"upstream": "http://localhost:" + upstream.where[0]},
                     {"api_key": KEY})
        host.reload()
        others = Tenant(bench, host, "others", kind, "others", desk)
        most = result(others.start(2))["per_s"]
        limit = max(1, round(most * LIMIT))
        write_policy(limit)
        host.reload()
        flood = Tenant(bench, host, "flood", kind, "flood", crowd)
        for _ in range(bench.args.rounds):
            runs["quiet"].append(result(others.start(bench.args.seconds, most * OTHERS)))
            crowding = flood.start(bench.args.seconds + 2, limit * TIMES, LIMITED[kind])
            runs["flooded"].append(result(others.start(bench.args.seconds, most * OTHERS)))
            floods.append(result(crowding))
            say("  %-20s others' p99 %.2f ms, flooded %.2f ms (%d/s of %d asked, %d%% refused)" % (
                "flood " + kind, runs["quiet"][-1]["p99_us"] / 1e3, runs["flooded"][-1]["p99_us"] / 1e3,
                floods[-1]["per_s"], limit * TIMES, 100 * floods[-1]["also"] / floods[-1]["requests"]))
    finally:
        host.stop(expect=None)
    return runs, floods, most


def check_flood(kind, floods, limit):
    """That it was one, and that it got what its rate admits."""
    for flood in floods:
        admitted = (flood["requests"] - flood["also"]) / flood["seconds"]
        if not 0.8 * limit <= admitted <= 1.2 * limit:
            raise RuntimeError("flood %s: %.0f calls a second admitted of %d" % (kind, admitted, limit))


def measure(bench, wanted, say):
    os.environ["SALLYPORT_BUILD"] = bench.build
    for name, kind in zip(NAMES, ("zmq", "http")):
        if name not in wanted:
            continue
        runs, floods, most = turns(bench, kind, say)
        check_flood(kind, floods, max(1, round(most * LIMIT)))

        def median(of, field):
            return statistics.median(run[field] for run in of)

        ratios = [flooded["p99_us"] / quiet["p99_us"]
                  for quiet, flooded in zip(runs["quiet"], runs["flooded"])]
        bench.results[name] = {"value": round(statistics.median(ratios), 3), "unit": "", "others": {
            "p99_ms_quiet": median(runs["quiet"], "p99_us") / 1e3,
            "p99_ms_flooded": median(runs["flooded"], "p99_us") / 1e3,
            "p50_ms_quiet": median(runs["quiet"], "p50_us") / 1e3,
            "p50_ms_flooded": median(runs["flooded"], "p50_us") / 1e3,
            "others_per_s": round(median(runs["flooded"], "per_s")),
            "others_asked_per_s": round(most * OTHERS),
            "flood_per_s": round(median(floods, "per_s")),
            "flood_asked_per_s": round(most * LIMIT) * TIMES, "most_per_s": round(most)}}
