"""Rules and requests that the decisions are measured on, each once for all who decide.

An operation is (method, path template); a template's `{name}` is one segment. What a request is
expected to give is found by a matcher of a few lines here, which knows nothing of sallyport.
"""
import json
import os
import random
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OPENAPI = os.path.join(ROOT, "tests/node/node_modules/@octokit/openapi/generated/api.github.com.json")
METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
ORIGIN = "https://api.github.com"
SEED = 20250601


def github_operations():
    """All operations of GitHub's REST API, in the order of their description."""
    with open(OPENAPI, encoding="utf-8") as file:
        paths = json.load(file)["paths"]
    return [(method.upper(), path) for path, item in paths.items() for method in METHODS
            if method in item]


def synthetic_operations(n):
    """As many operations of one shape, told apart by a literal in the middle."""
    return [("GET", "/v1/accounts/{account}/collection-%d/{item}/notes" % i) for i in range(n)]


def parts(template):
    """Literals, and None for what takes any one segment (`{base}...{head}` too)."""
    return [None if "{" in part else part for part in template.split("/")[1:]]


def scope(operations, extra=()):
    lines = ["sallyport 1", "", "scope bench {", "  key bench-key"]
    for i, (method, template) in enumerate(operations):
        path = "/" + "/".join("*" if part is None else part for part in parts(template))
        lines.append("  @r%d allow %s %s%s" % (i, method, ORIGIN, path))
    lines += ["  " + line for line in extra]
    return "\n".join(lines + ["}", ""])


class Matcher:
    """Whether some operation has this method and path."""

    def __init__(self, operations):
        self.by_length = {}
        for method, template in operations:
            pattern = parts(template)
            self.by_length.setdefault((method, len(pattern)), []).append(pattern)

    def allows(self, method, path):
        segments = path.split("/")[1:]
        return any(all(part is None or part == segment
                       for part, segment in zip(pattern, segments))
                   for pattern in self.by_length.get((method, len(segments)), ()))


def filled(chance, template):
    def value(match):
        if re.search("id|number|_n", match.group(1)):
            return str(chance.randrange(1, 10**9))
        return "v" + "".join(chance.choice("abcdefghijklmnopqrstuvwxyz0123456789-")
                             for _ in range(chance.randrange(3, 16))) + "x"
    return re.sub(r"\{(\w+)\}", value, template)


def edited(chance, method, path):
    """One edit away: another literal, a segment more or less, another method."""
    segments = path.split("/")[1:]
    edit = chance.randrange(4)
    if edit == 0:
        at = chance.randrange(len(segments))
        segments[at] += "x"
    elif edit == 1:
        segments.append("more")
    elif edit == 2 and len(segments) > 1:
        segments.pop()
    else:
        method = chance.choice([other.upper() for other in METHODS if other.upper() != method])
    return method, "/" + "/".join(segments)


def requests(operations, n=None):
    """A hit for each operation (or for n of them), and as many misses, each a hit but for one
    edit: (allowed, method, path)."""
    chance, known, found = random.Random(SEED), Matcher(operations), []
    some = list(operations) if n is None else [chance.choice(operations) for _ in range(n)]
    for method, template in some:
        path = filled(chance, template)
        found.append((True, method, path))
        miss = edited(chance, method, path)
        while known.allows(*miss):
            miss = edited(chance, method, path)
        found.append((False, *miss))
    return found


def request_lines(some):
    return "".join("%s %s %s%s\n" % ("allow" if allowed else "deny", method, ORIGIN, path)
                   for allowed, method, path in some)


BODY_SCOPE = """sallyport 1

scope bench {
  key bench-key
  @refund allow POST https://api.github.com/refunds
    where body.charge starts "ch_" and body.amount in 1..5000
      and body.reason in {"duplicate", "requested_by_customer"}
}
"""
BODY_URL = ORIGIN + "/refunds"


def body():
    """1 KB of JSON as an API takes it: nested, with the three fields among others."""
    chance = random.Random(SEED)
    tree = {"id": "re_3NkY2eLkdIwHu7ix", "charge": "ch_3NkY2eLkdIwHu7ix0bVmJhXx",
            "currency": "eur", "metadata": {}, "amount": 4200, "refund_fee": False,
            "lines": [{"sku": "A-%d" % i, "quantity": i + 1, "note": None} for i in range(4)],
            "reason": "requested_by_customer"}
    text = json.dumps(tree)
    while len(text) < 990:
        tree["metadata"]["k%d" % len(tree["metadata"])] = "%x" % chance.getrandbits(48)
        text = json.dumps(tree)
    tree["description"] = "x" * max(0, 1024 - len(text) - len(', "description": ""'))
    return json.dumps(tree)
