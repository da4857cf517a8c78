"""A NIC that offers zero-copy and refuses it: copied, told, and every byte arrives.

virtio_net offers it always, and takes it only behind the DMA API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import qxserve

from lab.machine import Machine

if TYPE_CHECKING:
    from lab.conftest import Exchange

MACHINES = {"virtio": Machine(nic_properties="iommu_platform=off")}
pytestmark = pytest.mark.timeout(100)


def test_a_refusal_is_told_and_packets_are_copied(exchange: Exchange) -> None:
    """The feature bit is no proof, and the log says what happened instead."""
    with exchange.serving() as server:
        got = exchange.fetched()
        stats = server.stats()

    assert got == exchange.content
    assert stats["zerocopy"] == 0
    assert stats["rx_ring_produced"] > 100
    assert "offers zero-copy and refused it" in server.text


def test_doctor_does_not_promise_what_it_has_not_tried(exchange: Exchange) -> None:
    """It may say perhaps; it may not say yes."""
    argv = [qxserve.PYTHON, "-m", "quicxdp", "doctor", "--json"]
    said = exchange.link.server.run(argv, cwd=qxserve.ROOT).stdout

    assert '"zero_copy": "yes"' not in said
