"""A strict reader of Prometheus' text format, version 0.0.4: what promtool would complain of is a fault.
Values are those that Prometheus' own client library reads; the form is judged here, line by line."""
import re

from prometheus_client.parser import text_string_to_metric_families

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
VALUE = r'"(?:[^"\\\n]|\\["\\n])*"'
LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*=%s" % VALUE
SAMPLE = re.compile(r"(%s)(?:\{(%s(?:,%s)*)\})? (-?[0-9.e+-]+|[+-]Inf|NaN)" % (NAME, LABEL, LABEL))
KINDS = ("counter", "gauge", "histogram")


class Fault(Exception):
    pass


def check(good, what):
    if not good:
        raise Fault(what)


def read(text):
    """{(name, ((label, value)…)): value}, labels sorted."""
    check(text.endswith("\n") and "\r" not in text, "lines end with a newline")
    family, kind, done, found = None, None, set(), {}
    helped = None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            helped, _, words = line[7:].partition(" ")
            check(re.fullmatch(NAME, helped) and words.strip(), line)
            check(helped not in done, "%s is told of twice" % helped)
        elif line.startswith("# TYPE "):
            family, _, kind = line[7:].partition(" ")
            check(family == helped, "TYPE of %s follows no HELP of it" % family)
            check(kind in KINDS, line)
            check((kind == "counter") == family.endswith("_total"), "counters end with _total: " + line)
            done.add(family)
        else:
            one = SAMPLE.fullmatch(line)
            check(one, "no sample: " + line)
            endings = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            check(one[1] in [str(family) + ending for ending in endings], "out of place: " + line)
            labels = tuple(sorted(tuple(label.split("=", 1)) for label in
                                  re.findall(LABEL, one[2] or "")))
            check(len({name for name, _ in labels}) == len(labels), "a label twice: " + line)
            check((one[1], labels) not in found, "twice: " + line)
            found[one[1], labels] = float(one[3])
    check_histograms(found)
    return theirs(text, found)


def check_histograms(found):
    series = {}
    for (name, labels), value in found.items():
        if name.endswith("_bucket"):
            rest = tuple(pair for pair in labels if pair[0] != "le")
            bound = next((float(text.strip('"').replace("+Inf", "inf")) for label, text in labels
                          if label == "le"), None)
            check(bound is not None, "a bucket without le: " + name)
            series.setdefault((name[:-len("_bucket")], rest), []).append((bound, value))
    for (name, rest), buckets in series.items():
        bounds, values = zip(*buckets)
        check(list(bounds) == sorted(set(bounds)) and bounds[-1] == float("inf"), name)
        check(list(values) == sorted(values), "%s: buckets are cumulative" % name)
        check(found.get((name + "_count", rest)) == values[-1], "%s: _count is +Inf's" % name)
        check((name + "_sum", rest) in found, "%s has no _sum" % name)


def theirs(text, found):
    """The same as Prometheus' own library reads it; the two must agree."""
    read_too = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            read_too[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    check(sorted(read_too.values()) == sorted(found.values()) and len(read_too) == len(found),
          "Prometheus' library reads something else")
    return read_too
