"""`quicxdp serve --user` over AF_XDP: what works without rights, and what is given up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import qxnet

from tests.netns.serving import fetched, serving

if TYPE_CHECKING:
    import qxserve

# The user stays root, without root's capabilities: checkout and interpreter may be
# unreadable for everybody else.
OPTIONS = ("--user", "root", "--group", "nogroup")
STATS_CNT = 200


def test_af_xdp_needs_no_rights_once_open_and_its_loss_is_told(
    site: Path, certificate: qxserve.Certificate
) -> None:
    """The rings go on without capabilities; a lost interface leaves the socket lane.

    Also when it is back: that is counted, and one line says why.
    """
    with qxnet.joined() as link:
        _serve_and_lose(link, site, certificate)


def _serve_and_lose(
    link: qxnet.Link, site: Path, certificate: qxserve.Certificate
) -> None:
    server = serving(link, site, certificate, hosts=("10.77.0.1",), options=OPTIONS)
    with server:
        status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
        assert f"CapPrm:\t{0:016x}" in status
        assert "NoNewPrivs:\t1" in status
        got = fetched(link, site, certificate)
        assert got == (site / "file.bin").read_bytes()
        stats = server.stats()
        assert stats["rx_ring_produced"] == link.server.xdp_redirect_cnt() > 100
        assert stats["lanes"]["socket"]["tx_packets"] == 0
        assert stats["lanes_lost"] == 0

        link.client.run(["ip", "link", "set", link.client.interface, "down"])
        link.cut()
        for _ in range(STATS_CNT):
            if server.stats()["lanes_lost"]:
                break
        assert server.last_stats()["lanes_lost"] == 1
        # It comes back, and cannot be opened any more.
        link.lay()
        for _ in range(STATS_CNT):
            if server.stats()["lanes_given_up"]:
                break
        assert server.last_stats()["lanes_given_up"] == 1
        assert server.last_stats()["lanes_back"] == 0
        assert server.last_stats()["listeners"][0]["io"] == "socket"
        assert fetched(link, site, certificate) == (site / "file.bin").read_bytes()
    assert server.text.count("goes on over the kernel's socket") == 1
    assert server.text.count("stays on the kernel's socket") == 1
    assert "CAP_NET_RAW" in server.text
