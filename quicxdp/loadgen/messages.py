"""Requests as bytes that are written once; answers read without H3Connection.

A client that announces no QPACK table (RFC 9204 section 3.2.3) gets answers whose field
sections stand for themselves, and may send the same bytes as often as it likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aioquic.buffer import (  # type: ignore[attr-defined]
    Buffer,
    BufferReadError,
    encode_uint_var,
)
from aioquic.h3.connection import FrameType, StreamType
from pylsqpack import Decoder, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

# An unframed SETTINGS frame without a setting (RFC 9114 section 6.2.1).
CONTROL_STREAM: Final = encode_uint_var(StreamType.CONTROL) + bytes(
    [FrameType.SETTINGS, 0]
)
# What a frame header, or the field section of an answer, may take.
HEAD_BYTES_MAX: Final = 64 * 1024
# Answers of which the bytes are remembered, so that the next equal one is not parsed.
_KNOWN_BYTES_MAX: Final = 4096
_KNOWN_CNT_MAX: Final = 64

Headers = list[tuple[bytes, bytes]]


class AnswerError(Exception):
    """A server's answer is not what was asked for; the text says in what."""


def frame_header(frame_type: int, payload_bytes: int) -> bytes:
    """Return what an HTTP/3 frame starts with."""
    return encode_uint_var(frame_type) + encode_uint_var(payload_bytes)


def frame(frame_type: int, payload: bytes) -> bytes:
    """Return an HTTP/3 frame."""
    return frame_header(frame_type, len(payload)) + payload


def field_section(headers: Headers) -> bytes:
    """Return *headers* encoded without QPACK's dynamic table."""
    _, section = Encoder().encode(0, headers)
    return section


def authority(host: str, port: int) -> str:
    """Return *host* and *port* as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def request(authority: str, path: str, body_bytes: int = 0) -> bytes:
    """Return what a request stream starts with: all of a GET, a POST up to its body."""
    headers = [
        (b":method", b"POST" if body_bytes else b"GET"),
        (b":scheme", b"https"),
        (b":authority", authority.encode("ascii")),
        (b":path", path.encode("ascii")),
    ]
    if not body_bytes:
        return frame(FrameType.HEADERS, field_section(headers))
    headers.append((b"content-length", str(body_bytes).encode("ascii")))
    head = frame(FrameType.HEADERS, field_section(headers))
    return head + frame_header(FrameType.DATA, body_bytes)


def pieces(body_bytes: int, piece: bytes) -> Sequence[bytes]:
    """Return a body of so many bytes as pieces of one object."""
    whole, rest = divmod(body_bytes, len(piece))
    return [piece] * whole + ([piece[:rest]] if rest else [])


class Answer:
    """One answer while it arrives.

    Attributes:
        body_bytes: how much of its body has come.
    """

    __slots__ = ("_head", "_is_final", "_left_bytes", "body_bytes")

    def __init__(self) -> None:
        self.body_bytes = 0
        self._left_bytes = 0  # of the DATA frame that is arriving
        self._head = b""  # the beginning of a frame that is not complete
        self._is_final = False  # a final status has come

    def feed(self, data: bytes) -> None:
        """Take what has arrived.

        Raises:
            AnswerError: it is no success, or no HTTP/3.
        """
        if not self._head:
            size = len(data)
            if size <= self._left_bytes:  # the inside of a large body, mostly
                self._left_bytes -= size
                self.body_bytes += size
                return
        self._parse(data)

    def end(self) -> None:
        """Take note of the stream's end.

        Raises:
            AnswerError: it came too early.
        """
        if self._head or self._left_bytes or not self._is_final:
            raise AnswerError("an answer broke off")

    def _parse(self, data: bytes) -> None:
        data = self._head + data
        self._head = b""
        at = 0
        while at < len(data):
            if self._left_bytes:
                size = min(self._left_bytes, len(data) - at)
                self._left_bytes -= size
                self.body_bytes += size
                at += size
                continue
            buffer = Buffer(data=data[at : at + 16])
            try:
                frame_type, size = buffer.pull_uint_var(), buffer.pull_uint_var()
            except BufferReadError:
                self._head = data[at:]
                return
            start = at + buffer.tell()
            if frame_type == FrameType.DATA and self._is_final:
                self._left_bytes, at = size, start
                continue
            if size > HEAD_BYTES_MAX:
                raise AnswerError(f"a frame of type {frame_type} has {size} bytes")
            if start + size > len(data):
                self._head = data[at:]
                return
            if frame_type == FrameType.HEADERS:
                self._take_status(data[start : start + size])
            elif frame_type == FrameType.DATA:
                raise AnswerError("a body came before its header")
            at = start + size

    def _take_status(self, section: bytes) -> None:
        if self._is_final:
            return  # trailers
        try:
            _, headers = Decoder(0, 0).feed_header(0, section)
        except Exception as error:
            raise AnswerError(f"a header that cannot be read: {error!r}") from error
        status = dict(headers).get(b":status", b"none")
        if status.startswith(b"1"):
            return
        if status != b"200":
            raise AnswerError(f"status {status.decode('ascii', 'replace')}, not 200")
        self._is_final = True


class Answers:
    """The answers of one connection, by stream.

    A small answer that came in one piece and is equal to one before is not read again.
    """

    __slots__ = ("_known", "_parts")

    def __init__(self, known: dict[bytes, int]) -> None:
        """Share *known*, what whole answers have in their bodies, between connections."""
        self._known = known
        self._parts: dict[int, Answer] = {}

    def feed(self, stream_id: int, data: bytes, *, ended: bool) -> int | None:
        """Take what has arrived; return the size of the body once it is complete.

        Raises:
            AnswerError: it is no success, or no HTTP/3.
        """
        parts = self._parts
        answer = parts.get(stream_id)
        if answer is None:
            if ended:
                body_bytes = self._known.get(data)
                if body_bytes is not None:
                    return body_bytes
            answer = parts[stream_id] = Answer()
        answer.feed(data)
        if not ended:
            return None
        answer.end()
        del parts[stream_id]
        if len(data) <= _KNOWN_BYTES_MAX and len(self._known) < _KNOWN_CNT_MAX:
            self._remember(data, answer.body_bytes)
        return answer.body_bytes

    def _remember(self, data: bytes, body_bytes: int) -> None:
        alone = Answer()
        try:
            alone.feed(data)
            alone.end()
        except AnswerError:
            return  # the last piece of several
        self._known[data] = body_bytes
