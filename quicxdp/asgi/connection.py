"""One QUIC connection under an application: from HTTP/3 events to exchanges and back."""

from __future__ import annotations

import asyncio
import logging
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import ErrorCode
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic import events

from quicxdp import aioquic_shim_streams as shim
from quicxdp.aioquic_shim_streams import BoundedH3Connection

from .exchange import Exchange
from .scope import (
    HTTP_EXTENSIONS,
    BadRequestError,
    Origin,
    http_scope,
    read_head_untrusted,
)
from .tls_extension import tls_extension

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from aioquic.asyncio.protocol import QuicStreamHandler
    from aioquic.quic.connection import QuicConnection

    from .hub import Hub
    from .scope import Field
    from .types import Scope

logger = logging.getLogger(__name__)

# Encoded and decoded size of a request's header section: twice what nginx allows.
FIELD_SECTION_BYTES_MAX: Final = 16 * 1024
# What a client may send ahead of an application that does not read.
STREAM_WINDOW_BYTES: Final = 256 * 1024
# Sent and not acknowledged: more than 1 Gbit/s around the world has under way.
_UNACKNOWLEDGED_BYTES_MAX: Final = 32 * 1024 * 1024
# A writer that waits is looked after when so much more was acknowledged.
_TURN_BYTES: Final = 64 * 1024
_FIELD_OVERHEAD_BYTES: Final = 32  # RFC 9114 section 4.2.2


def _lazy_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]
) -> asyncio.Task[None]:
    return loop.create_task(coroutine)


def _eager_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]
) -> asyncio.Task[None]:
    # An application that answers without waiting is done when this returns.
    return asyncio.Task(coroutine, loop=loop, eager_start=True)  # type: ignore[call-arg]


_new_task: Final[
    Callable[[asyncio.AbstractEventLoop, Coroutine[Any, Any, None]], asyncio.Task[None]]
] = _eager_task if sys.version_info >= (3, 12) else _lazy_task


