"""The wire reader against an oracle: Debian's python3-msgpack, with the protocol's rules on top.

Both read the same 300,000 messages: random trees, the same with bytes changed, cut and spliced,
and random bytes. They must accept the same ones and see the same tree in them; and what the
reader's own writer makes of a tree must be read by the oracle as that tree.

usage: test_wire_oracle.py WIRE_DUMP [SEED [CASES]]
"""
import math
import random
import struct
import subprocess
import sys

import msgpack

MAX_DEPTH, MAX_ITEMS, MAX_PAIRS, MAX_NAME, FREE = 8, 4096, 256, 256, 16 << 10


class Refused(Exception):
    pass


class Budget:
    """The caps that are the protocol's and not MessagePack's."""

    def __init__(self, message):
        self.items = MAX_ITEMS
        self.memory = max(4 * len(message), FREE)

    def take(self, count, size):
        self.items -= count
        self.memory -= (count * size + 15) // 16 * 16
        if self.items < 0 or self.memory < 0:
            raise Refused("cap")


def pairs_hook(pairs):
    return ("map", pairs)


def ext_hook(code, data):
    raise Refused("extension type")


def show(value, depth, budget):
    """The notation of wire_dump.c."""
    if value is None:
        return "nil"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise Refused("integer")
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Refused("float")
        return "f%016x" % struct.unpack(">Q", struct.pack(">d", value))[0]
    if isinstance(value, str):
        return "s" + value.encode().hex()
    if isinstance(value, bytes):
        return "b" + value.hex()
    if depth >= MAX_DEPTH:
        raise Refused("depth")
    if isinstance(value, list):
        budget.take(len(value), 24)
        return "[" + "".join(show(v, depth + 1, budget) + "," for v in value) + "]"
    if isinstance(value, tuple) and value[0] == "map":
        return show_map(value[1], depth, budget)
    raise Refused("type " + str(type(value)))


def show_map(pairs, depth, budget):
    budget.take(len(pairs), 40)
    names = [name for name, _ in pairs]
    if len(pairs) > MAX_PAIRS or any(not isinstance(name, str) for name in names):
        raise Refused("map")
    if len(set(names)) != len(names) or any(len(n.encode()) > MAX_NAME for n in names):
        raise Refused("names")
    return "{" + "".join(n.encode().hex() + ":" + show(v, depth + 1, budget) + ","
                         for n, v in pairs) + "}"


def oracle(message):
    try:
        value = msgpack.unpackb(message, raw=False, strict_map_key=False,
                                object_pairs_hook=pairs_hook, ext_hook=ext_hook)
        return "yes " + show(value, 0, Budget(message))
    except (Refused, ValueError, msgpack.UnpackException, RecursionError, TypeError):
        return "no"


# ---- cases --------------------------------------------------------------------------------------

def text(rng):
    alphabet = ["a", "b", "op", "token", "é", "€", "\U0001f511", "\0", "x" * 40, "y" * 300]
    return "".join(rng.choice(alphabet[:7]) for _ in range(rng.randrange(4))) \
        if rng.random() < 0.95 else rng.choice(alphabet)


def tree(rng, depth):
    kind = rng.randrange(10 if depth < 10 else 7)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind in (1, 2):
        return rng.choice([rng.randrange(-40, 200), rng.getrandbits(rng.randrange(1, 65)),
                           -rng.getrandbits(rng.randrange(1, 64)) - 1, 2**63 - 1, 2**63, -2**63])
    if kind == 3:
        return rng.choice([1.5, -0.0, 1e308, math.nan, math.inf, -math.inf, rng.random()])
    if kind in (4, 5):
        return text(rng)
    if kind == 6:
        return rng.randbytes(rng.choice([0, 1, 5, 31, 32, 300]))
    if kind == 7:
        return [tree(rng, depth + 1) for _ in range(rng.randrange(5))]
    return {text(rng) if rng.random() < 0.98 else rng.randrange(9): tree(rng, depth + 1)
            for _ in range(rng.randrange(5))}


def big(rng):
    """Around the caps of counts."""
    n = rng.choice([255, 256, 257, 300, 680, 683, 684, 4095, 4096, 4097, 5000])
    item = rng.choice([1, "abcd", "x" * 40, b"z" * 20])
    if rng.random() < 0.5:
        return [item] * n
    return {str(i): item for i in range(n)}


def mutated(rng, message):
    message = bytearray(message)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        way = rng.randrange(5)
        at = rng.randrange(len(message) + 1)
        if way == 0 and at < len(message):
            message[at] ^= 1 << rng.randrange(8)
        elif way == 1 and at < len(message):
            message[at] = rng.choice([0x80, 0x90, 0xa0, 0xc0, 0xc1, 0xc4, 0xc7, 0xca, 0xcf, 0xd3,
                                      0xd4, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xff])
        elif way == 2:
            message[at:at] = rng.randbytes(rng.randrange(1, 6))
        elif way == 3:
            del message[at:at + rng.randrange(1, 6)]
        else:
            del message[at:]
    return bytes(message)


def duplicate(rng):
    """Maps as no packer writes them: keys twice, and in longer formats than needed."""
    def name(n):
        raw = n.encode()
        return rng.choice([bytes([0xa0 | len(raw)]), bytes([0xd9, len(raw)]),
                           b"\xda" + struct.pack(">H", len(raw))]) + raw
    n = rng.randrange(4)
    return bytes([0x80 | n]) + b"".join(name(rng.choice("abc")) + bytes([rng.randrange(128)])
                                        for _ in range(n))


def case(rng):
    roll = rng.random()
    if roll < 0.02:
        return msgpack.packb(big(rng))
    if roll < 0.12:
        return rng.randbytes(rng.randrange(24))
    if roll < 0.17:
        return duplicate(rng)
    packer = msgpack.Packer(use_single_float=rng.random() < 0.2)
    message = packer.pack(tree(rng, 0))
    return mutated(rng, message) if roll < 0.65 else message


def main():
    dump = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20261123
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 300000
    rng = random.Random(seed)
    accepted = done = 0
    while done < count:
        cases = [case(rng) for _ in range(min(20000, count - done))]
        stream = b"".join(struct.pack(">I", len(c)) + c for c in cases)
        out = subprocess.run([dump], input=stream, stdout=subprocess.PIPE, check=True).stdout
        lines = out.decode().splitlines()
        if len(lines) != len(cases):
            sys.exit("the reader answered %d of %d cases" % (len(lines), len(cases)))
        for message, line in zip(cases, lines):
            expected, parts = oracle(message), line.split(" ")
            if " ".join(parts[:2]) != expected:
                sys.exit("seed %d, message %s\n  oracle %s\n  reader %s"
                         % (seed, message.hex(), expected, line))
            if expected != "no":
                accepted += 1
                if "f" not in parts[1].replace("false", "") \
                        and oracle(bytes.fromhex(parts[2])) != expected:
                    sys.exit("seed %d: %s was written as %s" % (seed, message.hex(), parts[2]))
        done += len(cases)
    if not 0.2 * count < accepted < 0.9 * count:
        sys.exit("the cases are not worth much: %d of %d accepted" % (accepted, count))
    print("%d messages, %d accepted, all read alike" % (count, accepted))


if __name__ == "__main__":
    main()
