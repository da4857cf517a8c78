"""Downloads over zero-copy across a network that delays, loses, reorders and is narrow.

    server, eth0 --- eth1, bridge, eth2 --- eth3, client

netem sits on both sides of the bridge: AF_XDP bypasses the queueing discipline of the
very device that it sends on.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import qxnet

from lab.conftest import Exchange, wait_for_link
from lab.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import qxserve

MACHINES = {"virtio": Machine(nic_cnt=4, captured=False, limit_s=240)}
pytestmark = pytest.mark.timeout(100)
MIDDLE = "qxmiddle"
# Each with the family that it is tried over.
CONDITIONS = {
    "delay 10ms 2ms": "10.77.0.1",
    "delay 5ms loss 2%": "fd77::1",
    "delay 10ms reorder 25% 50%": "10.77.0.1",
    "delay 5ms rate 20mbit": "fd77::1",
}


def ip(*words: str) -> None:
    """Run an ip command on the host of the namespaces."""
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL, timeout=30)


def tc(*words: str) -> str:
    """Run a tc command in the middle."""
    argv = ["ip", "netns", "exec", MIDDLE, "tc", *words]
    return subprocess.run(
        argv, check=True, stdout=subprocess.PIPE, text=True, timeout=30
    ).stdout


@pytest.fixture(scope="module")
def path() -> Iterator[qxnet.Link]:
    """Both ends, with a bridge in a namespace of its own between them."""
    with contextlib.ExitStack() as undo:
        ip("netns", "add", MIDDLE)
        undo.callback(ip, "netns", "delete", MIDDLE)
        ip("-netns", MIDDLE, "link", "add", "br0", "type", "bridge")
        ip("-netns", MIDDLE, "link", "set", "br0", "up")
        for nic in ("eth1", "eth2"):
            ip("link", "set", nic, "netns", MIDDLE)
            ip("-netns", MIDDLE, "link", "set", nic, "master", "br0", "up")
        link = undo.enter_context(qxnet.adopted("eth0", "eth3"))
        wait_for_link(link)
        yield link


@contextlib.contextmanager
def netem(condition: str) -> Iterator[Callable[[], str]]:
    """Set the condition on both sides; yields what tells the disciplines' counters."""
    limit = ["root", "netem", "limit", "5000"]
    for nic in ("eth1", "eth2"):
        tc("qdisc", "replace", "dev", nic, *limit, *condition.split())
    try:
        yield lambda: tc("-s", "qdisc", "show")
    finally:
        for nic in ("eth1", "eth2"):
            tc("qdisc", "del", "dev", nic, "root")


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_download_survives_the_network(
    path: qxnet.Link, site: Path, certificate: qxserve.Certificate, condition: str
) -> None:
    """Loss recovery and congestion control on a kernel's network, not a simulated one."""
    exchange = Exchange(path, site, certificate)
    host = CONDITIONS[condition]
    with exchange.serving(hosts=(host,)) as server, netem(condition) as told:
        got = exchange.fetched(host)
        stats = server.stats()
        counters = told()

    assert got == exchange.content
    assert stats["zerocopy"] == 1
    assert stats["lanes"]["xdp"]["tx_packets"] >= len(got) / 1500
    assert counters.count("netem") == 2
    if "loss" in condition:
        assert re.search(r"dropped [1-9]", counters), counters
