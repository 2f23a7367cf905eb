"""One tenant asks for ten times what its rate allows: what that does to the calls of the others.

The host has two tenants, with a principal, a scope and connections each. The others' calls are due at a
steady rate, a fifth of what the host can do; their 99th percentile is taken quiet and under the flood, by
turns. The flood's limit is a tenth of what the host can do, so what it asks for is all of that. Every
answer of the others has to be the upstream's, and the flood gets what its rate admits and no more.

All run on the same cores, the flood's own program too. So a third turn sends the same flood to another
host beside (elsewhere): what that does to the others is the machine's share of it.
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


class Door:
    """A host with both tenants, whose flood may make so many calls a second."""

    def __init__(self, bench, name, origin):
        from lib import Curve, Host
        self.desk, self.crowd = Curve(), Curve()
        self.host = Host(os.path.join(bench.folder, name), settings={
            "http stripe": {"listen": "127.0.0.1:0", "mode": "provider stripe"},
            "upstream": {"slots": 512, "slots_per_key": 512}})
        self.write_policy(1)
        self.host.start()
        self.host.key_add("main", "stripe", {"upstream": origin}, {"api_key": KEY})
        self.host.reload()

    def write_policy(self, per_s):
        """Even over time: without a burst, a minute's calls could pass in its first seconds."""
        self.host.write_policy("flood.scope", POLICY % (per_s * 60, per_s // 20 + 1, self.desk.public,
                                                        self.crowd.public))

    def limit(self, per_s):
        self.write_policy(per_s)
        self.host.reload()


def turns(bench, kind, say):
    """The others' results: quiet, under the flood, and while the same flood is at another host, by turns;
    and the flood's."""
    origin = "http://localhost:" + bench.start("upstream").where[0]
    doors, runs, floods = [], {"quiet": [], "flooded": [], "elsewhere": []}, []
    seconds = bench.args.seconds
    try:
        doors = [Door(bench, "flood-%s-%s" % (kind, name), origin) for name in ("here", "elsewhere")]
        others = Tenant(bench, doors[0].host, "others", kind, "others", doors[0].desk)
        most = result(others.start(2))["per_s"]
        limit = max(1, round(most * LIMIT))
        flood = {}
        for door, name in zip(doors, ("flooded", "elsewhere")):
            door.limit(limit)
            flood[name] = Tenant(bench, door.host, name, kind, "flood", door.crowd)
        for _ in range(bench.args.rounds):
            for name in runs:
                crowding = flood[name].start(seconds + 2, limit * TIMES, LIMITED[kind]) \
                    if name in flood else None
                runs[name].append(result(others.start(seconds, most * OTHERS)))
                crowded = result(crowding) if crowding else None
                if name == "flooded":
                    floods.append(crowded)
            say("  %-20s others' p99 %.2f ms, flooded %.2f ms, elsewhere %.2f ms (%d/s of %d asked)" % (
                "flood " + kind, *(runs[name][-1]["p99_us"] / 1e3 for name in
                                   ("quiet", "flooded", "elsewhere")),
                floods[-1]["per_s"], limit * TIMES))
    finally:
        for door in doors:
            door.host.stop(expect=None)
    return runs, floods, most


def admitted_per_s(kind, floods, limit):
    """What the flood got, which is what its rate admits and no more."""
    got = statistics.median((flood["requests"] - flood["also"]) / flood["seconds"] for flood in floods)
    if got > 1.2 * limit:
        raise RuntimeError("flood %s: %.0f calls a second admitted of %d" % (kind, got, limit))
    return got


def measure(bench, wanted, say):
    os.environ["SALLYPORT_BUILD"] = bench.build
    for name, kind in zip(NAMES, ("zmq", "http")):
        if name not in wanted:
            continue
        runs, floods, most = turns(bench, kind, say)
        limit = max(1, round(most * LIMIT))

        def median(of, field):
            return statistics.median(run[field] for run in of)

        def ratio(side, base):
            return round(statistics.median(one["p99_us"] / other["p99_us"]
                                           for one, other in zip(runs[side], runs[base])), 3)

        bench.results[name] = {"value": ratio("flooded", "quiet"), "unit": "", "others": {
            "elsewhere": ratio("elsewhere", "quiet"),
            **{"p%d_ms_%s" % (p, side): median(runs[side], "p%d_us" % p) / 1e3
               for p in (99, 50) for side in runs},
            "others_per_s": round(median(runs["flooded"], "per_s")),
            "others_asked_per_s": round(most * OTHERS),
            "flood_per_s": round(median(floods, "per_s")), "flood_asked_per_s": limit * TIMES,
            "flood_admitted_per_s": round(admitted_per_s(kind, floods, limit)),
            "most_per_s": round(most)}}
