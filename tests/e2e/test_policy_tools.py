"""The tools that authors of scope files live in: test, explain, replay, and what a reload says."""
import json
import os
import pty
import re
import subprocess

import pytest
from lib import build_file, command
from world import CHARGE, FORM, POLICY, world

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


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "p.scope"
    path.write_text(FILE)
    return path


# ---- test


def test_policy_test_names_the_rules_and_atoms_that_no_test_reaches(policy):
    out, _ = command("policy", "test", policy)
    assert out.count("passed  ") == 3 and "FAILED" not in out and "\033" not in out
    capture = [line for line in out.splitlines() if "capture" in line and "line" in line][0]
    assert "line 8" in capture and "no test is decided by it" in capture
    assert 'never untrue  body.charge starts "ch_"' in out and "body.amount in" not in out
    assert "3 passed, 0 failed; 2 of 3 rules" in out


def test_policy_test_as_json(policy):
    found = json.loads(command("--json", "policy", "test", policy)[0])
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
    out, _ = command("policy", "test", policy, expect=1)
    assert out.count("FAILED") == 2 and out.count("passed  ") == 1
    assert out.count("error[E160]") == 2 and "^~~~" in out
    found = json.loads(command("--json", "policy", "test", policy, expect=1)[0])
    assert (found["passed"], found["failed"]) == (1, 2)
    assert [one["line"] for one in found["diagnostics"]] == [10, 12]
    command("policy", "check", policy, expect=2)  # while check takes a failing test for an error


def test_policy_test_holds_a_build_to_a_coverage(policy):
    command("policy", "test", policy, "--min-coverage", "66")
    _, err = command("policy", "test", policy, "--min-coverage", "67", expect=1)
    assert "under 67 %" in err
    whole = FILE.replace("\n}\n", """
  expect deny POST https://api.stripe.com/v1/refunds form {charge: "x", amount: "5"}
  expect deny POST https://api.stripe.com/v1/charges/ch_1/capture -> @capture
}
""")
    policy.write_text(whole)
    out, _ = command("policy", "test", policy, "--min-coverage", "100")
    assert "(100 %)" in out
    for wrong in ("101", "-1", "x", ""):
        command("policy", "test", policy, "--min-coverage=" + wrong, expect=2)


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
    found = json.loads(command("--json", "policy", "test", top)[0])
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
    out = command("--json", "policy", "explain", policy, "--scope", "desk", *args, expect=expect)[0]
    return json.loads(out)


def test_explain_says_which_atom_failed_and_the_smallest_change(policy, tmp_path):
    args = ["POST", REFUNDS, *form(tmp_path, "charge=ch_1&amount=5001")]
    text, _ = command("policy", "explain", policy, "--scope", "desk", *args, expect=1)
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


# ---- explain --audit, replay


ORG = "https://api.stripe.com/v1/accounts/"


@pytest.fixture
def w(tmp_path, recorder):
    """A host whose audit holds a bit of everything."""
    recorder.answer({"*": {"body": "{}"}})
    with world(tmp_path, recorder.url) as made:
        made.text = POLICY % {"rate": "1000/min", "desk": made.desk.public,
                              "agent": made.agent.public}
        made.text = made.text.replace("may issue open for 4h",
                                      "may issue open for 4h\n  may issue one(account = *) for 1h")
        made.text += """
scope one(account) {
  key stripe-main
  ttl 1h
  @one allow GET https://api.stripe.com/v1/accounts/{account}
}
"""
        made.host.write_policy("world.scope", made.text)
        made.host.reload()
        yield made


