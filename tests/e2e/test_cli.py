"""The sallyport command as a newcomer uses it: help, exit status, JSON, files."""
import json
import os
import subprocess
from pathlib import Path

import pytest
from lib import Curve, Host, build_file, command
from world import CHARGE, POLICY, world


def sallyport(*args, **options):
    """Both of what it printed and what it complained of."""
    return "".join(command(*args, **options))


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "p.scope"
    path.write_text(POLICY % {"rate": "30/min", "desk": Curve().public, "agent": Curve().public})
    return path


def test_help_is_there_for_everything():
    text = sallyport("--help")
    for line in text.split("Commands")[1].split("Global options")[0].splitlines()[1:]:
        words = line[:20].split()
        if words:
            assert "Usage: sallyport " + " ".join(words) in sallyport(*words, "--help")
    assert sallyport("--version").startswith("sallyport ")


def test_wrong_usage_is_exit_status_2_and_says_what_to_do():
    for args in ([], ["nonsense"], ["key", "nonsense"], ["key", "add"], ["--timeout", "x", "status"],
                 ["token", "issue"], ["policy", "explain"], ["status", "--nonsense"]):
        assert sallyport(*args, expect=2)


def test_policy_check_and_explain_need_no_host(policy):
    assert "2 scopes" in sallyport("policy", "check", policy)
    text = sallyport("policy", "explain", policy, "--scope", "support", "GET", CHARGE)
    assert "verdict: allowed by read" in text
    body = policy.parent / "body"
    body.write_text("charge=ch_1&amount=5001&reason=duplicate")
    text = sallyport("policy", "explain", policy, "--scope", "support", "POST",
                     "https://api.stripe.com/v1/refunds", "--data", body, "--header",
                     "Content-Type: application/x-www-form-urlencoded", expect=1)
    assert "5001" in text and "refund" in text
    answer = json.loads(sallyport("--json", "policy", "explain", policy, "--scope", "support",
                                  "DELETE", CHARGE, expect=1))
    assert answer["allowed"] is False


def test_policy_diff_shows_a_request_that_the_new_version_newly_allows(policy, tmp_path):
    wider = tmp_path / "wider.scope"
    text = policy.read_text()
    assert "1..5000" in text
    lines = [line for line in text.replace("1..5000", "1..5001").split("\n") if "expect" not in line]
    wider.write_text("\n".join(lines))
    text = sallyport("policy", "diff", policy, wider, expect=1)
    assert "+ newly allows: POST https://api.stripe.com/v1/refunds" in text and "5001" in text
    text = sallyport("policy", "diff", wider, policy, "--scope", "support", expect=1)
    assert "support: narrower (proved)" in text and "- no longer allows: POST" in text
    assert "the same" in sallyport("policy", "diff", policy, policy)
    found = json.loads(sallyport("--json", "policy", "diff", policy, wider, expect=1))
    changed = [one for one in found if one["new_within_old"]["result"] == "refuted"]
    assert [one["scope"] for one in changed] == ["support"]
    assert "5001" in changed[0]["new_within_old"]["request"]
    assert sallyport("policy", "diff", policy, wider, "--scope", "nobody", expect=2)


def test_policy_fmt_rewrites_files_once_and_checks_without_touching_them(policy, tmp_path):
    policy.chmod(0o640)
    before = policy.read_text()
    link = tmp_path / "link.scope"
    link.symlink_to(policy)
    assert str(policy) in sallyport("policy", "fmt", "--check", policy, expect=1)
    assert policy.read_text() == before
    assert str(link) in sallyport("policy", "fmt", link)
    after = policy.read_text()
    assert after != before and after.split() == before.split() and link.is_symlink()
    assert policy.stat().st_mode & 0o777 == 0o640
    inode = policy.stat().st_ino
    assert sallyport("policy", "fmt", policy) == ""
    assert policy.stat().st_ino == inode
    assert sallyport("policy", "fmt", "--check", tmp_path) == ""
    assert sallyport("policy", "fmt", "-", stdin=before.encode()) == after
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.scope", "p.scope"]


def test_the_examples_stand_in_the_layout_of_policy_fmt():
    examples = Path(__file__).resolve().parents[2] / "examples"
    assert len(list(examples.glob("*.scope"))) >= 5
    assert sallyport("policy", "fmt", "--check", examples) == ""


def patched(old, diff):
    """The old text with the hunks of a unified diff put in; each must fit where it says."""
    old, new, at = old.split("\n")[:-1], [], 0
    for line in diff.split("\n")[2:-1]:
        if line.startswith("@@"):
            begin = int(line.split()[1].split(",")[0][1:]) - 1
            new += old[at:begin]
            at = begin
            continue
        if line[0] != "+":
            assert old[at] == line[1:]
            at += 1
        if line[0] != "-":
            new.append(line[1:])
    return "\n".join(new + old[at:]) + "\n"


def test_policy_fmt_shows_what_it_would_change(policy):
    rules = "".join("  allow  GET https://h.test/%d%s\n" % (n, "" if n % 9 else "  # odd")
                    for n in range(60)).replace("  allow  GET", "    allow GET", 40)
    policy.write_text("sallyport 1\n\n\nscope s {\n    key k\n    ttl 1h\n" + rules + "}\n")
    before = policy.read_text()
    diff = sallyport("policy", "fmt", "--diff", policy, expect=1)
    assert diff.startswith("--- %s\n+++ %s\n@@ -1," % (policy, policy))
    assert diff.count("\n@@ ") > 1 and policy.read_text() == before
    found = json.loads(sallyport("--json", "policy", "fmt", "--diff", policy, expect=1))
    assert found == [{"file": str(policy), "parses": True, "changed": True, "diff": diff}]
    sallyport("policy", "fmt", policy)
    assert patched(before, diff) == policy.read_text()
    assert sallyport("policy", "fmt", "--diff", policy) == ""


