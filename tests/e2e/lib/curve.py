"""CURVE key pairs, and the file form that the sallyport command reads."""
import os

import zmq


class Curve:
    """A key pair; public and secret are 40 characters of Z85."""

    def __init__(self, public=None, secret=None):
        if secret is None:
            made = zmq.curve_keypair()
            public, secret = (half.decode() for half in made)
        self.public, self.secret = public, secret

    def write(self, path):
        """As a file of mode 0600: --key-file PATH."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write("public %s\nsecret %s\n" % (self.public, self.secret))
        return str(path)

    @staticmethod
    def read(path):
        with open(path, encoding="ascii") as file:
            words = dict(line.split() for line in file if line.strip() and line[0] != "#")
        return Curve(words["public"], words["secret"])
