"""The states of a stream's two halves, and of the control stream, written out in full.

A cell is the next state, or the error that the step is.  Nothing else decides what
may follow what; tests/h3/test_h3_states.py walks every cell.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from .codes import HTTP2_FRAMES, ErrorCode, FrameType, StreamType

if TYPE_CHECKING:
    from collections.abc import Mapping

# ---- What arrives on a request stream (RFC 9114 sections 4.1 and 4.4) ------------------


class Recv(IntEnum):
    """How far the peer's half is."""

    WAIT = 0  # no final header section yet
    INTERIM = 1  # only 1xx so far
    BODY = 2
    TRAILERS = 3  # only the end may follow
    TUNNEL = 4  # of a CONNECT: only DATA
    SESSION = 5  # a stream of WebTransport: bytes without frames
    UNWANTED = 6  # refused, stopped or failed: nobody looks at it
    DONE = 7


class Got(IntEnum):
    """What a step of the peer's half is."""

    INTERIM = 0  # header section of a 1xx response
    HEAD = 1  # a request's header section, or a final response's
    CONNECT = 2  # the same, of a CONNECT
    DATA = 3
    TRAILERS = 4  # a header section where none of a message can be
    WEBTRANSPORT = 5  # the frame type that turns the stream into one of a session
    END = 6


_UNEXPECTED: Final = ErrorCode.H3_FRAME_UNEXPECTED
_INCOMPLETE: Final = ErrorCode.H3_REQUEST_INCOMPLETE
_MESSAGE: Final = ErrorCode.H3_MESSAGE_ERROR

RECV: Final[Mapping[Recv, Mapping[Got, Recv | ErrorCode]]] = {
    Recv.WAIT: {
        Got.INTERIM: Recv.INTERIM,
        Got.HEAD: Recv.BODY,
        Got.CONNECT: Recv.TUNNEL,
        Got.DATA: _UNEXPECTED,
        Got.TRAILERS: _UNEXPECTED,
        Got.WEBTRANSPORT: Recv.SESSION,
        Got.END: _INCOMPLETE,
    },
    Recv.INTERIM: {
        Got.INTERIM: Recv.INTERIM,
        Got.HEAD: Recv.BODY,
        Got.CONNECT: Recv.TUNNEL,
        Got.DATA: _UNEXPECTED,
        Got.TRAILERS: _UNEXPECTED,
        Got.WEBTRANSPORT: _UNEXPECTED,
        Got.END: _MESSAGE,
    },
    Recv.BODY: {
        Got.INTERIM: _UNEXPECTED,
        Got.HEAD: _UNEXPECTED,
        Got.CONNECT: _UNEXPECTED,
        Got.DATA: Recv.BODY,
        Got.TRAILERS: Recv.TRAILERS,
        Got.WEBTRANSPORT: _UNEXPECTED,
        Got.END: Recv.DONE,
    },
    Recv.TRAILERS: {
        Got.INTERIM: _UNEXPECTED,
        Got.HEAD: _UNEXPECTED,
        Got.CONNECT: _UNEXPECTED,
        Got.DATA: _UNEXPECTED,
        Got.TRAILERS: _UNEXPECTED,
        Got.WEBTRANSPORT: _UNEXPECTED,
        Got.END: Recv.DONE,
    },
    Recv.TUNNEL: {
        Got.INTERIM: _UNEXPECTED,
        Got.HEAD: _UNEXPECTED,
        Got.CONNECT: _UNEXPECTED,
        Got.DATA: Recv.TUNNEL,
        Got.TRAILERS: _UNEXPECTED,
        Got.WEBTRANSPORT: _UNEXPECTED,
        Got.END: Recv.DONE,
    },
    # Bytes without frames: they are not looked at, so only their end is a step.
    Recv.SESSION: {
        Got.INTERIM: _UNEXPECTED,
        Got.HEAD: _UNEXPECTED,
        Got.CONNECT: _UNEXPECTED,
        Got.DATA: Recv.SESSION,
        Got.TRAILERS: _UNEXPECTED,
        Got.WEBTRANSPORT: _UNEXPECTED,
        Got.END: Recv.DONE,
    },
    Recv.UNWANTED: {
        Got.INTERIM: Recv.UNWANTED,
        Got.HEAD: Recv.UNWANTED,
        Got.CONNECT: Recv.UNWANTED,
        Got.DATA: Recv.UNWANTED,
        Got.TRAILERS: Recv.UNWANTED,
        Got.WEBTRANSPORT: Recv.UNWANTED,
        Got.END: Recv.DONE,
    },
    # QUIC delivers nothing behind an end.
    Recv.DONE: dict.fromkeys(Got, ErrorCode.H3_INTERNAL_ERROR),
}

# As tuples, for every frame looks here; by Recv, then Got.
RECV_ROWS: Final = tuple(tuple(RECV[state][got] for got in Got) for state in Recv)

# What a request in one piece, without a body, comes to.
RECV_WHOLE: Final = Recv.DONE
assert RECV[Recv.WAIT][Got.HEAD] is Recv.BODY  # noqa: S101  (a fault of the table above)
assert RECV[Recv.BODY][Got.END] is RECV_WHOLE  # noqa: S101
assert RECV[Recv.WAIT][Got.CONNECT] is Recv.TUNNEL  # noqa: S101
assert RECV[Recv.TUNNEL][Got.END] is RECV_WHOLE  # noqa: S101

