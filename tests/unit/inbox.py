# ruff: noqa: ANN401  (protocols of any kind)
"""A datagram protocol that keeps what arrives, and endpoints to put it on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import quicxdp

if TYPE_CHECKING:
    from collections.abc import Callable


class Inbox(asyncio.DatagramProtocol):
    """Keeps what arrives, and lets a test wait for it."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.got: list[tuple[bytes, Any]] = []
        self.errors: list[Exception] = []
        self.lost: asyncio.Future[Exception | None] = (
            asyncio.get_running_loop().create_future()
        )
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Keep the datagram."""
        self.got.append((data, addr))
        self._changed.set()

    def error_received(self, exc: Exception) -> None:
        """Keep the error."""
        self.errors.append(exc)
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that it is over."""
        self.lost.set_result(exc)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition*, looked at after each datagram and error."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """Close and wait for the end."""
        self.transport.close()
        await self.lost


async def endpoint(
    factory: Callable[[], Any] = Inbox, host: str = "127.0.0.1", **kwargs: Any
) -> Any:
    """Make an endpoint over the socket lane; return its protocol."""
    if "remote_addr" not in kwargs:
        kwargs["local_addr"] = (host, 0)
    _, protocol = await quicxdp.create_datagram_endpoint(factory, io="socket", **kwargs)
    return protocol


async def pair(factory: Callable[[], Any] = Inbox, host: str = "127.0.0.1") -> Any:
    """Make a listening endpoint of *factory* and a client connected to it."""
    server = await endpoint(factory, host)
    client = await endpoint(remote_addr=sockname(server)[:2])
    return server, client


def sockname(protocol: Any) -> Any:
    """Return the address that a protocol's endpoint is bound to."""
    return protocol.transport.get_extra_info("sockname")


def counters(protocol: Any) -> Any:
    """Return the counters of the socket lane of a protocol's endpoint."""
    return protocol.transport.get_extra_info("quicxdp").stats().lanes["socket"]


class Batches(Inbox):
    """Takes whole batches."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[tuple[bytes, Any]]] = []

    def datagrams_received(self, batch: list[tuple[bytes, Any]]) -> None:
        """Keep the batch, and its datagrams."""
        self.batches.append(batch)
        for data, addr in batch:
            self.datagram_received(data, addr)
