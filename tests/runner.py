#!/usr/bin/python3
"""The work behind ./tests/run: builds, runs each stage, counts every single test.

A stage is a function that yields results. What counts as one test: a cmocka test function, a
pytest or node test case, a fuzz target's run, a build, a lint. A program that dies without naming a
failed test is itself a failed test, so nothing can be lost by crashing early.
"""
import argparse
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TESTS = os.path.join(ROOT, "tests")
PYTHON = "/usr/bin/python3"
LOG_TAIL_LINES = 60

# What the sanitizers shall do: stop at the first finding, with a status no test expects.
SANITIZER_ENV = {
    "ASAN_OPTIONS": "abort_on_error=0:exitcode=99:detect_leaks=1:strict_string_checks=1"
                    ":detect_stack_use_after_return=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=99:second_deadlock_stack=1:suppressions="
                    + os.path.join(TESTS, "sanitizers/tsan.supp"),
}


class Result:
    """One test: its name, whether it passed, and what it said."""

    def __init__(self, name, passed, log="", skipped=False):
        self.name, self.passed, self.log, self.skipped = name, passed, log, skipped


def run(argv, timeout=900, env=None, cwd=ROOT):
    """Run one command; (exit status or None when it took too long, all it printed)."""
    process = subprocess.Popen(argv, cwd=cwd, env={**os.environ, **SANITIZER_ENV, **(env or {})},
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)
    try:
        out, _ = process.communicate(timeout=timeout)
        return process.returncode, out.decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        # Its own session and so its own group: this ends what it started, and nothing else.
        os.killpg(process.pid, 9)
        out, _ = process.communicate()
        return None, out.decode("utf-8", "replace") + "\n(stopped after %d s)\n" % timeout


def build(preset, jobs, targets=()):
    """Configure and build one preset; a failure is one failed test."""
    log = ""
    steps = [["cmake", "--preset", preset],
             ["cmake", "--build", "--preset", preset, "-j", str(jobs)]]
    if targets:
        steps[1] += ["--target", *targets]
    steps[1] += ["--", "-k", "0"]
    for argv in steps:
        status, out = run(argv, 1800)
        log += out
        if status != 0:
            # Ninja's progress would push the errors out of what is shown.
            log = "\n".join(line for line in log.splitlines() if not line.startswith("["))
            return Result("build " + preset, False, log)
    return Result("build " + preset, True)


# ---- cmocka programs, by ctest ---------------------------------------------------------------


def cmocka_results(prefix, program, passed, log):
    """One result for each test function of a cmocka program."""
    good = re.findall(r"^\[\s+OK \] (\S+)", log, re.M)
    bad = set(re.findall(r"^\[\s+(?:FAILED|ERROR)\s+\] (\w+)$", log, re.M))
    skipped = set(re.findall(r"^\[\s+SKIPPED\s+\] (\w+)$", log, re.M))
    for name in good:
        yield Result("%s %s.%s" % (prefix, program, name), True)
    for name in sorted(skipped):
        yield Result("%s %s.%s" % (prefix, program, name), True, skipped=True)
    for name in sorted(bad):
        yield Result("%s %s.%s" % (prefix, program, name), False, log)
    if not passed and not bad:
        yield Result("%s %s" % (prefix, program), False, log)
    elif passed and not good and not bad:
        # No cmocka program, but a test all the same.
        yield Result("%s %s" % (prefix, program), True)


def unit(preset, jobs):
    """All of ctest's tests in one build."""
    folder = os.path.join(ROOT, "build", preset)
    status, out = run(["ctest", "--test-dir", folder, "-V", "-j", str(jobs)], 2400)
    logs, verdicts = {}, {}
    for line in out.splitlines():
        said = re.match(r"^(\d+): ?(.*)$", line)
        if said:
            logs.setdefault(said.group(1), []).append(said.group(2))
        ended = re.match(r"^\s*\d+/\d+ Test\s+#(\d+): (\S+) \.*\s*(\S+)", line)
        if ended:
            # Anything but these two words is a failure: ***Failed, ***Timeout, ***Exception: …
            verdicts[ended.group(1)] = (ended.group(2), ended.group(3) in ("Passed", "***Skipped"))
    for number, (name, passed) in sorted(verdicts.items(), key=lambda item: item[1][0]):
        yield from cmocka_results(preset, name, passed, "\n".join(logs.get(number, [])))
    if not verdicts or (status != 0 and all(passed for _, passed in verdicts.values())):
        yield Result(preset + " ctest", False, out)


