"""From the bytes of a reply to what the caller gets. Strict about what the protocol promises, and
deaf to fields that it does not name: a newer host may add some."""
import contextlib
import json
from dataclasses import dataclass
from typing import List, Optional, Tuple, Union

import msgpack

from .errors import BadReply, OutcomeUnknown, Refused

_INT, _STR, _BOOL, _BIN = (int,), (str,), (bool,), (bytes,)


@dataclass(frozen=True)
class Issued:
    """A token. `expires` is Unix time in milliseconds; `root` names the token and is no secret."""
    token: str
    root: str
    scope: str
    expires: int
    expires_in_ms: int

    def __repr__(self):
        return "Issued(root=%r, scope=%r, expires=%r)" % (self.root, self.scope, self.expires)


@dataclass(frozen=True)
class Answer:
    """The upstream's answer, whatever its status. `replayed`: the stored answer to an earlier
    request of the same id; `dropped_headers`: those of yours that were not sent on."""
    status: int
    headers: List[Tuple[str, Union[str, bytes]]]
    body: bytes
    dropped_headers: Tuple[str, ...] = ()
    observed: bool = False
    replayed: bool = False
    request_id: str = ""

    def header(self, name, default=None):
        """The first header of that name."""
        return next((v for n, v in self.headers if n == name.lower()), default)

    def json(self):
        return json.loads(self.body)


@dataclass(frozen=True)
class Head:
    """Of an answer that streams."""
    status: int
    headers: List[Tuple[str, Union[str, bytes]]]
    dropped_headers: Tuple[str, ...] = ()
    observed: bool = False
    request_id: str = ""


@dataclass(frozen=True)
class Part:
    seq: int
    data: bytes


@dataclass(frozen=True)
class End:
    seq: int
    bytes: int
    trailers: List[Tuple[str, Union[str, bytes]]]


@dataclass(frozen=True)
class Checked:
    """Whether a call would be allowed; `code` is "ok" or what proxy() would be refused with."""
    allowed: bool
    code: str
    reason: str
    rule: str
    hint: str
    key: str = ""


@dataclass(frozen=True)
class Inspected:
    """What a token may do. Times are Unix milliseconds."""
    root: str
    principal: str
    scope: str
    scope_text: str
    caveats: List[str]
    issued: int
    expires: int
    expired: bool
    narrow: Optional[str] = None
    bind: Optional[str] = None
    revoked: Optional[int] = None
    guard_hits: Optional[int] = None
    guard_key: Optional[str] = None
    suspended: Optional[int] = None


@dataclass(frozen=True)
class Revoked:
    root: str


@dataclass(frozen=True)
class Status:
    """`state` is "ready", "sealed" or "failed"; `ready`: calls can be made."""
    version: str
    protocol: int
    state: str
    ready: bool


# Each reply's fields: the types that may stand there, and whether the field is always there.
_SHAPES = {
    Issued: {"token": (_STR, 1), "root": (_STR, 1), "scope": (_STR, 1), "expires": (_INT, 1),
             "expires_in_ms": (_INT, 1)},
    Answer: {"status": (_INT, 1), "headers": ((list,), 1), "body": (_BIN, 1),
             "dropped_headers": ((list,), 0), "observed": (_BOOL, 0), "replayed": (_BOOL, 0)},
    Head: {"status": (_INT, 1), "headers": ((list,), 1), "dropped_headers": ((list,), 0),
           "observed": (_BOOL, 0)},
    Part: {"seq": (_INT, 1), "data": (_BIN, 1)},
    End: {"seq": (_INT, 1), "bytes": (_INT, 1), "trailers": ((list,), 0)},
    Checked: {"allowed": (_BOOL, 1), "code": (_STR, 1), "reason": (_STR, 1), "rule": (_STR, 1),
              "hint": (_STR, 1), "key": (_STR, 0)},
    Inspected: {"root": (_STR, 1), "principal": (_STR, 1), "scope": (_STR, 1),
                "scope_text": (_STR, 1), "narrow": (_STR, 0), "caveats": ((list,), 1),
                "bind": (_STR, 0), "issued": (_INT, 1), "expires": (_INT, 1),
                "revoked": (_INT, 0), "guard_hits": (_INT, 0), "guard_key": (_STR, 0),
                "suspended": (_INT, 0), "expired": (_BOOL, 1)},
    Revoked: {"root": (_STR, 1)},
    Status: {"version": (_STR, 1), "protocol": (_INT, 1), "state": (_STR, 1), "ready": (_BOOL, 1)},
}
_ERROR = {"code": (_STR, 1), "reason": (_STR, 1), "rule": (_STR, 1), "hint": (_STR, 1),
          "retryable": (_BOOL, 1), "retry_after_ms": (_INT, 0), "detail": (_STR, 0)}


