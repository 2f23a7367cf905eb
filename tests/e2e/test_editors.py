"""What editors are given: the TextMate grammar, by the engine that editors run it in."""
import glob
import json
import os
import subprocess

import upstreams

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
VSCODE = os.path.join(ROOT, "policy-lang", "editors", "vscode")
GRAMMAR = os.path.join(VSCODE, "syntaxes", "sallyport.tmLanguage.json")
TRICKY = """sallyport 1 # a comment
let place = https://x/a#b
let odd = https://x/%23/{n:int}/a* # another
scope s(a){ # one
key k
rate 5/s burst 2
allow {GET POST} place where body.key = 1 and body.a."if #1" in -5..7
or any(body.list).all starts "a\\"#b" and query only {ttl, allow,
  where} and header.X-Mode != "é # no"
expect deny key https://x/#/a#b json {rate: [true, null, -1], "allow": {any: 5}} -> @deny # last
}
#
"""


def tokenised(grammar, files):
    done = subprocess.run([upstreams.NODE, os.path.join(HERE, "node", "grammar.mjs"), grammar,
                           *map(str, files)], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_the_grammar_gives_every_token_of_every_scope_file_its_scope(tmp_path):
    tricky = tmp_path / "tricky.scope"
    tricky.write_text(TRICKY)
    files = sorted(glob.glob(os.path.join(ROOT, "examples", "*.scope")))
    files += [path for path in sorted(glob.glob(os.path.join(ROOT, "tests", "policy", "*.scope")))
              if "errors" not in path]
    found = tokenised(GRAMMAR, files + [tricky])
    assert found["faults"] == []
    assert all(found["counts"][kind] > 20 for kind in (
        "comment", "url", "string", "label", "number", "keyword", "method", "name", "mark")), found


def test_a_grammar_that_takes_every_hash_for_a_comment_is_caught(tmp_path):
    text = open(GRAMMAR, encoding="utf-8").read()
    wrong = tmp_path / "wrong.json"
    wrong.write_text(text.replace('"(?<!\\\\S)#.*$"', '"#.*$"').replace('"https?://"', '"https?:///"'))
    assert wrong.read_text() != text
    tricky = tmp_path / "tricky.scope"
    tricky.write_text(TRICKY)
    assert "no comment" in {fault["wanted"] for fault in tokenised(wrong, [tricky])["faults"]}


def test_what_the_extension_names_is_there():
    with open(os.path.join(VSCODE, "package.json"), encoding="utf-8") as file:
        contributes = json.load(file)["contributes"]
    assert contributes["languages"][0]["extensions"] == [".scope"]
    for path in (contributes["languages"][0]["configuration"], contributes["grammars"][0]["path"]):
        with open(os.path.join(VSCODE, path), encoding="utf-8") as file:
            json.load(file)
