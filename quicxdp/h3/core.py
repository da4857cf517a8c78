"""What every part of a `Connection` stands on: its streams, its events, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pylsqpack

from . import varint
from .codes import ErrorCode
from .config import H3Config
from .events import ConnectionFailed, Drained, MessageFailed, RequestRefused
from .states import Recv, Role, Send
from .stream import Kind, Openings, Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from .events import Event
    from .port import Quic

# RFC 9000 section 2.1, the low bits of a stream ID.
SERVER_OPENED: Final = 1
UNIDIRECTIONAL: Final = 2

# What arrives in one call may have so many frames for nothing; of the others, each must
# carry so much on average.
_FREE_FRAMES: Final = 32
_FRAME_BYTES: Final = 16
# So much useful data makes up for a frame without any.
_FORGIVEN_BYTES: Final = 64
# Python 3.11 takes longer to find an enum's member than to do anything with it.
_UNWANTED, _ENDED, _SESSION = Recv.UNWANTED, Send.ENDED, Kind.SESSION


class ConnectionFault(Exception):  # noqa: N818  (of the peer, and it ends the connection)
    """The peer broke the protocol in a way that the connection does not survive."""

    def __init__(self, error_code: int, reason: str) -> None:
        super().__init__(reason)
        self.error_code = error_code
        self.reason = reason


class Core:
    """State that the parts share.

    Args:
        quic: sends what we have to say.
        is_client: which end this is.
        config: limits and extensions.
        credit: called with a stream ID and a number of bytes that were used up here and
            were no body; with manual consumption, `FastConnection.consumed`.  Credit for
            the data in events is the application's to give.

    Attributes:
        is_failed: whether the peer broke the protocol, and nothing is taken any more.
        is_draining: whether we have sent GOAWAY.
        request_cnt: requests that were told, or on a client made.
    """

    def __init__(
        self,
        quic: Quic,
        *,
        is_client: bool,
        config: H3Config | None = None,
        credit: Callable[[int, int], object] | None = None,
    ) -> None:
        self.config = config or H3Config()
        self.is_failed = False
        self.is_draining = False
        self.request_cnt = 0
        self._quic = quic
        self._role = Role.CLIENT if is_client else Role.SERVER
        self._is_client = is_client
        self._credit = credit
        self._events: list[Event] = []
        self._streams: dict[int, Stream] = {}
        self._sessions: dict[int, set[int]] = {}  # their streams
        # Peers' bidirectional and unidirectional streams.
        first = self._peer_bit = SERVER_OPENED if is_client else 0
        self._opened = Openings(first)
        self._opened_uni = Openings(first | UNIDIRECTIONAL)
        self._decoder = pylsqpack.Decoder(
            self.config.qpack_table_bytes, self.config.qpack_blocked_streams
        )
        self._blocks = self.config.qpack_table_bytes > 0
        self._is_long_way = is_client or self._blocks
        self._encoder = pylsqpack.Encoder()
        self._refused_from = varint.MAX + 1  # since our GOAWAY
        self._debt = 0
        self._cancelled_cnt = 0
        self._answered_cnt = 0

    @property
    def open_cnt(self) -> int:
        """How many requests are under way."""
        return sum(stream.session_id < 0 for stream in self._streams.values())

    def take_events(self) -> list[Event]:
        """Return what has happened since the last call."""
        events, self._events = self._events, []
        return events

    # ---- Ends of streams ---------------------------------------------------------------

    def _settle(self, stream: Stream) -> None:
        """Forget a stream of which both halves are over."""
        is_over = stream.recv >= _UNWANTED and stream.send >= _ENDED
        if stream.kind is _SESSION and (
            stream.recv >= _UNWANTED or stream.send >= _ENDED
        ):
            self._end_session(stream.id)
        if not is_over or self._streams.pop(stream.id, None) is None:
            return
        if stream.session_id >= 0:
            self._leave_session(stream)
        elif self.is_draining:
            self._check_drained()

    def _check_drained(self) -> None:
        if self.is_draining and not self.open_cnt:
            self._events.append(Drained())

    def _want_no_more(self, stream: Stream, error_code: int) -> None:
        """Look at nothing more of the peer's half, and tell it so."""
        if stream.recv < Recv.UNWANTED:
            stream.recv = Recv.UNWANTED
            self._drop_input(stream)
            self._quic.stop_stream(stream.id, error_code)

    def _drop_input(self, stream: Stream) -> None:
        if stream.input is not None:
            self._give_credit(stream.id, stream.input.held_bytes)
            stream.input = None
        self._cancel_sections(stream.id)

    def _cancel_sections(self, stream_id: int) -> None:
        raise NotImplementedError

    def _end_session(self, session_id: int) -> None:
        raise NotImplementedError

    def _leave_session(self, stream: Stream) -> None:
        raise NotImplementedError

    def _break_off(self, stream: Stream, error_code: int) -> None:
        """Send nothing more."""
        if stream.send < Send.ENDED:
            stream.send = Send.GONE
            self._quic.reset_stream(stream.id, error_code)

    def _fail_message(self, stream: Stream, error_code: int, reason: str) -> None:
        """Give both halves up, because what arrived is malformed or incomplete.

        Raises:
            ConnectionFault: the peer has us do so too often.
        """
        if stream.is_told:
            # As much work for nothing as if the peer had cancelled it (CVE-2025-8671).
            self._cancelled(stream)
        self._want_no_more(stream, error_code)
        self._break_off(stream, error_code)
        if stream.is_told:
            self._events.append(MessageFailed(stream.id, error_code, reason))
        else:
            self._events.append(RequestRefused(stream.id, 0, error_code, reason))
        self._settle(stream)

    def _cancelled(self, stream: Stream) -> None:
        """Take note that the peer gave up on a request that we have not answered.

        Raises:
            ConnectionFault: it does so too often.
        """
        if self._is_client or stream.is_cancelled or stream.send >= Send.ENDED:
            return
        stream.is_cancelled = True
        self._cancelled_cnt += 1
        if self._cancelled_cnt - self._answered_cnt > self.config.cancelled_max:
            raise ConnectionFault(
                ErrorCode.H3_EXCESSIVE_LOAD, "requests are cancelled and cancelled"
            )

    # ---- The end of the connection -----------------------------------------------------

    def _fail(self, fault: ConnectionFault) -> None:
        self.is_failed = True
        self._streams.clear()
        self._sessions.clear()
        self._events.append(ConnectionFailed(fault.error_code, fault.reason))
        self._quic.close(error_code=fault.error_code, reason_phrase=fault.reason)

    def _charge(self, frame_cnt: int, useful_bytes: int) -> None:
        """Bound the frames that cost us more than they are worth.

        Raises:
            ConnectionFault: there were too many.
        """
        if frame_cnt > _FREE_FRAMES:
            useless_cnt = frame_cnt - useful_bytes // _FRAME_BYTES
            if useless_cnt > _FREE_FRAMES:
                self._debt += useless_cnt
                if self._debt > self.config.useless_frames_max:
                    raise ConnectionFault(
                        ErrorCode.H3_EXCESSIVE_LOAD, "too many frames without content"
                    )
                return
        if self._debt and useful_bytes:
            self._debt = max(0, self._debt - useful_bytes // _FORGIVEN_BYTES)

    def _give_credit(self, stream_id: int, size_bytes: int) -> None:
        if self._credit is not None and size_bytes:
            self._credit(stream_id, size_bytes)
