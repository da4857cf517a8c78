"""`quicxdp serve` over AF_XDP: real clients, the proof of the lane, and trouble."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import qxecho
import qxserve

from tests.netns.serving import fetched, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    import qxnet


@pytest.mark.parametrize("host", ["10.77.0.1", "fd77::1"])
def test_the_rings_carry_http3_and_the_kernel_agrees(
    link: qxnet.Link, site: Path, certificate: qxserve.Certificate, host: str
) -> None:
    """The lane is proved by counters that the kernel writes, not by ours alone."""
    want = (site / "file.bin").read_bytes()
    before = link.server.udp_counters()
    with serving(link, site, certificate, hosts=(host,)) as server:
        got = fetched(link, site, certificate, host=host)
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
            got = fetched(link2, site, certificate, options=("--change-local-addr=20ms",))
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
        got = fetched(link, site, certificate)

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
                got = fetched(link, site, certificate)
                stats = server.stats()
            assert got == (site / "file.bin").read_bytes()
            assert stats["rx_ring_produced"] == 0
            # At least: how many packets one ACK covers is up to the client.
            assert stats["lanes"]["socket"]["rx_packets"] > 10
            assert "socket" in server.text

    asyncio.run(hold_and_fetch())


def test_io_xdp_says_that_the_interface_does_not_exist(
    link: qxnet.Link, site: Path, certificate: qxserve.Certificate
) -> None:
    """A misspelt name must not end in a server that is quietly slow."""
    server = serving(link, site, certificate, interface="qxnosuch")
    with pytest.raises(qxserve.ServeError, match=r"qxnosuch"):
        server.start()


TROUBLE_FILE_BYTES = 12_000_000


def troubles(link: qxnet.Link) -> list[list[list[str]]]:
    """List what goes wrong at the server's end, each with its way back."""
    ip = ["ip"]
    device = ["dev", link.server.interface]
    end = [*ip, "link", "set", *device]
    neighbours = [
        [*ip, "neighbour", "flush", *device, "to", address]
        for address in (link.client.address4, link.client.address6)
    ]
    return [
        neighbours,
        [[*end, "mtu", "1400"], [*end, "mtu", "1500"]],
        [
            [*ip, "rule", "add", "to", "192.0.2.0/24"],
            [*ip, "rule", "del", "pref", "32765"],
        ],
        [[*end, "down"], [*end, "up"]],
        neighbours,
    ]


@contextlib.contextmanager
def troubled(link: qxnet.Link) -> Iterator[list[int]]:
    """Make one trouble after the other for the time of a ``with`` block.

    Yields a list with the number of rounds, which grows meanwhile.
    """
    rounds = [0]
    over = threading.Event()

    def make() -> None:
        while not over.is_set():
            for commands in troubles(link):
                for command in commands:
                    link.server.run(command)
            rounds[0] += 1

    with futures.ThreadPoolExecutor(max_workers=1) as pool:
        trouble = pool.submit(make)
        try:
            yield rounds
        finally:
            over.set()
            trouble.result()


@pytest.mark.parametrize("host", ["10.77.0.1", "fd77::1"])
def test_a_download_survives_what_happens_to_an_interface(
    link: qxnet.Link, site: Path, certificate: qxserve.Certificate, host: str
) -> None:
    """Neighbours get lost, rules and MTUs change, cables are pulled; all bytes arrive."""
    want = os.urandom(TROUBLE_FILE_BYTES)
    (site / "big.bin").write_bytes(want)
    with link.server.entered():
        for scope in ("all", link.server.interface):
            keep = Path("/proc/sys/net/ipv6/conf", scope, "keep_addr_on_down")
            keep.write_text("1", encoding="ascii")
    with serving(link, site, certificate, hosts=(host,)) as server:
        with troubled(link) as rounds:
            got = fetched(link, site, certificate, host=host, path="/big.bin")
        stats = server.stats()

    assert got == want
    assert rounds[0] > 0
    assert stats["mirror_link_changes"] >= 4 * rounds[0]
    assert stats["mirror_bad_messages"] == 0
    assert stats["lanes"]["xdp"]["tx_packets"] > 0
    assert stats["lanes"]["socket"]["tx_packets"] > 0
    assert sum(stats["frames"].values()) == stats["frame_cnt"]
