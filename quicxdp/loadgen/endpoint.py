"""One UDP endpoint with many client connections in one engine.

`quicxdp.connect` makes an endpoint for each connection.  Here they share one, as a
server's do: datagrams find their connection by its ID, and what has arrived is handled in
one turn for all of them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import ssl
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    PingAcknowledged,
    QuicEvent,
)

from quicxdp import _native_engine as native
from quicxdp import aioquic_shim as shim
from quicxdp.connection import FastConnection
from quicxdp.endpoint import create_datagram_endpoint
from quicxdp.transport import DatagramTransport

from .failures import Failure, LoadError
from .messages import CONTROL_STREAM, AnswerError, Answers
from .plan import CIPHERS, Handshake

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aioquic.tls import SessionTicket

    from quicxdp.clock import Clock
    from quicxdp.engine import Engine, Event
    from quicxdp.engine_turn import EngineTurn
    from quicxdp.stats import LaneStats

    from .plan import Plan

CID_BYTES: Final = 8
# A receiver's window must not be what limits a server.
WINDOW_BYTES: Final = 16 << 20
# RFC 9000 section 17.2: first byte, version, length of the destination connection ID.
_LONG_HEADER: Final = 0x80
_LONG_CID_OFF: Final = 6
_SHORT_CID_OFF: Final = 1
_NOT_A_REQUEST: Final = 3  # bits of a stream ID: by the server, or unidirectional


class Load(Protocol):
    """Who makes the requests."""

    def connected(self, client: Client, event: HandshakeCompleted, /) -> None:
        """Learn that a connection may be used."""

    def ticket_came(self, client: Client, /) -> None:
        """Learn that there is one more session ticket."""

    def settled(self, client: Client, /) -> None:
        """Learn that the server has answered the PING of a connection."""

    def answered(self, client: Client, stream_id: int, body_bytes: int, /) -> None:
        """Learn that an answer is complete."""

    def failed(self, error: LoadError, /) -> None:
        """Learn that the run makes no sense any more."""


class LoadConnection(FastConnection):
    """A connection whose answers are read where the engine reports them."""

    def __init__(
        self,
        *,
        engine: Engine,
        configuration: QuicConfiguration,
        keep_ticket: Callable[[SessionTicket], None] | None,
    ) -> None:
        super().__init__(
            engine=engine,
            configuration=configuration,
            session_ticket_handler=keep_ticket,
        )
        self.client: Client

    def engine_event(self, event: Event) -> None:
        """Take an event of the engine."""
        if event[0] == native.EV_STREAM_DATA:
            # What the server opens (SETTINGS, QPACK's streams) changes nothing here.
            if not (event[2] & _NOT_A_REQUEST or self.conn.closed):
                self.client.stream_data(event[2], event[4], event[1] & native.FIN)
        else:
            super().engine_event(event)


class Client(QuicConnectionProtocol):
    """One connection.

    Attributes:
        connection: the same, below HTTP/3.
        cid: what the endpoint finds it by.
        under_way: when each request that has no answer yet was due, by its stream, in
            nanoseconds; the load's.
        due_ns: when the connection itself was; the load's.
        has_given_ticket: the server has sent a session ticket.
        is_spent: its one request is answered, if it has but one; the load's.
    """

    def __init__(self, connection: LoadConnection, endpoint: Endpoint) -> None:
        super().__init__(connection)
        connection.client = self
        self.connection = connection
        self.cid = connection.host_cid
        self.due_ns = 0
        self.has_given_ticket = False
        self.is_spent = False
        self.under_way: dict[int, int] = {}
        self._endpoint = endpoint
        self._answers = Answers(endpoint.known_answers)
        self._is_closing = False

    def stream_data(self, stream_id: int, data: bytes, fin: int) -> None:
        """Take a piece of an answer."""
        self._endpoint.stream_bytes += len(data)
        try:
            body_bytes = self._answers.feed(stream_id, data, ended=bool(fin))
        except AnswerError as error:
            text = f"stream {stream_id}: {error}"
            self._endpoint.load.failed(LoadError(text, Failure.ANSWER))
            return
        if body_bytes is not None:
            self._endpoint.load.answered(self, stream_id, body_bytes)

    def quic_event_received(self, event: QuicEvent) -> None:
        """Follow the connection's life."""
        if isinstance(event, HandshakeCompleted):
            control = self.connection.get_next_available_stream_id(is_unidirectional=True)
            self.connection.send_stream_data(control, CONTROL_STREAM)
            self._endpoint.load.connected(self, event)
        elif isinstance(event, PingAcknowledged):
            self._endpoint.load.settled(self)
        elif isinstance(event, ConnectionTerminated):
            self._endpoint.forget(self)
            if not self._is_closing:
                reason = event.reason_phrase or "no reason given"
                text = f"a connection ended: code {event.error_code:#x}, {reason}"
                self._endpoint.load.failed(LoadError(text, Failure.CLOSED))

    def leave(self) -> None:
        """Close the connection, as no error of the run."""
        self._is_closing = True
        self.close()


