"""A pytest plugin that puts quicxdp's serve() and connect() under aioquic's own tests.

Loaded with `-p over_quicxdp` before the tests, which import the names from aioquic.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import aioquic.asyncio
import aioquic.asyncio.client
import aioquic.asyncio.server
import pytest

import quicxdp
from quicxdp.datapath import open_datapaths

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from quicxdp.addresses import Address

IO = os.environ.get("QUICXDP_SUITE_IO", "socket")
ENGINE = os.environ.get("QUICXDP_SUITE_ENGINE", "aioquic")

REAL_SENDTO = socket.socket.sendto


class Passage(asyncio.DatagramProtocol):
    """One side of the way between a client and a server, both of which see only us.

    aioquic's loss test drops what passes socket.socket.sendto.  Our datagrams do not
    pass there, so without this it would be a test without loss.
    """

    sent_cnt = 0
    lost_cnt = 0

    def __init__(self, peer: Address | None = None) -> None:
        self.peer = peer  # to whom this side sends: the last one that it heard from
        self.other: Passage
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ANN401
        """Send it on from the other side, or lose it there."""
        self.peer = addr
        before = Passage.sent_cnt
        self.other.transport.sendto(data, self.other.peer)
        Passage.lost_cnt += Passage.sent_cnt == before


def _counted_sendto(self: socket.socket, *args: Any) -> int:  # noqa: ANN401
    Passage.sent_cnt += 1
    return REAL_SENDTO(self, *args)


# aioquic's tests call what they find here for the datagrams that they do not drop.
vars_of_socket: Any = socket.socket
vars_of_socket.sendto = _counted_sendto


@asynccontextmanager
async def passage(port: int) -> AsyncIterator[int]:
    """Open a way to a server of this machine; yield the port where it begins."""
    loop = asyncio.get_running_loop()
    here, there = Passage(), Passage(("::1", port, 0, 0))
    here.other, there.other = there, here
    for side in (here, there):
        await loop.create_datagram_endpoint(lambda: side, local_addr=("::", 0))  # noqa: B023
    try:
        yield here.transport.get_extra_info("sockname")[1]
    finally:
        here.transport.close()
        there.transport.close()
        await asyncio.sleep(0)


def _free_port() -> int:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("::", 0))
        port: int = sock.getsockname()[1]
        return port


@asynccontextmanager
async def connect(host: str, port: int, **arguments: Any) -> AsyncIterator[Any]:  # noqa: ANN401
    """Stand in for aioquic's connect."""
    if arguments.get("local_port", 0) > 0:
        # Always the same, for which several runs at a time would fight.
        arguments["local_port"] = _free_port()
    ours: Any = partial(quicxdp.connect, host, io=IO, engine=ENGINE, **arguments)
    if IO == "asyncio" or socket.socket.sendto is _counted_sendto:
        async with ours(port) as protocol:
            yield protocol
    else:
        async with passage(port) as start, ours(start) as protocol:
            yield protocol


serve: Any = partial(quicxdp.serve, io=IO, engine=ENGINE)
for module in (aioquic.asyncio, aioquic.asyncio.server):
    vars(module)["serve"] = serve
for module in (aioquic.asyncio, aioquic.asyncio.client):
    vars(module)["connect"] = connect


@pytest.fixture(autouse=True)
def _leaks_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    before = Passage.lost_cnt
    yield
    assert open_datapaths() == []
    if IO == "socket" and "packet_loss" in request.node.name:
        # Of dozens of packets a quarter is lost.
        assert Passage.lost_cnt > before, "the loss test lost nothing"
