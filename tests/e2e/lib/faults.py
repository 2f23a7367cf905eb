"""Calls of libc that fail in a running host: the page that tests/faults/faults.c maps."""
import contextlib
import errno
import mmap
import struct

from .host import build_file

CLASSES = ("open", "write", "sync", "truncate", "rename", "memory")
ERRORS = {"open": errno.EMFILE, "write": errno.ENOSPC, "sync": errno.EIO,
          "truncate": errno.ENOSPC, "rename": errno.EIO, "memory": errno.ENOMEM}
FIELDS = ("armed", "mask", "nth", "for_ever", "error", "n_failed") + CLASSES


class Faults:
    """env is what a program has to be started with."""

    def __init__(self, path):
        path.write_bytes(bytes(4 * len(FIELDS)))
        self.env = {"LD_PRELOAD": build_file("tests", "libfaults.so"),
                    "SALLYPORT_FAULTS": str(path)}
        with path.open("r+b") as file:
            self.page = mmap.mmap(file.fileno(), 4 * len(FIELDS))

    def _put(self, field, value):
        struct.pack_into("=I", self.page, 4 * FIELDS.index(field), value)

    def get(self, field):
        return struct.unpack_from("=I", self.page, 4 * FIELDS.index(field))[0]

    def arm(self, classes=(), nth=0, for_ever=False, error=0):
        """From now on calls are counted, and number nth of each of the classes fails."""
        self.disarm()
        for field in ("n_failed",) + CLASSES:
            self._put(field, 0)
        self._put("mask", sum(1 << CLASSES.index(one) for one in classes))
        self._put("nth", nth)
        self._put("for_ever", for_ever)
        self._put("error", error or (ERRORS[classes[0]] if classes else 0))
        self._put("armed", 1)

    def disarm(self):
        self._put("armed", 0)

    @contextlib.contextmanager
    def armed(self, *args, **options):
        self.arm(*args, **options)
        try:
            yield self
        finally:
            self.disarm()

    def fails(self, name):
        """Whether calls of that class fail now, or will."""
        return bool(self.get("armed") and self.get("mask") >> CLASSES.index(name) & 1)

    def counts(self):
        return {name: self.get(name) for name in CLASSES}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.page.close()