class Endpoint(asyncio.DatagramProtocol):
    """Where the connections are; made by `open`.

    Attributes:
        load: who hears of them.
        known_answers: see `Answers`.
        strays: datagrams that belong to no connection.
        stream_bytes: of answers, received so far.
        tickets: of the server, each for one connection.
    """

    load: Load

    def __init__(self, plan: Plan) -> None:
        self.known_answers: dict[bytes, int] = {}
        self.strays = 0
        self.stream_bytes = 0
        self.tickets: deque[SessionTicket] = deque()
        self._plan = plan
        self._clients: dict[bytes, Client] = {}
        self._heard_cnt = 0
        self._peer: Any = None
        self._turn: EngineTurn
        self._transport: DatagramTransport
        self._closed: asyncio.Future[None]

    @classmethod
    async def open(cls, plan: Plan) -> Self:
        """Open an endpoint for *plan*.

        Raises:
            quicxdp.QuicxdpError: the lane or the engine is not possible.
            OSError: there is no such host.
        """
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(plan.host, plan.port, type=socket.SOCK_DGRAM)
        family, _, _, _, peer = infos[0]
        local = "::" if family == socket.AF_INET6 else "0.0.0.0"  # noqa: S104
        self = cls(plan)
        self._closed = loop.create_future()
        self._peer = peer
        transport, _ = await create_datagram_endpoint(
            lambda: self,
            local_addr=(local, 0),
            io=plan.io,
            interface=plan.interfaces or None,
            dont_fragment=True,
        )
        if not isinstance(transport, DatagramTransport):
            transport.abort()
            raise LoadError(
                "the load generator needs the C extension; see quicxdp doctor"
            )
        self._transport = transport
        try:
            self._turn = transport.open_engine(CID_BYTES)
        except BaseException:
            transport.abort()
            raise
        return self

    def connect(self, *, ticket: SessionTicket | None = None) -> Client:
        """Begin a handshake; the load hears of its end.

        With a *ticket* for 0-RTT nothing is sent before `Client.transmit`.
        """
        configuration = QuicConfiguration(
            alpn_protocols=H3_ALPN,
            connection_id_length=CID_BYTES,
            max_data=WINDOW_BYTES,
            max_stream_data=WINDOW_BYTES,
            server_name=self._plan.name,
            verify_mode=ssl.CERT_NONE,
            congestion_control_algorithm=self._plan.congestion_control,
            session_ticket=ticket,
        )
        if self._plan.cipher is not None:
            configuration.cipher_suites = [CIPHERS[self._plan.cipher]]
        wants_ticket = self._plan.handshake is not Handshake.FULL
        connection = LoadConnection(
            engine=self._turn.engine,
            configuration=configuration,
            keep_ticket=(lambda new: self._keep(new, client)) if wants_ticket else None,
        )
        client = Client(connection, self)
        shim.use_loop(
            client, shim.with_clock(asyncio.get_running_loop(), self._transport.clock)
        )
        self._clients[client.cid] = client
        self._turn.listen(connection, partial(shim.tell, client))
        client.connection_made(self._transport)
        is_early = ticket is not None and self._plan.handshake is Handshake.EARLY
        client.connect(self._peer, transmit=not is_early)
        return client

    def _keep(self, ticket: SessionTicket, client: Client) -> None:
        if self._plan.handshake is Handshake.RESUMED:
            ticket = dataclasses.replace(ticket, max_early_data_size=None)
        self.tickets.append(ticket)
        client.has_given_ticket = True
        self.load.ticket_came(client)

    def forget(self, client: Client) -> None:
        """Drop a connection that has ended."""
        self._turn.unlisten(client.connection)
        self._heard_cnt += client.connection.get_stats().rx_packets
        self._clients.pop(client.cid, None)

    def sent_bytes(self) -> int:
        """Return how much the open connections have sent so far, packets and all."""
        return sum(of.connection.get_stats().tx_bytes for of in self._clients.values())

    def heard_cnt(self) -> int:
        """Return how many packets have come over all connections so far."""
        stats = (client.connection.get_stats() for client in self._clients.values())
        return self._heard_cnt + sum(of.rx_packets for of in stats)

    @property
    def clock(self) -> Clock:
        """Timers as precise as the kernel's, for what is due by the clock."""
        return self._transport.clock

    def lanes(self) -> Mapping[str, LaneStats]:
        """Return what each lane has carried so far."""
        info = self._transport.get_extra_info("quicxdp")
        lanes: Mapping[str, LaneStats] = info.stats().lanes
        return lanes

    async def close(self) -> None:
        """Close all connections, and the endpoint."""
        for client in list(self._clients.values()):
            client.leave()
        self._clients.clear()
        self._transport.close()
        await self._closed

    # asyncio.DatagramProtocol

    def datagrams_received(self, batch: list[tuple[bytes, Any]]) -> None:
        """Give handshakes what is theirs; the engine has taken the rest."""
        of: dict[Client, list[tuple[bytes, Any]]] = {}
        for data, addr in batch:
            is_long = bool(data) and data[0] & _LONG_HEADER
            start = _LONG_CID_OFF if is_long else _SHORT_CID_OFF
            client = self._clients.get(data[start : start + CID_BYTES])
            if client is None:
                self.strays += 1
            else:
                of.setdefault(client, []).append((data, addr))
        for client, datagrams in of.items():
            shim.feed(client, datagrams)

    def error_received(self, exc: Exception) -> None:
        """Fail: there is nobody, or the interface has gone."""
        text = f"{self._plan.host} port {self._plan.port}: {exc}"
        self.load.failed(LoadError(text, Failure.REFUSED))

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the endpoint is closed."""
        if exc is not None:
            self.load.failed(LoadError(f"the endpoint: {exc}"))
        self._closed.set_result(None)
