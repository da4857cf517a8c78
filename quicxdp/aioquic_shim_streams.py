# ruff: noqa: SLF001  (reaching into aioquic is what this file is for)
"""The private names of aioquic that streams and HTTP/3 need, in one file.

aioquic 1.7 has no call for what a server of big files or a client of hostile ones needs:
how far a send buffer is ahead, how much a peer may send ahead of the reader, and an end
to what a header section may cost.  A new aioquic is checked here and in
aioquic_shim.py, and nowhere else; tests/cli/test_aioquic_shim_streams.py holds every
name used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pylsqpack
from aioquic.h3.connection import (
    H3Connection,
    H3Stream,
    Setting,
)
from aioquic.quic.connection import MAX_STREAM_DATA_FRAME_CAPACITY, QuicConnectionState
from aioquic.quic.events import (
    DatagramFrameReceived,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)
from aioquic.quic.packet import QuicFrameType

from .connection import FastConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioquic.quic.connection import QuicConnection
    from aioquic.quic.events import ConnectionTerminated, QuicEvent
    from aioquic.quic.packet_builder import QuicPacketBuilder
    from aioquic.quic.recovery import QuicPacketSpace
    from aioquic.quic.stream import QuicStream

    from .seam.core import StreamSink


# ---- Send buffers: aioquic takes whatever it is given and never says "enough" ----------


def unsent_bytes(quic: QuicConnection, stream_id: int) -> int:
    """Return how much of what was written to a stream has never been sent."""
    if isinstance(quic, FastConnection):
        return quic.stream_send_buffered(stream_id)
    stream = quic._streams.get(stream_id)
    if stream is None:
        return 0
    return stream.sender._buffer_stop - stream.sender.highest_offset


def unacknowledged_bytes(quic: QuicConnection, stream_id: int) -> int:
    """Return how much memory the send buffer of a stream holds: the unsent and more.

    A peer that acknowledges everything but the first packet makes this grow without
    making `unsent_bytes` grow.
    """
    if isinstance(quic, FastConnection):
        return quic.stream_unacknowledged(stream_id)
    stream = quic._streams.get(stream_id)
    if stream is None:
        return 0
    return stream.sender._buffer_stop - stream.sender._buffer_start


def expect_turn(quic: QuicConnection, stream_id: int, acknowledged_bytes: int) -> None:
    """Ask for a turn of the protocol once so much more of a stream is acknowledged.

    aioquic gives one with every packet that arrives; the engine in C only with news.
    """
    if isinstance(quic, FastConnection):
        waiting_bytes = quic.stream_unacknowledged(stream_id)
        quic.notify_drained(stream_id, max(1, waiting_bytes - acknowledged_bytes))


def can_send(quic: QuicConnection, stream_id: int) -> bool:
    """Whether a stream still takes data: known, not ended, not reset by either side."""
    if isinstance(quic, FastConnection):
        return quic.may_write(stream_id)
    stream = quic._streams.get(stream_id)
    if stream is None:
        return False
    sender = stream.sender
    return (
        not sender.is_finished
        and sender._buffer_fin is None
        and sender._reset_error_code is None
    )


def can_receive(quic: QuicConnection, stream_id: int) -> bool:
    """Whether more may arrive on a stream."""
    if isinstance(quic, FastConnection):
        return quic.may_receive(stream_id)
    stream = quic._streams.get(stream_id)
    return stream is not None and not stream.receiver.is_finished


def has_undelivered_responses(quic: QuicConnection) -> bool:
    """Whether some request stream still waits for the peer to acknowledge its end."""
    if isinstance(quic, FastConnection):
        return quic.has_undelivered
    return any(
        stream_id % 4 == 0 and not stream.sender.is_finished
        for stream_id, stream in quic._streams.items()
    )


def smoothed_rtt_ns(quic: QuicConnection) -> int | None:
    """Return the smoothed round-trip time; None before the first sample."""
    if isinstance(quic, FastConnection):
        return quic.get_stats().rtt_smoothed_ns or None
    recovery = quic._loss
    return int(recovery._rtt_smoothed * 1e9) if recovery._rtt_initialized else None


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a connection is closing, and who began."""

    event: ConnectionTerminated
    is_ours: bool


def ending(quic: QuicConnection) -> Ending | None:
    """Return how a connection is ending, None while it is not.

    aioquic tells of it with the event only when it has closed, three probe timeouts
    later (RFC 9000 section 10.2).
    """
    if quic._close_event is None:
        return None
    return Ending(quic._close_event, quic._state is QuicConnectionState.CLOSING)


# ---- Receive windows: aioquic raises them by what was *sent*, not by what was read -----


def bound_receive_windows(
    quic: QuicConnection,
    window_bytes: int,
    held_bytes: Callable[[int], int] | None = None,
) -> None:
    """Let a peer send at most *window_bytes* ahead of the reader on every stream.

    From here on credit follows what was delivered in order, less what *held_bytes* says
    that the application has not used up yet (RFC 9000 section 4.2).  An application that
    holds data back must tell of everything that it does not hold, with `credit`.
    """
    if isinstance(quic, FastConnection):
        # Its windows follow what was delivered anyway.
        quic.set_stream_window_max(window_bytes)
        quic.set_manual_consumption(manual=held_bytes is not None)
    else:
        _bound_aioquics_windows(quic, window_bytes, held_bytes or (lambda _stream_id: 0))


