"""Many receive queues with RSS: each is served, and a flow may change its queue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import qxecho

from lab.conftest import wait_for_link
from lab.machine import Driver, Machine

if TYPE_CHECKING:
    from collections.abc import Callable

    import qxnet

    from lab.conftest import Exchange

MACHINES = {"igb": Machine(driver=Driver.IGB, cpu_cnt=4)}
pytestmark = pytest.mark.timeout(100)
FLOWS = 48


def received(netns: qxnet.Netns) -> list[int]:
    """Return the driver's count of packets by receive queue."""
    counters = netns.driver_counters()
    queues = sorted(name for name in counters if name.startswith("rx_queue_"))
    return [counters[name] for name in queues if name.endswith("_packets")]


def test_flows_on_all_queues_arrive_over_zero_copy(
    link: qxnet.Link, proved: Callable[[], None]
) -> None:
    """A NIC spreads flows as it likes; one endpoint hears all of them over its rings."""
    hashing = ["ethtool", "-N", link.server.interface, "rx-flow-hash", "udp4", "sdfn"]
    link.server.run(hashing)

    async def talk() -> None:
        async with qxecho.echoing(link.server, "10.77.0.1") as echo:
            wait_for_link(link)
            before = received(link.server)
            for port in range(41000, 41000 + FLOWS):
                with qxecho.client_socket(link.client, "10.77.0.1", port=port) as sock:
                    assert await qxecho.ask(sock, b"flow", echo.address) == b"flow"
            after = received(link.server)
            stats = echo.stats()
        grown = [new - old for new, old in zip(after, before, strict=True)]
        assert len(grown) == stats.queue_cnt == 4
        assert min(grown) > 0, grown
        assert stats.zerocopy == 1
        assert stats.lanes["xdp"].rx_packets == FLOWS
        assert stats.lanes["socket"].rx_packets == 0

    asyncio.run(talk())
    proved()


def test_a_download_survives_changes_of_port_and_queue(exchange: Exchange) -> None:
    """A client that migrates (RFC 9000 section 9) lands on other queues."""
    with exchange.serving(hosts=("10.77.0.1",)) as server:
        got = exchange.fetched(options=("--change-local-addr=50ms",))
        stats = server.stats()

    assert got == exchange.content
    assert stats["zerocopy"] == 1
    assert stats["queue_cnt"] == 4
