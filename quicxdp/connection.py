# ruff: noqa: FBT001, FBT002  (signatures are aioquic's)
"""FastConnection: aioquic's QuicConnection with its 1-RTT packets handled in C.

The same public API and the same events; QuicConnectionProtocol, H3Connection and what
was written for them run unchanged.  It adds what aioquic has no call for: how much of a
stream waits to be sent, a signal when it has drained, credit only for what was used up,
and numbers.

Sans-IO like aioquic's: without an engine of an endpoint it has one of its own, and
`receive_datagram` and `datagrams_to_send` carry everything.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from aioquic.quic.connection import stream_is_client_initiated

from . import _native_engine as native
from .errors import C_EMSGSIZE, StreamEndedError
from .seam.sending import SendingConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from .engine_conn import ConnectionStats
    from .seam.core import StreamSink

# Data from this size on is kept alive until it is acknowledged, smaller data is copied:
# below, remembering it costs more than the copy.
HOLD_BYTES_MIN: Final = 4096
# C counts in 32 bits.
_WRITE_BYTES_MAX: Final = 1 << 30


class FastConnection(SendingConnection):
    """A QUIC connection.

    Args:
        configuration: as for aioquic's QuicConnection, and so is what is not named here.
        engine: that of an endpoint; one of its own otherwise.
        manual_consumption: a peer gets credit for more stream data only by `consumed`;
            otherwise as soon as `next_event` could have returned it.

    Raises:
        ConfigError: the configuration asks for what the engine does not have.
        UnavailableError: the C extension is missing or has no engine.
    """

    def __init__(self, **arguments: Any) -> None:  # noqa: ANN401
        super().__init__(**arguments)
        # Streams that we opened by opening a later one; they are of no more use, as in
        # aioquic.  By direction, as is the next ID.
        self._next_ids = [
            self.conn.next_stream_id(unidirectional=uni) for uni in (False, True)
        ]
        self._skipped: list[range] = []

    # Streams

    def get_next_available_stream_id(self, is_unidirectional: bool = False) -> int:
        """Return the ID of the stream that would be opened next."""
        return self._next_ids[is_unidirectional]

    def send_stream_data(
        self, stream_id: int, data: bytes, end_stream: bool = False
    ) -> None:
        """Send data on a stream, opening it if need be.

        Raises:
            ValueError: there is no such stream, or it is not ours to send on.
            StreamEndedError: it was ended or reset.
        """
        if self.conn.closed:
            return
        if self._skipped and any(stream_id in ids for ids in self._skipped):
            raise self._refusal(-errno.EPIPE, stream_id)
        if type(data) is not bytes:
            data = bytes(data)  # the caller may change it
        if len(data) > _WRITE_BYTES_MAX:
            view = memoryview(data)
            last = (len(data) - 1) // _WRITE_BYTES_MAX * _WRITE_BYTES_MAX
            for start in range(0, last, _WRITE_BYTES_MAX):
                self._write(stream_id, bytes(view[start : start + _WRITE_BYTES_MAX]))
            data = bytes(view[last:])
        self._write(stream_id, data, end_stream=end_stream)

    def _write(self, stream_id: int, data: bytes, *, end_stream: bool = False) -> None:
        token = 0
        if len(data) >= HOLD_BYTES_MIN:
            self._held_token = token = self._held_token + 1
            self._held[token] = data
        rc = self.conn.write(stream_id, data, fin=end_stream, token=token)
        if rc < 0:
            self._held.pop(token, None)
            raise self._refusal(rc, stream_id)
        self._opened(stream_id)

    def _opened(self, stream_id: int) -> None:
        is_unidirectional = stream_id >> 1 & 1
        next_id = self._next_ids[is_unidirectional]
        if stream_id >= next_id and not (stream_id ^ next_id) & 1:
            if stream_id > next_id:
                self._skipped.append(range(next_id, stream_id, 4))
            self._next_ids[is_unidirectional] = stream_id + 4

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """End our half of a stream abruptly; no effect if it has ended already.

        Raises:
            ValueError: there is no such stream, or it is not ours to send on.
        """
        if self.conn.closed:
            return
        rc = self.conn.reset(stream_id, error_code)
        if rc == 0:
            self._opened(stream_id)
            self._has_drained(stream_id)
        elif rc != -errno.EPIPE:
            raise self._refusal(rc, stream_id)

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        """Ask the peer to end its half of a stream; no effect if it has ended already.

        Raises:
            ValueError: there is no such stream, or the peer cannot send on it.
        """
        if not self._stream_can_receive(stream_id):
            raise ValueError(
                "Cannot stop receiving on a local-initiated unidirectional stream"
            )
        if self.conn.closed:
            return
        rc = self.conn.stop(stream_id, error_code)
        if rc == -errno.EINVAL:
            raise ValueError("Cannot stop receiving on an unknown stream")
        if rc < 0 and rc != -errno.EPIPE:
            raise self._refusal(rc, stream_id)

    def _refusal(self, rc: int, stream_id: int) -> Exception:
        # In aioquic's words.
        if rc == -errno.EINVAL:
            if not self._stream_can_send(stream_id):
                return ValueError(
                    "Cannot send data on peer-initiated unidirectional stream"
                )
            if stream_is_client_initiated(stream_id) != self._is_client:
                return ValueError("Cannot send data on unknown peer-initiated stream")
            return ValueError(f"stream {stream_id} or the error code is out of range")
        if rc == -errno.EPIPE:
            return StreamEndedError("Cannot send data on a finished stream")
        return MemoryError(f"stream {stream_id} takes no more data")

    def stream_send_buffered(self, stream_id: int | None = None) -> int:
        """Return how much of what was written to a stream has never been sent.

        Without *stream_id*, of all streams together.
        """
        if self.conn.closed:
            return 0
        return self.conn.buffered(
            native.WHOLE_CONNECTION if stream_id is None else stream_id
        )

    def stream_unacknowledged(self, stream_id: int) -> int:
        """Return how much of what was written to a stream is not acknowledged."""
        return 0 if self.conn.closed else self.conn.unacknowledged(stream_id)

    def may_write(self, stream_id: int) -> bool:
        """Tell whether a stream still takes data: known, not ended, not reset."""
        return not self.conn.closed and bool(
            self.conn.stream_state(stream_id) & native.STREAM_MAY_WRITE
        )

    def may_receive(self, stream_id: int) -> bool:
        """Tell whether more may arrive on a stream."""
        return not self.conn.closed and bool(
            self.conn.stream_state(stream_id) & native.STREAM_MAY_RECEIVE
        )

    @property
    def has_undelivered(self) -> bool:
        """Whether a request stream waits for the peer to acknowledge our half's end."""
        return not self.conn.closed and self.conn.undelivered() > 0

    def notify_drained(self, stream_id: int, low_bytes: int) -> bool:
        """Ask for one call of the drained handler.

        It comes when what was written and not acknowledged falls below *low_bytes*, or
        never will: the stream was reset, or the connection has ended.

        Returns:
            Whether it will come: the stream still sends, and has that much.
        """
        if (
            self.conn.closed
            or self.conn.unacknowledged(stream_id) < low_bytes
            or self.conn.set_low_mark(stream_id, low_bytes) < 0
        ):
            return False
        self._draining.add(stream_id)
        return True

    def set_drained_handler(self, handler: Callable[[int], object] | None) -> None:
        """Let *handler* be called with the ID of a stream that has drained."""
        self._drained_handler = handler

    def set_manual_consumption(self, *, manual: bool) -> None:
        """Give the peer credit only by `consumed`, for what arrives from now on."""
        if not self.conn.closed:
            self.conn.set_manual_consume(manual=manual)

    def set_stream_window_max(self, window_bytes: int) -> None:
        """Let no stream that is opened from now on get a larger window.

        One that the configuration made larger stays so, but does not grow.
        """
        if not self.conn.closed:
            self.conn.set_window_max(window_bytes)

    def consumed(self, stream_id: int, size_bytes: int) -> None:
        """Give the peer credit for data that was used up (manual consumption)."""
        # What cannot be used any more, on a stream that is over, needs no credit.
        if size_bytes and not self.conn.closed:
            self.conn.consume(stream_id, size_bytes)

    def set_stream_sink(self, sink: StreamSink | None) -> None:
        """Give what arrives on streams and in DATAGRAM frames to *sink*, not as events.

        A request then costs neither an event object nor a place in the queue.  *sink* is
        called while a turn's news are handed out; what it sends leaves with that turn.
        Events that are queued already stay so.
        """
        self._sink = sink

    # Datagrams and numbers

    def send_datagram_frame(self, data: bytes) -> None:
        """Send a DATAGRAM frame; dropped, as on any full link, if too many wait.

        Raises:
            ValueError: it is too large for a packet.
        """
        if self.conn.closed:
            return
        rc = self.conn.send_datagram(bytes(data))
        if rc == -C_EMSGSIZE:
            raise ValueError(f"a DATAGRAM frame of {len(data)} bytes fits no packet")

    def get_stats(self) -> ConnectionStats:
        """Return what the connection has done so far."""
        return self.conn.all_stats()
