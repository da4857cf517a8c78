"""serve(): aioquic's QUIC server, with batches, a precise clock and cheap endings.

aioquic's own QuicServer decides about every packet that does not belong to a known
connection (version negotiation, Retry, new connections); this subclass changes four
things around it:

  - The datagrams of one connection in a batch are fed together, and the connection
    transmits once.  Protocols that override `datagram_received` get each one, as ever.
  - Connections take time and timers from the transport's clock (docs/decisions/0005).
  - A table that also knows each connection's IDs, so that none is searched for when a
    connection ends.
  - Limits: what may begin a connection passes a gate and a bounded queue first
    (reception.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer as AioquicServer

from . import aioquic_shim as shim
from .admission import DEFAULT, Admission, Retry
from .alarm import report
from .config import ENGINE_DEFAULT, EngineKind, Io
from .endpoint import create_datagram_endpoint
from .engine_choice import announce, choose, connection_factory, use_datagrams
from .first_packet import LONG_HEADER
from .reception import Reception
from .streams import use_backpressure
from .transport import DatagramTransport

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence

    from aioquic.asyncio.protocol import QuicStreamHandler
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.connection import NetworkAddress
    from aioquic.tls import SessionTicketFetcher, SessionTicketHandler

    from .addresses import Address
    from .admission import AdmissionStats, Gate
    from .capture import Capture
    from .config import XdpOptions
    from .engine import Engine
    from .engine_turn import EngineTurn
    from .retry_tokens import RetryTokens


class ConnectionTable(dict[bytes, QuicConnectionProtocol]):
    """Connections by connection ID, and connection IDs by connection.

    Attributes:
        gate: who is told which IDs there are.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cids: dict[QuicConnectionProtocol, set[bytes]] = {}
        self.gate: Gate | None = None

    def __setitem__(self, cid: bytes, protocol: QuicConnectionProtocol) -> None:
        if cid in self:
            del self[cid]
        super().__setitem__(cid, protocol)
        self._cids.setdefault(protocol, set()).add(cid)
        if self.gate is not None:
            self.gate.know(cid)

    def __delitem__(self, cid: bytes) -> None:
        cids = self._cids[self[cid]]
        cids.discard(cid)
        if not cids:
            del self._cids[self[cid]]
        self._remove(cid)

    def forget(self, protocol: QuicConnectionProtocol) -> None:
        """Remove every connection ID of *protocol*; nothing happens if it has none."""
        for cid in self._cids.pop(protocol, ()):
            self._remove(cid)

    def clear(self) -> None:
        """Remove everything."""
        for protocol in list(self._cids):
            self.forget(protocol)

    def _remove(self, cid: bytes) -> None:
        super().__delitem__(cid)
        if self.gate is not None:
            self.gate.forget(cid)

    @property
    def connection_cnt(self) -> int:
        """How many connections have at least one ID here."""
        return len(self._cids)


