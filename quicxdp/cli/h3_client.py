"""HTTP/3 requests over one connection, for `quicxdp fetch`.

The server may be hostile.  What it can make us keep is bounded: header sections by
`FIELD_SECTION_BYTES_MAX`, bodies by a receive window that follows what the reader has
taken, interim responses by their number.  Everything else it can do ends in a
`CommandError` that says what it did.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import ErrorCode
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic import events

from quicxdp import aioquic_shim_streams as shim
from quicxdp.aioquic_shim_streams import BoundedH3Connection

from .endings import error_name, explain
from .exits import CommandError, FetchExit
from .stream_pump import LOW_WATER_BYTES, StreamPump

if TYPE_CHECKING:
    from aioquic.asyncio.protocol import QuicStreamHandler
    from aioquic.h3.events import H3Event, Headers
    from aioquic.quic.connection import QuicConnection

    from .body import Body, BodyError

FIELD_SECTION_BYTES_MAX = 64 * 1024
WINDOW_BYTES = 8 * 1024 * 1024
_BUFFERED_BYTES_MAX = FIELD_SECTION_BYTES_MAX + 16
_INTERIM_CNT_MAX = 32
_INTERIM_STATUS = 200
# Credit is given in halves of the window.  A reader that frees so much wakes the sender,
# in smaller steps, since a peer may stop somewhat before the end of its credit.
_CREDIT_STEP_BYTES = WINDOW_BYTES // 8

_BROKEN = (FetchExit.HTTP3_ERROR, FetchExit.RECEIVE_ERROR)


@dataclass(slots=True)
class Response:
    """One response; the reader awaits `head`, then `read` until it returns nothing."""

    stream_id: int
    head: asyncio.Future[Headers]
    interim: list[Headers] = field(default_factory=list)
    trailers: Headers | None = None
    first_byte_s: float | None = None
    received_bytes: int = 0
    held_bytes: int = 0
    is_ended: bool = False
    error: CommandError | None = None
    chunks: deque[bytes] = field(default_factory=deque)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class H3ClientProtocol(QuicConnectionProtocol):
    """One connection to a server."""

    def __init__(
        self, quic: QuicConnection, stream_handler: QuicStreamHandler | None = None
    ) -> None:
        super().__init__(quic, stream_handler)
        shim.bound_receive_windows(quic, WINDOW_BYTES, self._held_bytes)
        self._h3: BoundedH3Connection | None = None
        self._responses: dict[int, Response] = {}
        self._failure: CommandError | None = None
        self._is_ready = False
        self._changed = asyncio.Event()
        self._pump = StreamPump(
            self, lambda function: self._loop.run_in_executor(None, function)
        )
        self.datagram_transport: asyncio.BaseTransport | None = None

    # ---- requests ----------------------------------------------------------------------

    @property
    def failure(self) -> CommandError | None:
        """Why the connection is of no use any more, if so."""
        return self._failure

    async def ready(self) -> None:
        """Wait for the end of the handshake.

        Raises:
            CommandError: it failed; unlike `wait_connected`, at once and with the reason.
        """
        while not self._is_ready and self._failure is None:
            self._changed.clear()
            await self._changed.wait()
        if self._failure is not None:
            raise self._failure

    def send_request(
        self, headers: Headers, body: Body | None, *, may_be_empty: bool
    ) -> Response:
        """Send a request; *body*, if any, is the connection's from here on."""
        if self._failure is not None or self._h3 is None:
            raise self._failure or CommandError(
                'the server does not speak HTTP/3 (no ALPN "h3")', FetchExit.HTTP3_ERROR
            )
        stream_id = self._quic.get_next_available_stream_id()
        if may_be_empty:
            self._h3.may_be_empty(stream_id)
        response = Response(stream_id, self._loop.create_future())
        self._responses[stream_id] = response
        has_body = body is not None and body.remaining_bytes > 0
        self._h3.send_headers(stream_id, headers, end_stream=not has_body)
        if body is not None and has_body:
            self._pump.add(stream_id, body)
        elif body is not None:
            body.close()
        self.transmit()
        return response

    async def read(self, response: Response) -> bytes:
        """Return what of the body has arrived; nothing at its end.

        Raises:
            CommandError: the body broke off.
        """
        while not response.chunks and not response.is_ended and response.error is None:
            response.changed.clear()
            await response.changed.wait()
        if response.chunks:
            data = b"".join(response.chunks)
            response.chunks.clear()
            return data
        if response.error is not None:
            raise response.error
        return b""

    def used(self, response: Response, used_bytes: int) -> None:
        """Take note that the reader is done with bytes: the server may send as many."""
        before = response.held_bytes // _CREDIT_STEP_BYTES
        response.held_bytes -= used_bytes
        shim.credit(self._quic, response.stream_id, used_bytes)
        if response.held_bytes // _CREDIT_STEP_BYTES < before:
            self.transmit()

    def keep_alive(self) -> None:
        """Show that we are there while the reader takes its time."""
        if self._failure is None:
            self._quic.send_ping(uid=0)
            self.transmit()

    def finish(self, response: Response) -> None:
        """Forget a response; cancel it if it has not ended (RFC 9114 section 4.1.1)."""
        self._responses.pop(response.stream_id, None)
        self._pump.drop(response.stream_id)
        shim.credit(self._quic, response.stream_id, response.held_bytes)
        if response.is_ended or self._failure is not None:
            return
        if shim.can_receive(self._quic, response.stream_id):
            self._quic.stop_stream(response.stream_id, ErrorCode.H3_REQUEST_CANCELLED)
        if shim.can_send(self._quic, response.stream_id):
            self._quic.reset_stream(response.stream_id, ErrorCode.H3_REQUEST_CANCELLED)
        self.transmit()

    # ---- aioquic's protocol ------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport, which knows the lane."""
        super().connection_made(transport)
        self.datagram_transport = transport

    def connection_failed(self, error: Exception) -> None:
        """Go no further: bytes of the server have led us where we should not be."""
        self._fail(
            CommandError(
                f"a packet of the server could not be handled: {error!r}",
                FetchExit.RECEIVE_ERROR,
            )
        )

    async def wait_closed(self) -> None:
        """Return at once: a command that ends need not wait out the closing period.

        RFC 9000 section 10.2.1 wants it to answer late packets with the close again; the
        server that misses this one waits for its idle timeout.
        """

    def transmit(self) -> None:
        """Top up send buffers, send datagrams, and notice when we are closing."""
        self._pump.fill()
        super().transmit()
        if self._pump.wants_turn():
            self._transmit_soon()
        if self._failure is None and (ending := shim.ending(self._quic)) is not None:
            self._fail(explain(ending))

    def quic_event_received(self, event: events.QuicEvent) -> None:
        """Turn one event of the connection into parts of responses."""
        if isinstance(event, events.ProtocolNegotiated):
            self._h3 = BoundedH3Connection(
                self._quic, field_section_bytes_max=FIELD_SECTION_BYTES_MAX
            )
        elif isinstance(event, events.HandshakeCompleted):
            self._is_ready = True
            self._changed.set()
        if self._h3 is None or self._failure is not None:
            return
        if isinstance(event, events.StreamDataReceived):
            self._stream_data_received(event, self._h3)
            return
        self._h3.handle_event(event)
        if isinstance(event, events.StreamReset):
            self._broken_off(event)
        elif isinstance(event, events.StopSendingReceived):
            # The server has its answer and needs no more of the request.
            self._pump.drop(event.stream_id)

    def _stream_data_received(
        self, event: events.StreamDataReceived, h3: BoundedH3Connection
    ) -> None:
        before_bytes = self._held_bytes(event.stream_id)
        for h3_event in h3.handle_event(event):
            self._h3_event_received(h3_event)
        held_bytes = self._held_bytes(event.stream_id) - before_bytes
        shim.credit(self._quic, event.stream_id, len(event.data) - held_bytes)
        self._check_buffered(event.stream_id)

    def _h3_event_received(self, event: H3Event) -> None:
        if not isinstance(event, HeadersReceived | DataReceived):
            return
        response = self._responses.get(event.stream_id)
        if response is None or response.error is not None:
            return
        if response.first_byte_s is None:
            # Not the loop's clock: uvloop's counts whole milliseconds.
            response.first_byte_s = time.monotonic()
        if isinstance(event, HeadersReceived):
            self._headers_received(response, event.headers)
        elif event.data:
            response.chunks.append(event.data)
            response.held_bytes += len(event.data)
            response.received_bytes += len(event.data)
        if event.stream_ended:
            response.is_ended = True
            if not response.head.done():
                self._fail_response(response, "ended its answer before it had begun")
        response.changed.set()

    def _headers_received(self, response: Response, headers: Headers) -> None:
        if response.head.done():
            response.trailers = headers
        elif int(dict(headers)[b":status"]) >= _INTERIM_STATUS:
            response.head.set_result(headers)
        elif len(response.interim) < _INTERIM_CNT_MAX:
            response.interim.append(headers)
        else:
            self._fail_response(response, "sent interim responses without end")

    def _check_buffered(self, stream_id: int) -> None:
        assert self._h3 is not None  # noqa: S101  (the caller has it)
        if self._h3.buffered_bytes(stream_id) <= _BUFFERED_BYTES_MAX:
            return
        failure = CommandError(
            f"the server sent a header section of more than {FIELD_SECTION_BYTES_MAX} "
            f"bytes",
            FetchExit.HTTP3_ERROR,
        )
        self._quic.close(error_code=ErrorCode.H3_EXCESSIVE_LOAD, reason_phrase="headers")
        self._fail(failure)

    def _broken_off(self, event: events.StreamReset) -> None:
        if (response := self._responses.get(event.stream_id)) is None:
            return
        name = error_name(event.error_code, is_http=True)
        self._fail_response(response, f"reset the stream with {name}")

    def _fail_response(self, response: Response, what: str) -> None:
        code = FetchExit.PARTIAL if response.received_bytes else FetchExit.HTTP3_ERROR
        after = (
            f" after {response.received_bytes} bytes" if response.received_bytes else ""
        )
        self._set_error(response, CommandError(f"the server {what}{after}", code))

    def _fail(self, failure: CommandError) -> None:
        if self._failure is not None:
            return
        self._failure = failure
        self._changed.set()
        self._pump.drop_all()
        for response in self._responses.values():
            if response.is_ended:
                continue
            if response.received_bytes and failure.exit_code in _BROKEN:
                after = f"{failure}, after {response.received_bytes} bytes"
                self._set_error(response, CommandError(after, FetchExit.PARTIAL))
            else:
                self._set_error(response, failure)

    @staticmethod
    def _set_error(response: Response, error: CommandError) -> None:
        response.error = response.error or error
        if not response.head.done():
            response.head.set_exception(error)
            # Whoever gave up waiting does not want to hear of it.
            response.head.exception()
        response.changed.set()

    def _held_bytes(self, stream_id: int) -> int:
        response = self._responses.get(stream_id)
        return 0 if response is None else response.held_bytes

    # ---- what the pump calls -----------------------------------------------------------

    def send(self, stream_id: int, data: bytes, *, end: bool) -> None:
        """Append to a request."""
        if self._h3 is not None and shim.can_send(self._quic, stream_id):
            self._h3.send_data(stream_id, data, end_stream=end)
            if not end:
                shim.expect_turn(self._quic, stream_id, LOW_WATER_BYTES)

    def unsent_bytes(self, stream_id: int) -> int:
        """Say how far a request's buffer is ahead of what has been sent."""
        return shim.unsent_bytes(self._quic, stream_id)

    def unacknowledged_bytes(self, stream_id: int) -> int:
        """Say how much a request's buffer holds."""
        return shim.unacknowledged_bytes(self._quic, stream_id)

    def body_sent(self, stream_id: int) -> None:
        """Nothing to do: the answer comes when it comes."""

    def body_failed(self, stream_id: int, error: BodyError) -> None:
        """Break the request off."""
        self._quic.reset_stream(stream_id, ErrorCode.H3_INTERNAL_ERROR)
        if (response := self._responses.get(stream_id)) is not None:
            self._set_error(
                response, CommandError(f"upload: {error}", FetchExit.READ_ERROR)
            )
