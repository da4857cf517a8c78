"""One QUIC connection under an application: HTTP/3's events to exchanges and back."""

from __future__ import annotations

import asyncio
import logging
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic import events as quic_events

from quicxdp import aioquic_shim_streams as shim
from quicxdp import h3
from quicxdp.connection import FastConnection
from quicxdp.h3 import ErrorCode

from .exchange import Exchange
from .party import run
from .scope import (
    HTTP_EXTENSIONS,
    WEBSOCKET_EXTENSIONS,
    Origin,
    http_scope,
    session_scope,
)
from .tls_extension import tls_extension
from .websocket import WebSocket, subprotocols

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from aioquic.asyncio.protocol import QuicStreamHandler
    from aioquic.quic.connection import QuicConnection

    from .hub import Hub
    from .party import Party
    from .types import Scope

logger = logging.getLogger(__name__)

# WebSocket is offered where wsproto is there to speak it.
H3_CONFIG: Final = h3.H3Config(connect_protocol=find_spec("wsproto") is not None)
# What a client may send ahead of an application that does not read.
STREAM_WINDOW_BYTES: Final = 256 * 1024
# Sent and not acknowledged: more than 1 Gbit/s around the world has under way.
_UNACKNOWLEDGED_BYTES_MAX: Final = 32 * 1024 * 1024
# A writer that waits is looked after when so much more was acknowledged.
_TURN_BYTES: Final = 64 * 1024
_BUSY: Final = 503
_UNKNOWN: Final = 501


