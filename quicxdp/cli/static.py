"""From a request and the facts about a file to a response: pure, no I/O, no clock.

A `Plan` is the whole response: its status, its fields and, as parts, where the body comes
from.  Whoever sends it (h3_server.py) adds Date and Server and reads the parts.  The
sections named below are those of RFC 9110 unless another is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from . import content_types, ranges, validators
from .validators import Validators, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .ranges import ByteRange
    from .request import Target

Field = tuple[bytes, bytes]

ALLOW = b"GET, HEAD, OPTIONS"


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Bytes of the opened file."""

    offset_bytes: int
    length_bytes: int


@dataclass(frozen=True, slots=True)
class Zeros:
    """As many zero bytes."""

    length_bytes: int


Part = bytes | FileSlice | Zeros


@dataclass(frozen=True, slots=True)
class Plan:
    """A response; *parts* is empty for HEAD, whatever the fields say (section 9.3.2)."""

    status: HTTPStatus
    fields: tuple[Field, ...]
    parts: tuple[Part, ...]

    @property
    def body_bytes(self) -> int:
        """How many bytes follow the head."""
        return sum(part_bytes(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a response needs to know of a file."""

    name: bytes
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


def part_bytes(part: Part) -> int:
    """Return the length of one part."""
    return len(part) if isinstance(part, bytes) else part.length_bytes


def plan_content(
    method: bytes, status: HTTPStatus, content: bytes, *fields: Field
) -> Plan:
    """Answer with *content*, which lies in memory."""
    return Plan(
        status=status,
        fields=(*fields, (b"content-length", b"%d" % len(content))),
        parts=(content,) if content and method != b"HEAD" else (),
    )


def plan_refusal(
    method: bytes, status: HTTPStatus, sentence: str, *fields: Field
) -> Plan:
    """Answer with an error: a line of text that says what is wrong."""
    text = f"{status.value} {status.phrase}\n{sentence}\n"
    return plan_content(
        method,
        status,
        text.encode(),
        (b"content-type", b"text/plain; charset=utf-8"),
        *fields,
    )


def plan_method(method: bytes) -> Plan | None:
    """Answer a method that is not for files; None for those that are."""
    if method in (b"GET", b"HEAD"):
        return None
    if method == b"OPTIONS":
        return Plan(HTTPStatus.NO_CONTENT, ((b"allow", ALLOW),), ())
    return plan_refusal(
        method,
        HTTPStatus.METHOD_NOT_ALLOWED,
        "Files can only be read.",
        (b"allow", ALLOW),  # required with 405 (section 15.5.6)
    )


def plan_redirect(method: bytes, target: Target) -> Plan:
    """Send a client that asked for a folder without its slash to the folder with it.

    Relative links in its index would lead astray otherwise.  The path is echoed as it
    came; it begins with exactly one slash, so it cannot name another host.
    """
    location = target.raw_path + b"/"
    if target.query is not None:
        location += b"?" + target.query
    return plan_refusal(
        method,
        HTTPStatus.MOVED_PERMANENTLY,
        "A folder's address ends with a slash.",
        (b"location", location),
    )


def plan_file(
    method: bytes,
    fields: Mapping[bytes, bytes],
    facts: FileFacts,
    *,
    now_ns: int,
    boundary: Callable[[], bytes],
) -> Plan:
    """Answer GET or HEAD of a file.

    Args:
        method: GET or HEAD.
        fields: the request's fields.
        facts: the opened file's.
        now_ns: the time, for weak tags and Last-Modified.
        boundary: makes a multipart boundary that does not occur in the file; called only
            when one is needed.
    """
    version = validators.of_file(
        size_bytes=facts.size_bytes,
        mtime_ns=facts.mtime_ns,
        ctime_ns=facts.ctime_ns,
        now_ns=now_ns,
    )
    now_s = now_ns // 1_000_000_000
    common: tuple[Field, ...] = (
        (b"etag", version.etag),
        (b"last-modified", validators.format_date(version.last_modified_s)),
    )
    verdict = validators.precondition(fields, version, now_s=now_s)
    if verdict is Verdict.NOT_MODIFIED:
        return Plan(HTTPStatus.NOT_MODIFIED, common, ())
    if verdict is Verdict.FAILED:
        return plan_refusal(
            method,
            HTTPStatus.PRECONDITION_FAILED,
            "The file is another version.",
            *common,
        )

    content_type = content_types.of_name(facts.name)
    common = (
        *common,
        (b"accept-ranges", b"bytes"),
        (b"x-content-type-options", b"nosniff"),
    )
    selected = _select(method, fields, facts, version, now_s)
    if selected is None:
        whole = FileSlice(0, facts.size_bytes)
        return Plan(
            HTTPStatus.OK,
            (
                *common,
                (b"content-type", content_type),
                (b"content-length", b"%d" % facts.size_bytes),
            ),
            (whole,) if method == b"GET" and facts.size_bytes else (),
        )
    if not selected:
        return plan_refusal(
            method,
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            f"The file has {facts.size_bytes} bytes.",
            (b"content-range", b"bytes */%d" % facts.size_bytes),
            *common,
        )
    if len(selected) == 1:
        only = selected[0]
        return Plan(
            HTTPStatus.PARTIAL_CONTENT,
            (
                *common,
                (b"content-type", content_type),
                (b"content-range", _content_range(only, facts.size_bytes)),
                (b"content-length", b"%d" % only.length_bytes),
            ),
            (FileSlice(only.first, only.length_bytes),),
        )
    return _plan_multipart(selected, facts.size_bytes, content_type, common, boundary())


def _select(
    method: bytes,
    fields: Mapping[bytes, bytes],
    facts: FileFacts,
    version: Validators,
    now_s: int,
) -> tuple[ByteRange, ...] | None:
    """Return the ranges to send, or None for the whole file."""
    field = fields.get(b"range")
    # "A server MUST ignore a Range header field received with a request method ... for
    # which range handling is not defined.  For this specification, GET is the only
    # method" (section 14.2).
    if field is None or method != b"GET":
        return None
    if not validators.range_applies(fields, version, now_s=now_s):
        return None
    return ranges.select_untrusted(field, facts.size_bytes)


def _content_range(item: ByteRange, size_bytes: int) -> bytes:
    return b"bytes %d-%d/%d" % (item.first, item.last, size_bytes)


def _plan_multipart(
    selected: tuple[ByteRange, ...],
    size_bytes: int,
    content_type: bytes,
    common: tuple[Field, ...],
    boundary: bytes,
) -> Plan:
    """Answer with several ranges (sections 14.6 and 15.3.7.2).

    Content-Range stands in each part and must not stand in the head.
    """
    parts: list[Part] = []
    for item in selected:
        parts.append(
            b"\r\n--%b\r\nContent-Type: %b\r\nContent-Range: %b\r\n\r\n"
            % (boundary, content_type, _content_range(item, size_bytes))
        )
        parts.append(FileSlice(item.first, item.length_bytes))
    parts.append(b"\r\n--%b--\r\n" % boundary)
    return Plan(
        HTTPStatus.PARTIAL_CONTENT,
        (
            *common,
            (b"content-type", b"multipart/byteranges; boundary=" + boundary),
            (b"content-length", b"%d" % sum(map(part_bytes, parts))),
        ),
        tuple(parts),
    )
