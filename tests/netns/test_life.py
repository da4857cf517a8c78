"""An interface that goes, comes back or changes under a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import qxnet

from tests.netns.serving import fetched, serving

if TYPE_CHECKING:
    from pathlib import Path

    import qxserve

STATS_CNT = 300
FETCHES = 8


def _stats_until(server: qxserve.Server, name: str, value: int) -> dict[str, Any]:
    """Return the counters once one is as wanted, or after many looks."""
    for _ in range(STATS_CNT):
        stats = server.stats()
        if stats[name] == value:
            break
    return stats


@pytest.mark.parametrize("host", ["10.77.0.1", "fd77::1"])
def test_an_interface_that_is_made_again_is_used_again(
    link: qxnet.Link, site: Path, certificate: qxserve.Certificate, host: str
) -> None:
    """Hot-plugged cards and re-created containers come back by themselves."""
    expected = (site / "file.bin").read_bytes()
    with serving(link, site, certificate) as server:
        for lanes in (2, 4):  # each of the two listeners has one
            link.cut()
            stats = _stats_until(server, "lanes_lost", lanes)
            assert stats["lanes_lost"] == lanes
            assert {each["io"] for each in stats["listeners"]} == {"socket"}
            link.lay()
            stats = _stats_until(server, "lanes_back", lanes)
            assert stats["lanes_back"] == lanes
            assert {each["io"] for each in stats["listeners"]} == {"xdp"}
            before = stats["rx_ring_produced"]
            assert fetched(link, site, certificate, host=host) == expected
            stats = server.stats()
            assert stats["rx_ring_produced"] - before == link.server.xdp_redirect_cnt()
            assert link.server.xdp_redirect_cnt() > 100
            assert stats["frame_cnt"] == sum(stats["frames"].values())
    assert server.text.count("goes on over the kernel's socket") == 4
    assert server.text.count("over AF_XDP again") == 4
    assert "Traceback" not in server.text


def _channels(netns: qxnet.Netns, cnt: int, *, check: bool = True) -> int:
    done = netns.run(
        ["ethtool", "-L", netns.interface, "rx", str(cnt), "tx", str(cnt)], check=check
    )
    return done.returncode


def test_more_queues_are_served_once_they_are_there(
    site: Path, certificate: qxserve.Certificate
) -> None:
    """`ethtool -L` on a busy server: the new queues' flows take the rings as well."""
    expected = (site / "file.bin").read_bytes()
    with qxnet.joined(queue_cnt=4) as link:
        for netns in (link.server, link.client):
            _channels(netns, 2)
        with serving(link, site, certificate) as server:
            assert fetched(link, site, certificate) == expected
            assert server.stats()["queue_cnt"] == 2
            _channels(link.server, 4)
            _channels(link.client, 4)
            # It is noticed with the next traffic, of which nothing is lost.
            for _ in range(FETCHES):
                assert fetched(link, site, certificate) == expected
                if server.stats()["lanes_back"] == 2:
                    break
            stats = _stats_until(server, "queue_cnt", 4)
            assert (stats["queue_cnt"], stats["lanes_lost"]) == (4, 0)
            sockets = stats["lanes"]["socket"]["rx_packets"]
            for _ in range(FETCHES):
                assert fetched(link, site, certificate) == expected
            assert server.stats()["lanes"]["socket"]["rx_packets"] == sockets
            # FETCHES flows all hash to the two old queues once in 256 runs.
            assert sum(link.server.xdp_redirects_by_queue()[2:]) > 0

            # Fewer are refused by the kernel, as long as AF_XDP has them.
            assert _channels(link.server, 2, check=False) != 0
            assert fetched(link, site, certificate) == expected
        assert server.text.count("over AF_XDP again") == 2
