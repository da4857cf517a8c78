"""connect(): aioquic's QUIC client on quicxdp's lanes.

The socket is a dual-stack one that is not connected, as aioquic's: a server may move the
connection to its preferred address.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration

from . import aioquic_shim as shim
from .config import ENGINE_DEFAULT, EngineKind, Io
from .endpoint import create_datagram_endpoint
from .engine_choice import announce, choose, connection_factory, use_datagrams
from .streams import use_backpressure
from .transport import DatagramTransport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from aioquic.asyncio.protocol import QuicStreamHandler
    from aioquic.quic.connection import NetworkAddress, QuicTokenHandler
    from aioquic.tls import SessionTicketHandler

    from .capture import Capture
    from .config import XdpOptions
    from .engine_turn import EngineTurn


async def _resolve(host: str, port: int) -> NetworkAddress:
    """Return the address of *host* as an IPv6 socket writes it."""
    infos = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_DGRAM
    )
    address: tuple[Any, ...] = infos[0][4]
    if infos[0][0] == socket.AF_INET:
        return ("::ffff:" + address[0], address[1], 0, 0)
    return address


def _dual_stack_socket(local_port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", local_port, 0, 0))
    except BaseException:
        sock.close()
        raise
    return sock


def _tell_failure(protocol: Any, _: object, exc: Exception) -> None:  # noqa: ANN401
    protocol.connection_failed(exc)


@asynccontextmanager
async def connect(
    host: str,
    port: int,
    *,
    configuration: QuicConfiguration | None = None,
    create_protocol: Callable[..., QuicConnectionProtocol]
    | None = QuicConnectionProtocol,
    session_ticket_handler: SessionTicketHandler | None = None,
    stream_handler: QuicStreamHandler | None = None,
    token_handler: QuicTokenHandler | None = None,
    wait_connected: bool = True,
    local_port: int = 0,
    io: Io | str = Io.AUTO,
    interface: str | Sequence[str] | None = None,
    xdp: XdpOptions | None = None,
    spin_us: int = 0,
    engine: EngineKind | str = ENGINE_DEFAULT,
    capture: Capture | None = None,
) -> AsyncGenerator[QuicConnectionProtocol, None]:
    """Connect to a QUIC server; `aioquic.asyncio.connect` with faster lanes.

    A protocol with a method `connection_failed(exc)` is told when handling what has
    arrived raised something; otherwise the event loop's exception handler is.

    Args:
        host: the server; a name or an address.
        port: its port.
        configuration: of the connection; a default one otherwise.
        create_protocol: makes the connection's protocol.
        session_ticket_handler: called with each session ticket that the server sends.
        stream_handler: called with reader and writer of each stream that the server
            opens.
        token_handler: called with each address token that the server sends.
        wait_connected: wait for the handshake; without, 0-RTT data can be sent at once.
        local_port: the UDP port to bind; 0 lets the kernel choose.
        io: see `quicxdp.Io`.
        interface: the network interface, or interfaces, that XDP may attach to.
        xdp: zero-copy, generic mode, huge pages, busy polling; see `quicxdp.XdpOptions`.
        spin_us: how long to look again before sleeping; see `create_datagram_endpoint`.
        engine: see `quicxdp.EngineKind`.
        capture: where the packets are written down; see `quicxdp.Capture`.

    Raises:
        ConfigError: the options contradict each other.
        DatapathError: io="xdp" or "hybrid" is not possible; the message says why.
        UnavailableError: engine="native" or capture= is not possible; the message says
            why.
        ConnectionError: the handshake failed.
        OSError: resolving the name or binding failed.
    """
    loop = asyncio.get_running_loop()
    addr = await _resolve(host, port)
    if configuration is None:
        configuration = QuicConfiguration(is_client=True)
    if configuration.server_name is None:
        configuration.server_name = host
    kind, why = choose(engine, configuration)
    make = create_protocol or QuicConnectionProtocol
    # The engine in C needs the datapath, and a connection its engine.
    transport, _ = await create_datagram_endpoint(
        asyncio.DatagramProtocol,
        sock=_dual_stack_socket(local_port),
        io=io,
        interface=interface,
        xdp=xdp,
        spin_us=spin_us,
        dont_fragment=True,
        capture=capture,
    )
    try:
        turn: EngineTurn | None = None
        if kind is EngineKind.NATIVE and isinstance(transport, DatagramTransport):
            turn = transport.open_engine(configuration.connection_id_length)
        make_connection = connection_factory(kind, turn.engine if turn else None)
        connection = make_connection(
            configuration=configuration,
            session_ticket_handler=session_ticket_handler,
            token_handler=token_handler,
        )
        protocol = make(connection, stream_handler=stream_handler)
        if not shim.take_batches(protocol):
            why = use_datagrams(connection, protocol) or why
        use_backpressure(protocol)
        if turn is not None:
            turn.listen(shim.connection_of(protocol), shim.guarded(protocol, shim.tell))
            if hasattr(protocol, "connection_failed"):
                turn.engine.on_failure = partial(_tell_failure, protocol)
        announce(transport, kind, why)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
    except BaseException:
        transport.close()
        raise
    shim.use_loop(protocol, shim.with_clock(loop, cast("Any", transport).clock))
    try:
        protocol.connect(addr, transmit=wait_connected)
        if wait_connected:
            await protocol.wait_connected()
        yield protocol
    finally:
        protocol.close()
        await protocol.wait_closed()
        transport.close()
