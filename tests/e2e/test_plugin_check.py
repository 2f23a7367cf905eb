"""`sallyport plugin check`: each fault that it is there to find, in a plugin that has that fault and
no other; and the providers, which have none."""
import json
import os
import re
import subprocess
import time

import pytest
from lib import build_file, command, is_sanitized

PROVIDERS = ["lib/sallyport/plugins/stripe.so", "lib/sallyport/plugins/github.so",
             "lib/sallyport/plugins/rest.so", "plugins/template/template.so"]
FAULTS = {
    "manifest": {"manifest"},
    "any_extension": {"unknown-extensions"},
    "two_tables": {"known-extensions"},
    "picky": {"key"},
    "oversize": {"key"},
    "hostile": {"key"},
    "leak": {"open-and-close"},
    "pool": {"many-instances"},
    "unstable": {"stable", "other-hosts"},
    "version": {"other-hosts"},
    "pushes": {"failing-pushes"},
    "allocations": {"failing-allocations"},
    "long": {"hard-keys", "fuzz"},
    "answers": {"upstream-answers"},
    "revoke": {"revoke-twice"},
    "rotate": {"rotations"},
    "none": set(),
}
# What is no failure yet and is told all the same.
WARNINGS = {
    "slow": {"in-time"},
    "unnoticed": {"failing-pushes"},
    "silent": {"hard-keys", "fuzz"},
}
NEEDS_OWN_MALLOC = {"leak", "allocations"}


def check(path, *options, expect=None):
    argv = [build_file("host", "sallyport"), "plugin", "check", "--json", path, *options]
    done = subprocess.run(argv, capture_output=True, timeout=120, check=False)
    assert expect is None or done.returncode == expect, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def with_verdict(report, verdict):
    return {test["name"]: test["reason"] for test in report["tests"]
            if test["verdict"] == verdict}


def failed(report):
    return with_verdict(report, "fail")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_our_own_plugins_pass_every_test(provider):
    report = check(build_file(*provider.split("/")), "--fuzz", "300", expect=0)
    assert report["failed"] == report["warned"] == 0 and report["passed"] >= 11, report


@pytest.mark.parametrize("fault", sorted({**FAULTS, **WARNINGS}))
def test_a_fault_fails_its_own_test_and_no_other(fault):
    if fault in NEEDS_OWN_MALLOC and is_sanitized():
        pytest.skip("a sanitizer's malloc is its own")
    path = build_file("tests", "bad", "manners_%s.so" % fault)
    fails, warns = FAULTS.get(fault, set()), WARNINGS.get(fault, set())
    report = check(path, "--seed", "1", "--fuzz", "200", expect=1 if fails else 0)
    assert set(failed(report)) == fails, report["tests"]
    assert set(with_verdict(report, "warn")) == warns, report["tests"]


@pytest.mark.parametrize("fault, says", [
    ("picky", "the moon is not right"), ("oversize", "a header value of more than 1024 bytes"),
    ("hostile", "a bad header value: \"1??authorization: mine\"")])
def test_where_no_key_is_taken_it_says_why(fault, says):
    path = build_file("tests", "bad", "manners_%s.so" % fault)
    reason = failed(check(path, "--only", "key", expect=1))["key"]
    assert says in reason and "--set NAME=VALUE" in reason and "\r" not in reason, reason


def test_a_hook_that_hangs_is_killed_and_that_is_said():
    path = build_file("tests", "bad", "manners_hang.so")
    began = time.monotonic()
    reasons = failed(check(path, "--only", "in-time", expect=1))
    assert "hung, and was killed after 30 s" in reasons["in-time"]
    assert 29 < time.monotonic() - began < 90


def test_there_is_a_fault_for_each_test():
    path = build_file("tests", "bad", "manners_none.so")
    listed, _ = command("--json", "plugin", "check", "--list", path)
    found = set().union(*FAULTS.values(), *WARNINGS.values())
    assert {test["name"] for test in json.loads(listed)} | {"fuzz"} == found


def test_a_crash_is_named_and_a_random_key_can_be_tried_again():
    path = build_file("tests", "bad", "manners_long.so")
    reasons = failed(check(path, "--fuzz", "500", expect=1))
    assert "signal 6" in reasons["hard-keys"]
    again = re.search(r"--reproduce (\d+:\d+)", reasons["fuzz"]).group(1)
    assert set(failed(check(path, "--reproduce", again, expect=1))) == {"reproduce"}
    good = build_file("tests", "bad", "manners_none.so")
    assert check(good, "--reproduce", again, expect=0)["passed"] == 1


def test_a_key_that_was_survived_is_shown_as_it_was_tried():
    """These cases have values of their own; the sanitizer looks whether they still stand."""
    good = build_file("tests", "bad", "manners_none.so")
    for case in range(10):
        options = ("--reproduce", "342237948:%d" % case)
        reports = [check(good, *options, expect=0) for _ in range(2)]
        assert reports[0] == reports[1] and reports[0]["passed"] == 1
        assert "it was survived: " in reports[0]["tests"][0]["reason"]


def test_one_test_alone_with_a_key_of_the_authors():
    path = build_file("lib", "sallyport", "plugins", "rest.so")
    report = check(path, "--only", "key", "--set", "style=basic", "--set", "host=a.example.com",
                   "--secret", "username", "--secret", "password", expect=0)
    (test,) = report["tests"]
    assert test["verdict"] == "pass" and "style=basic" in test["reason"]


def test_wrong_usage_and_what_is_no_plugin_are_told(tmp_path):
    def run(*args):
        done = subprocess.run([build_file("host", "sallyport"), "plugin", "check", *args],
                              capture_output=True, timeout=60, check=False)
        return done.returncode, done.stderr.decode()

    path = build_file("lib", "sallyport", "plugins", "rest.so")
    assert run()[0] == 2
    assert run(path, "--only", "nosuch")[0] == 2
    assert run(path, "--reproduce", "7")[0] == 2
    assert run(path, "--fuzz", "-1")[0] == 2
    assert run(path, "--set", "nothing")[0] == 2
    text = tmp_path / "text.so"
    text.write_text("no ELF")
    os.chmod(text, 0o755)
    status, said = run(str(text))
    assert status == 1 and "text.so" in said
    assert run(str(tmp_path / "none.so"))[0] == 1
