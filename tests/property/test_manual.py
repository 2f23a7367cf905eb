"""docs/policy.md and its neighbours against the compiler.

Each diagnostic code in policy-lang's sources has a row in the manual and the other way round; each
row's example gives that code; each ```scope block in docs/ and README.md compiles.

The files in examples/ compile without a warning, hold expectations of both kinds, and stand in
docs/cookbook.md word for word.

usage: test_manual.py CHECK_DUMP SOURCE_DIR
"""
import glob
import json
import os
import re
import subprocess
import sys

ROW = re.compile(r"^\| ([EW]\d{3}) \| (.+?) \| (.+) \| (.+) \|$", re.M)
# What a row's […] describes.
LONG = {
    "E026": "allow GET https://api.test/ where %s has body.a" % ("not " * 70),
    "E043": "allow GET https://api.test/ key %s" % ", ".join("k%d" % i for i in range(300)),
    "E192": "allow * https://api.test/** %s" % " ".join(
        "allow POST https://api.test/users/u%d/keys" % i for i in range(501)),
    "E062": b"sallyport 1 # \xff",
}
CAVEATS = {"E070"}  # their examples are caveats, not files
TOP = ("sallyport", "let", "use", "scope", "client", "principal")
faults = []


def diagnostics(dump, text, *args):
    raw = text if isinstance(text, bytes) else text.encode()
    done = subprocess.run([dump, *args], input=raw + b"\0", check=True, capture_output=True,
                          timeout=60)
    return json.loads(done.stdout)


def whole(example):
    """The file that a row's example is cut from."""
    if isinstance(example, bytes) or example.startswith("sallyport"):
        return example
    if example.split()[0] in TOP:
        return "sallyport 1 " + example
    return "sallyport 1 scope s { key k ttl 1h %s }" % example


def codes_of_sources(root):
    found = set()
    for path in glob.glob(os.path.join(root, "policy-lang", "**", "*.c"), recursive=True):
        found |= set(re.findall(r'"([EW]\d{3})"', open(path, encoding="utf-8").read()))
    return found


def test_rows(dump, root):
    manual = open(os.path.join(root, "docs", "policy.md"), encoding="utf-8").read()
    rows = ROW.findall(manual)
    codes = [row[0] for row in rows]
    sources = codes_of_sources(root)
    if codes != sorted(set(codes)):
        faults.append("rows are double or out of order")
    for code in sources ^ set(codes):
        faults.append("%s is only in the %s" % (code, "sources" if code in sources else "manual"))
    for code, _, cell, _ in rows:
        quoted = re.search(r"`([^`]+)`", cell)
        if code not in LONG and not quoted:
            faults.append("%s has no example" % code)
            continue
        example = LONG.get(code) or quoted.group(1)
        how = "caveat" if code in CAVEATS else "world"
        given = diagnostics(dump, example if code in CAVEATS else whole(example), how)
        if code not in [d["code"] for d in given]:
            faults.append("%s: its example gives %s" % (
                code, [(d["code"], d["message"]) for d in given] or "nothing"))
        if code[0] == "W" and any(d["code"][0] == "E" for d in given):
            faults.append("%s: its example does not compile" % code)
    return len(rows)


def test_blocks(dump, root):
    n = 0
    for path in glob.glob(os.path.join(root, "docs", "*.md")) + [os.path.join(root, "README.md")]:
        text = open(path, encoding="utf-8").read()
        for block in re.findall(r"^```scope\n(.*?)^```", text, re.S | re.M):
            n += 1
            if re.match(r"# excerpt\b", block):
                continue
            for d in diagnostics(dump, block):
                if d["severity"] == "error" or d["code"] != "W142":
                    faults.append("%s: %s %s in the block\n%s" % (
                        os.path.basename(path), d["code"], d["message"], block))
    return n


def test_examples(dump, root):
    cookbook = open(os.path.join(root, "docs", "cookbook.md"), encoding="utf-8").read()
    blocks = re.findall(r"^```scope\n(.*?)^```", cookbook, re.S | re.M)
    paths = glob.glob(os.path.join(root, "examples", "*.scope"))
    for path in paths:
        text, name = open(path, encoding="utf-8").read(), os.path.basename(path)
        for d in diagnostics(dump, text):
            faults.append("%s:%d: %s %s" % (name, d["line"], d["code"], d["message"]))
        if not all(re.search(r"^    expect %s " % word, text, re.M) for word in ("allow", "deny")):
            faults.append("%s: expects too little" % name)
        if text not in blocks:
            faults.append("%s: not in the cookbook as it stands" % name)
        if "(../examples/%s)" % name not in cookbook:
            faults.append("%s: the cookbook does not name it" % name)
    for block in blocks:
        if block not in [open(path, encoding="utf-8").read() for path in paths]:
            faults.append("a block of the cookbook is in no example:\n" + block)
    return len(paths)


def main():
    dump, root = sys.argv[1:3]
    n_rows = test_rows(dump, root)
    n_blocks = test_blocks(dump, root)
    n_examples = test_examples(dump, root)
    counts = "%d rows, %d blocks, %d examples" % (n_rows, n_blocks, n_examples)
    if n_rows < 60 or n_blocks < 10 or n_examples < 5:
        faults.append("too few: " + counts)
    print("\n".join(faults) or counts)
    sys.exit(1 if faults else 0)


main()
