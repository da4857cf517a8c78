# ruff: noqa: SLF001  (reaching into aioquic is what this module is for)
"""asyncio streams with back-pressure, over a connection of the engine in C.

aioquic's streams never say "enough": `StreamWriter.drain()` returns at once, and a
`StreamReader` that nobody reads takes what comes.  Here

  - `drain()` waits while more than a few windows wait to be sent;
  - a reader that is full stops the peer: it gets credit only for what was taken up.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Any, Final, cast

from aioquic.asyncio.protocol import QuicConnectionProtocol, QuicStreamAdapter

from .connection import FastConnection
from .errors import StreamEndedError

# A writer is stopped when so much waits to be sent, and goes on when so much less is
# unacknowledged than the window and this together: the sender must not run dry.
HIGH_BYTES: Final = 256 * 1024
LOW_BYTES: Final = 64 * 1024


class StreamTransport(QuicStreamAdapter):
    """What a stream's writer writes to and its reader pauses."""

    def __init__(
        self,
        protocol: QuicConnectionProtocol,
        stream_id: int,
        flow: asyncio.StreamReaderProtocol,
        paused: dict[int, StreamTransport],
    ) -> None:
        """Make one of *protocol*; it is in *paused* while its writer has to wait."""
        super().__init__(protocol, stream_id)
        self._paused = paused
        self._connection = cast("FastConnection", protocol._quic)
        self._flow = flow
        self._is_reading_paused = False
        self._unread_bytes = 0

    # Writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data; `drain` of the writer waits if much is waiting by then."""
        super().write(data)
        connection = self._connection
        if (
            self.stream_id in self._paused
            or connection.stream_send_buffered(self.stream_id) <= HIGH_BYTES
        ):
            return
        low_bytes = connection.get_stats().cwnd_bytes + LOW_BYTES
        if connection.notify_drained(self.stream_id, low_bytes):
            self._paused[self.stream_id] = self
            self._flow.pause_writing()

    def write_eof(self) -> None:
        """End the stream; of no effect when it, or the connection, has ended.

        A writer that is collected closes its transport, perhaps after the event loop.
        """
        if self._connection.conn.closed:
            self._closing = True
            return
        # The peer may have stopped it.
        with contextlib.suppress(StreamEndedError):
            super().write_eof()

    def drained(self) -> None:
        """Let the writer go on."""
        self._flow.resume_writing()

    # Reading

    def received(self, size_bytes: int) -> None:
        """Take note that the reader was fed."""
        if self._is_reading_paused:
            self._unread_bytes += size_bytes
        else:
            self._connection.consumed(self.stream_id, size_bytes)

    def pause_reading(self) -> None:
        """Give the peer no more credit; called by the reader when it is full."""
        self._is_reading_paused = True

    def resume_reading(self) -> None:
        """Give it credit for what has been read; called by the reader."""
        self._is_reading_paused = False
        size_bytes, self._unread_bytes = self._unread_bytes, 0
        self._connection.consumed(self.stream_id, size_bytes)
        self.protocol._transmit_soon()


class CreditReader(asyncio.StreamReader):
    """A StreamReader that tells its transport how much it was fed."""

    transport: StreamTransport

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # as asyncio's
        """Take data, and perhaps pause the transport."""
        super().feed_data(data)
        self.transport.received(len(data))


def _create_stream(
    protocol: QuicConnectionProtocol, paused: dict[int, StreamTransport], stream_id: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    # aioquic's method of that name, with our reader and transport.
    reader = CreditReader()
    flow = asyncio.StreamReaderProtocol(reader)
    reader.transport = StreamTransport(protocol, stream_id, flow, paused)
    reader.set_transport(reader.transport)
    writer = asyncio.StreamWriter(reader.transport, flow, reader, protocol._loop)
    protocol._stream_readers[stream_id] = reader
    return reader, writer


def use_backpressure(protocol: QuicConnectionProtocol) -> bool:
    """Give *protocol*'s streams back-pressure, if its connection is the engine's.

    Only if the protocol leaves streams to aioquic: one that handles stream data itself
    gives credit itself, or takes it as it comes.

    Returns:
        Whether it did.
    """
    cls, base = type(protocol), QuicConnectionProtocol
    connection: Any = protocol._quic
    if (
        not isinstance(connection, FastConnection)
        or cls.quic_event_received is not base.quic_event_received
        or cls._create_stream is not base._create_stream
    ):
        return False
    paused: dict[int, StreamTransport] = {}

    def drained(stream_id: int) -> None:
        if (transport := paused.pop(stream_id, None)) is not None:
            transport.drained()

    connection.set_drained_handler(drained)
    connection.set_manual_consumption(manual=True)
    vars(protocol)["_create_stream"] = partial(_create_stream, protocol, paused)
    return True