def _no_repeats(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _no_extensions(code, _):
    raise ValueError("extension type %d" % code)


def _fit(given, shape):
    """The fields of a map that its shape names, each of its type (a bool is no int)."""
    taken = {}
    for name, (types, required) in shape.items():
        if name in given:
            if type(given[name]) not in types:
                raise ValueError("%s is %s" % (name, type(given[name]).__name__))
            taken[name] = given[name]
        elif required:
            raise ValueError("%s is missing" % name)
    return taken


def _texts(items):
    if not all(type(item) is str for item in items):
        raise ValueError("an array holds something else than texts")
    return tuple(items)


def _headers(items):
    for item in items:
        if (type(item) is not list or len(item) != 2 or type(item[0]) is not str
                or type(item[1]) not in (str, bytes)):
            raise ValueError("a header is no pair")
    return [tuple(item) for item in items]


def _map(data):
    found = msgpack.unpackb(data, raw=False, strict_map_key=True, object_pairs_hook=_no_repeats,
                            ext_hook=_no_extensions)
    if (type(found) is not dict or type(found.get("v")) is not int or found["v"] != 1
            or type(found.get("ok")) is not bool):
        raise ValueError("no map with v: 1 and ok")
    return found


@contextlib.contextmanager
def _strictly(request_id):
    try:
        yield
    # msgpack raises its own kinds of ValueError, and some that are none.
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise BadReply("the host's answer is no reply of this protocol: %s" % error,
                       request_id) from None


def _reply(data, request_id):
    """The map of a reply to that request; raises Refused."""
    found = _map(data)
    # A host that is too busy to read a request refuses it without its id.
    if found.get("id", request_id) != request_id or (found["ok"] and "id" not in found):
        raise ValueError("it answers another request")
    if not found["ok"]:
        error = found.get("error")
        if type(error) is not dict:
            raise ValueError("error is missing")
        error = _fit(error, _ERROR)
        unknown = error["code"] == "outcome_unknown"
        raise (OutcomeUnknown if unknown else Refused)(error, request_id)
    return found


def _take(found, kind, request_id):
    taken = _fit(found, _SHAPES[kind])
    if kind in (Answer, Head):
        taken["headers"] = _headers(taken["headers"])
        taken["dropped_headers"] = _texts(taken.get("dropped_headers", ()))
        taken["request_id"] = request_id
    if kind is End:
        taken["trailers"] = _headers(taken.get("trailers", ()))
    if kind is Inspected:
        taken["caveats"] = list(_texts(taken["caveats"]))
    return kind(**taken)


def read(data, kind, request_id):
    """The reply as a `kind`; raises Refused, or BadReply."""
    with _strictly(request_id):
        return _take(_reply(data, request_id), kind, request_id)


def read_streamed(data, request_id):
    """One message of a call that may stream: an Answer that came whole, a Head, a Part, an End, or
    None, a sign of life; raises Refused, or BadReply."""
    with _strictly(request_id):
        found = _reply(data, request_id)
        kind = (Answer if "body" in found else Head if "status" in found else
                Part if "data" in found else End if "end" in found else None)
        return kind and _take(found, kind, request_id)


def is_reply(data):
    """Whether somebody who speaks the protocol is there, whatever it says."""
    try:
        return bool(_map(data))
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise BadReply("what answers there is no sallyport: %s" % error) from None