class AsgiProtocol(QuicConnectionProtocol):
    """The requests of one connection."""

    def __init__(
        self,
        quic: QuicConnection,
        stream_handler: QuicStreamHandler | None = None,
        *,
        hub: Hub,
    ) -> None:
        super().__init__(quic, stream_handler)
        self._hub = hub
        self._h3: BoundedH3Connection | None = None
        self._origin: Origin | None = None
        self._exchanges: dict[int, Exchange] = {}
        self._held_bytes: dict[int, int] = {}
        self._waiting: dict[int, tuple[asyncio.Future[None], int]] = {}
        self._next_stream_id = 0
        self._in_turn = False
        self.running_cnt = 0
        shim.bound_receive_windows(
            quic,
            STREAM_WINDOW_BYTES,
            lambda stream_id: self._held_bytes.get(stream_id, 0),
        )
        hub.connections.add(self)
        hub.counts.connections += 1

    # Draining

    @property
    def is_idle(self) -> bool:
        """Whether nothing asked for is still on its way."""
        return not (self.running_cnt or shim.has_undelivered_responses(self._quic))

    def begin_drain(self) -> None:
        """Tell the client to send no more requests; those under way are answered."""
        if self._h3 is not None and not self._h3.is_dead:
            self._h3.send_goaway(self._next_stream_id)
            self.transmit()

    def cancel(self) -> list[asyncio.Task[None]]:
        """End the applications that have not ended by themselves; return their tasks."""
        tasks = [
            exchange.task
            for exchange in self._exchanges.values()
            if exchange.task is not None and not exchange.task.done()
        ]
        for task in tasks:
            task.cancel()
        return tasks

    # aioquic's protocol

    def transmit(self) -> None:
        """Build and send datagrams; let writers go on for which there is room."""
        super().transmit()
        if self._waiting:
            self._let_go()
        if self._hub.is_draining and self.is_idle:
            self._hub.idle_changed.set()

    def quic_event_received(self, event: events.QuicEvent) -> None:
        """Turn one event of the connection into what its exchange is told."""
        if isinstance(event, events.StreamDataReceived):
            self._stream_data_received(event)
        elif isinstance(event, events.ProtocolNegotiated):
            self._h3 = BoundedH3Connection(
                self._quic, field_section_bytes_max=FIELD_SECTION_BYTES_MAX
            )
        elif isinstance(event, events.ConnectionTerminated):
            self._terminated()
        elif self._h3 is not None:
            self._h3.handle_event(event)
            if isinstance(event, events.StopSendingReceived):
                self._output_refused(event.stream_id)
            elif isinstance(event, events.StreamReset):
                self._input_broken(event.stream_id)

    def _stream_data_received(self, event: events.StreamDataReceived) -> None:
        if self._h3 is None:
            return
        held_bytes = self._held_bytes.get(event.stream_id, 0)
        self._held_bytes[event.stream_id] = held_bytes + len(event.data)
        content_bytes = 0
        for h3_event in self._h3.handle_event(event):
            content_bytes += self._h3_event_received(h3_event)
        # What is not content was used up by now.
        self.consumed(event.stream_id, len(event.data) - content_bytes)
        if event.end_stream and (exchange := self._exchanges.get(event.stream_id)):
            exchange.input_ended()
            self._settle(exchange)

    def _h3_event_received(self, event: H3Event) -> int:
        """Handle an event; return how much content it has handed on."""
        if isinstance(event, HeadersReceived):
            # A second section on a stream is trailers, which ASGI has no word for.
            if event.stream_id not in self._exchanges:
                self._request_received(event.stream_id, event.headers)
        elif isinstance(event, DataReceived):
            exchange = self._exchanges.get(event.stream_id)
            if exchange is not None:
                exchange.data_received(event.data)
                return len(event.data)
        return 0

    def _terminated(self) -> None:
        self._h3 = None
        for exchange in tuple(self._exchanges.values()):
            self._client_gone(exchange)
            exchange.input_ended()
            self._settle(exchange)
        self._let_go()
        self._held_bytes.clear()
        self._hub.connections.discard(self)
        self._hub.idle_changed.set()

    # Requests

    def _request_received(self, stream_id: int, headers: list[Field]) -> None:
        hub = self._hub
        self._next_stream_id = max(self._next_stream_id, stream_id + 4)
        if hub.is_draining:
            # Sent before the client saw GOAWAY; it may repeat it elsewhere (RFC 9114
            # section 4.1.1).
            self.reset(stream_id, ErrorCode.H3_REQUEST_REJECTED)
            return
        hub.counts.requests += 1
        try:
            if _section_bytes(headers) > FIELD_SECTION_BYTES_MAX:
                raise BadRequestError(  # noqa: TRY301
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"The fields are longer than {FIELD_SECTION_BYTES_MAX} bytes.",
                )
            head = read_head_untrusted(headers)
            if head.protocol is not None:
                raise BadRequestError(  # noqa: TRY301
                    HTTPStatus.NOT_IMPLEMENTED, "This server does not know the protocol."
                )
            if hub.is_busy:
                hub.counts.refused_busy += 1
                raise BadRequestError(  # noqa: TRY301
                    HTTPStatus.SERVICE_UNAVAILABLE, "The server is busy; try again."
                )
        except BadRequestError as bad:
            self._refuse(stream_id, headers, bad)
            return
        exchange = Exchange(
            self,
            stream_id,
            http_scope(head, self._origin or self._find_origin()),
            expects_continue=head.expects_continue,
            started_s=hub.clock(),
        )
        self._exchanges[stream_id] = exchange
        hub.active_cnt += 1
        self.running_cnt += 1
        exchange.task = _new_task(self._loop, exchange.run(hub.app))

    def _refuse(self, stream_id: int, headers: list[Field], bad: BadRequestError) -> None:
        pseudo = {name: value.decode("latin-1") for name, value in headers}
        scope: Scope = {
            "client": (self._origin or self._find_origin()).client,
            "method": pseudo.get(b":method", "-"),
            "path": pseudo.get(b":path", "-"),
            "raw_path": pseudo.get(b":path", "-").encode("latin-1"),
            "query_string": b"",
        }
        exchange = Exchange(
            self, stream_id, scope, expects_continue=False, started_s=self._hub.clock()
        )
        self._exchanges[stream_id] = exchange
        exchange.refuse(bad.status, bad.sentence)
        self._account(exchange)
        self._settle(exchange)

    def _find_origin(self) -> Origin:
        quic: Any = self._quic
        peer = quic.get_peer_address() if hasattr(quic, "get_peer_address") else None
        assert self._transport is not None  # noqa: S101  (a request came by it)
        server = self._transport.get_extra_info("sockname")[:2]
        extensions = {**HTTP_EXTENSIONS, "tls": tls_extension(self._quic)}
        self._origin = Origin(
            client=tuple(peer[:2]) if peer else None,
            server=tuple(server),
            root_path=self._hub.root_path,
            state=self._hub.state,
            extensions=extensions,
        )
        return self._origin

    def _output_refused(self, stream_id: int) -> None:
        if exchange := self._exchanges.get(stream_id):
            self._client_gone(exchange)

    def _input_broken(self, stream_id: int) -> None:
        if exchange := self._exchanges.get(stream_id):
            if not exchange.has_input_ended:
                # The request stays incomplete; without it there is no answer either.
                self.reset(stream_id, ErrorCode.H3_REQUEST_INCOMPLETE)
                self._client_gone(exchange)
                exchange.input_ended()
            self._settle(exchange)

    def _client_gone(self, exchange: Exchange) -> None:
        if exchange.task is not None and not exchange.task.done():
            self._hub.counts.disconnects += 1
        exchange.disconnected()
        if waiting := self._waiting.pop(exchange.stream_id, None):
            _wake(waiting[0])

    # What exchanges call

    def send_headers(
        self, stream_id: int, headers: list[Field], *, end: bool = False
    ) -> None:
        """Send a header section."""
        if self._h3 is not None and shim.can_send(self._quic, stream_id):
            self._h3.send_headers(stream_id, headers, end_stream=end)
            self._transmit_soon()

    def send_data(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Send content."""
        if self._h3 is not None and shim.can_send(self._quic, stream_id):
            self._h3.send_data(stream_id, data, end_stream=end)
            self._transmit_soon()

    def reset(self, stream_id: int, error_code: int) -> None:
        """Break our half of a stream off."""
        if shim.can_send(self._quic, stream_id):
            self._quic.reset_stream(stream_id, error_code)
            self._transmit_soon()

    def stop(self, stream_id: int, error_code: int) -> None:
        """Want no more of the client's half of a stream."""
        if shim.can_receive(self._quic, stream_id):
            self._quic.stop_stream(stream_id, error_code)
            self._transmit_soon()

    def consumed(self, stream_id: int, size_bytes: int) -> None:
        """Give the client credit."""
        if not size_bytes or stream_id not in self._held_bytes:
            return
        self._held_bytes[stream_id] -= size_bytes
        shim.credit(self._quic, stream_id, size_bytes)
        self._transmit_soon()

    async def drain(self, stream_id: int, ahead_bytes: int) -> None:
        """Wait until less than that is waiting to be sent, or the stream is over."""
        if not self._is_ahead(stream_id, ahead_bytes):
            return
        future = self._loop.create_future()
        self._waiting[stream_id] = (future, ahead_bytes)
        shim.expect_turn(self._quic, stream_id, _TURN_BYTES)
        self._transmit_soon()
        await future

    def _is_ahead(self, stream_id: int, ahead_bytes: int) -> bool:
        return shim.can_send(self._quic, stream_id) and (
            shim.unsent_bytes(self._quic, stream_id) >= ahead_bytes
            or shim.unacknowledged_bytes(self._quic, stream_id)
            >= _UNACKNOWLEDGED_BYTES_MAX
        )

    def _let_go(self) -> None:
        for stream_id, (future, ahead_bytes) in tuple(self._waiting.items()):
            if self._h3 is not None and self._is_ahead(stream_id, ahead_bytes):
                shim.expect_turn(self._quic, stream_id, _TURN_BYTES)
                continue
            del self._waiting[stream_id]
            _wake(future)

    def response_fields(self) -> Sequence[Field]:
        """Return what every response has."""
        return self._hub.response_fields()

    def finished(self, exchange: Exchange) -> None:
        """Account for an exchange whose application has returned."""
        self._hub.active_cnt -= 1
        self.running_cnt -= 1
        self._account(exchange)
        self._settle(exchange)
        if self._hub.is_draining and self.is_idle:
            self._hub.idle_changed.set()

    def _account(self, exchange: Exchange) -> None:
        hub = self._hub
        counts = hub.counts
        counts.responded("3", exchange.status)
        counts.request_bytes += exchange.received_bytes
        counts.response_bytes += exchange.sent_bytes
        counts.request_seconds += hub.clock() - exchange.started_s
        if hub.access is not None:
            hub.access.write(
                exchange.scope,
                status=exchange.status,
                sent_bytes=exchange.sent_bytes,
                received_bytes=exchange.received_bytes,
                started_s=exchange.started_s,
                outcome="aborted" if exchange.is_gone else exchange.outcome,
                path_facts=self._path_facts,
            )

    def _path_facts(self) -> dict[str, Any]:
        transport = self._transport
        info = None if transport is None else transport.get_extra_info("quicxdp")
        rtt_ns = shim.smoothed_rtt_ns(self._quic)
        return {
            "lane": None if info is None else info.io.value,
            "rtt_ms": None if rtt_ns is None else round(rtt_ns / 1e6, 3),
        }

    def _settle(self, exchange: Exchange) -> None:
        """Forget an exchange of which both halves have ended."""
        if exchange.is_over and exchange.has_input_ended:
            self._exchanges.pop(exchange.stream_id, None)
            self._held_bytes.pop(exchange.stream_id, None)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _section_bytes(headers: list[Field]) -> int:
    return sum(len(name) + len(value) + _FIELD_OVERHEAD_BYTES for name, value in headers)