def use(w):
    """Calls of all kinds; their names with the numbers of their records."""
    agent, token = w.as_agent(), w.issue()
    body = b"charge=ch_1&amount=4000&reason=duplicate"
    agent.ok("proxy", token=token, method="GET", url=CHARGE + "?expand=balance")
    agent.ok("proxy", token=token, method="POST", url=REFUNDS, headers=FORM, body=body)
    agent.refused("proxy", token=token, method="POST", url=REFUNDS, headers=FORM,
                  body=body.replace(b"4000", b"5001"))
    agent.refused("proxy", token=token, method="DELETE", url=CHARGE)
    agent.refused("proxy", token=token, method="POST", url=CHARGE + "/capture", body=b"")
    narrowed = w.issue(narrow="allow GET https://api.stripe.com/v1/charges/ch_9")
    agent.refused("proxy", token=narrowed, method="GET", url=CHARGE)
    one = w.issue("one", args={"account": "acct_1"})
    agent.refused("proxy", token=one, method="GET", url=ORG + "acct_2")
    agent.ok("proxy", token=one, method="GET", url=ORG + "acct_1")  # durable, with all before it
    records = {}
    names = iter(["read", "refund", "large", "delete", "capture", "narrowed", "two", "one"])
    for record in w.host.audit_records():
        if record["type"] in ("intent", "denied"):
            records[next(names)] = record
    assert len(records) == 8
    return records


def changes(found):
    return {one["seq"]: one for one in found["changes"]}


def test_the_audit_names_arguments_and_the_kind_of_a_body_and_no_value(w):
    records = use(w)
    issued = [record for record in w.host.audit_records() if record["type"] == "issue"]
    assert [record.get("args") for record in issued] == [None, None, [["account", "acct_1"]]]
    assert records["refund"]["body_kind"] == "form" and "scheme" not in records["refund"]
    assert "4000" not in json.dumps(records["refund"]) and "balance" not in json.dumps(records)


def test_replay_of_the_same_files_changes_nothing_but_cannot_tell_about_bodies(w):
    records = use(w)
    found = w.host.cli_json("policy", "replay", os.path.join(w.host.dir, "policy"))
    assert (found["calls"], found["newly_allowed"], found["newly_refused"]) == (8, 0, 0)
    assert {one["change"] for one in found["changes"]} == {"undecidable"}
    assert set(changes(found)) == {records["refund"]["seq"], records["large"]["seq"]}
    depends = changes(found)[records["large"]["seq"]]["depends_on"]
    assert "body.amount" in depends and "body.charge" in depends
    assert (found["same"], found["undecidable"], found["skipped"]) == (6, 2, 0)


def test_replay_says_what_a_new_policy_would_have_decided(w, tmp_path):
    records = use(w)
    new = tmp_path / "new.scope"
    text = w.text.replace("@nocapture deny *", "@nocapture deny GET")
    text = text.replace("@read      allow GET  https://api.stripe.com/v1/charges/*",
                        "@read allow DELETE https://api.stripe.com/v1/charges/*")
    text = text.replace("accounts/{account}", "accounts/{account}/x")
    text = text.replace("v1/refunds\n               where", "v1/other\n               where")
    new.write_text(text)
    found = w.host.cli_json("policy", "replay", new, expect=1)
    kinds = {one["seq"]: one["change"] for one in found["changes"]}
    assert kinds == {
        records["read"]["seq"]: "newly_refused",  # the method is another
        records["refund"]["seq"]: "newly_refused",  # whatever its body
        records["delete"]["seq"]: "newly_allowed",
        records["narrowed"]["seq"]: "newly_refused",  # the caveat refused it, the scope had not
        records["one"]["seq"]: "newly_refused",
    }
    assert changes(found)[records["delete"]["seq"]]["rule_now"] == "read"
    assert found["undecidable"] == 0
    rules = {(one["scope"], one["rule"]): one for one in found["rules"]}
    assert rules["support", "read"]["allowed"] == 1 and rules["one", "(no rule)"]["refused"] == 2
    only = w.host.cli_json("policy", "replay", new, "--scope", "one", expect=1)
    assert (only["calls"], only["newly_refused"]) == (2, 1)
    late = w.host.cli_json("policy", "replay", new, "--from", str(records["one"]["seq"]),
                            expect=1)
    assert (late["calls"], set(changes(late))) == (1, {records["one"]["seq"]})
    text = w.host.cli("policy", "replay", new, expect=1)
    assert "newly allowed by read" in text and "8 calls: 3 as before, 1 newly allowed" in text


