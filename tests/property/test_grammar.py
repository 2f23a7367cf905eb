"""The grammar in docs/policy.md against the parser.

Random sentences of the grammar must be accepted: so it is not too wide. The scope files of the
tests and examples are judged by an Earley recogniser over the same grammar, and the parser must
agree: so it is not too narrow. The same holds for both with a token deleted, doubled, exchanged
or put in another's place. Only syntax counts: what the checker says (E100 and above, warnings)
and missing files do not.

usage: test_grammar.py CHECK_DUMP SOURCE_DIR [SEED [SENTENCES]]
"""
import glob
import json
import os
import random
import re
import subprocess
import sys

# What the grammar describes in words: a pattern, and characters to generate from.
SPECIAL = {
    "%HH of a byte that the canonical form admits": (
        "%(?:20|2A|7B|7D|C3%A9|[46][1-9A-Fa-f]|[57][0-9Aa])", ["%20", "%2A", "%7B", "%7D", "%C3%A9"]),
    "a character other than a control, '\"' and a backslash": (r'[^\x00-\x1f\x7f"\\]', list("a #{é/")),
    "a character other than a line break, '\"' and a backslash": (r'[^\n"\\]', list("b #}ü\t'")),
    "an ASCII character other than a control, '\"' and a backslash": (
        r'[ !#-\[\]-~]', list("abcXYZ019.-:+=^!/*?&<>()[]{}@%$#")),
    "a byte other than white space": (r"\S", list("ab/?=&{")),
}
# Said in words below the grammar: JSON gives each name once. Files are not syntax.
NOT_SYNTAX = re.compile(r"E06[123]|E1\d\d|W\d\d\d")
UNIQUE = "JSON holds each name once"
# As the manual has it: a token is as long as it can be, a URL ends at white space.
TOKEN = re.compile(r"""(?:\s|(?:(?<=\s)|^)\#[^\n]*)+
                       |(https?://\S*|@?[A-Za-z_][\w-]*|@[\w-]+|-?\d[\dA-Za-z_]*
                       |"(?:[^"\\\n]|\\[^\n])*"|!=|<=|>=|\.\.|->|[{}()\[\],:;./*=<>])""", re.X | re.A | re.M)
FILES_MIN = 15
TOKENS_MAX = 90  # of a sentence that is mutated: Earley's cost is in its square


# ---- the grammar: a rule is a tree of ("seq", …) ("alt", …) ("many", x) ("maybe", x) ("upto", n, x)
# ---- ("times", n, x) ("but", x, y) ("text", s) ("range", a, b) ("special", s) ("rule", name)

class Reader:
    LEXEME = re.compile(r"\s*(\?[^?]*\?|\"[^\"]*\"|'[^']*'|\.\.|[A-Za-z_]\w*|\d+|[=;|{}\[\]()*-])")

    def __init__(self, text):
        self.lexemes, at = [], 0
        text = text.rstrip()
        while at < len(text):
            found = self.LEXEME.match(text, at)
            if not found:
                sys.exit("grammar: cannot read %r" % text[at:at + 40])
            self.lexemes.append(found.group(1))
            at = found.end()
        self.at = 0

    def peek(self):
        return self.lexemes[self.at] if self.at < len(self.lexemes) else ""

    def take(self, wanted=None):
        lexeme = self.peek()
        if wanted and lexeme != wanted:
            sys.exit("grammar: %r instead of %r behind %s"
                     % (lexeme, wanted, self.lexemes[max(0, self.at - 8):self.at]))
        self.at += 1
        return lexeme

    def rules(self):
        rules = {}
        while self.peek():
            name = self.take()
            self.take("=")
            if name in rules:
                sys.exit("grammar: two rules %s" % name)
            rules[name] = self.alternatives()
            self.take(";")
        return rules

    def alternatives(self):
        items = [self.sequence()]
        while self.peek() == "|":
            self.take()
            items.append(self.sequence())
        return items[0] if len(items) == 1 else ("alt", *items)

    def sequence(self):
        items = []
        while self.peek() not in ("", "|", ";", "}", "]", ")", "-"):
            items.append(self.item())
        whole = items[0] if len(items) == 1 else ("seq", *items)
        if self.peek() == "-":
            self.take()
            return ("but", whole, self.item())
        return whole

    def item(self):
        lexeme = self.take()
        if lexeme.isdigit():
            self.take("*")
            inner = self.item()
            return ("upto", int(lexeme), inner[1]) if inner[0] == "maybe" else (
                "times", int(lexeme), inner)
        pairs = {"{": ("many", "}"), "[": ("maybe", "]"), "(": (None, ")")}
        if lexeme in pairs:
            kind, close = pairs[lexeme]
            inner = self.alternatives()
            self.take(close)
            return (kind, inner) if kind else inner
        if lexeme[0] == "?":
            return ("special", lexeme.strip("? "))
        if lexeme[0] in "\"'":
            if self.peek() == "..":
                self.take()
                return ("range", lexeme[1], self.take()[1])
            return ("text", lexeme[1:-1])
        if not re.fullmatch(r"[A-Za-z_]\w*", lexeme):
            sys.exit("grammar: %r cannot stand here" % lexeme)
        return ("rule", lexeme)