def _lazy_task(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(coroutine)


def _eager_task(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    # An application that answers without waiting is done when this returns.
    make: Any = asyncio.Task
    loop = asyncio.get_running_loop()
    return cast("asyncio.Task[None]", make(coroutine, loop=loop, eager_start=True))


_new_task: Final = _eager_task if sys.version_info >= (3, 12) else _lazy_task


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
        self._h3: h3.Connection | None = None
        self._origin: Origin | None = None
        self._extensions: dict[str, dict[str, Any]] = {}
        self._parties: dict[int, Party] = {}
        self._waiting: dict[int, tuple[asyncio.Future[None], int]] = {}
        self._credit: Callable[[int, int], object]
        # aioquic's windows go by what is held; see bound_receive_windows.
        self._counts_held = not isinstance(quic, FastConnection)
        self._held_bytes: dict[int, int] = {}
        self._credit = (
            quic.consumed if isinstance(quic, FastConnection) else self._let_go_of
        )
        shim.bound_receive_windows(quic, STREAM_WINDOW_BYTES, self._held)
        hub.connections.add(self)
        hub.counts.connections += 1

    def _held(self, stream_id: int) -> int:
        return self._held_bytes.get(stream_id, 0)

    def _let_go_of(self, stream_id: int, size_bytes: int) -> None:
        if (left := self._held(stream_id) - size_bytes) > 0:
            self._held_bytes[stream_id] = left
        else:
            self._held_bytes.pop(stream_id, None)

    # Draining

    @property
    def is_idle(self) -> bool:
        """Whether nothing asked for is still on its way."""
        return not (self._parties or shim.has_undelivered_responses(self._quic))

    def begin_drain(self) -> None:
        """Tell the client to send no more requests; those under way are answered."""
        if self._h3 is not None:
            self._h3.send_goaway()
            self.transmit()

    def cancel(self) -> list[asyncio.Task[None]]:
        """End the applications that have not ended by themselves; return their tasks."""
        tasks = [
            party.task
            for party in self._parties.values()
            if party.task is not None and not party.task.done()
        ]
        for task in tasks:
            task.cancel()
        return tasks

    # aioquic's protocol

    def transmit(self) -> None:
        """Tell parties what has happened, send, let writers go on that have room."""
        if self._h3 is not None:
            for event in self._h3.take_events():
                if (handler := self._handlers.get(type(event))) is not None:
                    handler(self, event)
        super().transmit()
        if self._waiting:
            self._let_go()
        if self._hub.is_draining and self.is_idle:
            self._hub.idle_changed.set()

    def quic_event_received(self, event: quic_events.QuicEvent) -> None:
        """Hand an event of the connection to HTTP/3."""
        if self._h3 is None:
            if isinstance(event, quic_events.ProtocolNegotiated):
                self._h3 = h3.Connection(
                    self._quic, is_client=False, config=H3_CONFIG, credit=self._credit
                )
                shim.deliver_to(self._quic, self._h3)
                if self._hub.is_draining:
                    # It was on its way here when the others were told.
                    self._h3.send_goaway()
        else:
            # Of aioquic's engine; the one in C delivers without events.
            if self._counts_held and isinstance(event, quic_events.StreamDataReceived):
                held_bytes = self._held(event.stream_id) + len(event.data)
                self._held_bytes[event.stream_id] = held_bytes
            shim.forward(event, self._h3)
        if isinstance(event, quic_events.ConnectionTerminated):
            self._over()

    def _over(self) -> None:
        self._h3 = None
        for stream_id in tuple(self._parties):
            self._client_gone(stream_id)
        self._let_go()
        self._hub.connections.discard(self)
        self._hub.idle_changed.set()

    # What HTTP/3 tells

    def _request_received(self, event: h3.RequestReceived) -> None:
        hub = self._hub
        hub.counts.requests += 1
        origin = self._origin or self._find_origin()
        if event.method == b"CONNECT" and event.protocol != b"websocket":
            self._refuse(event, _UNKNOWN, "This server opens no tunnels of that kind.")
            return
        if hub.is_busy:
            hub.counts.refused_busy += 1
            self._refuse(event, _BUSY, "The server is busy; try again.")
            return
        hub.active_cnt += 1
        if event.protocol:
            self._open_websocket(event, origin)
            return
        exchange = self._new_exchange(event, http_scope(event, origin, self._extensions))
        exchange.task = _new_task(run(exchange, hub.app, self._finished))

    def _open_websocket(self, event: h3.RequestReceived, origin: Origin) -> None:
        self._hub.counts.websockets += 1
        scope = session_scope(
            "websocket", event, origin, origin.extensions(WEBSOCKET_EXTENSIONS)
        )
        scope["scheme"] = "wss"
        scope["subprotocols"] = subprotocols(event.fields)
        socket = WebSocket(self, event.stream_id, scope, started_s=self._hub.clock())
        self._parties[event.stream_id] = socket
        socket.task = _new_task(run(socket, self._hub.app, self._finished))

    def _refuse(self, event: h3.RequestReceived, status: int, sentence: str) -> None:
        assert self._origin is not None  # noqa: S101  (callers have found it)
        scope = http_scope(event, self._origin, {})
        exchange = self._new_exchange(event, scope)
        exchange.refuse(status, sentence)
        self._account(exchange)
        del self._parties[event.stream_id]

    def _new_exchange(self, event: h3.RequestReceived, scope: Scope) -> Exchange:
        exchange = Exchange(self, event.stream_id, scope, started_s=self._hub.clock())
        self._parties[event.stream_id] = exchange
        if event.ended:
            exchange.input_ended()
        return exchange

    def _find_origin(self) -> Origin:
        quic: Any = self._quic
        assert self._transport is not None  # noqa: S101  (a request came by it)
        peer = quic.get_peer_address()
        server = self._transport.get_extra_info("sockname")
        self._origin = Origin(
            client=None if peer is None else (peer[0], peer[1]),
            server=(server[0], server[1]),
            root_path=self._hub.root_path,
            state=self._hub.state,
            tls=tls_extension(self._quic),
        )
        self._extensions = self._origin.extensions(HTTP_EXTENSIONS)
        return self._origin

    def _data_received(self, event: h3.DataReceived) -> None:
        party = self._parties.get(event.stream_id)
        if party is None:
            self._credit(event.stream_id, len(event.data))
            return
        if event.data:
            party.data_received(event.data)
        if event.ended:
            party.input_ended()

    def _trailers_received(self, event: h3.TrailersReceived) -> None:
        # ASGI has no word for them.
        if event.ended and (party := self._parties.get(event.stream_id)) is not None:
            party.input_ended()

    def _stream_reset(self, event: h3.StreamReset) -> None:
        # The request stays incomplete; without it there is no answer either.
        if event.stream_id in self._parties and self._h3 is not None:
            self._h3.reset(event.stream_id, ErrorCode.H3_REQUEST_INCOMPLETE)
            self._client_gone(event.stream_id)

    def _sending_stopped(self, event: h3.SendingStopped) -> None:
        if event.stream_id in self._parties and self._h3 is not None:
            self._h3.stop(event.stream_id, ErrorCode.H3_REQUEST_CANCELLED)
            self._client_gone(event.stream_id)

    def _message_failed(self, event: h3.MessageFailed) -> None:
        logger.debug("stream %d: %s", event.stream_id, event.reason)
        self._client_gone(event.stream_id)

    def _request_refused(self, event: h3.RequestRefused) -> None:
        logger.debug("stream %d: %s", event.stream_id, event.reason)
        self._hub.counts.requests += 1
        self._hub.counts.responded("3", event.status)

    def _failed(self, event: h3.ConnectionFailed) -> None:
        logger.debug("the peer broke the protocol: %s", event.reason)
        for stream_id in tuple(self._parties):
            self._client_gone(stream_id)

    def _client_gone(self, stream_id: int) -> None:
        if (party := self._parties.get(stream_id)) is None:
            return
        if party.task is not None and not party.task.done():
            self._hub.counts.disconnects += 1
        party.disconnected()
        if waiting := self._waiting.pop(stream_id, None):
            _wake(waiting[0])

    # What exchanges call

    def respond(
        self, stream_id: int, status: int, fields: h3.Fields, data: bytes, *, end: bool
    ) -> None:
        """Send a head and the first content."""
        if self._h3 is not None:
            self._h3.send_response(stream_id, status, fields, data, end=end)
            self._transmit_soon()

    def send_interim(self, stream_id: int, status: int, fields: h3.Fields) -> None:
        """Send a 1xx response."""
        if self._h3 is not None:
            self._h3.send_interim(stream_id, status, fields)
            self._transmit_soon()

    def send_data(self, stream_id: int, data: bytes, *, end: bool) -> None:
        """Send more content."""
        if self._h3 is not None:
            self._h3.send_data(stream_id, data, end=end)
            self._transmit_soon()

    def send_trailers(self, stream_id: int, fields: h3.Fields) -> None:
        """Send fields behind the content, and the end."""
        if self._h3 is not None:
            self._h3.send_trailers(stream_id, fields)
            self._transmit_soon()

    def reset(self, stream_id: int, error_code: int) -> None:
        """Break our half of a stream off."""
        if self._h3 is not None:
            self._h3.reset(stream_id, error_code)
            self._transmit_soon()

    def stop(self, stream_id: int, error_code: int) -> None:
        """Want no more of the client's half of a stream."""
        if self._h3 is not None:
            self._h3.stop(stream_id, error_code)
            self._transmit_soon()

    def consumed(self, stream_id: int, size_bytes: int) -> None:
        """Give the client credit."""
        self._credit(stream_id, size_bytes)
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

    def response_fields(self) -> h3.Fields:
        """Return what every response has."""
        return self._hub.response_fields()

    # What comes of them

    def _finished(self, party: Party) -> None:
        hub = self._hub
        hub.active_cnt -= 1
        del self._parties[party.stream_id]
        self._account(party)
        if hub.is_draining and self.is_idle:
            hub.idle_changed.set()

    def _account(self, party: Party) -> None:
        hub = self._hub
        counts = hub.counts
        counts.responded("3", party.status)
        counts.request_bytes += party.received_bytes
        counts.response_bytes += party.sent_bytes
        counts.request_seconds += hub.clock() - party.started_s
        if hub.access is not None:
            hub.access.write(
                party.scope,
                status=party.status,
                sent_bytes=party.sent_bytes,
                received_bytes=party.received_bytes,
                started_s=party.started_s,
                outcome="aborted" if party.is_gone else party.outcome,
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

    _handlers: ClassVar[Mapping[type, Callable[[AsgiProtocol, Any], None]]] = {
        h3.RequestReceived: _request_received,
        h3.DataReceived: _data_received,
        h3.TrailersReceived: _trailers_received,
        h3.StreamReset: _stream_reset,
        h3.SendingStopped: _sending_stopped,
        h3.MessageFailed: _message_failed,
        h3.RequestRefused: _request_refused,
        h3.ConnectionFailed: _failed,
    }


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