def test_replay_of_files_that_lack_a_scope_a_parameter_or_a_key(w, tmp_path):
    records = use(w)
    new = tmp_path / "new.scope"
    new.write_text(w.text.replace("scope one(account)", "scope one(tenant)")
                   .replace("{account}", "{tenant}").replace("one(account = *)", "one(tenant = *)")
                   .replace("scope support {\n  key   stripe-main", "scope support {\n  key stripe-other"))
    found = changes(w.host.cli_json("policy", "replay", new, expect=1))
    assert "arguments" in found[records["one"]["seq"]]["why"]
    assert "key" in found[records["read"]["seq"]]["why"]
    new.write_text(w.text.replace("scope support", "scope help").replace("issue support", "issue help"))
    found = changes(w.host.cli_json("policy", "replay", new, expect=1))
    assert found[records["read"]["seq"]]["why"] == "there is no such scope"


def test_replay_and_explain_refuse_an_audit_that_was_changed(w):
    seq = use(w)["delete"]["seq"]
    folder = os.path.join(w.host.dir, "audit")
    path = os.path.join(folder, sorted(os.listdir(folder))[0])
    w.host.stop()
    with open(path, "r+b") as file:
        text = file.read()
        file.seek(0)
        file.write(text.replace(b'"method":"DELETE"', b'"method":"GET"   ', 1))
    for args in (["replay", os.path.join(w.host.dir, "policy")], ["explain", "--audit", seq]):
        assert "does not hold together" in w.host.cli("policy", *args, expect=2)


def test_explain_audit_says_why_then_and_what_the_files_say_now(w, tmp_path):
    records = use(w)
    text = w.host.cli("policy", "explain", "--audit", records["large"]["seq"], expect=1)
    assert "then: refused, not_allowed, by refund: body.amount in 1..5000" in text
    assert "not recorded" in text and "the body" in text
    assert "allow refund           depends on body.charge, body.amount" in text
    found = w.host.cli_json("policy", "explain", "--audit", records["capture"]["seq"], expect=1)
    assert (found["then"], found["now"], found["rule_now"], found["agrees"]) == (
        "refused_by_the_scope", "denied", "nocapture", True)
    found = w.host.cli_json("policy", "explain", "--audit", records["narrowed"]["seq"], expect=1)
    assert (found["then"], found["now"], found["agrees"]) == ("refused_after_the_scope", "allowed", True)
    found = w.host.cli_json("policy", "explain", "--audit", records["read"]["seq"])
    assert (found["then"], found["now"], found["rule_now"]) == ("sent", "allowed", "read")
    assert found["not_recorded"] == ["the values of the query", "headers"]
    assert found["request"] == "GET https://api.stripe.com/v1/charges/ch_1?expand=…"
    found = w.host.cli_json("policy", "explain", "--audit", records["two"]["seq"], expect=1)
    assert (found["scope"], found["now"], found["agrees"]) == ("one", "denied", True)
    new = tmp_path / "new.scope"
    new.write_text(w.text.replace("allow GET  https://api.stripe.com/v1/charges/*",
                                  "allow PUT  https://api.stripe.com/v1/charges/*"))
    text = w.host.cli("policy", "explain", new, "--audit", records["read"]["seq"])
    assert "verdict: denied" in text and "was another" in text