class QuicServer(AioquicServer):
    """A listening endpoint and its connections; made by `serve`."""

    def __init__(
        self,
        *,
        configuration: QuicConfiguration,
        create_protocol: Callable[..., QuicConnectionProtocol] = QuicConnectionProtocol,
        session_ticket_fetcher: SessionTicketFetcher | None = None,
        session_ticket_handler: SessionTicketHandler | None = None,
        admission: Admission = DEFAULT,
        stream_handler: QuicStreamHandler | None = None,
        engine: EngineKind | str = ENGINE_DEFAULT,
    ) -> None:
        super().__init__(
            configuration=configuration,
            create_protocol=partial(self._make_protocol, create_protocol),
            session_ticket_fetcher=session_ticket_fetcher,
            session_ticket_handler=session_ticket_handler,
            stream_handler=stream_handler,
        )
        self._kind, self._why = choose(engine, configuration)
        self._announced: set[str] = set()
        self._turn: EngineTurn | None = None
        self._receive: Callable[[bytes, NetworkAddress], None]
        self._use_engine(None)
        self._table = ConnectionTable()
        self._protocols = self._table
        self._collected: dict[
            QuicConnectionProtocol, list[tuple[bytes, NetworkAddress]]
        ] = {}
        self._in_batch = False
        self._reception = Reception(
            self,
            admission,
            table=self._table,
            versions=configuration.supported_versions,
            cid_len_bytes=configuration.connection_id_length,
        )
        self._all_ended = asyncio.Event()
        self._lost = asyncio.Event()

    @property
    def transport(self) -> asyncio.DatagramTransport:
        """The endpoint's transport; `get_extra_info("quicxdp")` is there."""
        assert self._transport is not None  # noqa: S101  # serve() returns only after that
        return self._transport

    @property
    def connection_cnt(self) -> int:
        """How many connections are known, closing ones included."""
        return self._table.connection_cnt

    @property
    def admission_stats(self) -> AdmissionStats:
        """What came without belonging to a connection, and what became of it."""
        return self._reception.stats()

    # asyncio.DatagramProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to use the transport and its clock."""
        super().connection_made(transport)
        clock = getattr(transport, "clock", None)
        if clock is not None:
            self._loop = shim.with_clock(self._loop, clock)
        if self._kind is EngineKind.NATIVE and isinstance(transport, DatagramTransport):
            self._turn = transport.open_engine(self._configuration.connection_id_length)
            self._use_engine(self._turn.engine)
        self._reception.start(self._loop, self._turn)
        note = getattr(transport, "note_admission", None)
        if note is not None:
            note(self._reception.stats)
        self._announce(self._why)

    def _announce(self, why: str) -> None:
        self._announced.add(why)
        announce(self.transport, self._kind, why)

    def _use_engine(self, engine: Engine | None) -> None:
        if self._kind is EngineKind.AIOQUIC:
            self._receive = super().datagram_received
        else:
            receive = shim.receiver_with(connection_factory(self._kind, engine))
            self._receive = partial(receive, self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the port is free again."""
        super().connection_lost(exc)
        self._reception.stop()
        self._lost.set()

    def datagram_received(self, data: bytes | str, addr: NetworkAddress) -> None:
        """Take one datagram."""
        self.datagrams_received([(cast("bytes", data), addr)])

    def datagrams_received(self, batch: list[tuple[bytes, NetworkAddress]]) -> None:
        """Take a batch: sort it by connection, then feed each connection its part."""
        find = self._table.get
        reception = self._reception
        cid_end = 1 + self._configuration.connection_id_length
        self._in_batch = True
        for data, addr in batch:
            if not data or data[0] & LONG_HEADER:
                reception.add(data, cast("Address", addr))
                continue
            protocol = find(data[1:cid_end])
            if protocol is None:
                reception.stray(data, cast("Address", addr))
                continue
            try:
                protocol.datagram_received(data, addr)
            except Exception as exc:  # noqa: BLE001  # one datagram's fault is its own
                self.report("receiving a datagram failed", exc)
        self.feed_collected()
        reception.work_off()

    def receive(
        self, data: bytes, addr: NetworkAddress, tokens: RetryTokens | None
    ) -> None:
        """Let aioquic's server have a datagram; with *tokens*, Retry is demanded."""
        self._in_batch = True
        self._retry = cast("Any", tokens)  # None where none is demanded
        self._receive(data, addr)

    def feed_collected(self) -> None:
        """Let connections handle what they were given since the last call."""
        self._in_batch = False
        collected, self._collected = self._collected, {}
        for protocol, datagrams in collected.items():
            try:
                shim.feed(protocol, datagrams)
            except Exception as exc:  # noqa: BLE001  # one connection's fault is its own
                self.report("a connection failed to take its datagrams", exc, protocol)

    def _collect(
        self, protocol: QuicConnectionProtocol, data: bytes, addr: NetworkAddress
    ) -> None:
        # Stands in for datagram_received of protocols that do not override it.
        if self._in_batch:
            self._collected.setdefault(protocol, []).append((data, addr))
        else:
            shim.feed(protocol, ((data, addr),))

    # Connections

    def _make_protocol(
        self,
        create_protocol: Callable[..., QuicConnectionProtocol],
        *args: Any,  # noqa: ANN401  # what aioquic passes is passed on
        **kwargs: Any,  # noqa: ANN401
    ) -> QuicConnectionProtocol:
        protocol = create_protocol(*args, **kwargs)
        if shim.may_feed(protocol):
            cast("Any", protocol).datagram_received = partial(self._collect, protocol)
        else:
            why = use_datagrams(shim.connection_of(protocol), protocol)
            if why and why not in self._announced:
                self._announce(why)
        shim.use_loop(protocol, self._loop)
        use_backpressure(protocol)
        if self._turn is not None:
            self._turn.listen(shim.connection_of(protocol), partial(shim.tell, protocol))
        self._reception.begun(protocol)
        return protocol

    def _connection_terminated(self, protocol: QuicConnectionProtocol) -> None:
        # Instead of aioquic's walk over the connection IDs of everybody.
        self._table.forget(protocol)
        self._reception.ended(protocol)
        if self._turn is not None:
            self._turn.unlisten(shim.connection_of(protocol))
        if not self._table:
            self._all_ended.set()

    # Ending

    async def drain(self, timeout_s: float) -> int:
        """Take no new connections, let the others end by themselves, then close.

        Args:
            timeout_s: how long to wait for them.

        Returns:
            How many connections were still there and had to be closed.
        """
        self._reception.closed = True
        self._reception.tell_load()
        if self._table:
            self._all_ended.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_ended.wait(), timeout_s)
        remaining = self.connection_cnt
        self.close()
        await self.wait_closed()
        return remaining

    def close(self) -> None:
        """Close all connections and stop listening."""
        self._reception.stop()
        super().close()

    async def wait_closed(self) -> None:
        """Wait, after `close`, until the port is free."""
        await self._lost.wait()

    def report(
        self, message: str, exc: Exception, protocol: QuicConnectionProtocol | None = None
    ) -> None:
        """Tell the loop of an error; of *protocol*, or of nobody in particular."""
        report(
            self._loop, message, exc, protocol=protocol or self, transport=self._transport
        )