# ---- end to end ------------------------------------------------------------------------------


def junit_results(prefix, path):
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name = "%s %s.%s" % (prefix, case.get("classname", "").split(".")[-1], case.get("name"))
        fault = [child for child in case if child.tag in ("failure", "error")]
        log = "\n".join((child.get("message") or "") + "\n" + (child.text or "") for child in fault)
        log += "\n".join(child.text or "" for child in case
                         if fault and child.tag in ("system-out", "system-err"))
        yield Result(name, not fault, log, skipped=case.find("skipped") is not None)


def junit_run(prefix, argv, report, env, none_is_fine):
    if os.path.exists(report):
        os.remove(report)
    status, out = run(argv, 2400, env)
    results = []
    if os.path.exists(report) and os.path.getsize(report):
        results = list(junit_results(prefix, report))
    yield from results
    if status != 0 and not (status == none_is_fine and not results):
        if all(result.passed for result in results):
            yield Result(prefix, False, out)


def e2e(preset, jobs, short=False):
    """The scripts in tests/e2e against the sallyportd of one build.

    Most of a test's time is waiting for processes, so one more than there are cores run at once;
    then, with the machine to themselves, those that measure.
    """
    folder = os.path.join(ROOT, "build", preset)
    for marks, workers in (("not alone", ["-n", str(jobs + 1)]), ("alone", [])):
        report = os.path.join(folder, "e2e-%s.xml" % marks.replace(" ", "-"))
        argv = [PYTHON, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", report,
                "-o", "junit_family=xunit1", *workers, "-m",
                marks + (" and not slow" if short else ""), os.path.join(TESTS, "e2e")]
        yield from junit_run(preset + " e2e", argv, report, {"SALLYPORT_BUILD": folder}, 5)


# ---- fuzzing ---------------------------------------------------------------------------------


def fuzz_targets(preset):
    status, out = run(["cmake", "--build", "--preset", preset, "--target", "help"])
    return sorted(set(re.findall(r"^(fuzz_\w+): phony$", out, re.M))) if status == 0 else []


def fuzz_one(name, seconds):
    """A crash, a leak, a hang (10 s) or no run at all is a failed test; what caused it is kept."""
    folder = os.path.join(ROOT, "build/fuzz")
    found = os.path.join(folder, "found", name)
    seeds = os.path.join(TESTS, "fuzz/corpus", name[len("fuzz_"):])
    if not os.path.isdir(seeds):
        seeds = os.path.join(TESTS, "fuzz/corpus", name)
    os.makedirs(found, exist_ok=True)
    argv = [os.path.join(folder, "tests", name), "-max_total_time=%d" % seconds, "-timeout=10",
            "-rss_limit_mb=2048", "-print_final_stats=1", "-artifact_prefix=%s/fault-" % found,
            os.path.join(found, "corpus")]
    os.makedirs(argv[-1], exist_ok=True)
    if os.path.isdir(seeds):
        argv.append(seeds)
    for words in (name + ".dict", name[len("fuzz_"):] + ".dict"):
        if os.path.exists(os.path.join(TESTS, "fuzz", words)):
            argv.append("-dict=" + os.path.join(TESTS, "fuzz", words))
            break
    status, out = run(argv, seconds + 120)
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", out)
    return Result("fuzz %s (%s runs)" % (name, runs.group(1) if runs else "no"),
                  status == 0 and bool(runs), out)


