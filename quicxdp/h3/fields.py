"""Header and trailer sections: what RFC 9114 section 4 makes of RFC 9110's fields.

A section is checked as a whole, with a few passes in C over all its names and all its
values, because a check per field costs more than decoding them.  Nothing here
knows streams; what is wrong comes out as `Malformed` or `TooLarge`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from .events import Fields

# RFC 9114 section 4.2.2: what a field counts beyond its length.
OVERHEAD_BYTES: Final = 32

# RFC 9110 section 5.6.2, without upper case (RFC 9114 section 4.2); the colon of
# pseudo-header fields, which are looked at one by one.
_NAME_BYTES: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz:"
# RFC 9114 section 10.3.  The line feed also separates what is looked at together.
_VALUE_BAD: Final = b"\x00\r\n"
_EDGES: Final = (b"\n ", b"\n\t", b" \n", b"\t\n")

_METHODS: Final = frozenset(
    (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"PATCH")
)
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*")
# Host and port without userinfo (RFC 9114 section 4.3.1); what else could split a name.
_AUTHORITY: Final = re.compile(rb"[^\x00-\x20\x7f@/?#\\]+")
_PATH: Final = re.compile(rb"[^\x00-\x20\x7f#]+")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_STATUS: Final = re.compile(rb"[1-9][0-9]{2}")

_REQUEST_PSEUDO: Final = frozenset(
    (b":method", b":scheme", b":authority", b":path", b":protocol")
)
# RFC 9110 section 7.6.1: of one connection, which HTTP/3 has no use for.
_OF_CONNECTION: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
    )
)
_SPECIAL: Final = _OF_CONNECTION | {b"te", b"content-length", b"host", b""}
NO_LENGTH: Final = -1
_NO_SIZE_MAX: Final = 1 << 62


class Malformed(Exception):  # noqa: N818  (a verdict on a message)
    """The section is not a header section of HTTP/3; the text says why."""


class TooLarge(Exception):  # noqa: N818
    """The section is larger than was allowed."""


class Request(NamedTuple):
    """What a request's header section says."""

    method: bytes
    scheme: bytes
    authority: bytes
    path: bytes
    protocol: bytes
    fields: Fields
    length: int


class Response(NamedTuple):
    """What a response's header section says."""

    status: int
    fields: Fields
    length: int


def request_untrusted(
    fields: Fields, size_bytes_max: int, *, with_protocol: bool
) -> Request:
    """Return what a request's header section says.

    Args:
        fields: as decoded.
        size_bytes_max: of the section.
        with_protocol: whether extended CONNECT was offered.

    Raises:
        Malformed: RFC 9114 section 4.1.2.
        TooLarge: it is larger than *size_bytes_max*.
    """
    pseudo: dict[bytes, bytes] = {}
    for name, value in fields:
        if name[:1] != b":":
            break
        if name not in _REQUEST_PSEUDO or name in pseudo:
            raise Malformed(f"pseudo-header field {name!r} is unknown or repeated")
        pseudo[name] = value
    rest = fields[len(pseudo) :]
    special = _scan(fields, len(pseudo), size_bytes_max)
    find = pseudo.get
    method = find(b":method", b"")
    if method not in _METHODS and not _TOKEN.fullmatch(method):
        raise Malformed("the method is no token")
    length = _check_special(rest, special, is_request=True) if special else NO_LENGTH
    authority = find(b":authority", b"")
    if b"host" in special:
        authority = _check_host(rest, find(b":authority"))
    if not _is_authority(authority):
        raise Malformed("the authority is not a host and a port")
    scheme, path = find(b":scheme", b""), find(b":path", b"")
    protocol = find(b":protocol", b"")
    if method == b"CONNECT":
        _check_connect(pseudo, with_protocol=with_protocol)
    elif b":protocol" in pseudo:
        raise Malformed(":protocol comes with CONNECT only")
    if method != b"CONNECT" or protocol:
        _check_target(method, scheme, path)
    return Request(method, scheme, authority, path, protocol, rest, length)


def _check_connect(pseudo: dict[bytes, bytes], *, with_protocol: bool) -> None:
    if b":protocol" not in pseudo:
        if b":scheme" in pseudo or b":path" in pseudo or b":authority" not in pseudo:
            raise Malformed("CONNECT has :authority alone")
    elif not with_protocol:
        raise Malformed("extended CONNECT was not offered")
    elif not _TOKEN.fullmatch(pseudo[b":protocol"]):
        raise Malformed("the protocol is no token")


