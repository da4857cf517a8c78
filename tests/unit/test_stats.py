"""The statistics: what the kernel dropped, how often somebody looked, what is written."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path
from time import monotonic_ns

from quicxdp import _native
from quicxdp.capture import CaptureStats
from quicxdp.config import DatapathConfig
from quicxdp.datapath import Datapath
from quicxdp.stats import InterfaceStats, LaneStats, Stats

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "statistics.md"
SENT_CNT = 400


def test_what_the_kernel_drops_for_want_of_room_is_counted_too() -> None:
    """Otherwise a reader that is too slow would look like a network that loses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        datapath = Datapath.open(sock, DatapathConfig(socket_buffer_bytes=8192))
        for _ in range(SENT_CNT):
            sock.sendto(b"x" * 1200, sock.getsockname())
        before = datapath.stats()
        received = 0
        while batch := datapath.recv(monotonic_ns()):
            received += len(batch)
        after = datapath.stats()
        datapath.close()

    assert before.turns == before.turns_empty == 0
    assert 0 < received < SENT_CNT
    assert before.kernel_socket_dropped == SENT_CNT - received
    assert after.lanes["socket"].rx_packets == received
    assert after.turns - after.turns_empty >= 1
    assert after.turns_empty == 1


def test_every_counter_is_explained() -> None:
    """A number that nobody can read helps nobody."""
    text = DOCUMENT.read_text(encoding="utf-8")
    names = [
        field.name
        for kind in (Stats, LaneStats, InterfaceStats, CaptureStats)
        for field in dataclasses.fields(kind)
    ]
    names += [name for name in _native.drop_names() if name != "none"]
    names += [*_native.frame_state_names(), *_native.ring_names()]

    assert [name for name in names if f"`{name}`" not in text] == []
