"""Calls of libc that fail in a running program: the page that tests/faults maps."""
import contextlib
import errno
import mmap
import struct

from .host import build_file

# The classes of tests/faults/page.h in their order, and how each fails where nothing else is said.
ERRORS = {"open": errno.EMFILE, "read": errno.EIO, "list": errno.EIO, "write": errno.ENOSPC,
          "sync": errno.EIO, "truncate": errno.ENOSPC, "name": errno.EIO, "stat": errno.EIO,
          "lock": errno.EIO,
          "socket": errno.EMFILE, "recv": errno.ECONNRESET, "send": errno.ECONNRESET,
          "poll": errno.ENOMEM, "map": errno.ENOMEM, "random": errno.EIO, "spawn": errno.EAGAIN,
          "memory": errno.ENOMEM}
CLASSES = tuple(ERRORS)
WAYS = ("fails", "lies", "changes")
PAGE = struct.Struct("=8Ii36s%dI" % len(CLASSES))
PLACES = {name: (4 * i, "=I") for i, name in enumerate(
    ("armed", "mask", "nth", "for_ever", "error", "n_failed", "way", "sync_ms"))}
PLACES.update({"wall_s": (32, "=i"), "path": (36, "=36s")})
PLACES.update({name: (72 + 4 * i, "=I") for i, name in enumerate(CLASSES)})


class Faults:
    """env is what a program has to be started with."""

    def __init__(self, path):
        path.write_bytes(bytes(PAGE.size))
        self.env = {"LD_PRELOAD": build_file("tests", "libfaults.so"),
                    "SALLYPORT_FAULTS": str(path)}
        with path.open("r+b") as file:
            self.page = mmap.mmap(file.fileno(), PAGE.size)

    def put(self, field, value):
        at, kind = PLACES[field]
        struct.pack_into(kind, self.page, at, value)

    def get(self, field):
        at, kind = PLACES[field]
        return struct.unpack_from(kind, self.page, at)[0]

    def arm(self, classes=(), nth=0, for_ever=False, error=0, way="fails", path=""):
        """From now on calls are counted, and number nth of each of the classes fails, or lies. path: only
        of files whose path holds that."""
        self.disarm()
        for field in ("n_failed",) + CLASSES:
            self.put(field, 0)
        self.put("mask", sum(1 << CLASSES.index(one) for one in classes))
        self.put("nth", nth)
        self.put("for_ever", for_ever)
        self.put("error", error or (ERRORS[classes[0]] if classes else 0))
        self.put("way", WAYS.index(way))
        self.put("path", path.encode())
        self.put("armed", 1)

    def disarm(self):
        self.put("armed", 0)

    @contextlib.contextmanager
    def armed(self, *args, **options):
        self.arm(*args, **options)
        try:
            yield self
        finally:
            self.disarm()

    def fails(self, *names):
        """Whether calls of one of these classes fail now, or will."""
        return any(self.get("armed") and self.get("mask") >> CLASSES.index(name) & 1 for name in names)

    def counts(self):
        return {name: self.get(name) for name in CLASSES}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.page.close()
