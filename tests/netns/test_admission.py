"""What a server admits, on the XDP lane: Retry by C, and strangers who get nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import qxecho

from tests.netns.serving import PORT, fetched, serving

if TYPE_CHECKING:
    from pathlib import Path

    import qxnet
    import qxserve


@pytest.mark.parametrize("host", ["10.77.0.1", "fd77::1"])
def test_a_client_of_others_follows_our_retry_over_the_rings(
    link: qxnet.Link, site: Path, certificate: qxserve.Certificate, host: str
) -> None:
    """The packet is written in C, so somebody else has to find it right."""
    options = ("--retry", "always")
    with serving(link, site, certificate, hosts=(host,), options=options) as server:
        got = fetched(link, site, certificate, host=host)
        stats = server.stats()

    assert got == (site / "file.bin").read_bytes()
    assert stats["rx_ring_produced"] == link.server.xdp_redirect_cnt() > 100
    assert stats["admission"]["retries_sent"] >= 1
    assert stats["admission"]["tokens_valid"] >= 1
    assert not any(stats["admission"]["refused"].values())


def test_what_cannot_begin_a_connection_is_counted_and_harms_no_download(
    link: qxnet.Link, site: Path, certificate: qxserve.Certificate
) -> None:
    """Between the packets of a client, each stranger ends in its own counter."""
    small = b"\xc0\x00\x00\x00\x01\x08" + bytes(900)
    other_version = b"\xc0\x1a\x2a\x3a\x4a\x08" + bytes(1300)
    stray = b"\x40" + bytes(60)
    with serving(link, site, certificate, hosts=("10.77.0.1",)) as server:
        with qxecho.client_socket(link.client, "10.77.0.1") as sock:
            for data in (small, other_version, stray) * 20:
                sock.sendto(data, ("10.77.0.1", PORT))
        got = fetched(link, site, certificate)
        admission = server.stats()["admission"]

    assert got == (site / "file.bin").read_bytes()
    assert admission["refused"]["small"] == 20
    assert admission["refused"]["unknown"] >= 20  # and what the client sent too late
    assert admission["versions_sent"] == 20