# ---- tokens: patterns, and random ones ----------------------------------------------------------

def pattern(rules, node):
    kind = node[0]
    if kind == "seq":
        return "".join(pattern(rules, item) for item in node[1:])
    if kind == "alt":
        return "(?:%s)" % "|".join(pattern(rules, item) for item in node[1:])
    if kind in ("many", "maybe"):
        return "(?:%s)%s" % (pattern(rules, node[1]), "*" if kind == "many" else "?")
    if kind in ("upto", "times"):
        low = 0 if kind == "upto" else node[1]
        return "(?:%s){%d,%d}" % (pattern(rules, node[2]), low, node[1])
    if kind == "but":  # of whole tokens
        return r"(?!%s\Z)%s" % (pattern(rules, node[2]), pattern(rules, node[1]))
    if kind == "range":
        return "[%s-%s]" % (node[1], node[2])
    if kind == "special":
        return SPECIAL[node[1]][0]
    return re.escape(node[1]) if kind == "text" else pattern(rules, rules[node[1]])


def characters(rules, node, rng):
    """A random text of a node of a token."""
    kind = node[0]
    if kind == "seq":
        return "".join(characters(rules, item, rng) for item in node[1:])
    if kind == "alt":
        return characters(rules, rng.choice(node[1:]), rng)
    if kind in ("many", "maybe", "upto"):
        most = min(node[1], 3) if kind == "upto" else 2 if kind == "many" else 1
        return "".join(characters(rules, node[-1], rng) for _ in range(rng.randint(0, most)))
    if kind == "times":
        return "".join(characters(rules, node[2], rng) for _ in range(node[1]))
    if kind == "but":
        while True:
            text = characters(rules, node[1], rng)
            if not re.fullmatch(pattern(rules, node[2]), text):
                return text
    if kind == "range":
        return chr(rng.randint(ord(node[1]), ord(node[2])))
    if kind == "special":
        return rng.choice(SPECIAL[node[1]][1])
    return node[1] if kind == "text" else characters(rules, rules[node[1]], rng)


def is_token(node):
    return node[0] == "text" or (node[0] == "rule" and node[1].isupper())


def sentence(rules, node, rng, depth, out):
    """Append random tokens of a node; the deeper, the shorter."""
    kind = node[0]
    if is_token(node):
        out.append(node[1] if kind == "text" else characters(rules, rules[node[1]], rng))
    elif kind == "seq":
        for item in node[1:]:
            sentence(rules, item, rng, depth, out)
    elif kind == "alt":
        items = node[1:]
        if depth > 25:  # toward an end: what is a token by itself, or is not nested further
            items = [item for item in items if is_token(item)] or items[-1:]
        sentence(rules, rng.choice(items), rng, depth + 1, out)
    elif kind in ("many", "maybe"):
        most = 0 if depth > 25 else 1 if kind == "maybe" else rng.choice((0, 1, 1, 2, 3))
        for _ in range(rng.randint(0, most)):
            sentence(rules, node[1], rng, depth + 1, out)
    else:
        sentence(rules, rules[node[1]], rng, depth + 1, out)


# ---- Earley -------------------------------------------------------------------------------------