def test_explain_audit_finds_the_call_of_an_outcome_and_no_other_record(w):
    records = use(w)
    outcome = [record for record in w.host.audit_records() if record["type"] == "outcome"
               and record["call"] == records["refund"]["call"]][0]
    text = w.host.cli("policy", "explain", "--audit", outcome["seq"])
    assert "how a call ended" in text and "record %d," % records["refund"]["seq"] in text
    for wrong in ("1", "999999", "x", "0"):
        w.host.cli("policy", "explain", "--audit", wrong, expect=2)
    w.host.cli("policy", "explain", "--audit", "5", "--scope", "support", expect=2)


# ---- reload


def scope_lines(host):
    return [line for line in host.log().splitlines() if "policy.scope" in line]


def await_scope(host, name, count=1):
    host.await_log("policy.scope scope=%s" % name)
    return scope_lines(host)


@pytest.mark.parametrize("by_signal", [False, True])
def test_a_reload_logs_what_the_new_policy_newly_allows(w, by_signal):
    text = w.text.replace("1..5000", "1..6000")  # support: wider
    text = text.replace("{GET POST} https://api.stripe.com/**", "GET https://api.stripe.com/**")
    text = text.replace("accounts/{account}", "accounts/{account}/*")
    text += "scope fresh { key stripe-main ttl 1h allow GET https://api.stripe.com/v1/x }\n"
    before = len(scope_lines(w.host))
    w.host.write_policy("world.scope", text)
    if by_signal:
        w.host.reload_by_signal()
        w.host.await_log("policy.scope.*fresh")
    else:
        w.host.cli("reload")
    lines = scope_lines(w.host)[before:]
    found = {name: [line for line in lines if "scope=%s " % name in line or 'scope="%s"' % name in line]
             for name in ("support", "open", "one", "fresh")}
    assert all(len(one) == 1 for one in found.values()), lines
    support = found["support"][0]
    assert "warning" in support.lower() and "newly allows" in support
    assert "POST https://api.stripe.com/v1/refunds" in support
    assert 5000 < int(re.search(r'amount\W+(\d+)', support).group(1)) <= 6000
    assert "narrower" in found["open"][0] and "newly allows" not in found["open"][0]
    assert "newly allows" in found["one"][0] and "any1" in found["one"][0]
    assert "new" in found["fresh"][0]
    w.issue()  # durable: the record of the reload is lazy
    record = [record for record in w.host.audit_records() if record["type"] == "policy"][-1]
    told = {change[0]: change[1:] for change in record["changes"]}
    assert {name: change[0] for name, change in told.items()} == {
        "support": "wider", "open": "narrower", "one": "wider", "fresh": "new"}
    assert "v1/refunds" in told["support"][1]
    # The same files again: nothing changes, and nothing is said.
    w.host.cli("reload")
    assert len(scope_lines(w.host)) == before + 4
    w.host.write_policy("world.scope", w.text)
    w.host.cli("reload")
    lines = scope_lines(w.host)[before + 4:]
    assert any("fresh" in line and "removed" in line for line in lines), lines


def test_a_reload_of_hard_scopes_ends_in_time_and_says_too_hard(w):
    """Conditions over many fields, on both sides: past the steps it is too hard, and said so."""
    def scope(shift):
        rules = []
        for i in range(40):
            parts = ["(body.f%d in %d..%d or body.g%d = %d)" % (j, i + shift, 100 + i + j, (i * j) % 9, i)
                     for j in range(14)]
            rules.append("  allow POST https://api.stripe.com/v1/**\n    where " + " and ".join(parts))
        return "scope hard { key stripe-main ttl 1h\n" + "\n".join(rules) + "\n}\n"
    w.host.write_policy("world.scope", w.text + scope(1))
    w.host.cli("reload")
    w.host.write_policy("world.scope", w.text + scope(0) + "# wider\n")
    before = len(scope_lines(w.host))
    w.host.cli("reload", timeout=20)
    line = scope_lines(w.host)[before:]
    assert len(line) == 1 and "hard" in line[0]
    assert "newly allows" in line[0] or "too hard to tell" in line[0]
    assert "state:" in w.host.cli("status")
