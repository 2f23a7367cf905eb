"""Plugins and load: no call asks a plugin, and a plugin that crashes whenever it is asked is nobody
else's trouble. Both are counted over thousands of calls, with clients that wait for each other as
little as those of a busy host do."""
import os
import re
import shutil
import subprocess
import threading
import urllib.request

import msgpack
import pytest
import zmq
from lib import BUILD, Curve, Host, Refused, build_file, canary

POLICY = """sallyport 1
%s
principal desk {
  curve "%s"
%s
}
"""
SCOPE = """
scope s-%(id)s {
  key  k-%(id)s
  ttl  4h
  rate 1000000/min

  @any allow GET https://%(host)s/**
}
"""
# hmac: each request is signed, and even that by the plan alone.
HOSTS = {"stripe": "api.stripe.com", "github": "api.github.com", "rest": "api.example.com",
         "hmac": "api.signed.test"}
KEYS = {"stripe": "sk_test_", "github": "ghp_", "rest": "", "hmac": ""}
SLOTS = {"upstream": {"slots": 256, "slots_per_key": 256},
         "http health": {"listen": "127.0.0.1:0", "mode": "health"}}


@pytest.fixture(scope="module")
def origin():
    upstream = subprocess.Popen([build_file("tests", "bench", "bench_upstream")],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    yield "http://localhost:" + upstream.stdout.readline().split()[1]
    upstream.kill()
    upstream.wait()


@pytest.fixture(scope="module")
def host(tmp_path_factory, origin):
    """Four providers, one key and one scope each; and a fifth that crashes when it is asked."""
    folder = tmp_path_factory.mktemp("plugins")
    plugins = folder / "plugins"
    plugins.mkdir(mode=0o755)
    for source in [*(os.path.join(BUILD, "lib/sallyport/plugins", name + ".so") for name in HOSTS),
                   os.path.join(BUILD, "tests/bad/bad_worker.so")]:
        shutil.copy(source, plugins)
        os.chmod(plugins / os.path.basename(source), 0o644)
    made = Host(folder / "state", settings={**SLOTS, "host": {}})
    made.init()
    conf = folder / "state" / "sallyport.conf"
    conf.write_text(re.sub(r"^plugin_dir = .*$", "plugin_dir = %s" % plugins, conf.read_text(), flags=re.M))
    for path in sorted(plugins.iterdir()):
        made.cli("plugin", "pin", path)
    made.desk = Curve()
    scopes = "".join(SCOPE % {"id": name, "host": HOSTS[name]} for name in HOSTS)
    made.write_policy("world.scope", POLICY % (scopes, made.desk.public, "".join(
        "  may issue s-%s for 4h\n" % name for name in HOSTS)))
    made.start()
    with made:
        for name in HOSTS:
            settings = {"upstream": origin, **({"host": HOSTS[name]} if name in ("rest", "hmac") else {})}
            made.key_add("k-" + name, name, settings, {
                "token" if name == "github" else "api_key": canary(KEYS[name])})
        made.reload()
        yield made


def issue(host, name):
    with host.client(host.desk) as desk:
        return desk.ok("issue", scope="s-" + name)["token"]


def flood(host, name, n, clients=24):
    """n calls, as many at a time as there are clients; how many were answered 200."""
    request = msgpack.packb({"v": 1, "op": "proxy", "token": issue(host, name), "method": "GET",
                             "url": "https://%s/v1/x" % HOSTS[name]})
    context, poller = zmq.Context(), zmq.Poller()
    sent = done = good = 0
    try:
        for _ in range(clients):
            socket = context.socket(zmq.DEALER)
            socket.linger = 0
            socket.curve_serverkey = host.host_key().encode()
            socket.curve_publickey = host.desk.public.encode()
            socket.curve_secretkey = host.desk.secret.encode()
            socket.connect(host.endpoint)
            poller.register(socket, zmq.POLLIN)
            socket.send_multipart([b"", request])
            sent += 1
        while done < n:
            ready = poller.poll(20000)
            assert ready, "no answer within 20 s, after %d" % done
            for socket, _ in ready:
                reply = msgpack.unpackb(socket.recv_multipart()[-1])
                done += 1
                good += reply["ok"] and reply["status"] == 200
                if sent < n:
                    socket.send_multipart([b"", request])
                    sent += 1
    finally:
        context.destroy(0)
    return good


def plugin_calls(host):
    with urllib.request.urlopen(host.http_at("health") + "/metrics", timeout=20) as answer:
        text = answer.read().decode()
    return {name: int(value) for name, value in
            re.findall(r'^sallyport_plugin_calls_total\{provider="([^"]+)"\} (\d+)$', text, re.M)}


def test_no_call_asks_a_plugin_counted_over_a_thousand_of_each_provider(host):
    for name in HOSTS:
        assert flood(host, name, 24) == 24  # the first of a key's version asks for its plan
    before = plugin_calls(host)
    assert set(before) == {"bad", *HOSTS} and all(before[name] >= 2 for name in HOSTS)
    for name in HOSTS:
        assert flood(host, name, 1000) == 1000
    assert plugin_calls(host) == before
    # The counter does count: another version of a key asks once for its plan.
    host.cli("key", "rotate", "k-rest", "--secret", "api_key", stdin=b"another")
    assert flood(host, "rest", 24) == 24
    after = plugin_calls(host)
    assert after["rest"] > before["rest"] and after["stripe"] == before["stripe"]


def test_T45_a_plugin_that_always_crashes_fails_no_call_of_another_over_ten_thousand(host):
    stop, refusals = threading.Event(), []

    def ask_the_bad_one():
        with host.admin() as admin:
            while not stop.wait(0.02):
                try:
                    admin.ok("key.add", id="k-bad", provider="bad", settings={"case": "crash"},
                             secrets={"api_key": "x"})
                except Refused as refused:
                    refusals.append(str(refused))

    asking = threading.Thread(target=ask_the_bad_one)
    asking.start()
    try:
        assert sum(flood(host, name, 2500, clients=48) for name in HOSTS) == 10000
    finally:
        stop.set()
        asking.join()
    # Each is a process that was started for it and died; between two there is a rest.
    crashes = re.findall(r"plugin\.says.*provider=\"?bad.*died of signal", host.log())
    assert len(refusals) > 20 and len(crashes) >= 3, (refusals[:5], host.log()[-2000:])