def fuzz(jobs, seconds):
    made = build("fuzz", jobs, ["help"])
    targets = fuzz_targets("fuzz") if made.passed else []
    if made.passed and targets:
        made = build("fuzz", jobs, targets)
    yield made
    if made.passed and not targets:
        yield Result("fuzz", False, "there is no fuzz target")
    if not made.passed:
        return
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda name: fuzz_one(name, seconds), targets)


# ---- lints -----------------------------------------------------------------------------------


def lints(jobs, only=None):
    for path in sorted(glob.glob(os.path.join(TESTS, "lint/*"))):
        name = os.path.basename(path)
        if os.access(path, os.X_OK) and os.path.isfile(path) and only in (None, name):
            status, out = run([path], 2400, {"JOBS": str(jobs)})
            yield Result("lint " + name, status == 0, out)


# ---- the whole -------------------------------------------------------------------------------


def built(preset, jobs, *parts):
    """A build, and, where it succeeded, its tests."""
    made = build(preset, jobs)
    yield made
    for part in parts if made.passed else ():
        yield from part


def stages(args):
    jobs = args.jobs
    if args.quick:
        return {"dev": lambda: built("dev", jobs, unit("dev", jobs), e2e("dev", jobs))}
    return {
        "lint": lambda: lints(jobs),
        "release": lambda: built("release", jobs, unit("release", jobs), e2e("release", jobs)),
        "asan": lambda: built("asan", jobs, unit("asan", jobs), e2e("asan", jobs)),
        "tsan": lambda: built("tsan", jobs, unit("tsan", jobs), e2e("tsan", jobs, short=True)),
        "fuzz": lambda: fuzz(jobs, args.fuzz_seconds),
    }


def choose(args):
    every = stages(args)
    if not args.only:
        return every
    if args.only.startswith("lint:"):
        return {args.only: lambda: lints(args.jobs, args.only[5:])}
    if args.only == "dev":
        args.quick = True
        return stages(args)
    if args.only not in every:
        sys.exit("tests/run: there is no stage '%s'; there are: %s, lint:NAME"
                 % (args.only, ", ".join(every)))
    return {args.only: every[args.only]}


def show_failures(failures):
    for result in failures:
        lines = result.log.rstrip().splitlines()
        print("\n---- FAILED: %s" % result.name)
        if len(lines) > LOG_TAIL_LINES:
            print("     (the last %d of %d lines)" % (LOG_TAIL_LINES, len(lines)))
        print("\n".join("     " + line for line in lines[-LOG_TAIL_LINES:]))


def main():
    parser = argparse.ArgumentParser(prog="tests/run", description="All of sallyport's tests.")
    parser.add_argument("--quick", action="store_true", help="a dev build, unit and e2e tests only")
    parser.add_argument("--only", metavar="NAME",
                        help="one stage: release asan tsan fuzz lint dev, or lint:NAME")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--fuzz-seconds", type=int, default=30, metavar="N",
                        help="how long each fuzz target runs (default 30)")
    args = parser.parse_args()
    if shutil.which("cmake") is None:
        sys.exit("tests/run: there is no cmake; run ./tests/setup")
    everything, times = [], []
    for name, stage in choose(args).items():
        print("==== %s" % name, flush=True)
        begun = time.monotonic()
        mine = []
        for result in stage():
            mine.append(result)
            word = "skip" if result.skipped else "ok" if result.passed else "FAIL"
            print("  %-4s %s" % (word, result.name), flush=True)
        everything += mine
        times.append((name, time.monotonic() - begun, mine))
    failures = [result for result in everything if not result.passed]
    show_failures(failures)
    print("\n%-10s %8s %8s %8s" % ("stage", "seconds", "passed", "failed"))
    for name, seconds, mine in times:
        bad = sum(not result.passed for result in mine)
        left_out = sum(result.skipped for result in mine)
        print("%-10s %8.0f %8d %8d" % (name, seconds, len(mine) - bad - left_out, bad))
    skipped = sum(result.skipped for result in everything)
    passed = len(everything) - len(failures) - skipped
    print("\n%d passed, %d failed%s"
          % (passed, len(failures), ", %d skipped" % skipped if skipped else ""))
    return 1 if failures or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
