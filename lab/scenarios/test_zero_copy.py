"""Zero-copy as the kernel confirms it: the datapath's contract, and HTTP/3 over it."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
import qxserve

from lab.machine import Driver, Machine

if TYPE_CHECKING:
    from collections.abc import Callable

    import qxnet

    from lab.conftest import Exchange

MACHINES = {
    "virtio": Machine(limit_s=170),
    # Each of the contract's 48 tests waits for igb's link twice two seconds.
    "igb": Machine(driver=Driver.IGB, limit_s=560),
}
CONTRACT = qxserve.ROOT / "native/build/contract_afxdp"
CONTRACT_TIMEOUT_S = 400.0


@pytest.mark.timeout(CONTRACT_TIMEOUT_S)
@pytest.mark.parametrize("mode", ["zerocopy", "copy"])
def test_the_datapath_keeps_its_contract(
    link: qxnet.Link, proved: Callable[[], None], driver: str, mode: str
) -> None:
    """What holds over a veth holds over rings that the NIC itself reads and writes."""
    # In copy mode igb's rings are the kernel's; half of the tests' time is its link's.
    part = ["arrive"] if (driver, mode) == ("igb", "copy") else []
    for more in ("10.77.0.3/24", "fd77::3/64"):
        link.client.run(["ip", "address", "add", more, "dev", link.client.interface])
    done = subprocess.run(
        [str(CONTRACT), *part],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=CONTRACT_TIMEOUT_S,
        env={
            **os.environ,
            "QX_NETNS_A": link.server.name,
            "QX_NIC_A": link.server.interface,
            "QX_NETNS_B": link.client.name,
            "QX_NIC_B": link.client.interface,
            "QX_XDP_MODE": mode,
        },
    )
    assert done.returncode == 0, done.stdout
    if mode == "zerocopy":
        proved()


@pytest.mark.timeout(100)
@pytest.mark.parametrize("host", ["10.77.0.1", "fd77::1"])
def test_http3_is_served_over_zero_copy(
    exchange: Exchange, proved: Callable[[], None], host: str
) -> None:
    """An independent client gets every byte, and the kernel tells which way they took."""
    before = exchange.link.server.udp_counters()
    with exchange.serving(hosts=(host,)) as server:
        got = exchange.fetched(host)
        stats = server.stats()

    moved = exchange.link.server.udp_counters().since(before)
    assert got == exchange.content
    assert stats["zerocopy"] == 1
    assert stats["rx_ring_produced"] > 100
    assert stats["completion_ring_produced"] >= len(got) / 1500
    assert moved.in_datagrams < stats["rx_ring_produced"] / 100
    assert moved.out_datagrams < stats["completion_ring_produced"] / 100
    assert sum(stats["frames"].values()) == stats["frame_cnt"]
    proved()
