"""The numbers of HTTP/3: RFC 9114, QPACK's (9204), and of the extensions we speak."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

ALPN: Final = "h3"


class ErrorCode(IntEnum):
    """RFC 9114 section 8.1, RFC 9204 section 6, RFC 9297 section 5.2, WebTransport."""

    H3_DATAGRAM_ERROR = 0x33
    H3_NO_ERROR = 0x100
    H3_GENERAL_PROTOCOL_ERROR = 0x101
    H3_INTERNAL_ERROR = 0x102
    H3_STREAM_CREATION_ERROR = 0x103
    H3_CLOSED_CRITICAL_STREAM = 0x104
    H3_FRAME_UNEXPECTED = 0x105
    H3_FRAME_ERROR = 0x106
    H3_EXCESSIVE_LOAD = 0x107
    H3_ID_ERROR = 0x108
    H3_SETTINGS_ERROR = 0x109
    H3_MISSING_SETTINGS = 0x10A
    H3_REQUEST_REJECTED = 0x10B
    H3_REQUEST_CANCELLED = 0x10C
    H3_REQUEST_INCOMPLETE = 0x10D
    H3_MESSAGE_ERROR = 0x10E
    H3_CONNECT_ERROR = 0x10F
    H3_VERSION_FALLBACK = 0x110
    QPACK_DECOMPRESSION_FAILED = 0x200
    QPACK_ENCODER_STREAM_ERROR = 0x201
    QPACK_DECODER_STREAM_ERROR = 0x202
    # draft-ietf-webtrans-http3-02 section 8.5
    WT_SESSION_GONE = 0x170D7B68
    WT_BUFFERED_STREAM_REJECTED = 0x3994BD84


class FrameType(IntEnum):
    """RFC 9114 section 7.2, RFC 9218 section 7.1, draft-ietf-webtrans-http3-02."""

    DATA = 0x0
    HEADERS = 0x1
    CANCEL_PUSH = 0x3
    SETTINGS = 0x4
    PUSH_PROMISE = 0x5
    GOAWAY = 0x7
    MAX_PUSH_ID = 0xD
    WEBTRANSPORT_STREAM = 0x41
    PRIORITY_UPDATE = 0xF0700
    PRIORITY_UPDATE_PUSH = 0xF0701


# HTTP/2's frames without a counterpart here; RFC 9114 section 7.2.8.
HTTP2_FRAMES: Final = frozenset((0x2, 0x6, 0x8, 0x9))


class StreamType(IntEnum):
    """What a unidirectional stream begins with; RFC 9114 section 6.2."""

    CONTROL = 0x0
    PUSH = 0x1
    QPACK_ENCODER = 0x2
    QPACK_DECODER = 0x3
    WEBTRANSPORT = 0x54


class Setting(IntEnum):
    """RFC 9114 section 7.2.4.1, RFC 9204, 9220 and 9297, draft-ietf-webtrans-http3-02."""

    QPACK_MAX_TABLE_CAPACITY = 0x1
    MAX_FIELD_SECTION_SIZE = 0x6
    QPACK_BLOCKED_STREAMS = 0x7
    ENABLE_CONNECT_PROTOCOL = 0x8
    H3_DATAGRAM = 0x33
    ENABLE_WEBTRANSPORT = 0x2B603742


# HTTP/2's settings without a counterpart here; RFC 9114 section 7.2.4.1.
HTTP2_SETTINGS: Final = frozenset((0x0, 0x2, 0x3, 0x4, 0x5))