async def serve(
    host: str,
    port: int,
    *,
    configuration: QuicConfiguration,
    create_protocol: Callable[..., QuicConnectionProtocol] = QuicConnectionProtocol,
    session_ticket_fetcher: SessionTicketFetcher | None = None,
    session_ticket_handler: SessionTicketHandler | None = None,
    retry: Retry | str | bool = Retry.AUTO,
    stream_handler: QuicStreamHandler | None = None,
    io: Io | str = Io.AUTO,
    interface: str | Sequence[str] | None = None,
    xdp: XdpOptions | None = None,
    spin_us: int = 0,
    engine: EngineKind | str = ENGINE_DEFAULT,
    allow: Iterable[str] = (),
    deny: Iterable[str] = (),
    capture: Capture | None = None,
    sock: socket.socket | None = None,
    max_connections: int = DEFAULT.max_connections,
    max_handshakes: int = DEFAULT.max_handshakes,
    handshake_timeout: float = DEFAULT.handshake_timeout_s,
    new_per_prefix: float = DEFAULT.new_per_prefix_hz,
) -> QuicServer:
    """Start a QUIC server; `aioquic.asyncio.serve` with faster lanes.

    Args:
        host: where to listen; a name or an address.
        port: where to listen; 0 lets the kernel choose.
        configuration: must have a certificate and its private key.
        create_protocol: makes the protocol of each connection.
        session_ticket_fetcher: called to look a session ticket up.
        session_ticket_handler: called with each session ticket that was issued.
        retry: validate client addresses with a Retry packet first: True (or "always"),
            False ("never"), or "auto": while an eighth of *max_handshakes* or more are
            open.
        stream_handler: called with reader and writer of each stream that a client opens.
        io: see `quicxdp.Io`.
        interface: the network interface, or interfaces, that XDP may attach to.
        xdp: zero-copy, generic mode, huge pages, busy polling; see `quicxdp.XdpOptions`.
        spin_us: how long to look again before sleeping; see `create_datagram_endpoint`.
        engine: see `quicxdp.EngineKind`.
        allow: blocks of addresses that may send to the server; with any, no others may.
        deny: blocks that may not; the most specific block decides.
        capture: where the packets are written down; see `quicxdp.Capture`.
        sock: a bound UDP socket to use instead of *host* and *port*; closed with the
            server.
        max_connections: how many there are at most; what comes beyond is dropped.
        max_handshakes: how many of them are in their handshake at most.
        handshake_timeout: seconds after which a handshake that is not over is closed.
        new_per_prefix: connections per second that one network (IPv4 /24, IPv6 /56) may
            begin without having proved its address by Retry; 0: no limit.

    Raises:
        ConfigError: the options contradict each other.
        DatapathError: io="xdp" or "hybrid" is not possible; the message says why.
        UnavailableError: engine="native", allow=, deny= or capture= is not possible;
            the message says why.
        OSError: binding failed.
    """
    admission = Admission(
        max_connections=max_connections,
        max_handshakes=max_handshakes,
        handshake_timeout_s=handshake_timeout,
        retry=Retry.parse(retry),
        new_per_prefix_hz=new_per_prefix,
    )
    _, server = await create_datagram_endpoint(
        lambda: QuicServer(
            configuration=configuration,
            create_protocol=create_protocol,
            session_ticket_fetcher=session_ticket_fetcher,
            session_ticket_handler=session_ticket_handler,
            admission=admission,
            stream_handler=stream_handler,
            engine=engine,
        ),
        local_addr=None if sock is not None else (host, port),
        sock=sock,
        io=io,
        interface=interface,
        xdp=xdp,
        spin_us=spin_us,
        dont_fragment=True,
        allow=allow,
        deny=deny,
        capture=capture,
    )
    return server
