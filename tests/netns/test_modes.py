"""`quicxdp serve` in the modes that an operator may ask for, with a real client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import qxserve

from tests.netns.serving import fetched, serving

if TYPE_CHECKING:
    from pathlib import Path

    import qxnet


@pytest.mark.parametrize(
    ("io", "options", "mode", "sends"),
    [
        ("hybrid", (), "copy", "socket"),
        ("xdp", ("--xdp-mode", "copy"), "copy", "xdp"),
        ("xdp", ("--xdp-mode", "generic"), "generic", "xdp"),
        ("hybrid", ("--xdp-mode", "generic"), "generic", "socket"),
        ("xdp", ("--busy-poll", "20", "--spin", "50"), "copy", "xdp"),
        ("xdp", ("--huge-pages",), "copy", "xdp"),
    ],
)
def test_a_mode_that_is_asked_for_serves_and_is_told(
    link: qxnet.Link,
    site: Path,
    certificate: qxserve.Certificate,
    *,
    io: str,
    options: tuple[str, ...],
    mode: str,
    sends: str,
) -> None:
    """The file arrives, and the statistics say how."""
    with serving(link, site, certificate, io=io, options=options) as server:
        got = fetched(link, site, certificate)
        stats = server.stats()
    name = link.server.interface
    (listener, _) = stats["listeners"]

    assert got == (site / "file.bin").read_bytes()
    assert (listener["io"], listener["interface"]) == (io, name)
    assert stats["interfaces"][name]["modes"] == [mode]
    assert stats["interfaces"][name]["sends"] is (sends == "xdp")
    assert stats["interfaces"][name]["busy_poll"] is ("--busy-poll" in options)
    # How many depends on how often the client acknowledges.
    received = {lane: stats["lanes"][lane]["rx_packets"] for lane in ("xdp", "socket")}
    assert received["xdp"] > max(20, 10 * received["socket"])
    other = "xdp" if sends == "socket" else "socket"
    # A first answer may have to find the way to the peer by socket.
    assert stats["lanes"][sends]["tx_packets"] > 10 * stats["lanes"][other]["tx_packets"]
    assert ("is in generic mode" in server.text) is (mode == "generic")


def test_zero_copy_that_is_insisted_on_is_an_error_where_there_is_none(
    link: qxnet.Link, site: Path, certificate: qxserve.Certificate
) -> None:
    """A veth copies; the message says what to ask for instead."""
    with pytest.raises(qxserve.ServeError, match="no zero-copy"):
        serving(link, site, certificate, options=("--xdp-mode", "zerocopy")).start()
