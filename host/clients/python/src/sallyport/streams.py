"""Answers that come in several messages (docs/protocol.md, "Answers that stream").

A stream has a socket to itself, a DEALER. Credit is granted as parts are read, so what waits here is
never more than _WINDOW parts of 64 KiB."""
import msgpack

from . import steps
from .errors import BadReply, Refused, StreamBroken
from .replies import Answer, End, Head, Part, read_streamed

_WINDOW = 32
_SILENCE = 5.0  # A host says every second that a call lives.
FIELDS = {"stream": True, "credit": _WINDOW}


class _Reading:
    """What has come of a stream, without the waiting; for both kinds."""

    def __init__(self, socket, id):
        self._socket, self._id = socket, id
        self._seq, self._unread, self._whole, self._broken = 0, 0, None, None
        self._head, self._trailers = None, []

    def __repr__(self):
        return "<%s of request %s>" % (type(self).__name__, self._id)

    status = property(lambda self: self._head.status, doc="The upstream's, whatever it is.")
    headers = property(lambda self: self._head.headers)
    dropped_headers = property(lambda self: self._head.dropped_headers)
    observed = property(lambda self: self._head.observed)
    request_id = property(lambda self: self._id)
    trailers = property(lambda self: self._trailers, doc="""What the upstream said behind the body: pairs as
        in headers. Empty until the proper end.""")

    def header(self, name, default=None):
        """The first header of that name."""
        return next((v for n, v in self.headers if n == name.lower()), default)

    def trailer(self, name, default=None):
        """The first trailer of that name."""
        return next((v for n, v in self.trailers if n == name.lower()), default)

    def _read(self, frames):
        if len(frames) != 2 or frames[0]:
            raise BadReply("the host's answer has %d parts" % len(frames), self._id)
        return read_streamed(frames[1], self._id)

    def _begin(self, frames):
        """Whether that was the head."""
        item = self._read(frames)
        if item is None:
            return False
        if not isinstance(item, (Answer, Head)):
            raise BadReply("the host's answer begins without a head", self._id)
        self._head = item
        if isinstance(item, Answer):
            self._whole = item.body
            self._shut()
        return True

    def _next(self, frames):
        """The next piece; b"" at the end, None for a sign of life."""
        try:
            item = self._read(frames)
            if item is not None and (not isinstance(item, (Part, End)) or item.seq != self._seq):
                raise BadReply("a part is missing", self._id)
        except Refused as error:
            raise self._break(error.code, error.reason) from None
        except BadReply as error:
            raise self._break(None, str(error)) from None
        if isinstance(item, End):
            self._trailers = item.trailers
            self._shut()
            return b""
        if item is None:
            return None
        self._seq += 1
        self._unread += 1
        return item.data

    def _grant(self):
        """The message that lets more come, when it is time."""
        if self._unread < _WINDOW // 2:
            return None
        message = {"v": 1, "op": "credit", "id": self._id, "credit": self._unread}
        self._unread = 0
        return [b"", msgpack.packb(message)]

    def _break(self, code, reason):
        self._shut()
        self._broken = StreamBroken(code, reason, self._id)
        return self._broken

    def _silent(self):
        return self._break(None, "the host was lost")

    def _over(self):
        """What is there without asking anybody: the whole body, or that it is over; None: ask."""
        whole, self._whole = self._whole, b""
        if self._broken:
            raise self._broken
        return (whole or b"") if self._socket is None else None

    def _opening(self, timeout):
        """Steps: whether the head came. False: nobody said anything."""
        while (yield self._socket.poll(int(timeout * 1000))):
            if self._begin((yield self._socket.recv_multipart())):
                return True
            timeout = _SILENCE
        return False

    def _reading(self):
        """Steps: the next piece; b"" at the end."""
        piece = self._over()
        while piece is None:
            if not (yield self._socket.poll(int(_SILENCE * 1000))):
                raise self._silent()
            piece = self._next((yield self._socket.recv_multipart()))
            grant = self._socket and self._grant()
            if grant:
                yield self._socket.send_multipart(grant)
        return piece

    def _shut(self):
        """Before the end the host breaks off the call: nobody is there to take it."""
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close(0)


class Stream(_Reading):
    """Iterates over the body as it comes, in pieces of bytes. One thread at a time. Raises
    StreamBroken where it is cut: an end that is no error is the proper one."""

    def __iter__(self):
        return self

    def __next__(self):
        piece = steps.run(self._reading())
        if not piece:
            raise StopIteration
        return piece

    def close(self):
        self._shut()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class AsyncStream(_Reading):
    """The same for asyncio: `async for`."""

    def __aiter__(self):
        return self

    async def __anext__(self):
        piece = await steps.run_async(self._reading())
        if not piece:
            raise StopAsyncIteration
        return piece

    async def close(self):
        self._shut()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()
