"""What `quicxdp fetch` sends: method, fields and body, from the command line."""

from __future__ import annotations

import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quicxdp import __version__

from .body import Body
from .exits import CommandError, FetchExit
from .static import FileSlice, Part

if TYPE_CHECKING:
    from aioquic.h3.events import Headers

    from .url import Url

_FORM = b"application/x-www-form-urlencoded"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_VALUE = re.compile(r"[\x00\r\n]")
# RFC 9114 section 4.2: these belong to a connection and must not occur.
_FORBIDDEN = frozenset(
    ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")
)


@dataclass(frozen=True, slots=True)
class DataOption:
    """One -d, --data-binary or --data-raw."""

    text: str
    is_binary: bool
    may_name_file: bool


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request, to be sent any number of times; each time opens its own body."""

    method: str
    fields: Headers
    parts: tuple[bytes | Path, ...] | None

    @property
    def is_conditional(self) -> bool:
        """Whether the answer may be 304, whose content-length counts for nothing."""
        return any(name.startswith(b"if-") for name, _ in self.fields)

    def open_body(self) -> Body | None:
        """Open the body; files are read while it is sent."""
        if self.parts is None:
            return None
        if len(self.parts) == 1 and isinstance(path := self.parts[0], Path):
            fd, size_bytes = _open_regular(path)
            return Body((FileSlice(0, size_bytes),) if size_bytes else (), fd)
        parts: list[Part] = [p for p in self.parts if isinstance(p, bytes)]
        return Body(parts)

    def headers(self, url: Url, body: Body | None) -> Headers:
        """Write the header section."""
        fields = dict(self.fields)
        authority = fields.pop(b"host", url.authority.encode())
        if body is not None:
            fields.setdefault(b"content-length", b"%d" % body.remaining_bytes)
        return [
            (b":method", self.method.encode()),
            (b":scheme", b"https"),
            (b":authority", authority),
            (b":path", url.target.encode()),
            *((name, value) for name, value in fields.items() if value is not None),
        ]


def outgoing(
    *,
    method: str | None,
    head: bool,
    data: list[DataOption],
    header_lines: list[str],
    byte_range: str | None,
) -> Outgoing:
    """Put a request together.

    Raises:
        CommandError: a field that cannot be sent, a file that cannot be read.
    """
    if head and data:
        raise CommandError(
            "-I asks for no body and -d sends one: use one", FetchExit.USAGE
        )
    parts = _parts(data) if data else None
    fields: dict[bytes, bytes] = {
        b"user-agent": f"quicxdp/{__version__}".encode(),
        b"accept": b"*/*",
    }
    if parts is not None:
        fields[b"content-type"] = _FORM
    if byte_range is not None:
        fields[b"range"] = f"bytes={byte_range}".encode()
    for line in header_lines:
        name, value = parse_header(line)
        if value is None:
            fields.pop(name, None)
        else:
            fields[name] = value
    chosen = method or ("HEAD" if head else "GET" if parts is None else "POST")
    if _NAME.fullmatch(chosen) is None:
        raise CommandError(f"-X {chosen!r} is not a method", FetchExit.USAGE)
    return Outgoing(chosen, list(fields.items()), parts)


def parse_header(line: str) -> tuple[bytes, bytes | None]:
    """Read a -H: "Name: value", "Name;" for an empty value, "Name:" to leave one out."""
    name, colon, value = line.partition(":")
    if not colon and line.endswith(";"):
        name, value = line[:-1], ""
    elif not colon:
        raise CommandError(f"-H {line!r}: write 'Name: value'", FetchExit.USAGE)
    name = name.strip().lower()
    if _NAME.fullmatch(name) is None or _BAD_VALUE.search(value):
        raise CommandError(f"-H {line!r} is not a header field", FetchExit.USAGE)
    if name in _FORBIDDEN:
        raise CommandError(
            f"-H {line!r}: HTTP/3 has no {name} (RFC 9114 section 4.2)", FetchExit.USAGE
        )
    stripped = value.strip(" \t")
    if colon and not stripped:
        return name.encode(), None
    return name.encode(), stripped.encode()


def _parts(data: list[DataOption]) -> tuple[bytes | Path, ...]:
    if (
        len(data) == 1
        and data[0].is_binary
        and (path := _named_file(data[0])) is not None
    ):
        fd, _ = _open_regular(path)
        os.close(fd)
        return (path,)
    return (b"&".join(map(_data_bytes, data)),)


def _named_file(option: DataOption) -> Path | None:
    """Return the regular file that an option names, if it does; those are streamed."""
    if not option.may_name_file or not option.text.startswith("@") or option.text == "@-":
        return None
    path = Path(option.text[1:])
    return path if path.is_file() else None


def _data_bytes(option: DataOption) -> bytes:
    if not option.may_name_file or not option.text.startswith("@"):
        return os.fsencode(option.text)
    name = option.text[1:]
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CommandError(
            f"{name} cannot be read: {error.strerror}", FetchExit.READ_ERROR
        ) from None
    if option.is_binary:
        return content
    # As curl's -d: a text file's line ends are not part of the form.
    return content.translate(None, b"\r\n\0")


def _open_regular(path: Path) -> tuple[int, int]:
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise CommandError(
            f"{path} cannot be read: {error.strerror}", FetchExit.READ_ERROR
        ) from None
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise CommandError(f"{path} is not a regular file", FetchExit.READ_ERROR)
    return fd, status.st_size


def upload_bytes(body: Body | None) -> int:
    """Return how many bytes a body will send."""
    return 0 if body is None else body.remaining_bytes