class Recogniser:
    def __init__(self, rules, start):
        self.productions, self.start = {}, start
        self.patterns = {name: re.compile(pattern(rules, node), re.S)
                         for name, node in rules.items() if name.isupper()}
        for name, node in rules.items():
            if not name.isupper() and self.reachable(rules, start, name):
                self.productions[name] = [tuple(p) for p in self.flatten(node, name)]
        self.nullable = set()
        while True:
            more = {name for name, list_ in self.productions.items()
                    if any(all(s in self.nullable for s in p) for p in list_)} - self.nullable
            if not more:
                break
            self.nullable |= more
        self.seen = {}

    @staticmethod
    def reachable(rules, start, name):
        todo, seen = [start], set()
        while todo:
            at = todo.pop()
            if at in seen or at.isupper():
                continue
            seen.add(at)
            todo += re.findall(r"'rule', '(\w+)'", repr(rules[at]))
        return name in seen

    def flatten(self, node, name):
        """The productions of a node, as lists of symbols: names, or "=text" for a text."""
        kind = node[0]
        if kind == "text":
            return [["=" + node[1]]]
        if kind == "rule":
            return [[node[1]]]
        if kind == "alt":
            return [p for item in node[1:] for p in self.flatten(item, name)]
        if kind == "seq":
            symbols = []
            for item in node[1:]:
                symbols += self.symbol(item, name)
            return [symbols]
        return [self.symbol(node, name)]

    def symbol(self, node, name):
        if node[0] in ("text", "rule"):
            return self.flatten(node, name)[0]
        fresh = "%s#%d" % (name, len(self.productions))
        self.productions[fresh] = []
        inner = [tuple(p) for p in self.flatten(node[1] if node[0] in ("many", "maybe") else node,
                                                fresh)]
        if node[0] == "many":  # it leans to the left, which Earley likes
            self.productions[fresh] = [()] + [(fresh,) + p for p in inner]
        else:
            self.productions[fresh] = inner + ([()] if node[0] == "maybe" else [])
        return [fresh]

    def matches(self, symbol, token):
        if symbol[0] == "=":
            return symbol[1:] == token
        key = symbol, token
        if key not in self.seen:
            self.seen[key] = bool(self.patterns[symbol].fullmatch(token))
        return self.seen[key]

    def accepts(self, tokens):
        columns = [{} for _ in range(len(tokens) + 1)]
        waiting = [{} for _ in columns]  # symbol -> items of that column that wait for it
        for production in self.productions[self.start]:
            columns[0][(self.start, production, 0, 0)] = None
        for at, column in enumerate(columns):
            todo = list(column)
            while todo:
                name, production, dot, origin = item = todo.pop()
                new = []
                if dot == len(production):
                    if origin < at:
                        new = [(n, p, d + 1, o)
                               for n, p, d, o in waiting[origin].get(name, ())]
                else:
                    symbol = production[dot]
                    if symbol in self.productions:
                        first = symbol not in waiting[at]
                        waiting[at].setdefault(symbol, []).append(item)
                        if first:
                            new = [(symbol, p, 0, at) for p in self.productions[symbol]]
                        if symbol in self.nullable:
                            new.append((name, production, dot + 1, origin))
                    elif at < len(tokens) and self.matches(symbol, tokens[at]):
                        columns[at + 1][(name, production, dot + 1, origin)] = None
                for one in new:
                    if one not in column:
                        column[one] = None
                        todo.append(one)
        return any(name == self.start and dot == len(p) and origin == 0
                   for name, p, dot, origin in columns[-1])


# ---- the test -----------------------------------------------------------------------------------

def tokens_of(text):
    """The tokens of a file; None where there is something that is none."""
    tokens, at = [], 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found:
            return None
        tokens += [found.group(1)] if found.group(1) else []
        at = found.end()
    return tokens


def real_scopes(root):
    """The token lists of the scope files, and of each single statement at their top."""
    files, parts = [], []
    for folder in ("tests/policy", "examples"):
        for path in sorted(glob.glob(os.path.join(root, folder, "*.scope"))):
            text = open(path, encoding="utf-8").read()
            files.append(tokens_of(text))
            for part in re.split(r"^(?=(?:scope|let|client|principal)\b)", text, flags=re.M)[1:]:
                parts.append(["sallyport", "1"] + (tokens_of(part) or ["?"]))
    return ([tokens for tokens in files if tokens],
            [tokens for tokens in parts if "?" not in tokens and len(tokens) < 400])


