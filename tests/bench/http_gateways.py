"""sallyport's HTTP front door beside the gateways that one would else write a configuration for, and
beside no gateway: one load (wrk), one upstream, one process on one core each, in turns.

Each gateway does what it can of sallyport's work: it looks the client's token up, refuses unknown
ones, and puts the upstream's key in. nginx also judges the form body, in Lua, as sallyport's rule does.
Neither limits, searches answers for the key, nor records durably; sallyport does all of it here.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

KEY = "sk_test_benchmark0000000000000000"
NAMES = ["http_vs_haproxy", "http_vs_nginx_lua", "http_vs_direct", "http_tls_vs_haproxy",
         "http_tls_vs_nginx_lua", "http_curl_alone", "http_tls_curl_alone"]
PROGRAMS = ("wrk", "haproxy", "nginx")
READ = ("GET", "/v1/charges/ch_1", "")
REFUND = ("POST", "/v1/refunds", "charge=ch_1&amount=4000&reason=duplicate")

WRK = """
wrk.method, wrk.body = %(method)r, %(body)r
wrk.headers = {Authorization = "Bearer %(token)s", Accept = "application/json"}
if #wrk.body > 0 then wrk.headers["Content-Type"] = "application/x-www-form-urlencoded" end
function done(summary, latency, _)
  io.write(string.format('{"requests": %%d, "us": %%d, "bad": %%d, "p50_us": %%d, "p99_us": %%d}\\n',
    summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""

HAPROXY = """
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    http-reuse always
frontend door
    bind 127.0.0.1:%(port)d
    # A map's key ends at a blank, so what is looked up is the token alone.
    http-request set-var(txn.key) req.hdr(authorization),word(2,' '),map_str(%(folder)s/tokens.map)
    http-request deny deny_status 401 unless { var(txn.key) -m found }
    http-request set-header Authorization "Bearer %%[var(txn.key)]"
    http-request set-header Host localhost
    default_backend upstream
backend upstream
    server one localhost:%(upstream)d %(tls)s
"""

NGINX = """
daemon off; master_process off; worker_processes 1; pid %(folder)s/nginx.pid;
error_log %(folder)s/error.log;
%(modules)s
events { worker_connections 4096; }
http {
  access_log %(folder)s/access.log;
  client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy;
  fastcgi_temp_path %(folder)s/fastcgi; uwsgi_temp_path %(folder)s/uwsgi;
  scgi_temp_path %(folder)s/scgi;
  keepalive_requests 100000000;
  upstream there { server localhost:%(upstream)d; keepalive 256; keepalive_requests 100000000; }
  init_by_lua_block {
    keys = {["Bearer %(token)s"] = "Bearer %(key)s"}
    reasons = {duplicate = true, requested_by_customer = true}
    known = {charge = true, amount = true, reason = true}
  }
  server {
    listen 127.0.0.1:%(port)d;
    location / {
      access_by_lua_block {
        local key = keys[ngx.var.http_authorization or ""]
        if not key then return ngx.exit(401) end
        if ngx.req.get_method() == "POST" then
          ngx.req.read_body()
          local form, more = ngx.req.get_post_args(10)
          if more or ngx.var.uri ~= "/v1/refunds" then return ngx.exit(403) end
          for name, value in pairs(form) do
            if not known[name] or type(value) ~= "string" then return ngx.exit(403) end
          end
          local amount = form.amount and form.amount:match("^[1-9]%%d*$") and tonumber(form.amount)
          if not amount or amount > 5000 or not reasons[form.reason or ""]
             or (form.charge or ""):sub(1, 3) ~= "ch_" then return ngx.exit(403) end
        elseif not ngx.var.uri:match("^/v1/charges/[^/]+$") then
          return ngx.exit(403)
        end
        ngx.req.set_header("Authorization", key)
      }
      proxy_pass %(scheme)s://there;
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host localhost;
      %(tls)s
    }
  }
}
"""

# TLS in front of the benchmark's upstream would cost the machine a second process: here it answers itself.
TLS_UPSTREAM = """
daemon off; master_process off; worker_processes 1; pid %(folder)s/tls.pid;
error_log %(folder)s/tls.log;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000;
  client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy;
  fastcgi_temp_path %(folder)s/fastcgi; uwsgi_temp_path %(folder)s/uwsgi;
  scgi_temp_path %(folder)s/scgi;
  server {
    listen 127.0.0.1:%(port)d ssl;
    ssl_certificate %(folder)s/cert.pem; ssl_certificate_key %(folder)s/key.pem;
    location / { default_type application/json; return 200 '%(answer)s'; }
  }
}
"""


def missing():
    """What of the programs that Debian has is not installed."""
    found = {name: shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") for name in PROGRAMS}
    lua = os.path.exists("/usr/lib/nginx/modules/ngx_http_lua_module.so")
    return [name for name, path in found.items() if not path] + ([] if lua else ["nginx's Lua module"])


def cpu_us(pid):
    """What a process and its threads have used, in microseconds."""
    total = 0
    for thread in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, thread), encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1000


class Gateways:
    """The programs of one comparison, each on a port of its own."""

    def __init__(self, bench, folder, upstream, tls):
        self.bench, self.folder, self.upstream, self.tls = bench, folder, upstream, tls
        os.makedirs(folder)
        self.processes = []

    def free_port(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def spawn(self, port, *argv):
        with open(os.path.join(self.folder, "output"), "ab") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return process.pid
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    with open(os.path.join(self.folder, "output"), encoding="utf-8") as log:
                        raise RuntimeError("%s did not start: %s" % (argv[0], log.read())) from None
                time.sleep(0.05)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def values(self, **more):
        return {"folder": self.folder, "upstream": self.upstream, "key": KEY,
                "token": "spt_bench" + "0" * 60, "port": self.free_port(), **more}

    def haproxy(self):
        values = self.values(tls="ssl verify required ca-file %s/cert.pem sni str(localhost) "
                                 "verifyhost localhost" % self.folder if self.tls else "")
        self.write("tokens.map", "%(token)s %(key)s\n" % values)
        path = self.write("haproxy.cfg", HAPROXY % values)
        return values["port"], self.spawn(values["port"], "/usr/sbin/haproxy", "-db", "-f", path), \
            values["token"]

    def nginx(self):
        modules = "".join("load_module /usr/lib/nginx/modules/%s.so;\n" % name
                          for name in ("ndk_http_module", "ngx_http_lua_module"))
        values = self.values(modules=modules, scheme="https" if self.tls else "http",
                             tls="proxy_ssl_verify on; proxy_ssl_trusted_certificate %s/cert.pem; "
                                 "proxy_ssl_name localhost; proxy_ssl_server_name on;" % self.folder
                             if self.tls else "")
        path = self.write("nginx.conf", NGINX % values)
        return values["port"], self.spawn(values["port"], "/usr/sbin/nginx", "-p", self.folder, "-c",
                                          path), values["token"]

    def tls_upstream(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,DNS:api.stripe.com", "-keyout",
                        os.path.join(self.folder, "key.pem"), "-out",
                        os.path.join(self.folder, "cert.pem")], check=True, capture_output=True)
        answer = json.dumps({"id": "ch_1", "object": "charge", "amount": 2000,
                             "padding": "x" * 540})
        values = self.values(answer=answer)
        path = self.write("tls.conf", TLS_UPSTREAM % values)
        self.spawn(values["port"], "/usr/sbin/nginx", "-p", self.folder, "-c", path)
        self.upstream = values["port"]

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
            process.wait()


def load(bench, folder, port, pid, token, request):
    """One run of wrk; what it saw, and the CPU time of the process that served it."""
    method, path, body = request
    script = os.path.join(folder, "wrk.lua")
    with open(script, "w", encoding="utf-8") as file:
        file.write(WRK % {"method": method, "body": body, "token": token})
    before = cpu_us(pid)
    done = subprocess.run(["wrk", "-t1", "-c%d" % bench.args.clients, "-d%ds" % bench.args.seconds,
                           "-s", script, "http://127.0.0.1:%d%s" % (port, path)],
                          capture_output=True, text=True, check=False)
    used = cpu_us(pid) - before
    found = re.search(r"^\{.*\}$", done.stdout, re.M)
    if done.returncode != 0 or not found:
        raise RuntimeError("wrk failed: " + done.stderr + done.stdout)
    seen = json.loads(found.group())
    if seen["bad"] or not seen["requests"]:
        raise RuntimeError("the gateway refused what it should pass: " + done.stdout)
    return {"per_s": seen["requests"] * 1e6 / seen["us"],
            "cpu_us_per_request": used / seen["requests"],
            "p50_us": seen["p50_us"], "p99_us": seen["p99_us"]}


def curl_alone(bench, url, ca_file):
    """One run of libcurl with nothing around it."""
    done = subprocess.run([os.path.join(bench.build, "tests/bench/bench_curl"), url,
                           str(bench.args.clients), "%d" % max(1, bench.args.seconds),
                           *([ca_file] if ca_file else [])],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError("bench_curl failed: " + done.stderr)
    return {**json.loads(done.stdout), "p50_us": 0, "p99_us": 0}


def start_host(bench, folder, policy, origin, ca_file):
    os.environ["SALLYPORT_BUILD"] = bench.build
    from lib import Curve, Host
    host = Host(os.path.join(folder, "state"), settings={
        "upstream": {"slots": 512, "slots_per_key": 512},
        "http stripe": {"listen": "127.0.0.1:0", "mode": "provider stripe"}})
    desk = Curve()
    host.start()
    host.key_add("bench-key", "stripe",
                 {"upstream": origin, **({"ca_file": ca_file} if ca_file else {})},
                 {"api_key": KEY})
    host.write_policy("bench.scope", policy % desk.public)
    host.reload()
    token = host.client(desk).ok("issue", scope="bench")["token"]
    return host, token


def compare(bench, wanted, policy, tls):
    names = [name for name in wanted if name in NAMES and name.startswith("http_tls") == tls]
    if not names:
        return
    folder = os.path.join(bench.folder, "https" if tls else "http")
    upstream = None if tls else bench.start("upstream")
    gateways = Gateways(bench, folder, upstream and int(upstream.where[0]), tls)
    host = None
    try:
        if tls:
            gateways.tls_upstream()
        ca_file = os.path.join(folder, "cert.pem") if tls else None
        host, token = start_host(
            bench, folder, policy,
            "%s://localhost:%d" % ("https" if tls else "http", gateways.upstream), ca_file)
        port = int(host.http_at("stripe").rsplit(":", 1)[1])

        def side(port, pid, token, request):
            return lambda: load(bench, folder, port, pid, token, request)

        for name in names:
            if name.endswith("curl_alone"):
                url = "%s://localhost:%d%s" % ("https" if tls else "http", gateways.upstream, READ[1])
                bench.pair(name, side(*gateways.haproxy(), READ),
                           lambda url=url: curl_alone(bench, url, ca_file))
                continue
            request = REFUND if name.endswith("nginx_lua") else READ
            other = {"haproxy": gateways.haproxy, "nginx_lua": gateways.nginx,
                     "direct": lambda: (gateways.upstream, upstream.pid, token)}
            bench.pair(name, side(*other[name.split("_vs_")[1]](), request),
                       side(port, host.pid, token, request))
            result = bench.results[name]
            result["cpu_ratio"] = round(result["cpu_us"] / result["baseline_cpu_us"], 3)
    finally:
        if host:
            host.stop(expect=None)
        gateways.stop()


def ratio(value):
    return {"value": value, "unit": "", "others": {}}


def measure(bench, wanted, policy):
    """http_vs_*: requests per second and CPU beside each gateway, over http and over TLS."""
    lacking = missing()
    if lacking:
        raise RuntimeError("missing: %s; `tests/setup --bench` installs them" % ", ".join(lacking))
    compare(bench, wanted, policy, False)
    compare(bench, wanted, policy, True)
    for name in ("haproxy", "nginx_lua"):
        for kind in ("http", "http_tls"):
            pair = bench.results.get("%s_vs_%s" % (kind, name))
            if pair:
                bench.results["%s_cpu_vs_%s" % (kind, name)] = ratio(pair["cpu_ratio"])
                if name == "haproxy":
                    bench.results[kind + "_rps_vs_haproxy"] = ratio(pair["ratio"])