# These concern one message; every other error is one of the connection (RFC 9114
# sections 4.1.1 and 4.1.2).
STREAM_ERRORS: Final = frozenset((_INCOMPLETE, _MESSAGE, ErrorCode.H3_REQUEST_REJECTED))

# ---- What we send on a request stream --------------------------------------------------


class Send(IntEnum):
    """How far our half is."""

    WAIT = 0
    BODY = 1
    TRAILERS = 2  # only the end may follow
    ENDED = 3
    GONE = 4  # reset by us, or stopped by the peer: what is written goes nowhere


class Put(IntEnum):
    """What a step of our half is."""

    INTERIM = 0
    HEAD = 1
    DATA = 2
    TRAILERS = 3
    END = 4


# None: the caller has made a mistake, and nothing is sent.
SEND: Final[Mapping[Send, Mapping[Put, Send | None]]] = {
    Send.WAIT: {
        Put.INTERIM: Send.WAIT,
        Put.HEAD: Send.BODY,
        Put.DATA: None,
        Put.TRAILERS: None,
        Put.END: None,
    },
    Send.BODY: {
        Put.INTERIM: None,
        Put.HEAD: None,
        Put.DATA: Send.BODY,
        Put.TRAILERS: Send.TRAILERS,
        Put.END: Send.ENDED,
    },
    Send.TRAILERS: {
        Put.INTERIM: None,
        Put.HEAD: None,
        Put.DATA: None,
        Put.TRAILERS: None,
        Put.END: Send.ENDED,
    },
    Send.ENDED: dict.fromkeys(Put, None),
    Send.GONE: dict.fromkeys(Put, Send.GONE),
}

# By Send, then Put.
SEND_ROWS: Final = tuple(tuple(SEND[state][put] for put in Put) for state in Send)

# ---- Unidirectional streams ------------------------------------------------------------


class Control(IntEnum):
    """How far the peer's control stream is (RFC 9114 section 6.2.1)."""

    WAIT_SETTINGS = 0
    OPEN = 1


class Role(IntEnum):
    """Which end we are."""

    SERVER = 0
    CLIENT = 1


# Frames that a control stream cannot have: those of requests, and HTTP/2's.
_NEVER_ON_CONTROL: Final = (
    FrameType.DATA,
    FrameType.HEADERS,
    FrameType.PUSH_PROMISE,
    *HTTP2_FRAMES,
)
# By frame type and role: an error once SETTINGS have come.  What is not here is handled,
# or skipped if it is unknown (RFC 9114 section 9).
CONTROL_ERRORS: Final[Mapping[Role, Mapping[int, ErrorCode]]] = {
    Role.SERVER: {
        **dict.fromkeys(_NEVER_ON_CONTROL, _UNEXPECTED),
        FrameType.SETTINGS: _UNEXPECTED,  # a second time; section 7.2.4
    },
    Role.CLIENT: {
        **dict.fromkeys(_NEVER_ON_CONTROL, _UNEXPECTED),
        FrameType.SETTINGS: _UNEXPECTED,
        FrameType.MAX_PUSH_ID: _UNEXPECTED,  # section 7.2.7
        FrameType.PRIORITY_UPDATE: _UNEXPECTED,  # RFC 9218 section 7.2
        FrameType.PRIORITY_UPDATE_PUSH: _UNEXPECTED,
    },
}

# Frames that a request stream cannot have (RFC 9114 section 7.2).  A push promise to a
# client exceeds the limit that it never gave (section 4.6).
REQUEST_ERRORS: Final[Mapping[Role, Mapping[int, ErrorCode]]] = {
    Role.SERVER: {
        **dict.fromkeys(
            (
                FrameType.CANCEL_PUSH,
                FrameType.SETTINGS,
                FrameType.PUSH_PROMISE,
                FrameType.GOAWAY,
                FrameType.MAX_PUSH_ID,
                FrameType.PRIORITY_UPDATE,
                FrameType.PRIORITY_UPDATE_PUSH,
                *HTTP2_FRAMES,
            ),
            _UNEXPECTED,
        ),
    },
    Role.CLIENT: {
        **dict.fromkeys(
            (
                FrameType.CANCEL_PUSH,
                FrameType.SETTINGS,
                FrameType.GOAWAY,
                FrameType.MAX_PUSH_ID,
                FrameType.PRIORITY_UPDATE,
                FrameType.PRIORITY_UPDATE_PUSH,
                *HTTP2_FRAMES,
            ),
            _UNEXPECTED,
        ),
        FrameType.PUSH_PROMISE: ErrorCode.H3_ID_ERROR,
    },
}

# Streams that a peer must not open.  Pushes are refused as a promise is (section 4.6).
STREAM_TYPE_ERRORS: Final[Mapping[Role, Mapping[int, ErrorCode]]] = {
    Role.SERVER: {StreamType.PUSH: ErrorCode.H3_STREAM_CREATION_ERROR},
    Role.CLIENT: {StreamType.PUSH: ErrorCode.H3_ID_ERROR},
}
# Open as long as the connection, and only once (section 6.2.1, RFC 9204 section 4.2).
CRITICAL: Final = (
    StreamType.CONTROL,
    StreamType.QPACK_ENCODER,
    StreamType.QPACK_DECODER,
)
