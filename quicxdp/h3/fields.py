"""Header and trailer sections: what RFC 9114 section 4 makes of RFC 9110's fields.

Nearly all fields of a connection, and most of a server's, have come before.  So what was
found about a field is remembered (`_Weights`), and a section costs one sum over its
fields and what must hold between them.  Nothing here knows streams; what is wrong
comes out as `Malformed` or `TooLarge`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from .events import Fields

# RFC 9114 section 4.2.2: what a field counts beyond its length.
OVERHEAD_BYTES: Final = 32
NO_LENGTH: Final = -1

# A field's weight: its size, and what there is to count besides, high enough that no
# section of `SECTION_BYTES_MAX` mixes them up.
SECTION_BYTES_MAX: Final = 1 << 20
_SIZE: Final = (1 << 30) - 1
_PSEUDO: Final = 1 << 30
_PSEUDO_CNT: Final = (1 << 15) - 1
_SPECIAL: Final = 1 << 45

# RFC 9110 section 5.6.2, without upper case (RFC 9114 section 4.2).
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
# RFC 9114 section 10.3, and no white space at either end (RFC 9110 section 5.5).
_VALUE: Final = re.compile(rb"(?:[^\x00\r\n\t\x20](?:[^\x00\r\n]*[^\x00\r\n\t\x20])?)?")
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_PSEUDO_VALUES: Final = {
    b":method": _TOKEN,
    b":scheme": re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*"),
    # Host and port without userinfo (RFC 9114 section 4.3.1), nor what would split it.
    b":authority": re.compile(rb"[^\x00-\x20\x7f@/?#\\]+"),
    b":path": re.compile(rb"[^\x00-\x20\x7f#]+"),
    b":protocol": _TOKEN,
    b":status": re.compile(rb"[1-9][0-9]{2}"),
}
_SPECIAL_VALUES: Final = {
    b"content-length": re.compile(rb"[0-9]{1,18}"),
    b"host": _PSEUDO_VALUES[b":authority"],
    b"te": re.compile(rb"(?i:trailers)"),  # RFC 9114 section 4.2
}
# How many pseudo-header fields the two kinds of CONNECT have.
_CONNECT_CNT: Final = 2
_EXTENDED_CONNECT_CNT: Final = 5
# RFC 9110 section 7.6.1: of one connection, which HTTP/3 has no use for.
OF_CONNECTION: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
    )
)

# What is remembered.  Not what a stranger could ask for by the time it takes, and not
# what comes once.
_REMEMBERED_CNT_MAX: Final = 1024
_REMEMBERED_BYTES_MAX: Final = 256
_FORGOTTEN: Final = frozenset(
    (b":path", b"authorization", b"cookie", b"proxy-authorization", b"set-cookie")
)

# Method, scheme, authority, path, protocol, other fields, content-length.
Request: TypeAlias = "tuple[bytes, bytes, bytes, bytes, bytes, Fields, int]"


_is_path = _PSEUDO_VALUES[b":path"].fullmatch
_PATH_WEIGHT: Final = len(b":path") + OVERHEAD_BYTES + _PSEUDO


class Malformed(Exception):  # noqa: N818  (a verdict on a message)
    """The section is not one of HTTP/3; the text says why."""


class TooLarge(Exception):  # noqa: N818
    """The section is larger than was allowed."""


class _Weights(dict[tuple[bytes, bytes], int]):
    """The weight of each field that has come before and is well-formed."""

    def __missing__(self, field: tuple[bytes, bytes]) -> int:
        name, value = field
        if name == b":path" and _is_path(value):
            return len(value) + _PATH_WEIGHT  # nearly every request has its own
        weight = _weigh_untrusted(name, value)
        if name not in _FORGOTTEN and len(name) + len(value) <= _REMEMBERED_BYTES_MAX:
            if len(self) >= _REMEMBERED_CNT_MAX:
                self.clear()
            self[field] = weight
        return weight


def _weigh_untrusted(name: bytes, value: bytes) -> int:
    weight = len(name) + len(value) + OVERHEAD_BYTES
    if (pattern := _PSEUDO_VALUES.get(name)) is not None:
        weight += _PSEUDO
    elif (pattern := _SPECIAL_VALUES.get(name)) is not None:
        weight += _SPECIAL
    elif not _NAME.fullmatch(name):
        raise Malformed("a field's name is none, or that of no pseudo-header field")
    elif name in OF_CONNECTION:
        raise Malformed(f"{name.decode()} is a field of one connection (RFC 9110 7.6.1)")
    else:
        pattern = _VALUE
    if not pattern.fullmatch(value):
        raise Malformed(f"the value of {name.decode()} is none")
    return weight


_weight_of = _Weights().__getitem__


def _weigh_all(fields: Fields, size_bytes_max: int) -> int:
    if OVERHEAD_BYTES * len(fields) > size_bytes_max:
        raise TooLarge
    weight = sum(map(_weight_of, fields))
    if weight & _SIZE > size_bytes_max:
        raise TooLarge
    return weight


def request_untrusted(
    fields: Fields, size_bytes_max: int, *, with_protocol: bool
) -> Request:
    """Return what a request's header section says.

    Args:
        fields: as decoded.
        size_bytes_max: of the section; at most `SECTION_BYTES_MAX`.
        with_protocol: whether extended CONNECT was offered.

    Raises:
        Malformed: RFC 9114 section 4.1.2.
        TooLarge: it is larger than *size_bytes_max*.
    """
    weight = _weigh_all(fields, size_bytes_max)
    pseudo_cnt = weight >> 30 & _PSEUDO_CNT
    pseudo = dict(fields[:pseudo_cnt])
    take = pseudo.pop
    is_complete = len(pseudo) == pseudo_cnt
    method, scheme = take(b":method", b""), take(b":scheme", b"")
    authority, path = take(b":authority", b""), take(b":path", b"")
    protocol = take(b":protocol", b"") if pseudo else b""
    # One more elsewhere, or one twice, leaves something else here, or less.
    if pseudo or not is_complete:
        raise Malformed("a pseudo-header field is out of place, or comes twice")
    rest = fields[pseudo_cnt:]
    length = NO_LENGTH
    if weight >= _SPECIAL:
        authority, length = _special(rest, authority)
    if not (method and authority):
        raise Malformed("there is no method, or no authority")
    if method == b"CONNECT" or protocol:
        _check_connect(
            method, scheme + path, protocol, pseudo_cnt, with_protocol=with_protocol
        )
    elif path[:1] != b"/" or not scheme:
        _check_target(method, scheme, path)
    return method, scheme, authority, path, protocol, rest, length


def _check_connect(
    method: bytes,
    target: bytes,
    protocol: bytes,
    pseudo_cnt: int,
    *,
    with_protocol: bool,
) -> None:
    """Check the two kinds of CONNECT (RFC 9114 section 4.4, RFC 9220 section 3)."""
    if protocol and not (with_protocol and method == b"CONNECT"):
        raise Malformed("extended CONNECT was not offered, or it is no CONNECT")
    if not protocol and target:
        raise Malformed("CONNECT has :authority alone")
    if pseudo_cnt != (_EXTENDED_CONNECT_CNT if protocol else _CONNECT_CNT):
        raise Malformed("CONNECT lacks a pseudo-header field")


def _check_target(method: bytes, scheme: bytes, path: bytes) -> None:
    """Check the targets that are not simply a path (RFC 9114 section 4.3.1)."""
    if not scheme or not path:
        raise Malformed("there is no scheme, or no path")
    if scheme in (b"http", b"https") and (method, path) != (b"OPTIONS", b"*"):
        raise Malformed("the path does not begin with a slash")


def _special(rest: Fields, authority: bytes) -> tuple[bytes, int]:
    """Return the authority and the content-length of fields with those or others."""
    found: dict[bytes, bytes] = {}
    for name, value in rest:
        if name in _SPECIAL_VALUES:
            if name in found:
                # How requests are smuggled past whoever reads the other one.
                raise Malformed(f"{name.decode()} comes twice")
            found[name] = value
    host = found.get(b"host", authority)
    if authority and host != authority:
        # "If both fields are present, they MUST contain the same value"; 4.3.1.
        raise Malformed("host and :authority do not agree")
    length = found.get(b"content-length")
    return host, NO_LENGTH if length is None else int(length)


def response_untrusted(fields: Fields, size_bytes_max: int) -> tuple[int, Fields, int]:
    """Return status, other fields and content-length; raises as `request_untrusted`."""
    weight = _weigh_all(fields, size_bytes_max)
    if weight >> 30 & _PSEUDO_CNT != 1 or fields[0][0] != b":status":
        raise Malformed("a response begins with its :status, and has no other")
    status, rest = int(fields[0][1]), fields[1:]
    if status == 101:  # noqa: PLR2004  (RFC 9114 section 4.5)
        raise Malformed("HTTP/3 does not switch protocols")
    return status, rest, _length(rest) if weight >= _SPECIAL else NO_LENGTH


def outgoing(fields: Fields) -> int:
    """Return the content-length of a response's fields of our own; NO_LENGTH without.

    Raises:
        Malformed: a peer would think so.
    """
    weight = sum(map(_weight_of, fields))
    if weight < _PSEUDO:
        return NO_LENGTH
    if weight >> 30 & _PSEUDO_CNT:
        raise Malformed("a pseudo-header field is out of place")
    return _length(fields)


def _length(fields: Fields) -> int:
    """Return the content-length of a response with a special field, or several."""
    found = NO_LENGTH
    for name, value in fields:
        if name == b"content-length":
            if found != NO_LENGTH:
                raise Malformed("content-length comes twice")
            found = int(value)
        elif name == b"te":
            raise Malformed("te is of requests")
    return found


def trailers_untrusted(fields: Fields, size_bytes_max: int) -> Fields:
    """Return *fields* if they can be trailers; raises as `request_untrusted`."""
    if _weigh_all(fields, size_bytes_max) > _SIZE:
        # RFC 9114 section 4.3; RFC 9110 section 6.5.1 on what bears on the framing.
        raise Malformed("a pseudo-header, content-length, host or te field in trailers")
    return fields
