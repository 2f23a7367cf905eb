"""What tests/bench/run measures of the matcher, the compiler and the proofs alone: bench_decide
on the rules of rules.py, and Cedar and casbin (policies.mjs) on the same ones in the same run.

A result's `value` is sallyport's; `others` holds the baselines in the same unit, `baseline` is the
quickest of them where there is one, and `ratio` the value over that.
"""
import json
import os
import random
import statistics
import subprocess

import rules

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ("decision_ns_github", "decision_growth_10_to_10000", "decision_ns_body",
         "compile_ms_1000", "inclusion_ms_1000")
SLOTS = 64  # requests of one kind at each size of the growth
EVENLY = 1000  # the same, drawn so widely that they do not stay in the nearest cache


class Files:
    """Scopes and requests as files."""

    def __init__(self, folder):
        self.folder = folder

    def put(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


def median(runs, field):
    return statistics.median(run[field] for run in runs)


def inclusion_pairs(operations):
    """Scopes of 1,000 rules: the same, one rule another, one rule split in two by its condition
    (which no rule-by-rule proof can see)."""
    refund = "@%s allow POST " + rules.BODY_URL + " where body.amount in %s"
    whole = rules.scope(operations[:999], [refund % ("a", "1..5000")])
    return {
        "same": (rules.scope(operations[:1000]), rules.scope(operations[:1000])),
        "one_rule": (rules.scope(operations[:1000]),
                     rules.scope(operations[:999] + [("GET", "/one/{more}/rule")])),
        "split": (whole, rules.scope(operations[:998], [refund % ("a", "1..3000"),
                                                        refund % ("b", "3000..5000")])),
    }


class Decisions:
    def __init__(self, bench, say):
        self.bench, self.say = bench, say
        self.files = Files(bench.folder)
        self.program = os.path.join(bench.build, "tests/bench/bench_decide")
        self.operations = rules.github_operations()
        self.policies = None

    def ours(self, *args):
        runs = []
        for _ in range(self.bench.args.rounds):
            done = subprocess.run([self.program, *args], check=False, capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError("bench_decide failed: " + done.stderr)
            runs.append(json.loads(done.stdout))
        return runs

    def others(self):
        """Cedar and casbin, once for all names."""
        if self.policies is None:
            some = rules.requests(self.operations)
            random.Random(rules.SEED).shuffle(some)
            path = self.files.put("policies.json", json.dumps(
                {"operations": self.operations, "requests": some, "body": rules.body()}))
            node = subprocess.run([os.path.join(rules.ROOT, "tests/setup"), "--print-node"], check=True,
                                  capture_output=True, text=True).stdout.strip()
            done = subprocess.run([node, os.path.join(HERE, "policies.mjs"), path], check=False,
                                  capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError("policies.mjs failed: " + done.stderr[-2000:])
            self.policies = json.loads(done.stdout)
            for who, what in self.policies.items():
                if what["decision"]["wrong"] or what["body"]["wrong"]:
                    raise RuntimeError(who + " judges otherwise than the rules say")
        return self.policies

    def decision_ns_github(self):
        runs = self.ours("decide", self.files.put("github.scope", rules.scope(self.operations)),
                         self.files.put("github.requests",
                                        rules.request_lines(rules.requests(self.operations))))
        others = self.others()
        fields = {field: round(median(runs, field), 1) for field in (
            "hit_ns", "miss_ns", "p50_ns", "p99_ns", "cold_p50_ns", "cold_p99_ns")}
        return median(runs, "decision_ns"), "ns", {
            "cedar": others["cedar"]["decision"]["ns"],
            "casbin": others["casbin"]["decision"]["ns"]}, {
            **fields, "rules": runs[0]["rules"], "states": runs[0]["states"],
            "cedar_like_ns": others["cedar"]["decision_like"]["ns"],
            "cedar_like_wrong": others["cedar"]["decision_like"]["wrong"]}

    def growth(self, n):
        files = []
        for size in (10, 10000):
            operations = rules.synthetic_operations(size)
            files += [self.files.put("rules-%d.scope" % size, rules.scope(operations)),
                      self.files.put("rules-%d.requests" % size,
                                     rules.request_lines(rules.requests(operations, n)))]
        return self.ours("growth", *files)

    def decision_growth_10_to_10000(self):
        near, evenly = self.growth(SLOTS), self.growth(EVENLY)
        return median(near, "growth"), "ratio", {}, {
            "ns_10": median(near, "small_ns"), "ns_10000": median(near, "large_ns"),
            "requests": near[0]["requests"], "ratio_evenly": median(evenly, "growth"),
            "requests_evenly": evenly[0]["requests"]}

    def decision_ns_body(self):
        runs = self.ours("body", self.files.put("body.scope", rules.BODY_SCOPE), rules.BODY_URL,
                         self.files.put("body.json", rules.body()))
        others = self.others()
        return median(runs, "decision_ns"), "ns", {
            who: others[who]["body"]["ns"] for who in ("cedar", "casbin")}, {
            "with_parse_ns": median(runs, "with_parse_ns"), "bytes": runs[0]["bytes"],
            **{who + "_with_parse_ns": others[who]["body_with_parse"]["ns"]
               for who in ("cedar", "casbin")}}

    def compile_ms_1000(self):
        path = self.files.put("thousand.scope", rules.scope(self.operations[:1000]))
        runs, others = self.ours("compile", path), self.others()
        return median(runs, "compile_ms"), "ms", {
            who: others[who]["compile_ms"] for who in ("cedar", "casbin")}, {
            field: round(median(runs, field), 3)
            for field in ("policy_ms", "freeze_ms", "matcher_ms")}

    def inclusion_ms_1000(self):
        fields, worst = {}, 0
        for name, (older, newer) in inclusion_pairs(self.operations).items():
            runs = self.ours("include", self.files.put("older.scope", older),
                             self.files.put("newer.scope", newer))
            for way in ("new_in_old", "old_in_new"):
                ms = median(runs, way + "_ms")
                worst = max(worst, ms)
                fields["%s_%s" % (name, way)] = [runs[0][way], round(ms, 3)]
                if runs[0][way] == "too hard":
                    raise RuntimeError("a proof was given up: " + name)
        return worst, "ms", {}, fields


def measure(bench, wanted, say):
    decisions, results = Decisions(bench, say), {}
    for name in NAMES:
        if name in wanted:
            value, unit, others, fields = getattr(decisions, name)()
            results[name] = {"value": round(value, 3), "unit": unit,
                             "others": {who: round(other, 3) for who, other in others.items()},
                             **fields}
            if others:
                results[name]["baseline"] = min(results[name]["others"].values())
                results[name]["ratio"] = round(value / min(others.values()), 6)
            say("  %-28s %10.4g %s" % (name, value, unit))
    return results
