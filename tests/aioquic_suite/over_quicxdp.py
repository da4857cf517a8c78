"""A pytest plugin that puts quicxdp's serve() and connect() under aioquic's own tests.

Loaded with `-p over_quicxdp` before the tests, which import the names from aioquic.
"""

from __future__ import annotations

import os
import random
import socket
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import aioquic.asyncio
import aioquic.asyncio.client
import aioquic.asyncio.server
import pytest

import quicxdp
from quicxdp.datapath import open_datapaths
from quicxdp.transport import DatagramTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quicxdp.addresses import Address

IO = os.environ.get("QUICXDP_SUITE_IO", "socket")
ENGINE = os.environ.get("QUICXDP_SUITE_ENGINE", "aioquic")

serve: Any = partial(quicxdp.serve, io=IO, engine=ENGINE)
connect: Any = partial(quicxdp.connect, io=IO, engine=ENGINE)
for module in (aioquic.asyncio, aioquic.asyncio.server):
    vars(module)["serve"] = serve
for module in (aioquic.asyncio, aioquic.asyncio.client):
    vars(module)["connect"] = connect

# Its first loss is the second datagram.
SEED = 15
REAL_SENDTO = socket.socket.sendto


class Loss:
    """Drops what aioquic's loss test would drop, which patches socket.socket.sendto.

    Our datagrams do not pass there, so the test would be one without loss.
    """

    def __init__(self) -> None:
        self.dropped_cnt = 0
        self._dropped_last: WeakSet[DatagramTransport] = WeakSet()
        self._sendto = DatagramTransport.sendto
        # Seeded, since now and then chance would drop nothing, which tests nothing.
        self._random = random.Random(SEED)

    def sendto(
        self, transport: DatagramTransport, data: bytes, addr: Address | None = None
    ) -> None:
        """Send, or drop one in three, but never two in a row."""
        if socket.socket.sendto is REAL_SENDTO or self._may_pass(transport):
            self._sendto(transport, data, addr)
        else:
            self._dropped_last.add(transport)
            self.dropped_cnt += 1

    def _may_pass(self, transport: DatagramTransport) -> bool:
        passes = transport in self._dropped_last or self._random.random() >= 1 / 3
        self._dropped_last.discard(transport)
        return passes


loss = Loss()


def sendto(self: DatagramTransport, data: bytes, addr: Address | None = None) -> None:
    """Stand in for DatagramTransport.sendto."""
    loss.sendto(self, data, addr)


vars_of_transport: Any = DatagramTransport
vars_of_transport.sendto = sendto


@pytest.fixture(autouse=True)
def _leaks_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    before = loss.dropped_cnt
    yield
    assert open_datapaths() == []
    if IO == "socket" and "packet_loss" in request.node.name:
        assert loss.dropped_cnt > before, "the loss test lost nothing"
