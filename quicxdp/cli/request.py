"""Reading a request head that a stranger sent (RFC 9114 section 4.3.1, RFC 9110).

`quicxdp.h3` has checked by now that field names and values hold no forbidden bytes, that
no pseudo-header comes twice or late, and that none is missing; a request that fails this
is reset.  What is left to check ends in a `Refused` here, which is answered with its
status.

`parse_path_untrusted` is the first of two fences around the served folder (the second is
static_files.py): no segment that leaves it comes out of here, decoded or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PATH_BYTES_MAX = 8192
_SEGMENT_CNT_MAX = 64  # each costs an open descriptor while the walk lasts
_SEGMENT_BYTES_MAX = 255  # NAME_MAX: a longer name cannot be that of a file

# Methods that RFC 9110 section 9 and RFC 5789 know: not for files (405), but not unknown
# either (501).
_KNOWN_METHODS = frozenset(
    (
        b"GET",
        b"HEAD",
        b"POST",
        b"PUT",
        b"DELETE",
        b"CONNECT",
        b"OPTIONS",
        b"TRACE",
        b"PATCH",
    )
)
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
# uri-host [ ":" port ]; userinfo is forbidden (RFC 9114 section 4.3.1).
_AUTHORITY = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z._~!$&'()*+,;=%-]{1,255})(?::[0-9]{0,5})?"
)
# pchar and "/" (RFC 3986 section 3.3), besides a few that browsers leave unescaped.
_RAW_PATH = re.compile(rb"/[0-9A-Za-z._~!$&'()*+,;=:@/%|^\[\]{}`\"<>-]*")
_QUERY = re.compile(rb"[\x21\x22\x24-\x7e]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# Decoded bytes that no segment may hold: a separator would make two of one, the rest can
# only be meant to confuse whoever reads the name next (logs, terminals, C programs).
_BAD_IN_SEGMENT = re.compile(rb"[\x00-\x1f\x7f/\\]")


class Refused(Exception):  # noqa: N818  (an answer, not an accident)
    """The request is answered with *status*; the sentence goes into the body."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Request:
    """A request head whose every part has been checked."""

    method: bytes
    authority: bytes
    path: bytes
    fields: Mapping[bytes, bytes]
    content_length: int | None


@dataclass(frozen=True, slots=True)
class Target:
    """A path of a request, taken apart."""

    raw_path: bytes
    query: bytes | None
    segments: tuple[bytes, ...]
    is_directory: bool


def read_request_untrusted(headers: Iterable[tuple[bytes, bytes]]) -> Request:
    """Return the request that *headers* describe, or raise `Refused`."""
    pseudo, fields = _collect(headers)
    method = _check_method(pseudo)
    authority = _check_origin(pseudo, fields)
    if not (path := pseudo.get(b":path", b"")):
        raise Refused(HTTPStatus.BAD_REQUEST, "The request has no :path.")
    if len(path) > PATH_BYTES_MAX:
        raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG, "The path is too long.")
    length = fields.get(b"content-length")
    if length is not None and _LENGTH.fullmatch(length) is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "The content-length is not one number.")
    return Request(
        method, authority, path, fields, None if length is None else int(length)
    )


def _collect(
    headers: Iterable[tuple[bytes, bytes]],
) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """Sort pseudo-headers and fields; join what came several times."""
    pseudo: dict[bytes, bytes] = {}
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        if name.startswith(b":"):
            pseudo[name] = value
        elif name in fields:
            # RFC 9110 section 5.3; Cookie alone joins with ";" (RFC 9114 section 4.2.1).
            fields[name] += (b"; " if name == b"cookie" else b", ") + value
        else:
            fields[name] = value
    return pseudo, fields


def _check_method(pseudo: Mapping[bytes, bytes]) -> bytes:
    method = pseudo.get(b":method", b"")
    if _TOKEN.fullmatch(method) is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "The method is not a token.")
    if b":protocol" in pseudo or method == b"CONNECT":
        raise Refused(HTTPStatus.NOT_IMPLEMENTED, "This server opens no tunnels.")
    if method not in _KNOWN_METHODS:
        raise Refused(HTTPStatus.NOT_IMPLEMENTED, "This server does not know the method.")
    return method


def _check_origin(pseudo: Mapping[bytes, bytes], fields: Mapping[bytes, bytes]) -> bytes:
    if (scheme := pseudo.get(b":scheme")) is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "The request has no :scheme.")
    if scheme.lower() != b"https":
        raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "This server serves https only.")
    authority = pseudo.get(b":authority", b"")
    if _AUTHORITY.fullmatch(authority) is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "The :authority is not a host and port.")
    if fields.get(b"host", authority) != authority:
        # "... they MUST contain the same value" (RFC 9114 section 4.3.1).
        raise Refused(HTTPStatus.BAD_REQUEST, "Host and :authority differ.")
    return authority


def parse_path_untrusted(path: bytes) -> Target:
    """Take a ":path" apart, or raise `Refused`.

    Every segment comes out percent-decoded and is a plain name: not empty, not "." or
    "..", not hidden (no leading dot), without slash, backslash or control bytes.
    """
    raw_path, question_mark, query = path.partition(b"?")
    if _RAW_PATH.fullmatch(raw_path) is None or _QUERY.fullmatch(query) is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "The path holds bytes that a path cannot.")
    if _STRAY_PERCENT.search(raw_path):
        raise Refused(HTTPStatus.BAD_REQUEST, "The path holds a broken percent-escape.")
    *parents, last = raw_path[1:].split(b"/")
    names = [*parents, last] if last else parents
    if len(names) > _SEGMENT_CNT_MAX:
        raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG, "The path is too deep.")
    return Target(
        raw_path=raw_path,
        query=query if question_mark else None,
        segments=tuple(map(_decode_segment_untrusted, names)),
        is_directory=not last,
    )


def _decode_segment_untrusted(raw: bytes) -> bytes:
    # Decoded exactly once: "%252e" is the name "%2e", not a dot.
    name = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), raw)
    if _BAD_IN_SEGMENT.search(name):
        raise Refused(
            HTTPStatus.BAD_REQUEST, "The path holds an escaped separator or control."
        )
    if name in (b".", b".."):
        # A client removes these before it sends a path (RFC 3986 section 5.2.4), so one
        # that arrives was meant to reach somewhere else.
        raise Refused(HTTPStatus.BAD_REQUEST, "The path holds a dot segment.")
    if not name or name.startswith(b".") or len(name) > _SEGMENT_BYTES_MAX:
        # An empty segment is legal but never the name of a file; and a redirect built
        # from "//host" would lead to another host.
        raise Refused(HTTPStatus.NOT_FOUND, "There is no such file here.")
    return name
