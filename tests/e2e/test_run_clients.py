"""`sallyport run` with real clients, unchanged, whose host is hard-coded: git, GitHub's gh, httpx, Go and
Java. Each makes a call that its scope allows and one that it does not; upstreams check the real key."""
import json
import os
import shutil
import subprocess

import pytest
import upstreams
from lib import Curve, Host, build_file, canary

pytestmark = pytest.mark.slow  # what it tests of the host, others do under TSan
HERE = os.path.dirname(os.path.abspath(__file__))
GITHUB_KEY = "ghp_sallyportLoopbackToken000000000000"
CHARGE = "https://api.stripe.com/v1/charges/ch_1"
REFUND = "https://api.stripe.com/v1/refunds/re_1"
POLICY = """sallyport 1

scope shop {
  key stripe-main
  ttl 1h
  @read allow GET https://api.stripe.com/v1/charges/*
}

scope triage {
  key bot
  ttl 1h
  @issues allow {GET POST} https://api.github.com/repos/acme/site/issues
}

scope code {
  key git-main
  ttl 1h
  @refs  allow GET  https://git.example.com/site.git/info/refs
           where query.service = "git-upload-pack" and query only {service}
  @fetch allow POST https://git.example.com/site.git/git-upload-pack
}

principal desk {
  curve "%s"
  may issue shop for 1h
  may issue triage for 1h
  may issue code for 1h
}
"""


def make_repository(folder):
    """folder/site.git, with one commit."""
    work = folder / "work"
    for args in (["init", "-q", "-b", "main", str(work)],
                 ["-C", str(work), "-c", "user.name=a", "-c", "user.email=a@example.com", "commit",
                  "-q", "--allow-empty", "-m", "first"],
                 ["clone", "-q", "--bare", str(work), str(folder / "site.git")],
                 ["-C", str(folder / "site.git"), "config", "http.receivepack", "true"]):
        subprocess.run(["git", *args], check=True, timeout=30, capture_output=True)


class Gate:
    def __init__(self, folder, recorder, github, git, keys):
        self.folder, self.recorder, self.keys = folder, recorder, keys
        settings = {"http proxy": {"listen": "127.0.0.1:0", "mode": "forward"}}
        self.host = Host(folder / "state", settings=settings)
        self.desk = Curve()
        self.desk.write(folder / "desk.key")
        self.host.write_policy("gate.scope", POLICY % self.desk.public)
        self.host.start()
        self.host.key_add("stripe-main", "stripe", {"upstream": recorder.url},
                          {"api_key": keys["stripe"]})
        self.host.key_add("bot", "github", {"upstream": github.url}, {"token": GITHUB_KEY})
        self.host.key_add("git-main", "rest", {"host": "git.example.com", "style": "basic",
                                               "upstream": git.url},
                          {"username": "bot", "password": keys["git"]})
        self.host.reload()
        self.at = self.host.http_at("proxy")[len("http://"):]

    def run(self, scope, *command, options=(), env=None):
        """(exit status, output, errors) of the command under `sallyport run`."""
        done = subprocess.run(
            [build_file("host", "sallyport"), "--dir", self.host.dir, "--endpoint",
             self.host.endpoint, "--key-file", str(self.folder / "desk.key"), "run", "--scope",
             scope, "--proxy", self.at, *options, "--", *map(str, command)],
            capture_output=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **(env or {})})
        out, err = done.stdout.decode(), done.stderr.decode()
        assert not any(key in out + err for key in self.keys.values())
        return done.returncode, out, err

    def log(self, name):
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    make_repository(folder)
    keys = {"stripe": canary("sk_test_"), "git": canary("git_"), "github": GITHUB_KEY}
    with upstreams.Recorder(str(folder / "recorder"), {"*": {"body": '{"id": "ch_1"}'}}) as recorder, \
            upstreams.github(GITHUB_KEY, folder / "github.log") as github, \
            upstreams.git(folder, keys["git"], folder / "git.log") as git:
        made = Gate(folder, recorder, github, git, keys)
        yield made
        made.host.stop()


def need(program):
    if not shutil.which(program):
        pytest.skip("%s is not installed" % program)


def check_stripe(gate, answers):
    """Both (exit status, output, errors): the call that is allowed, and the one that is not. The
    upstream saw the first, with the key."""
    good, bad = answers
    assert good[0] == 0 and "200" in good[1], good
    assert "403" in bad[1], bad
    seen = gate.recorder.requests()[-1]
    assert seen["target"] == "/v1/charges/ch_1"
    assert gate.keys["stripe"] in dict(seen["headers"])["authorization"]
    assert not any(name.startswith("proxy-") for name, _ in seen["headers"])


