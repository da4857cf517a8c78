"""--pcap: what tcpdump cannot see, read back and decrypted by tshark."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import qxserve

from tests.netns.serving import PORT, serving

if TYPE_CHECKING:
    from pathlib import Path

    import qxnet

SECRETS = ("--pcap-secrets",)
FILE_BYTES = 200_000
# RFC 8446 section 4, RFC 9114 section 11.2.1
CLIENT_HELLO, FINISHED = "1", "20"
HEADERS = 1


@pytest.fixture(scope="module", autouse=True)
def _tshark_is_there() -> None:
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed (apt-get install tshark)")


@dataclass(frozen=True, slots=True)
class Packet:
    """What tshark says about a packet."""

    interface: str
    is_outgoing: bool
    has_good_checksum: bool
    is_readable: bool
    handshake_types: tuple[str, ...]
    http3_frame_types: tuple[int, ...]


def read(file: Path) -> list[Packet]:
    """Let tshark take the file apart."""
    fields = ["frame.interface_name", "frame.packet_flags_direction"]
    fields += ["udp.checksum.status", "quic.frame_type"]
    fields += ["tls.handshake.type", "http3.frame_type"]
    argv = ["tshark", "-o", "udp.check_checksum:TRUE", "-r", str(file), "-T", "fields"]
    argv += [part for field in fields for part in ("-e", field)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30)
    packets = []
    for line in done.stdout.splitlines():
        name, direction, checksum, frames, handshake, http3 = line.split("\t")
        packets.append(
            Packet(
                interface=name,
                is_outgoing=int(direction, 16) == 2,
                has_good_checksum=checksum == "1",
                is_readable=bool(frames),
                handshake_types=tuple(filter(None, handshake.split(","))),
                # In hexadecimal, by some versions of tshark.
                http3_frame_types=tuple(int(t, 0) for t in http3.split(",") if t),
            )
        )
    return packets


def fetched(
    link: qxnet.Link, certificate: qxserve.Certificate, host: str, *options: str
) -> bytes:
    """Fetch the file with `quicxdp fetch` over the kernel's socket."""
    address = f"[{host}]" if ":" in host else host
    argv = [sys.executable, "-m", "quicxdp", "fetch", "--io", "socket"]
    argv += ["--cacert", str(certificate.ca), *options]
    argv += ["--resolve", f"localhost:{PORT}:{address}"]
    argv += ["-o", str(certificate.ca.parent / "got")]
    link.client.run([*argv, f"https://localhost:{PORT}/file.bin"], cwd=qxserve.ROOT)
    got = (certificate.ca.parent / "got").read_bytes()
    (certificate.ca.parent / "got").unlink()
    return got


@pytest.mark.parametrize(
    ("host", "engine"), [("10.77.0.1", "aioquic"), ("fd77::1", "native")]
)
def test_both_ends_captures_are_decrypted_by_tshark(
    link: qxnet.Link,
    site: Path,
    certificate: qxserve.Certificate,
    host: str,
    engine: str,
) -> None:
    """Handshake, requests and data, on the XDP lane as on the socket lane."""
    work = site.parent
    (site / "file.bin").write_bytes(os.urandom(FILE_BYTES))
    ours, theirs = work / "server.pcapng", work / "client.pcapng"
    options = ("--engine", engine, "--pcap", str(ours), *SECRETS)
    with serving(link, site, certificate, hosts=(host,), options=options) as server:
        got = fetched(
            link, certificate, host, "--engine", engine, "--pcap", str(theirs), *SECRETS
        )
    stats = server.last_stats()

    assert got == (site / "file.bin").read_bytes()
    assert "whoever reads it can read all traffic" in server.text
    for file in (ours, theirs):
        packets = read(file)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert all(packet.is_readable for packet in packets)
        # A veth hands over what its other end left to hardware.
        assert all(packet.has_good_checksum for packet in packets if packet.is_outgoing)
        handshake = {kind for packet in packets for kind in packet.handshake_types}
        assert {CLIENT_HELLO, FINISHED} <= handshake
        # One each way, and perhaps a second time: a slow machine's probe repeats it.
        fields = {p.is_outgoing for p in packets if HEADERS in p.http3_frame_types}
        assert fields == {False, True}
    lanes = Counter((packet.interface, packet.is_outgoing) for packet in read(ours))
    name = f"xdp {link.server.interface}"
    assert lanes[name, False] == stats["rx_ring_produced"]
    assert lanes[name, True] == stats["completion_ring_produced"] > FILE_BYTES // 1500
    assert {packet.interface for packet in read(theirs)} == {"socket"}


def test_without_secrets_nothing_can_be_read_and_the_bound_holds(
    link: qxnet.Link, site: Path, certificate: qxserve.Certificate
) -> None:
    """A capture for somebody else's eyes, of a server that runs for long."""
    file = site.parent / "server.pcapng"
    options = ("--pcap", str(file), "--pcap-max", "1")
    with serving(
        link, site, certificate, hosts=("10.77.0.1",), options=options
    ) as server:
        assert fetched(link, certificate, "10.77.0.1")

    assert "is incomplete" in server.text
    assert "because the file was full" in server.text
    assert (1 << 20) - 8192 < file.stat().st_size <= 1 << 20
    packets = read(file)
    assert len(packets) > 700
    # Initial packets are protected with keys that everybody can compute.
    assert sum(packet.is_readable for packet in packets) < 10
    assert not any(packet.http3_frame_types for packet in packets)
