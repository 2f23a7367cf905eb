"""Canary keys, and the search for them in every form that a leak usually takes."""
import base64
import json
import os
import secrets
import string
import urllib.parse

ALPHABET = string.ascii_letters + string.digits


def canary(prefix=""):
    """A fresh secret that occurs nowhere by chance, e.g. canary("sk_test_")."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(32))


def forms(secret):
    """The secret raw and encoded: percent, JSON, hex, and base64 of both
    alphabets at the three alignments (the first and last characters, which depend on the
    neighbours, are left out)."""
    raw = secret.encode()
    found = {raw, urllib.parse.quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode(),
             raw.hex().encode(), raw.hex().upper().encode()}
    for shift in range(3):
        padded = b"\0" * shift + raw
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(padded).rstrip(b"=")
            found.add(text[(0, 2, 3)[shift]:-1 if len(padded) % 3 else None])
    return found


def occurrences(secret, *paths):
    """The files, in these files and folders, in which the secret stands in any form."""
    needles, hits = forms(secret), []
    for path in paths:
        files = [str(path)]
        if os.path.isdir(path):
            files = [os.path.join(folder, name) for folder, _, names in os.walk(path)
                     for name in names]
        for name in files:
            if os.path.isfile(name):
                with open(name, "rb") as file:
                    data = file.read()
                if any(needle in data for needle in needles):
                    hits.append(name)
    return hits
