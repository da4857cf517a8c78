"""What a hostile peer sends, in the bytes of a frame or a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pylsqpack
from qxwires import GET, Pair

from quicxdp.h3 import (
    ConnectionFailed,
    ErrorCode,
    FrameType,
    varint,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

CLIENT_CONTROL, CLIENT_ENCODER, CLIENT_DECODER, CLIENT_NEW = 2, 6, 10, 14
SERVER_CONTROL, SERVER_ENCODER, SERVER_DECODER, SERVER_NEW = 3, 7, 11, 15

frame = varint.frame


def section(fields: list[tuple[bytes, bytes]]) -> bytes:
    """Return a header section as a frame."""
    return frame(FrameType.HEADERS, pylsqpack.Encoder().encode(0, fields)[1])


def data_frame(data: bytes) -> bytes:
    """Return a DATA frame."""
    return frame(FrameType.DATA, data)


def settings(*pairs: tuple[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(
        FrameType.SETTINGS, b"".join(varint.encode(n) for pair in pairs for n in pair)
    )


POST = [(b":method", b"POST"), *GET[1:]]
HTTP2 = (0x2, 0x6, 0x8, 0x9)
ON_CONTROL_ONLY = (
    FrameType.CANCEL_PUSH,
    FrameType.SETTINGS,
    FrameType.GOAWAY,
    FrameType.MAX_PUSH_ID,
    FrameType.PRIORITY_UPDATE,
    FrameType.PRIORITY_UPDATE_PUSH,
)


def check_closed(
    pair: Pair, events: Sequence[object], code: ErrorCode, *, by: str
) -> None:
    """Check that an end has closed the connection, and takes nothing more."""
    wire, end = (
        (pair.server_wire, pair.server)
        if by == "server"
        else (pair.client_wire, pair.client)
    )
    failed = events[-1]
    assert isinstance(failed, ConnectionFailed)
    assert ErrorCode(failed.error_code) is code
    assert wire.closed == (code, failed.reason)
    assert end.is_failed
    end.receive(0, b"\x00", True)
    assert end.take_events() == []


def opened(kind: int, *parts: bytes) -> bytes:
    """Return a unidirectional stream."""
    return varint.encode(kind) + b"".join(parts)
