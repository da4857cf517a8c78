"""A UDP echo endpoint of quicxdp in one namespace, and its peers in another.

The thread visits the server's namespace only to open the endpoint: its descriptors stay
there for good, and the event loop does not mind.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import quicxdp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import qxnet

    from quicxdp.info import EndpointInfo
    from quicxdp.stats import Stats

__all__ = ["ANSWER_TIMEOUT_S", "Echo", "Heard", "client_socket", "echoing"]

ANSWER_TIMEOUT_S = 5.0


class Heard(asyncio.DatagramProtocol):
    """Sends every datagram back and remembers it, and errors too."""

    def __init__(self) -> None:
        self.datagrams: list[tuple[bytes, tuple[Any, ...]]] = []
        self.errors: list[Exception] = []
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, which asyncio types too widely."""
        if not isinstance(transport, asyncio.DatagramTransport):
            raise TypeError(transport)
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Answer with the same bytes."""
        self.datagrams.append((data, addr))
        self._transport.sendto(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Remember what the kernel did not like."""
        self.errors.append(exc)


@dataclass(frozen=True, slots=True)
class Echo:
    """The running endpoint."""

    transport: asyncio.DatagramTransport
    heard: Heard
    address: tuple[str, int]
    info: EndpointInfo = field(repr=False)

    def stats(self) -> Stats:
        """Return the endpoint's counters."""
        return self.info.stats()


@contextlib.asynccontextmanager
async def echoing(
    server: qxnet.Netns,
    host: str,
    *,
    port: int = 7007,
    io: str = "xdp",
    **options: Any,  # noqa: ANN401
) -> AsyncIterator[Echo]:
    """Open an echo endpoint on *host* in *server*'s namespace for a ``with`` block.

    *options* are those of `quicxdp.create_datagram_endpoint`.

    Every frame of its device must be accounted for when the block ends.
    """
    with server.entered():
        transport, heard = await quicxdp.create_datagram_endpoint(
            Heard,
            local_addr=(host, port),
            io=io,
            interface=server.interface,
            **options,
        )
    try:
        info = transport.get_extra_info("quicxdp")
        yield Echo(transport, heard, (host, port), info)
        stats = info.stats()
        assert sum(stats.frames.values()) == stats.frame_cnt
        assert stats.frames.get("lent", 0) == stats.frames.get("built", 0) == 0
    finally:
        transport.close()
        # Closing ends in a callback of the loop.
        await asyncio.sleep(0)


@contextlib.contextmanager
def client_socket(
    client: qxnet.Netns, host: str, *, port: int = 0
) -> Iterator[socket.socket]:
    """Open a plain kernel UDP socket in *client*'s namespace, for use with the loop."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with client.entered():
        sock = socket.socket(family, socket.SOCK_DGRAM)
    with sock:
        sock.setblocking(False)
        sock.bind(
            (client.address6 if family == socket.AF_INET6 else client.address4, port)
        )
        yield sock


async def ask(sock: socket.socket, data: bytes, address: tuple[str, int]) -> bytes:
    """Send one datagram and return the answer."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendto(sock, data, address)
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        answer, _ = await loop.sock_recvfrom(sock, 65536)
    return answer