def test_policy_fmt_leaves_a_file_alone_that_does_not_parse(policy, tmp_path):
    bad = tmp_path / "bad.scope"
    bad.write_text("sallyport 1\nscope   s {")
    text = sallyport("policy", "fmt", bad, policy, expect=2)
    assert "E001" in text and "bad.scope:2" in text
    assert bad.read_text() == "sallyport 1\nscope   s {"
    assert sallyport("policy", "fmt", "--check", policy) == ""  # the other one was written
    assert "E001" in sallyport("policy", "fmt", "-", stdin=b"sallyport 1\nscope s {", expect=2)
    assert sallyport("policy", "fmt", tmp_path / "lost.scope", expect=2)
    done = subprocess.run([build_file("host", "sallyport"), "--json", "policy", "fmt", "--check",
                           policy, bad], capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert [(line["parses"], line["changed"]) for line in json.loads(done.stdout)] == [
        (True, False), (False, False)]


def test_a_mistake_is_shown_with_line_column_caret_and_fix(policy):
    policy.write_text(policy.read_text().replace("body.reason in reasons", "body.reason in reason"))
    text = sallyport("policy", "check", policy, expect=2)
    assert "p.scope:" in text and "^" in text and "did you mean 'reasons'" in text
    diagnostics = json.loads(sallyport("--json", "policy", "check", policy, expect=2))
    assert any(d["severity"] == "error" and d["line"] > 1 for d in diagnostics)


def test_no_host_is_exit_status_3(tmp_path):
    host = Host(tmp_path / "state").init()
    text = host.cli("--timeout", "1", "status", expect=3)
    assert "no answer" in text


def test_init_does_not_touch_a_host_that_is_there(tmp_path):
    host = Host(tmp_path / "state").init()
    key = open(host.dir + "/unseal.key", "rb").read()
    assert "nothing was changed" in host.cli("init", expect=2)
    assert open(host.dir + "/unseal.key", "rb").read() == key
    for name in os.listdir(host.dir):
        mode = os.stat(os.path.join(host.dir, name)).st_mode & 0o777
        assert mode & 0o022 == 0 and (name == "host.pub" or mode & 0o077 == 0), (name, oct(mode))


def test_a_day_with_the_command(tmp_path, recorder):
    recorder.answer({"*": {"body": '{"id": "ch_1"}'}})
    with world(tmp_path, recorder.url) as w:
        host = w.host
        assert "state:" in host.cli("status") and "ok" in host.cli("doctor")
        keys = json.loads(host.cli("--json", "key", "list"))["keys"]
        assert {key["id"] for key in keys} == {"stripe-main", "stripe-other"}
        assert w.key not in host.cli("key", "show", "stripe-main")
        assert "200" in host.cli("key", "test", "stripe-main")
        assert "stripe" in host.cli("plugin", "list")
        agent_key = tmp_path / "agent.key"
        public = host.cli("client", "keygen", agent_key).strip()
        host.cli("client", "add", "cli-agent", "--curve", public)
        assert "cli-agent" in host.cli("client", "list")
        token = tmp_path / "token"
        token.write_text(w.issue())
        out = host.cli("--key-file", agent_key, "call", "--token-file", token, "GET", CHARGE)
        assert out == '{"id": "ch_1"}'
        out = host.cli("--key-file", agent_key, "call", "--include", "--token-file", token, "GET",
                       CHARGE)
        assert out.startswith("HTTP 200")
        host.cli("--key-file", agent_key, "check", "--token-file", token, "DELETE", CHARGE,
                 expect=1)
        refused = json.loads(host.cli("--key-file", agent_key, "--json", "call", "--token-file",
                                      token, "DELETE", CHARGE, expect=1))
        assert refused["error"]["code"] == "not_allowed"
        narrow = host.cli("token", "narrow", "--token-file", token, "--with",
                          "allow GET https://api.stripe.com/v1/charges/ch_2")
        (tmp_path / "narrow").write_text(narrow)
        host.cli("--key-file", agent_key, "call", "--token-file", tmp_path / "narrow", "GET",
                 CHARGE, expect=1)
        inspected = host.cli("--key-file", agent_key, "token", "inspect", "--token-file",
                             tmp_path / "narrow")
        assert "ch_2" in inspected
        root = json.loads(host.cli("--json", "token", "list"))["tokens"][0]["root"]
        host.cli("token", "revoke", root)
        host.cli("--key-file", agent_key, "call", "--token-file", token, "GET", CHARGE, expect=1)
        host.cli("backup", tmp_path / "copy.db")
        assert os.stat(tmp_path / "copy.db").st_mode & 0o777 == 0o600
        assert w.key.encode() not in (tmp_path / "copy.db").read_bytes()
        assert "intent" in host.cli("audit", "tail")
        assert json.loads(host.cli("--json", "audit", "verify", "--head"))["verified"] is True
        host.cli("key", "remove", "stripe-other")
        host.cli("key", "remove", "stripe-other", expect=1)
        host.cli("client", "remove", "admin", expect=1)
