"""The formatter against an independent reader of tokens and comments.

Random sentences of the manual's grammar, and the scope files of the tests and examples, each with
random blanks and comments between its tokens: the formatted text has the same tokens and the same
comments in the same order, has the shape that the manual promises, and formats to itself; what
compiles means the same afterwards (fmt_dump looks at the last two).

usage: test_fmt_oracle.py FMT_DUMP SOURCE_DIR [SEED [SENTENCES]]
"""
import glob
import os
import random
import re
import subprocess
import sys

import test_grammar as grammar

WIDTH = 96
BLANKS = (" ", " ", " ", " ", "\n", "\t ", "\n\n", "\n\n\n\n   ", "\r\n")
NOTES = (" # note\n", "\n# a line of its own\n", "\n\n    # behind an empty line  \n", " ## é\t\r\n",
         "\n# one\n\n\n# two\n", "\n#\n", " # scope x { https://a/b#c \"\n")


def joined(tokens, rng, notes):
    """Tokens with random blanks between them; some comments where a share is given."""
    return "".join(token + rng.choice(NOTES if rng.random() < notes else BLANKS)
                   for token in tokens)


def comments_of(text):
    """The comments of a text, by the manual's rule, without trailing blanks; None if unreadable."""
    found, at = [], 0
    while at < len(text):
        match = grammar.TOKEN.match(text, at)
        if not match:
            return None
        if not match.group(1):
            found += re.findall(r"#[^\n]*", re.sub(r"(?m)(#[^\n]*)", lambda m: m.group(1).rstrip(),
                                                   match.group(0)))
        at = match.end()
    return found


def fault(before, after):
    if grammar.tokens_of(before) != grammar.tokens_of(after):
        return "other tokens"
    if comments_of(before) != comments_of(after):
        return "other comments"
    lines = after.split("\n")
    if lines.pop() or not lines[-1] or not lines[0]:
        return "it begins or ends with an empty line"
    if re.search(r"\n\n\n|[ \t\r]\n", after):
        return "two empty lines, or blanks at a line's end"
    for line in lines:
        indent = len(line) - len(line.lstrip(" "))
        if indent % 4:
            return "indented by %d: %r" % (indent, line)
        code = re.sub(r"(^|\s)#.*", "", line)
        if len(code) > WIDTH and re.search(r" (and|or|where) ", re.sub(r'"[^"]*"|\{[^}]*\}', "", code)):
            return "too long: %r" % line
    return None


def formatted(dump, texts):
    done = subprocess.run([dump], input=b"".join(text.encode() + b"\0" for text in texts),
                          capture_output=True, timeout=250, check=False)
    if done.returncode:
        sys.exit(done.stderr.decode()[:8000])
    answers = done.stdout.decode().split("\0")[:-1]
    if len(answers) != len(texts):
        sys.exit("%d answers to %d texts" % (len(answers), len(texts)))
    return answers, int(done.stderr.split()[0])


def main():
    dump, root = sys.argv[1:3]
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 7
    n = int(sys.argv[4]) if len(sys.argv) > 4 else 6000
    rng = random.Random(seed)
    manual = open(os.path.join(root, "docs", "policy.md"), encoding="utf-8").read()
    rules = grammar.Reader(re.search(r"^```ebnf\n(.*?)^```", manual, re.S | re.M).group(1)).rules()
    texts = [open(path, encoding="utf-8").read()
             for folder in ("tests/policy", "examples")
             for path in sorted(glob.glob(os.path.join(root, folder, "*.scope")))]
    files = len(texts)
    for text in list(texts):
        tokens = grammar.tokens_of(text)
        texts += [joined(tokens, rng, notes) for notes in (0, 0.02, 0.3)] if tokens else []
    while len(texts) < n:
        tokens = []
        grammar.sentence(rules, ("rule", "file"), rng, 0, tokens)
        if 12 < len(tokens) < 600:
            texts.append(joined(tokens, rng, rng.choice((0, 0.05, 0.3))))
    answers, compared = formatted(dump, texts)
    bad = parsed = notes = 0
    for text, answer in zip(texts, answers):
        parsed += bool(answer)
        notes += bool(answer) and bool(comments_of(text))
        found = fault(text, answer) if answer else None
        bad += bool(found)
        if found and bad <= 5:
            print("%s\n---- from\n%s\n---- to\n%s" % (found, text, answer))
    print("seed %d: %d files, %d texts, %d of them parse, %d with comments, %d compiled and "
          "compared; %d faults" % (seed, files, len(texts), parsed, notes, compared, bad))
    if parsed < 0.9 * len(texts) or notes < len(texts) / 4 or compared < 60:
        sys.exit("too little was compared")
    sys.exit(1 if bad else 0)


main()