def credit(quic: QuicConnection, stream_id: int, used_bytes: int) -> None:
    """Take note that so much of a stream's data is not held, or not held any more."""
    if isinstance(quic, FastConnection):
        quic.consumed(stream_id, used_bytes)


def _bound_aioquics_windows(
    quic: QuicConnection, window_bytes: int, held_bytes: Callable[[int], int]
) -> None:
    """Let aioquic write MAX_STREAM_DATA by another rule than its own.

    It doubles a stream's limit as soon as the peer has used half of it, even with
    one byte at its far end, and sets memory aside for the gap: twenty small packets
    could make it set aside gigabytes.
    """

    def write_stream_limits(
        builder: QuicPacketBuilder,
        space: QuicPacketSpace,  # noqa: ARG001  (aioquic passes it by name)
        stream: QuicStream,
    ) -> None:
        receiver = stream.receiver
        if receiver.is_finished or receiver._final_size is not None:
            return
        stream_id = stream.stream_id or 0
        limit = receiver.starting_offset() + window_bytes - held_bytes(stream_id)
        # Half a window at a time, so that not every packet carries a new limit.
        if limit - stream.max_stream_data_local >= window_bytes // 2:
            stream.max_stream_data_local = limit
        if stream.max_stream_data_local_sent == stream.max_stream_data_local:
            return
        frame = builder.start_frame(
            QuicFrameType.MAX_STREAM_DATA,
            capacity=MAX_STREAM_DATA_FRAME_CAPACITY,
            # Sets max_stream_data_local_sent to 0 if the frame is lost.
            handler=quic._on_max_stream_data_delivery,
            handler_args=(stream,),
        )
        frame.push_uint_var(stream_id)
        frame.push_uint_var(stream.max_stream_data_local)
        stream.max_stream_data_local_sent = stream.max_stream_data_local

    vars(quic)["_write_stream_limits"] = write_stream_limits


# ---- Stream data without events --------------------------------------------------------


def deliver_to(quic: QuicConnection, sink: StreamSink) -> None:
    """Give what arrives on streams to *sink*, as far as the connection can.

    The engine in C calls it; aioquic's makes events, which `forward` passes on.
    """
    if isinstance(quic, FastConnection):
        quic.set_stream_sink(sink)


def forward(event: QuicEvent, sink: StreamSink) -> bool:
    """Give an event of a stream or a datagram to *sink*; False if it is another one."""
    if isinstance(event, StreamDataReceived):
        sink.receive(event.stream_id, event.data, event.end_stream)
    elif isinstance(event, StreamReset):
        sink.receive_reset(event.stream_id, event.error_code)
    elif isinstance(event, StopSendingReceived):
        sink.receive_stop(event.stream_id, event.error_code)
    elif isinstance(event, DatagramFrameReceived):
        sink.receive_datagram(event.data)
    else:
        return False
    return True


# ---- HTTP/3: what a stranger may make us keep ------------------------------------------


class BoundedH3Connection(H3Connection):
    """aioquic's HTTP/3, with an end to what a header section may cost.

    No dynamic QPACK table: with aioquic's 4 KiB one, two bytes of a header block become
    four kilobytes of header, and a small request an enormous one (RFC 9204 section 7.3).
    Requests repeat little of their headers, so this costs a few bytes each.  And no
    extended CONNECT, which aioquic offers for its own WebSocket example.
    """

    def __init__(self, quic: QuicConnection, *, field_section_bytes_max: int) -> None:
        self._field_section_bytes_max = field_section_bytes_max
        self._may_be_empty: set[int] = set()
        super().__init__(quic)
        # Nothing has arrived yet, so the decoder may still be exchanged.
        self._decoder = pylsqpack.Decoder(0, 0)

    def _init_connection(self) -> None:
        # A client that permits no pushes (RFC 9114 section 4.6) need not guard itself
        # against what is pushed.  A server's value is None anyway.
        self._max_push_id = None
        super()._init_connection()

    def _get_local_settings(self) -> dict[int, int]:
        settings = super()._get_local_settings()
        settings[Setting.QPACK_MAX_TABLE_CAPACITY] = 0
        settings[Setting.QPACK_BLOCKED_STREAMS] = 0
        settings[Setting.MAX_FIELD_SECTION_SIZE] = self._field_section_bytes_max
        del settings[Setting.ENABLE_CONNECT_PROTOCOL]
        return settings

    def _check_content_length(self, stream: H3Stream) -> None:
        if stream.stream_id in self._may_be_empty and stream.content_length == 0:
            return
        super()._check_content_length(stream)

    def may_be_empty(self, stream_id: int) -> None:
        """Accept a response without content, whatever its content-length.

        Call this for HEAD and conditional requests: the length tells of another response
        then (RFC 9110 section 8.6), for which aioquic would close the connection.
        """
        self._may_be_empty.add(stream_id)

    def buffered_bytes(self, stream_id: int) -> int:
        """Return how much of an unfinished frame is kept for a stream.

        aioquic waits for the end of every HEADERS, SETTINGS and PUSH_PROMISE frame,
        however long it says it is.
        """
        stream = self._stream.get(stream_id)
        return 0 if stream is None else len(stream.buffer)
