"""What the tests of streamed request bodies share: a world whose scopes take them, and a client that sends
one by hand."""
import contextlib
import hashlib
import socket
import subprocess
import time

import upstreams
from world import POLICY, World, world

PIECE = bytes(range(256)) * 256
SETTINGS = {"http local": {"listen": "127.0.0.1:0", "mode": "provider stripe"},
            "http proxy": {"listen": "127.0.0.1:0", "mode": "forward"},
            "limits": {"message_max": "2M", "http_grace": "2s", "http_body_max": "2G"},
            "upstream": {"total": "3s", "stream_idle": "4s"}}
RULES = """
  @any    allow {GET POST PUT} https://api.stripe.com/**
}

scope readers {
  key  stripe-main
  ttl  4h

  @read   allow POST https://api.stripe.com/v1/read where body.amount in 1..5000
  @whole  allow POST https://api.stripe.com/v1/whole/* where body.amount in 1..5000
  @unless deny  POST https://api.stripe.com/v1/open/unless where body.kind = "bad"
  @rest   allow POST https://api.stripe.com/v1/open/*
"""


class Uploading(World):
    POLICY = POLICY.replace("\n  @any allow {GET POST} https://api.stripe.com/**\n", RULES).replace(
        "may issue open for 4h", "may issue open for 4h\n  may issue readers for 4h")


def certificate(folder):
    """For the upstream's name: (chain, private key), files."""
    cert, key = str(folder / "upstream.pem"), str(folder / "upstream.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", "/CN=api.stripe.com", "-addext",
                    "subjectAltName=DNS:api.stripe.com", "-keyout", key, "-out", cert],
                   check=True, capture_output=True, timeout=30)
    return cert, key


@contextlib.contextmanager
def uploads(folder, settings=None, tls=False):
    """That world, before an upstream that notes what bodies it is sent."""
    settings = settings or SETTINGS
    cert = certificate(folder) if tls else ()
    if tls:
        settings = {**settings, "upstream": {**settings["upstream"], "ca_file": cert[0]}}
    up = upstreams.Uploads(str(folder / "up"), *cert)
    try:
        with world(folder, up.url, kind=Uploading, settings=settings) as made:
            made.up = up
            made.port = int(made.host.http_at("local").rsplit(":", 1)[1])
            made.token = made.issue("open")
            yield made
    finally:
        up.stop()


def memory_kib(pid, field):
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return int(next(line for line in file if line.startswith(field + ":")).split()[1])


def wait_until(check, seconds=15):
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def bodies(w, n):
    """Those that the upstream noted, once they are n: it notes one after its answer."""
    return wait_until(lambda: len(found := w.up.bodies()) >= n and found)


def last_body(w):
    return bodies(w, 1)[-1]


def end_token(w, how):
    """It is revoked, or suspended (its upstream gives the key back three times); or the host is sealed."""
    if how == "revoked":
        with w.host.client(w.desk) as desk:
            desk.ok("revoke", token=w.token)
    elif how == "sealed":
        w.host.admin().ok("seal")
    else:
        with w.as_agent() as agent:
            for _ in range(3):
                refusal = agent.refused("proxy", token=w.token, method="GET",
                                        url="https://api.stripe.com/v1/leak?trailers=1&echo=1")
                assert refusal["code"] == "response_blocked"


class Upload:
    """One request whose body is sent by hand."""

    def __init__(self, w, target="/v1/files", size=None, more="", sndbuf=0, token=None):
        self.sock = socket.socket()
        if sndbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
        self.sock.settimeout(30)
        self.sock.connect(("127.0.0.1", w.port))
        self.begin(w, target, size, more, token)
        self.hash = hashlib.sha256()

    def begin(self, w, target, size, more="", token=None):
        self.chunked = size is None
        framing = "Transfer-Encoding: chunked" if self.chunked else "Content-Length: %d" % size
        self.sock.sendall(("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n%s\r\n"
                           % (target, token or w.token, framing, more)).encode())

    def send(self, data):
        self.hash.update(data)
        self.sock.sendall(b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)

    def send_all(self, size):
        while size > 0:
            self.send(PIECE[:size])
            size -= min(size, len(PIECE))
        if self.chunked:
            self.sock.sendall(b"0\r\n\r\n")

    def push(self, limit):
        """As much as is taken until nothing is for half a second."""
        self.sock.settimeout(0.5)
        n = 0
        try:
            while n < limit:
                n += self.sock.send(PIECE[:limit - n])
        except TimeoutError:
            pass
        self.sock.settimeout(30)
        return n

    def answer(self):
        """(status, headers, body) of the next answer; None where the connection ended."""
        file = self.sock.makefile("rb")
        line = file.readline()
        if not line:
            return None
        status, headers = int(line.split()[1]), {}
        while (line := file.readline()) not in (b"\r\n", b""):
            name, value = line.decode().split(":", 1)
            headers[name.lower()] = value.strip()
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(file.readline(), 16):
                body += file.read(size)
                file.readline()
            while (line := file.readline()) not in (b"\r\n", b""):
                body += b"TRAILER " + line
        elif status >= 200:
            body = file.read(int(headers.get("content-length", "0")))
        return status, headers, body

    def close(self):
        self.sock.close()


def outcomes(w):
    return [r for r in w.host.audit_records() if r["type"] == "outcome"]


def ends(w):
    """The outcomes, once nothing is under way."""
    wait_until(lambda: w.host.admin().ok("status")["calls_open"] == 0)
    w.host.stop()
    return outcomes(w)