def test_git_lists_and_clones_and_may_not_push(gate):
    url = "https://git.example.com/site.git"
    env = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    status, out, err = gate.run("code", "git", "ls-remote", url, env=env)
    assert status == 0 and "refs/heads/main" in out, err
    copy = gate.folder / "copy"
    status, _, err = gate.run("code", "git", "clone", "-q", url, copy, env=env)
    assert status == 0, err
    log = subprocess.run(["git", "-C", str(copy), "log", "--format=%s"], check=True,
                         capture_output=True, timeout=30)
    assert log.stdout == b"first\n"
    status, _, err = gate.run("code", "git", "-C", copy, "push", "origin", "main:other", env=env)
    assert status == 128 and "403" in err, err
    assert gate.log("git.log") == ["GET /site.git/info/refs?service=git-upload-pack 200"] * 2 + [
        "POST /site.git/git-upload-pack 200"]


def test_gh_calls_its_own_host_by_name(gate):
    env = {"GH_CONFIG_DIR": str(gate.folder / "gh"), "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}
    options = ("--token-in", "GH_TOKEN")
    status, out, err = gate.run("triage", "gh", "api", "repos/acme/site/issues", "-f",
                                "title=from gh", options=options, env=env)
    assert status == 0 and json.loads(out)["title"] == "from gh", err
    status, out, err = gate.run("triage", "gh", "api", "repos/acme/site/issues", "--jq",
                                ".[].title", options=options, env=env)
    assert (status, out) == (0, "from gh\n"), err
    status, out, err = gate.run("triage", "gh", "api", "user", options=options, env=env)
    assert status == 1 and "403" in err and "not_allowed" in out + err
    assert [line.split()[1:] for line in gate.log("github.log")] == [
        ["/repos/acme/site/issues", "201"], ["/repos/acme/site/issues", "200"]]


def test_httpx_from_python(gate):
    script = ("import httpx, sys\nr = httpx.get(sys.argv[1])\n"
              "print(r.status_code, r.json().get('id'))")
    check_stripe(gate, [gate.run("shop", "/usr/bin/python3", "-c", script, url)
                        for url in (CHARGE, REFUND)])


def test_go(gate):
    need("go")
    program = gate.folder / "call-go"
    subprocess.run(["go", "build", "-o", str(program), os.path.join(HERE, "clients", "call.go")],
                   check=True, timeout=300, capture_output=True,
                   env={**os.environ, "GO111MODULE": "off", "GOTOOLCHAIN": "local"})
    check_stripe(gate, [gate.run("shop", program, url) for url in (CHARGE, REFUND)])


def test_java_trusts_the_store_that_run_makes(gate):
    need("javac")
    subprocess.run(["javac", "-d", str(gate.folder), os.path.join(HERE, "clients", "Call.java")],
                   check=True, timeout=120, capture_output=True)
    command = ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", gate.folder, "Call"]
    env = {"JAVA_TOOL_OPTIONS": "-Dsallyport.kept=yes"}
    answers = [gate.run("shop", *command, url, options=("--token-in", "API_KEY"), env=env)
               for url in (CHARGE, REFUND)]
    check_stripe(gate, answers)
    status, older, trusted, kept = answers[0][1].split()
    assert (status, older, kept) == ("200", "200", "yes")
    assert answers[1][1].split()[:2] == ["403", "403"]
    # It takes the place of Java's own, so what the system trusts is in it, too.
    with open("/etc/ssl/certs/ca-certificates.crt", encoding="ascii") as file:
        assert int(trusted) == file.read().count("BEGIN CERTIFICATE") + 1
    # Java prints what it found in the variable, so no token may stand there.
    assert "Picked up" in answers[0][2] and "spt_" not in answers[0][2]


def test_a_file_that_is_no_certificate_is_refused_before_a_token_is_issued(gate):
    with gate.host.admin() as admin:
        before = len(admin.ok("token.list")["tokens"])
        for content in ("", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
            (gate.folder / "bad.pem").write_text(content)
            status, _, err = gate.run("shop", "true", options=("--ca", str(gate.folder / "bad.pem")))
            assert status == 125 and "holds no certificate" in err
        assert len(admin.ok("token.list")["tokens"]) == before


def test_no_file_of_a_run_stays(gate):
    status, out, _ = gate.run("shop", "sh", "-c", "dirname $SSL_CERT_FILE; ls $(dirname "
                              "$SSL_CERT_FILE); stat -c %a $(dirname $SSL_CERT_FILE)")
    folder, *files, mode = out.split()
    assert (status, files, mode) == (0, ["ca.p12", "ca.pem"], "700")
    assert not os.path.exists(folder)
