"""One request stream, or one of a WebTransport session, and which are new."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from .fields import NO_LENGTH
from .states import Recv, Send


class Kind(IntEnum):
    """What is special about the request of a stream."""

    PLAIN = 0
    HEAD = 1  # the response has no body
    CONNECT = 2  # a tunnel, if the response is 2xx
    SESSION = 3  # CONNECT that asks for a WebTransport session


class Input:
    """What is remembered of the peer's half between two calls, where one is not enough.

    Attributes:
        buffer: the beginning of a frame whose header, or whose section, is incomplete.
        left_bytes: of the payload of a frame that is passed on or skipped as it comes.
        is_skipping: whether that payload is nobody's.
        expected_bytes: the content-length, or NO_LENGTH.
        body_bytes: how much of the body has arrived.
        is_blocked: whether a section waits for QPACK's encoder stream.
        is_end_held: whether the end came behind that.
        held_bytes: arrived behind that, and not credited.
    """

    __slots__ = (
        "body_bytes",
        "buffer",
        "expected_bytes",
        "held_bytes",
        "is_blocked",
        "is_end_held",
        "is_skipping",
        "left_bytes",
    )

    def __init__(self) -> None:
        self.buffer = b""
        self.left_bytes = 0
        self.is_skipping = False
        self.expected_bytes = NO_LENGTH
        self.body_bytes = 0
        self.is_blocked = False
        self.is_end_held = False
        self.held_bytes = 0


# Python 3.11 takes longer to find an enum's member than to do anything with it.
_RECV, _SEND = Recv.WAIT, Send.WAIT
_PLAIN: Final = Kind.PLAIN


class Stream:
    """A bidirectional stream, or a unidirectional one of a session.

    Attributes:
        id: of QUIC.
        recv: how far the peer's half is.
        send: how far ours is.
        kind: what is special about its request.
        input: of the peer's half, if it came in several pieces.
        unsent_bytes: of the content-length that we announced, or NO_LENGTH.
        session_id: of which session this is a stream; -1 for request streams.
        is_told: whether the application knows the stream.
        is_cancelled: whether the peer has given up on it.
    """

    __slots__ = (
        "id",
        "input",
        "is_cancelled",
        "is_told",
        "kind",
        "recv",
        "send",
        "session_id",
        "unsent_bytes",
    )

    def __init__(self, stream_id: int) -> None:
        self.id = stream_id
        self.recv = _RECV
        self.send = _SEND
        self.kind = _PLAIN
        self.input: Input | None = None
        self.unsent_bytes = NO_LENGTH
        self.session_id = -1
        self.is_told = False
        self.is_cancelled = False


class Openings:
    """Which of the peer's streams of one kind have been seen.

    Opening one opens all before it (RFC 9000 section 2.1), and they may arrive in any
    order: those in `pending` are still to come.  Each of them counts against the
    peer's MAX_STREAMS, which is their bound.

    Attributes:
        next_id: the first that is not open.
        pending: open, and nothing of them has arrived.
    """

    __slots__ = ("next_id", "pending")

    def __init__(self, first_id: int) -> None:
        self.next_id = first_id
        self.pending: set[int] = set()

    def take(self, stream_id: int) -> bool:
        """Note that something arrived on a stream; return whether it is the first."""
        if stream_id == self.next_id:
            self.next_id += 4
            return True
        if stream_id > self.next_id:
            self.pending.update(range(self.next_id, stream_id, 4))
            self.next_id = stream_id + 4
            return True
        if stream_id in self.pending:
            self.pending.discard(stream_id)
            return True
        return False
