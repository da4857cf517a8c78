"""Collector: takes the frames that aioquic's `_write_application` writes.

aioquic's own loop runs with this in place of a packet builder; its streams and datagrams
are empty, so that control frames are all there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aioquic.buffer import Buffer  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aioquic.quic.packet_builder import QuicDeliveryHandler

    from .control import Handler

# The largest frame: CRYPTO frames are cut to it.  With header and tag it fits into the
# smallest datagram of QUIC, 1200 bytes.
FRAME_BYTES_MAX: Final = 1000
_BUFFER_BYTES: Final = 1200


class Frame:
    """One frame, and who wants to know what became of it."""

    __slots__ = ("_buffer", "handler", "type")

    def __init__(self, frame_type: int, buffer: Buffer, handler: Handler | None) -> None:
        self.type = frame_type
        self._buffer = buffer
        self.handler = handler

    @property
    def data(self) -> bytes:
        """The frame, as far as it has been written."""
        return self._buffer.data


class Collector:
    """The part of QuicPacketBuilder's interface that `_write_*_frame` use.

    Attributes:
        frames: what was written.
        packet_number: for aioquic's debug log.
        quic_logger_frames: the same frames for qlog.
    """

    remaining_flight_space = FRAME_BYTES_MAX
    remaining_buffer_space = FRAME_BYTES_MAX

    def __init__(self, packet_number: int) -> None:
        self.frames: list[Frame] = []
        self.packet_number = packet_number
        self.quic_logger_frames: list[dict[str, Any]] = []
        self._start = 0

    def start_packet(self, packet_type: object, crypto: object) -> None:  # noqa: ARG002
        """Begin another round of aioquic's loop."""
        self._start = len(self.frames)

    @property
    def packet_is_empty(self) -> bool:
        """Whether this round has written nothing."""
        return len(self.frames) == self._start

    def start_frame(
        self,
        frame_type: int,
        capacity: int = 1,  # noqa: ARG002  (every frame has the same room)
        handler: QuicDeliveryHandler | None = None,
        handler_args: Sequence[Any] = (),
    ) -> Buffer:
        """Return the buffer for a frame, its type written."""
        buffer = Buffer(capacity=_BUFFER_BYTES)
        buffer.push_uint_var(frame_type)
        wants = None if handler is None else (handler, handler_args)
        self.frames.append(Frame(frame_type, buffer, wants))
        return buffer
