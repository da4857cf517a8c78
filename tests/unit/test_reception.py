# ruff: noqa: ANN401  (protocols of any kind)
"""Limits of a server over real sockets: who gets in, how long, and what is counted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest
from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType, pull_quic_header

import quicxdp
from quicxdp import aioquic_shim
from quicxdp.errors import ConfigError
from tests.unit.conftest import client_configuration

if TYPE_CHECKING:
    from aioquic.quic.configuration import QuicConfiguration

    from quicxdp.server import QuicServer
    from tests.unit.conftest import Run

ENGINES = ["native", "aioquic"]


class Stranger:
    """A client that sends what it is told to, and keeps what it hears."""

    def __init__(self, server: QuicServer) -> None:
        self.quic = QuicConnection(configuration=client_configuration())
        self.address = server.transport.get_extra_info("sockname")
        self.quic.connect(self.address, now=0.0)
        self.sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind(("::1", 0))
        self.initial = self.quic.datagrams_to_send(now=0.0)[0][0]

    def send(self, data: bytes) -> None:
        """Send a datagram."""
        self.sock.sendto(data, self.address)

    async def hear(self) -> bytes:
        """Return the next datagram."""
        heard: list[bytes] = []

        def has_heard() -> bool:
            # uvloop has no sock_recvfrom.
            with contextlib.suppress(BlockingIOError):
                heard.append(self.sock.recv(2048))
            return bool(heard)

        await until(has_heard)
        return heard[0]

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()


async def serve(configuration: QuicConfiguration, **options: Any) -> QuicServer:
    """Start a server on loopback."""
    return await quicxdp.serve("::1", 0, configuration=configuration, **options)


async def stop(server: QuicServer) -> None:
    """End it."""
    server.close()
    await server.wait_closed()


async def until(condition: Any) -> None:
    """Wait for what must happen; the runner's patience ends what does not."""
    while not condition():  # noqa: ASYNC110  # counters have no event
        await asyncio.sleep(0)


def packet_type(data: bytes) -> QuicPacketType:
    """Return the type of the first packet of a datagram."""
    return pull_quic_header(Buffer(data=data), host_cid_length=8).packet_type


@pytest.mark.parametrize("engine", ENGINES)
def test_a_handshake_that_takes_too_long_is_closed_and_leaves_nothing(
    run: Run, server_configuration: QuicConfiguration, engine: str
) -> None:
    """Half-open connections cost memory, and whoever leaves them costs nothing."""

    async def main() -> None:
        server = await serve(server_configuration, engine=engine, handshake_timeout=0.05)
        strangers = [Stranger(server) for _ in range(3)]
        for stranger in strangers:
            stranger.send(stranger.initial)
        await until(lambda: server.admission_stats.handshake_timeouts == 3)
        stats = server.admission_stats
        assert (stats.connections, stats.handshakes, stats.admitted) == (0, 0, 3)
        assert dict(server._table) == {}
        assert server._turn is None or server._turn.engine.owners == {}
        for stranger in strangers:
            stranger.close()
        await stop(server)

    run(main())


@pytest.mark.parametrize("engine", ENGINES)
def test_retry_is_asked_for_and_its_token_opens_one_connection(
    run: Run, server_configuration: QuicConfiguration, engine: str
) -> None:
    """An address is proved, once; the same datagram again opens nothing."""

    async def main() -> None:
        server = await serve(server_configuration, engine=engine, retry=True)
        stranger = Stranger(server)
        stranger.send(stranger.initial)
        answer = await stranger.hear()
        assert packet_type(answer) is QuicPacketType.RETRY
        stranger.quic.receive_datagram(answer, stranger.address, now=0.1)
        ((proved, _),) = stranger.quic.datagrams_to_send(now=0.2)
        stranger.send(proved)
        await until(lambda: server.connection_cnt == 1)
        assert server.admission_stats.tokens_valid == 1

        for protocol in set(server._table.values()):
            aioquic_shim.end_now(protocol, "over")
        assert server.connection_cnt == 0
        stranger.send(proved)
        await until(lambda: server.admission_stats.refused["token_replayed"] == 1)
        assert server.connection_cnt == 0
        stranger.close()
        await stop(server)

    run(main())