def mutated(tokens, rng, vocabulary):
    tokens = list(tokens)
    i = rng.randrange(len(tokens))
    how = rng.randrange(5)
    if how == 0:
        del tokens[i]
    elif how == 1:
        tokens.insert(i, tokens[i])
    elif how == 2 and len(tokens) > 1:
        j = rng.randrange(len(tokens))
        tokens[i], tokens[j] = tokens[j], tokens[i]
    elif how == 3:
        tokens[i] = tokens[rng.randrange(len(tokens))]
    else:
        tokens[i] = rng.choice(vocabulary)
    return tokens


def faults(dump, sentences):
    """For each the first diagnostic of the syntax, None, or UNIQUE: then nothing is known."""
    done = subprocess.run([dump], input=b"".join(s.encode() + b"\0" for s in sentences), check=True,
                          capture_output=True, timeout=250)
    out = []
    for line in done.stdout.decode().splitlines():
        found = next((d for d in json.loads(line) if not NOT_SYNTAX.match(d["code"])), None)
        out.append(UNIQUE if found and UNIQUE in found["message"] else found)
    if len(out) != len(sentences):
        sys.exit("%d answers to %d sentences" % (len(out), len(sentences)))
    return out


def joined(tokens, rng):
    return "".join(token + rng.choice((" ", " ", " ", "\n", " # note\n")) for token in tokens)


def main():
    dump, root = sys.argv[1:3]
    manual = os.path.join(root, "docs", "policy.md")
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 7)
    n = int(sys.argv[4]) if len(sys.argv) > 4 else 20000
    block = re.findall(r"^```ebnf\n(.*?)^```", open(manual, encoding="utf-8").read(), re.S | re.M)
    if len(block) != 1:
        sys.exit("the manual has %d grammars" % len(block))
    rules = Reader(block[0]).rules()
    recogniser = Recogniser(rules, "file")
    made = []
    while len(made) < n:
        tokens = []
        sentence(rules, ("rule", "file"), rng, 0, tokens)
        # Many of the shortest would be the same few.
        if 12 < len(tokens) < 600:
            made.append(tokens)
    bad = 0
    texts = [joined(tokens, rng) for tokens in made]
    for text, fault in zip(texts, faults(dump, texts)):
        if fault and fault != UNIQUE:
            bad += 1
            if bad <= 10:
                print("refused: %s %s\n%s\n" % (fault["code"], fault["message"], text))
    short = [tokens for tokens in made if len(tokens) <= TOKENS_MAX]
    if not all(recogniser.accepts(tokens) for tokens in short[:300]):
        sys.exit("the recogniser refuses what the grammar made")
    files, parts = real_scopes(root)
    if len(files) < FILES_MIN:
        sys.exit("only %d scope files can be read" % len(files))
    vocabulary = sorted({token for tokens in files for token in tokens})
    changed = [mutated(tokens, rng, vocabulary) for tokens in short[:max(1, n // 3)]]
    changed += files + parts + [mutated(tokens, rng, vocabulary) for tokens in parts * 10
                                if len(tokens) <= 2 * TOKENS_MAX]
    changed = [tokens for tokens in changed if tokens]
    texts = [joined(tokens, rng) for tokens in changed]
    accepted = 0
    for tokens, text, fault in zip(changed, texts, faults(dump, texts)):
        good = recogniser.accepts(tokens)
        accepted += good
        if fault != UNIQUE and good != (fault is None):
            bad += 1
            if bad <= 20:
                print("the grammar %s, the parser says %s:\n%s\n" % (
                    "accepts" if good else "refuses",
                    "%s %s" % (fault["code"], fault["message"]) if fault else "nothing", text))
    print("%d sentences; %d files, %d statements of them and mutants (%d accepted); %d disagreements"
          % (len(made), len(files), len(changed) - len(files), accepted, bad))
    # Every word and mark of the grammar must have been met.
    words = set(re.findall(r"'text', '([^']+)'", repr([node for name, node in rules.items()
                                                       if name in recogniser.productions])))
    missing = words - {token for tokens in made for token in tokens}
    if missing or len(made) != n:
        sys.exit("not met in any sentence: %s" % sorted(missing))
    # Mutants that are all of one kind would compare nothing.
    if not 0.02 * len(changed) < accepted < 0.9 * len(changed):
        sys.exit("too few mutants of one kind")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
