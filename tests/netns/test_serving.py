"""`quicxdp serve` over AF_XDP: real clients, the proof of the lane, and trouble."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest
import qxclients
import qxecho
import qxserve

if TYPE_CHECKING:
    from pathlib import Path

    import qxnet

PORT = 4433


def serving(
    link: qxnet.Link,
    site: Path,
    certificate: qxserve.Certificate,
    *,
    hosts: tuple[str, ...] = ("10.77.0.1", "fd77::1"),
    io: str = "xdp",
) -> qxserve.Server:
    """Describe a server on the link's interface; entering it starts it."""
    return qxserve.Server(
        link.server,
        site,
        work=site.parent,
        certificate=certificate,
        hosts=hosts,
        port=PORT,
        options=("--io", io, "--interface", link.server.interface),
    )


@pytest.mark.parametrize("host", ["10.77.0.1", "fd77::1"])
def test_the_rings_carry_http3_and_the_kernel_agrees(
    link: qxnet.Link, site: Path, certificate: qxserve.Certificate, host: str
) -> None:
    """The lane is proved by counters that the kernel writes, not by ours alone."""
    want = (site / "file.bin").read_bytes()
    before = link.server.udp_counters()
    with serving(link, site, certificate, hosts=(host,)) as server:
        got = qxclients.gtlsclient(
            link.client,
            (host, PORT),
            "/file.bin",
            work=site.parent,
            certificate=certificate,
        )
        stats = server.stats()

    moved = link.server.udp_counters().since(before)
    rx = stats["rx_ring_produced"]
    assert got == want
    assert rx == link.server.xdp_redirect_cnt() > 100
    assert stats["completion_ring_produced"] >= len(want) / 1500
    assert moved.in_datagrams < rx / 100
    assert moved.out_datagrams < rx / 100
    assert sum(stats["frames"].values()) == stats["frame_cnt"]


def test_a_download_survives_a_change_of_port_and_queue(
    link2: qxnet.Link, site: Path, certificate: qxserve.Certificate
) -> None:
    """A client that migrates (RFC 9000 section 9) may land on the other queue."""
    with serving(link2, site, certificate) as server:
        for _ in range(4):
            got = qxclients.gtlsclient(
                link2.client,
                ("10.77.0.1", PORT),
                "/file.bin",
                work=site.parent,
                certificate=certificate,
                options=("--change-local-addr=20ms",),
            )
            assert got == (site / "file.bin").read_bytes()
        assert server.stats()["rx_ring_produced"] == link2.server.xdp_redirect_cnt()


def test_a_server_started_after_kill_9_serves_the_port_at_once(
    link: qxnet.Link, site: Path, certificate: qxserve.Certificate
) -> None:
    """A crash must not leave a program that swallows the port's packets."""
    want = (site / "file.bin").read_bytes()
    first = serving(link, site, certificate)
    first.start()
    assert link.server.xdp_attached()
    first.process.send_signal(signal.SIGKILL)
    first.join()
    assert not link.server.xdp_attached()

    with serving(link, site, certificate):
        got = qxclients.gtlsclient(
            link.client,
            ("10.77.0.1", PORT),
            "/file.bin",
            work=site.parent,
            certificate=certificate,
        )

    assert got == want


def test_io_xdp_says_that_another_program_is_attached(
    link: qxnet.Link, site: Path, certificate: qxserve.Certificate
) -> None:
    """We never replace somebody else's program, and say what to do instead."""

    async def hold_and_try() -> None:
        async with qxecho.echoing(link.server, "10.77.0.1"):
            with pytest.raises(qxserve.ServeError, match=r"another XDP program"):
                serving(link, site, certificate).start()
            assert link.server.xdp_attached()

    asyncio.run(hold_and_try())


def test_io_auto_serves_by_socket_where_another_program_is_attached(
    link: qxnet.Link, site: Path, certificate: qxserve.Certificate
) -> None:
    """Falling back is normal, works, and is explained."""

    async def hold_and_fetch() -> None:
        async with qxecho.echoing(link.server, "10.77.0.1"):
            with serving(link, site, certificate, io="auto") as server:
                got = qxclients.gtlsclient(
                    link.client,
                    ("10.77.0.1", PORT),
                    "/file.bin",
                    work=site.parent,
                    certificate=certificate,
                )
                stats = server.stats()
            assert got == (site / "file.bin").read_bytes()
            assert stats["rx_ring_produced"] == 0
            assert stats["lanes"]["socket"]["rx_packets"] > 100
            assert "socket" in server.text

    asyncio.run(hold_and_fetch())


def test_io_xdp_says_that_the_interface_does_not_exist(
    link: qxnet.Link, site: Path, certificate: qxserve.Certificate
) -> None:
    """A misspelt name must not end in a server that is quietly slow."""
    server = qxserve.Server(
        link.server,
        site,
        work=site.parent,
        certificate=certificate,
        hosts=("10.77.0.1",),
        port=PORT,
        options=("--io", "xdp", "--interface", "qxnosuch"),
    )
    with pytest.raises(qxserve.ServeError, match=r"qxnosuch"):
        server.start()