@pytest.mark.parametrize("engine", ENGINES)
def test_limits_hold_and_say_which(
    run: Run, server_configuration: QuicConfiguration, engine: str
) -> None:
    """Beyond max_handshakes nobody gets in, however many come at once."""

    async def main() -> None:
        server = await serve(
            server_configuration, engine=engine, retry=False, max_handshakes=2
        )
        strangers = [Stranger(server) for _ in range(6)]
        for stranger in strangers:
            stranger.send(stranger.initial)
        await until(lambda: server.admission_stats.refused["handshakes"] == 4)
        await until(lambda: not server.admission_stats.waiting)
        assert server.admission_stats.handshakes == 2
        for stranger in strangers:
            stranger.close()
        await stop(server)

    run(main())


@pytest.mark.parametrize("engine", ENGINES)
def test_small_long_headers_are_never_answered(
    run: Run, server_configuration: QuicConfiguration, engine: str
) -> None:
    """Not with Version Negotiation either: sources are forged."""

    async def main() -> None:
        server = await serve(server_configuration, engine=engine)
        stranger = Stranger(server)
        small = b"\xc0\x1a\x2a\x3a\x4a" + stranger.initial[5:1199]
        stranger.send(small)
        await until(lambda: server.admission_stats.refused["small"] == 1)
        stranger.send(small + bytes(1))
        answer = await stranger.hear()
        assert packet_type(answer) is QuicPacketType.VERSION_NEGOTIATION
        assert server.admission_stats.versions_sent == 1
        stranger.close()
        await stop(server)

    run(main())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_client_gets_in_by_retry_while_many_are_half_open(
    run: Run, server_configuration: QuicConfiguration, engine: str
) -> None:
    """retry="auto" is for this: forged Initials fill their part, and clients go on."""

    async def main() -> None:
        server = await serve(server_configuration, engine=engine, max_handshakes=16)
        strangers = [Stranger(server) for _ in range(5)]
        for stranger in strangers:
            stranger.send(stranger.initial)
        await until(lambda: server.admission_stats.retries_sent == 3)
        await until(lambda: server.admission_stats.handshakes == 2)
        port = server.transport.get_extra_info("sockname")[1]
        async with quicxdp.connect(
            "::1", port, configuration=client_configuration(), engine=engine
        ) as client:
            await client.ping()
            assert server.admission_stats.tokens_valid == 1
            # Its own handshake is over, those of the others are not.
            assert server.admission_stats.handshakes == 2
        for stranger in strangers:
            stranger.close()
        await stop(server)

    run(main())


def test_work_that_takes_long_goes_on_in_the_next_turn(
    run_asyncio: Run, server_configuration: QuicConfiguration
) -> None:
    """A burst of handshakes must not keep those waiting who are connected."""

    async def main() -> None:
        server = await serve(server_configuration, engine="aioquic", retry=False)
        server._reception.turn_ns = 0  # one connection at a time
        strangers = [Stranger(server) for _ in range(4)]
        seen: set[int] = set()
        server.datagrams_received(
            [(stranger.initial, stranger.sock.getsockname()) for stranger in strangers]
        )
        assert server.connection_cnt == 1
        while server.connection_cnt < 4:
            seen.add(server.admission_stats.waiting)
            await asyncio.sleep(0)
        assert seen >= {3, 2, 1}
        for stranger in strangers:
            stranger.close()
        await stop(server)

    run_asyncio(main())


def test_options_without_sense_are_refused_before_anything_is_open(
    run_asyncio: Run, server_configuration: QuicConfiguration
) -> None:
    """The message names the option."""

    async def main() -> None:
        with pytest.raises(ConfigError, match="max_handshakes=0"):
            await serve(server_configuration, max_handshakes=0)

    run_asyncio(main())