def _check_target(method: bytes, scheme: bytes, path: bytes) -> None:
    if scheme != b"https" and not _SCHEME.fullmatch(scheme):
        raise Malformed("there is no scheme, or it is none")
    if path[:1] != b"/" and not (
        (path == b"*" and method == b"OPTIONS")
        or (scheme not in (b"http", b"https") and path)
    ):
        raise Malformed("there is no path, or it does not begin with a slash")
    if not _PATH.fullmatch(path):
        raise Malformed("the path holds bytes that no path can")


def _check_host(rest: Fields, authority: bytes | None) -> bytes:
    hosts = [value for name, value in rest if name == b"host"]
    # "If both fields are present, they MUST contain the same value"; section 4.3.1.
    if len(hosts) > 1 or (authority is not None and hosts[0] != authority):
        raise Malformed("host and :authority, or two hosts, do not agree")
    return hosts[0]


@lru_cache(maxsize=64)
def _is_authority(authority: bytes) -> bool:
    return _AUTHORITY.fullmatch(authority) is not None


def response_untrusted(fields: Fields, size_bytes_max: int) -> Response:
    """Return what a response's header section says; raises as `request_untrusted`."""
    special = _scan(fields, 1, size_bytes_max)
    if not fields or fields[0][0] != b":status":
        raise Malformed("a response begins with its :status")
    if not _STATUS.fullmatch(fields[0][1]):
        raise Malformed("the status is not a number of three digits")
    status = int(fields[0][1])
    if status == 101:  # noqa: PLR2004  (RFC 9114 section 4.5)
        raise Malformed("HTTP/3 does not switch protocols")
    rest = fields[1:]
    length = _check_special(rest, special, is_request=False) if special else NO_LENGTH
    return Response(status, rest, length)


def trailers_untrusted(fields: Fields, size_bytes_max: int) -> Fields:
    """Return *fields* if they can be trailers; raises as `request_untrusted`."""
    special = _scan(fields, 0, size_bytes_max)
    if special & (_OF_CONNECTION | {b"te", b""}):
        raise Malformed("a trailer field has no name, or is one of a connection")
    return fields


def outgoing(fields: Fields) -> int:
    """Return the content-length of fields of our own; NO_LENGTH without.

    Raises:
        Malformed: a peer would think so.
    """
    special = _scan(fields, 0, _NO_SIZE_MAX)
    return _check_special(fields, special, is_request=False) if special else NO_LENGTH


def _scan(fields: Fields, pseudo_cnt: int, size_bytes_max: int) -> frozenset[bytes]:
    """Check the bytes of all names and values; return the names that mean something."""
    names = b"\n".join([name for name, _ in fields])
    values = b"\n".join([value for _, value in fields])
    field_cnt = len(fields)
    if len(names) + len(values) + OVERHEAD_BYTES * field_cnt > size_bytes_max + 2 * (
        max(field_cnt - 1, 0)
    ):
        raise TooLarge
    separator_cnt = max(field_cnt - 1, 0)
    strange = names.translate(None, _NAME_BYTES)
    if len(strange) != separator_cnt or strange.strip(b"\n"):
        raise Malformed("a field's name has forbidden characters")
    if names.count(b":") != pseudo_cnt:
        raise Malformed("a pseudo-header field is out of place, or a name has a colon")
    if len(values) - len(values.translate(None, _VALUE_BAD)) != separator_cnt:
        raise Malformed("a field's value has forbidden characters")
    values = b"\n" + values + b"\n"
    for edge in _EDGES:
        if edge in values:
            raise Malformed("a field's value begins or ends with white space")
    return _SPECIAL.intersection([name for name, _ in fields])


def _check_special(rest: Fields, special: frozenset[bytes], *, is_request: bool) -> int:
    """Check fields that bear on the framing; return the content-length."""
    if b"" in special or special & _OF_CONNECTION:
        raise Malformed("a field has no name, or is one of a connection (RFC 9110 7.6.1)")
    if b"te" in special and not (
        is_request and all(v.lower() == b"trailers" for name, v in rest if name == b"te")
    ):
        raise Malformed("te is trailers, and only in requests")
    if b"content-length" not in special:
        return NO_LENGTH
    lengths = [value for name, value in rest if name == b"content-length"]
    # A second one is how requests are smuggled past whoever reads the other.
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise Malformed("the content-length is not one number")
    return int(lengths[0])
