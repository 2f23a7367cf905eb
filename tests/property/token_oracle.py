"""The token of test_token.c, computed from docs/tokens.md with Python's own BLAKE2b."""
import base64
import hashlib


def part(data):
    return len(data).to_bytes(8, "little") + data


def tag(key, *parts):
    return hashlib.blake2b(b"".join(map(part, parts)), digest_size=32, key=key).digest()


ident, key = bytes(range(16)), bytes(range(0x40, 0x60))
grant_hash, caveat = bytes(range(0x80, 0xA0)), b"allow GET https://a.example/x"
last = tag(tag(key, ident, grant_hash), caveat)
raw = ident + len(caveat).to_bytes(2, "big") + caveat + last
print("spt_" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode())
