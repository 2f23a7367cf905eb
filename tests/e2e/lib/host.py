"""A sallyportd of the build under test, in a state folder of its own."""
import json
import os
import re
import signal
import subprocess
import time

from .client import Client
from .curve import Curve

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))))
BUILD = os.environ.get("SALLYPORT_BUILD", os.path.join(ROOT, "build", "dev"))
READY_S = 60
STOP_S = 30


def build_file(*parts):
    path = os.path.join(BUILD, *parts)
    if not os.path.exists(path):
        raise FileNotFoundError("%s: build it first, or set SALLYPORT_BUILD" % path)
    return path


def command(*args, expect=0, stdin=b""):
    """The sallyport command, for what needs no host: (what it printed, what it complained of)."""
    done = subprocess.run([build_file("host", "sallyport"), *map(str, args)], input=stdin,
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
    return done.stdout.decode(), done.stderr.decode()


def _is_set(option):
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as file:
        return re.search(option, file.read(), re.M) is not None


def is_sanitized():
    """Whether the build under test carries a sanitizer: times and memory mean less there."""
    return _is_set(r"^SALLYPORT_SANITIZE:\w+=.")


def is_instrumented():
    """Whether it carries a sanitizer or counts its lines: nothing can stand before libc then."""
    return is_sanitized() or _is_set(r"^SALLYPORT_COVERAGE:\w+=(ON|1|TRUE)$")


class Host:
    """init() makes the folder, start() and stop() the process; all by pid, nothing by name.

    settings: lines for sallyport.conf as {"section": {"name": "value"}}.
    wrapper: what to start sallyportd with, e.g. ["faketime", "-f", "+1h"].
    options: of sallyportd itself, e.g. ["--dev-plugins"].
    """

    def __init__(self, folder, settings=None, wrapper=(), env=None, options=()):
        self.dir = str(folder)
        self.settings = settings or {}
        self.wrapper = list(wrapper)
        self.env = env or {}
        self.options = list(options)
        self.log_path = self.dir + ".log"
        self.process = None
        self.endpoint = None
        self.clients = []
        self.log_seen = 0

    # ---- set-up ----

    def init(self, *options):
        """`sallyport init`, and the settings; done by start() where it was not."""
        # Said, so that a test is the same where there is a user `sallyport`.
        whom = ["--user", "root"] if os.geteuid() == 0 and "--user" not in options else []
        self.cli("init", *whom, "--plugins", build_file("lib", "sallyport", "plugins"),
                 "--listen", "tcp://127.0.0.1:*", *options)
        path = os.path.join(self.dir, "sallyport.conf")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for section, names in self.settings.items():
            lines = "".join("%s = %s\n" % pair for pair in names.items())
            if "\n[%s]\n" % section in text:
                text = text.replace("\n[%s]\n" % section, "\n[%s]\n%s" % (section, lines), 1)
            else:
                text += "\n[%s]\n%s" % (section, lines)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return self

    def write_policy(self, name, text):
        """Put a .scope file into the policy folder; start() or reload() takes it over."""
        self._ensure_init()
        path = os.path.join(self.dir, "policy", name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def _ensure_init(self):
        if not os.path.exists(os.path.join(self.dir, "sallyport.conf")):
            self.init()

    # ---- life ----

    def start(self, state="ready"):
        """Start it and wait until its log says `ready` (or another state)."""
        self._ensure_init()
        self.launch()
        line = self.await_log(r" \w+ %s\b.*" % state, READY_S)
        found = re.search(r'endpoint="([^"]+)"', line)
        self.endpoint = found.group(1) if found else None
        return self

    def launch(self):
        """Start it and wait for nothing."""
        assert self.process is None or self.process.poll() is not None, "it runs already"
        self.log_seen = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, build_file("host", "sallyportd"), "--config",
                 os.path.join(self.dir, "sallyport.conf"), *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.env})

    def await_log(self, pattern, timeout=20):
        """The first line since the last start that the pattern is found in."""
        end = time.monotonic() + timeout
        while True:
            # Asked before the log is read: what a dying process still wrote is then not missed.
            gone = self.process.poll() is not None
            found = re.search("^.*(?:%s).*$" % pattern, self.log(), re.M)
            if found:
                return found.group(0)
            if gone or time.monotonic() > end:
                raise AssertionError("%s, and its log has no /%s/:\n%s" % (
                    "sallyportd ended with %s" % self.process.returncode if gone
                    else "sallyportd runs", pattern, self.log()[-4000:]))
            time.sleep(0.02)

    def log(self):
        """What it logged since the last start."""
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            file.seek(self.log_seen)
            return file.read()

    def check_alive(self):
        """A host that died (a sanitizer's finding, say) must not look like one that is slow."""
        if self.process.poll() is not None:
            raise AssertionError("sallyportd ended with %s:\n%s"
                                 % (self.process.returncode, self.log()[-8000:]))

    @property
    def pid(self):
        return self.process.pid

    def signal(self, number):
        self.process.send_signal(number)

    def reload_by_signal(self):
        self.signal(signal.SIGHUP)

    def kill9(self):
        """As if the machine had lost the process: nothing is flushed, nothing is said."""
        self._drop_clients()
        self.process.kill()
        self.process.wait()

    def stop(self, expect=0):
        """SIGTERM, and wait; expect: the exit status it must have (a sanitizer's is 99)."""
        if self.process is None:
            return
        self._drop_clients()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("sallyportd did not end in %d s:\n%s" % (STOP_S, self.log()))
        if expect is not None and status not in (expect, -signal.SIGKILL):
            raise AssertionError("sallyportd ended with %d:\n%s" % (status, self.log()[-8000:]))

    def restart(self):
        self.stop()
        return self.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        # Where the test failed already, its own words are the ones to hear.
        self.stop(expect=0 if kind is None else None)

    def http_at(self, name):
        """Where the listener [http NAME] listens: "http://127.0.0.1:49152"."""
        line = self.await_log(r'http\.listening listener="?%s"? ' % re.escape(name))
        return re.search(r'at="([^"]+)"', line).group(1)

    # ---- asking it ----

    def host_key(self):
        with open(os.path.join(self.dir, "host.pub"), encoding="ascii") as file:
            return file.read().strip()

    def client(self, curve, **options):
        """A client on the client socket, closed with the host."""
        made = Client(self.endpoint, self.host_key(), curve, check_alive=self.check_alive,
                      **options)
        self.clients.append(made)
        return made

    def admin(self, curve=None, **options):
        """A client on the administration socket; by default with the folder's admin.key."""
        curve = curve or Curve.read(os.path.join(self.dir, "admin.key"))
        endpoint = "ipc://" + os.path.join(self.dir, "admin.sock")
        made = Client(endpoint, self.host_key(), curve, check_alive=self.check_alive, **options)
        self.clients.append(made)
        return made

    def _drop_clients(self):
        for client in self.clients:
            client.close()
        self.clients = []

    def cli(self, *args, stdin=None, expect=0, timeout=60):
        """The sallyport command; what it printed. expect: its exit status (None: any)."""
        argv = [build_file("host", "sallyport"), "--dir", self.dir]
        if self.endpoint:
            argv += ["--endpoint", self.endpoint]
        done = subprocess.run([*argv, *map(str, args)], capture_output=True, timeout=timeout,
                              check=False, input=stdin if stdin is not None else b"")
        out = (done.stdout + done.stderr).decode("utf-8", "replace")
        if expect is not None and done.returncode != expect:
            raise AssertionError("sallyport %s: exit status %d, not %d:\n%s"
                                 % (" ".join(map(str, args)), done.returncode, expect, out))
        return out

    def cli_json(self, *args, **options):
        return json.loads(self.cli("--json", *args, **options))

    def key_add(self, key_id, provider, settings, secrets):
        with self.admin() as admin:
            return admin.ok("key.add", id=key_id, provider=provider, settings=settings,
                            secrets=secrets)

    def reload(self):
        """Take the policy folder over; raises Refused where it is broken."""
        with self.admin() as admin:
            return admin.ok("policy.reload")

    def audit_records(self):
        """All audit records so far, oldest first, as dicts."""
        folder = os.path.join(self.dir, "audit")
        records = []
        for name in sorted(os.listdir(folder)):
            if name.endswith(".jsonl"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    records += [json.loads(line) for line in file if line.strip()]
        return records
