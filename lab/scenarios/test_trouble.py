"""What goes wrong around a NIC in zero-copy, and that the datagrams arrive all the same.

Most of it is tests/netns, which runs over veth otherwise, on the lab's NICs.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import qxclients
import qxnet

from lab.machine import Machine
from tests.netns.serving import PORT, serving
from tests.netns.test_second_lane import (
    test_a_datagram_with_ip_options_arrives_and_is_answered,
    test_a_fragmented_datagram_arrives_and_is_answered,
    test_a_plain_datagram_travels_both_ways_over_xdp,
    test_a_segmenting_sender_loses_nothing,
    test_other_ports_of_the_interface_stay_the_kernels,
    test_two_endpoints_share_an_interface,
)
from tests.netns.test_serving import (
    test_a_download_survives_what_happens_to_an_interface,
    test_io_auto_serves_by_socket_where_another_program_is_attached,
    test_io_xdp_says_that_another_program_is_attached,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import qxserve

    from lab.conftest import Exchange

MACHINES = {"virtio": Machine(limit_s=420)}
pytestmark = pytest.mark.timeout(100)
UPLOAD_BYTES = 2_000_000
DOWNLOAD_BYTES = 5_000_000
FETCH_TIMEOUT_S = 60.0
TOLD_TIMEOUT_S = 10.0

__all__ = [
    "test_a_datagram_with_ip_options_arrives_and_is_answered",
    "test_a_download_survives_what_happens_to_an_interface",
    "test_a_fragmented_datagram_arrives_and_is_answered",
    "test_a_plain_datagram_travels_both_ways_over_xdp",
    "test_a_segmenting_sender_loses_nothing",
    "test_io_auto_serves_by_socket_where_another_program_is_attached",
    "test_io_xdp_says_that_another_program_is_attached",
    "test_other_ports_of_the_interface_stay_the_kernels",
    "test_two_endpoints_share_an_interface",
]


@pytest.mark.parametrize("host", ["10.77.0.1", "fd77::1"])
def test_large_bodies_travel_both_ways(
    exchange: Exchange, proved: Callable[[], None], host: str
) -> None:
    """More than any ring holds, in both directions, checked by hash."""
    upload, download = os.urandom(UPLOAD_BYTES), os.urandom(DOWNLOAD_BYTES)
    (exchange.site / "large.bin").write_bytes(download)
    with exchange.serving(hosts=(host,), options=("--bench-endpoint",)) as server:
        said, got = (
            qxclients.gtlsclient(
                exchange.link.client,
                (host, PORT),
                path,
                work=exchange.site.parent,
                certificate=exchange.certificate,
                body=body,
                timeout_s=FETCH_TIMEOUT_S,
            )
            for path, body in (("/sha256", upload), ("/large.bin", None))
        )
        stats = server.stats()

    assert said == hashlib.sha256(upload).hexdigest().encode() + b"\n"
    assert got == download
    assert stats["zerocopy"] == 1
    assert stats["rx_ring_produced"] >= UPLOAD_BYTES / 1500
    assert sum(stats["frames"].values()) == stats["frame_cnt"]
    proved()


def test_the_kernels_socket_takes_over_after_kill_9(exchange: Exchange) -> None:
    """Nothing of a killed server stays on the NIC: a socket server serves at once."""
    with exchange.serving() as first:
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        assert not exchange.link.server.xdp_attached()
        with exchange.serving(io="socket") as second:
            assert exchange.fetched() == exchange.content
            assert second.stats()["lanes"]["socket"]["rx_packets"] > 10


def test_an_interface_that_is_removed_is_told_and_survived(
    site: Path, certificate: qxserve.Certificate
) -> None:
    """The device goes as one that is pulled out does; the server says so and goes on."""
    with qxnet.adopted("eth0", "eth1") as link:
        device = link.server.interface
        virtio = Path("/sys/class/net", device, "device")
        found = link.server.run(["readlink", "-f", str(virtio)]).stdout.strip()
        driver = Path("/sys/bus/virtio/drivers/virtio_net")
        with serving(link, site, certificate) as server:
            started = len(server.lines)
            (driver / "unbind").write_text(Path(found).name, encoding="ascii")
            deadline = time.monotonic() + TOLD_TIMEOUT_S
            while not any(device in line for line in server.lines[started:]):
                assert time.monotonic() < deadline, server.text
                time.sleep(0.05)
            stats = server.stats()
        assert sum(stats["frames"].values()) == stats["frame_cnt"]
    (driver / "bind").write_text(Path(found).name, encoding="ascii")
