"""The tools that authors of scope files live in: test, explain, replay, and what a reload says."""
import json
import os
import pty
import subprocess

import pytest
from lib import build_file

FILE = """sallyport 1
scope desk {
  key stripe-prod
  ttl 1h
  @read    allow GET https://api.stripe.com/v1/charges/*
  @refund  allow POST https://api.stripe.com/v1/refunds
             where body.charge starts "ch_" and body.amount in 1..5000
  @capture deny * https://api.stripe.com/v1/charges/*/capture

  expect allow GET https://api.stripe.com/v1/charges/ch_1 -> @read
  expect allow POST https://api.stripe.com/v1/refunds form {charge: "ch_1", amount: "5"} -> @refund
  expect deny POST https://api.stripe.com/v1/refunds form {charge: "ch_1", amount: "5001"}
}
"""
REFUNDS = "https://api.stripe.com/v1/refunds"


def run(*args, expect=0, stdin=b""):
    done = subprocess.run([build_file("host", "sallyport"), *map(str, args)], input=stdin,
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
    return done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "p.scope"
    path.write_text(FILE)
    return path


# ---- test


def test_policy_test_names_the_rules_and_atoms_that_no_test_reaches(policy):
    out, _ = run("policy", "test", policy)
    assert out.count("passed  ") == 3 and "FAILED" not in out and "\033" not in out
    capture = [line for line in out.splitlines() if "capture" in line and "line" in line][0]
    assert "line 8" in capture and "no test is decided by it" in capture
    assert 'never untrue  body.charge starts "ch_"' in out and "body.amount in" not in out
    assert "3 passed, 0 failed; 2 of 3 rules" in out


def test_policy_test_as_json(policy):
    found = json.loads(run("--json", "policy", "test", policy)[0])
    assert [(test["line"], test["passed"]) for test in found["tests"]] == [
        (10, True), (11, True), (12, True)]
    rules = {rule["rule"]: rule for rule in found["rules"]}
    assert {name: rule["decided"] for name, rule in rules.items()} == {
        "read": 1, "refund": 1, "capture": 0}
    assert [(atom["seen_true"], atom["seen_untrue"]) for atom in rules["refund"]["atoms"]] == [
        (True, False), (True, True)]
    assert (found["rules_percent"], found["sides_percent"]) == (66, 75)
    assert found["diagnostics"] == []


def test_policy_test_shows_each_failure_with_a_caret_and_runs_the_others(policy):
    policy.write_text(FILE.replace("-> @read", "-> @refund").replace("5001", "50"))
    out, _ = run("policy", "test", policy, expect=1)
    assert out.count("FAILED") == 2 and out.count("passed  ") == 1
    assert out.count("error[E160]") == 2 and "^~~~" in out
    found = json.loads(run("--json", "policy", "test", policy, expect=1)[0])
    assert (found["passed"], found["failed"]) == (1, 2)
    assert [one["line"] for one in found["diagnostics"]] == [10, 12]
    run("policy", "check", policy, expect=2)  # while check takes a failing test for an error


def test_policy_test_holds_a_build_to_a_coverage(policy):
    run("policy", "test", policy, "--min-coverage", "66")
    _, err = run("policy", "test", policy, "--min-coverage", "67", expect=1)
    assert "under 67 %" in err
    whole = FILE.replace("\n}\n", """
  expect deny POST https://api.stripe.com/v1/refunds form {charge: "x", amount: "5"}
  expect deny POST https://api.stripe.com/v1/charges/ch_1/capture -> @capture
}
""")
    policy.write_text(whole)
    out, _ = run("policy", "test", policy, "--min-coverage", "100")
    assert "(100 %)" in out
    for wrong in ("101", "-1", "x", ""):
        run("policy", "test", policy, "--min-coverage=" + wrong, expect=2)


def test_policy_test_counts_frozen_scopes_and_used_files(tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "bot.scope").write_text("""sallyport 1
let owners = {"acme", "umbrella"}
scope bot(repo) {
  key github-prod
  ttl 1h
  @r allow GET https://api.github.com/repos/acme/{repo}/**
  @w allow POST https://api.github.com/repos/{o:any}/{repo}/issues
       where (path.o in owners or body.n = 1) and not body.title starts "x"
  expect allow given (repo = "site") GET https://api.github.com/repos/acme/site/pulls -> @r
  expect deny given (repo = "site") GET https://api.github.com/repos/acme/other/pulls
  expect allow given (repo = "a") POST https://api.github.com/repos/acme/a/issues json {title: "y"}
}
""")
    top = tmp_path / "top.scope"
    top.write_text('sallyport 1\nuse "part/bot.scope"\n')
    found = json.loads(run("--json", "policy", "test", top)[0])
    assert {os.path.basename(test["file"]) for test in found["tests"]} == {"bot.scope"}
    assert [test["line"] for test in found["tests"]] == [9, 10, 11]
    write = [rule for rule in found["rules"] if rule["rule"] == "w"][0]
    assert [(atom["atom"], atom["line"], atom["seen_true"], atom["seen_untrue"])
            for atom in write["atoms"]] == [
        ('path.o in {"acme", "umbrella"}', 8, True, False), ("body.n = 1", 8, False, True),
        ('body.title starts "x"', 8, False, True)]


def test_policy_test_colours_a_terminal_alone(policy):
    for options, coloured in (([], True), (["--no-color"], False)):
        master, slave = pty.openpty()
        child = subprocess.Popen([build_file("host", "sallyport"), *options, "policy", "test", policy],
                                 stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
                                 env={k: v for k, v in os.environ.items() if k != "NO_COLOR"})
        os.close(slave)
        seen = b""
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # the end, as a terminal has it
                break
            if not chunk:
                break
            seen += chunk
        os.close(master)
        assert child.wait(60) == 0 and (b"\033[32mpassed" in seen) == coloured


# ---- explain


def form(tmp_path, text):
    body = tmp_path / "body"
    body.write_text(text)
    return ["--data", body, "--header", "Content-Type: application/x-www-form-urlencoded"]


def explain(policy, *args, expect=1):
    out = run("--json", "policy", "explain", policy, "--scope", "desk", *args, expect=expect)[0]
    return json.loads(out)


def test_explain_says_which_atom_failed_and_the_smallest_change(policy, tmp_path):
    args = ["POST", REFUNDS, *form(tmp_path, "charge=ch_1&amount=5001")]
    text, _ = run("policy", "explain", policy, "--scope", "desk", *args, expect=1)
    assert "false    body.amount in 1..5000" in text
    assert 'body.amount would have to be at most 5000; it is "5001"' in text
    assert "in refund, `body.amount in 1..5001` for `body.amount in 1..5000`" in text
    assert "form charge=ch_1&amount=5000" in text
    found = explain(policy, *args)
    assert (found["allowed"], found["reason"], found["rule"]) == (False, "condition", "refund")
    refund = [rule for rule in found["rules"] if rule["rule"] == "refund"][0]
    assert [atom["truth"] for atom in refund["atoms"]] == ["true", "false"]
    assert [(one["place"], one["to"]) for one in found["nearest"]["changes"]] == [
        ("body.amount", '"5000"')]
    assert found["nearest"]["rule"] == "refund" and "5001" in found["scope_change"]


def test_explain_proposes_what_explain_then_allows(policy, tmp_path):
    """The nearest request, asked again through the command; the changed scope, too."""
    found = explain(policy, "PUT", "https://api.stripe.com/v1/charge/ch_1?expand=x")
    method, url = found["nearest"]["request"].split()
    allowed = explain(policy, method, url, expect=0)
    assert allowed["rule"] == "read" and "nearest" not in allowed
    assert [one["place"] for one in found["nearest"]["changes"]] == ["method", "path"]
    assert found["scope_change"] == "with `allow PUT https://api.stripe.com/v1/charge/ch_1`"
    policy.write_text(FILE.replace("  @capture", found["scope_change"].split("`")[1] + "\n  @capture"))
    explain(policy, "PUT", "https://api.stripe.com/v1/charge/ch_1?expand=x", expect=0)


def test_explain_of_a_deny_says_what_it_would_take(policy):
    found = explain(policy, "GET", "https://api.stripe.com/v1/charges/ch_1/capture")
    assert (found["reason"], found["rule"]) == ("deny_rule", "capture")
    assert [rule["fires"] for rule in found["rules"]] == [False, False, True]
    assert found["scope_change"].startswith("without capture (`deny * ")
