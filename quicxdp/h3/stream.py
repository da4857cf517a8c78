"""One request stream, or one of a WebTransport session, and which are new."""

from __future__ import annotations

from .fields import NO_LENGTH
from .states import Recv, Send


class Stream:
    """What is remembered between two calls; a few hundred bytes.

    Attributes:
        id: of QUIC.
        recv: how far the peer's half is.
        send: how far ours is.
        buffer: the beginning of a frame whose header, or whose section, is incomplete.
        left_bytes: of the payload of a frame that is passed on or skipped as it comes.
        is_skipping: whether that payload is nobody's.
        expected_bytes: the content-length of what arrives, or NO_LENGTH.
        body_bytes: how much of the body has arrived.
        unsent_bytes: of the content-length that we announced, or NO_LENGTH.
        is_told: whether the application knows the stream.
        is_head: whether the request is HEAD: its response has no body.
        is_connect: whether the request is CONNECT.
        is_session: whether the request asks for a WebTransport session.
        session_id: of which session this is a stream; -1 for request streams.
        is_cancelled: whether the peer has given up on it.
        is_blocked: whether a section waits for QPACK's encoder stream.
        is_end_held: whether the end came behind that.
        held_bytes: arrived behind that, and not credited.
    """

    __slots__ = (
        "body_bytes",
        "buffer",
        "expected_bytes",
        "held_bytes",
        "id",
        "is_blocked",
        "is_cancelled",
        "is_connect",
        "is_end_held",
        "is_head",
        "is_session",
        "is_skipping",
        "is_told",
        "left_bytes",
        "recv",
        "send",
        "session_id",
        "unsent_bytes",
    )

    def __init__(self, stream_id: int) -> None:
        self.id = stream_id
        self.recv = Recv.WAIT
        self.send = Send.WAIT
        self.buffer = b""
        self.left_bytes = 0
        self.is_skipping = False
        self.expected_bytes = NO_LENGTH
        self.body_bytes = 0
        self.unsent_bytes = NO_LENGTH
        self.is_told = False
        self.is_head = False
        self.is_connect = False
        self.is_session = False
        self.session_id = -1
        self.is_cancelled = False
        self.is_blocked = False
        self.is_end_held = False
        self.held_bytes = 0


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
