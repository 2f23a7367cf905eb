"""Narrowing a token, offline (docs/tokens.md)."""
import base64
import hashlib
import re

from .errors import SettingsError

_ID, _TAG, _CAVEAT_MAX, _CAVEATS_MAX = 16, 32, 1024, 16
_TEXT_MAX = 24 * 1024
_FRONT = re.compile(r"(?:sk_test_|sk_live_|rk_test_|rk_live_|ghp_|github_pat_)?spt_")


def narrow(token, caveat):
    """The token that may do what `token` may and `caveat` (rules of the scope language, at most
    one `until`) lets through as well. The host is not asked; it refuses a token whose caveat it
    cannot read, so try new wording with Client.check()."""
    front = _FRONT.match(token)
    text = token[front.end():] if front and len(token) <= _TEXT_MAX else ""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    if len(raw) < _ID + _TAG or _encode(raw) != text:
        raise SettingsError("that is no token")
    body, tag = raw[:-_TAG], raw[-_TAG:]
    if _count(body[_ID:]) >= _CAVEATS_MAX:
        raise SettingsError("a token holds at most %d caveats" % _CAVEATS_MAX)
    added = caveat.encode()
    if not 0 < len(added) <= _CAVEAT_MAX:
        raise SettingsError("a caveat has 1 to %d bytes" % _CAVEAT_MAX)
    part = len(added).to_bytes(8, "little") + added
    tag = hashlib.blake2b(part, digest_size=_TAG, key=tag).digest()
    return "spt_" + _encode(body + len(added).to_bytes(2, "big") + added + tag)


def _encode(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _count(caveats):
    """How many caveats there are; each is its length in two bytes, and its bytes."""
    at = n = 0
    while at < len(caveats):
        size = int.from_bytes(caveats[at:at + 2], "big")
        at, n = at + 2 + size, n + 1
        if not 0 < size <= _CAVEAT_MAX or at > len(caveats):
            raise SettingsError("that is no token")
    return n
