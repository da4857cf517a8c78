"""--allow and --deny where firewalls do not reach: on the XDP lane."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import qxecho

if TYPE_CHECKING:
    import qxnet


@pytest.mark.parametrize("host", ["10.77.0.1", "fd77::1"])
def test_a_denied_source_is_dropped_and_counted_on_the_xdp_lane(
    link: qxnet.Link, host: str
) -> None:
    """nftables does not see these packets, so this is the filter that they meet."""
    peer = link.client.address6 if ":" in host else link.client.address4

    async def talk() -> None:
        async with (
            qxecho.echoing(link.server, host, port=7001, deny=[peer]) as closed,
            qxecho.echoing(link.server, host, port=7002, allow=[peer]) as opened,
        ):
            with qxecho.client_socket(link.client, host) as sock:
                loop = asyncio.get_running_loop()
                await loop.sock_sendto(sock, b"stranger", closed.address)
                # One queue: what was sent first has been handled once this is answered.
                assert await qxecho.ask(sock, b"friend", opened.address) == b"friend"
            assert closed.heard.datagrams == []
            assert closed.stats().drops["denied"] == 1
            assert opened.stats().drops["denied"] == 0
            assert closed.stats().rx_ring_produced == 2

    asyncio.run(talk())
