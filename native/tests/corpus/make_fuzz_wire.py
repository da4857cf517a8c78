#!/usr/bin/env python3
"""Write the seeds of fuzz_wire: one small frame per thing the parser distinguishes.

Run it from anywhere; it overwrites fuzz_wire/ beside itself.  The first byte of each seed
asks fuzz_wire.c to mend the IPv4 header (1) and UDP (2) checksums.
"""

import struct
from pathlib import Path
from typing import Final

OUT: Final = Path(__file__).parent / "fuzz_wire"
OURS: Final = bytes([2]) + b"qx" + bytes([0, 0, 1])
THEIRS: Final = bytes([2]) + b"qx" + bytes([0, 0, 0])
V4: Final = (bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]))
V6: Final = tuple(
    bytes.fromhex("20010db8") + bytes(11) + bytes([host]) for host in (1, 2)
)


def udp(
    payload: bytes = b"hello",
    *,
    sport: int = 50000,
    dport: int = 443,
    length: int | None = None,
    checksum: int = 0,
) -> bytes:
    """Return a UDP header and payload; *length* lies about the length."""
    size = 8 + len(payload) if length is None else length
    return struct.pack(">HHHH", sport, dport, size, checksum) + payload


def eth(body: bytes, kind: int, *, dest: bytes = OURS) -> bytes:
    """Return an Ethernet frame of EtherType *kind*."""
    return dest + THEIRS + struct.pack(">H", kind) + body


def v4(
    body: bytes,
    *,
    src: bytes = V4[0],
    proto: int = 17,
    first: int = 0x45,
    frag: int = 0x4000,
    options: bytes = b"",
    tos: int = 0,
) -> bytes:
    """Return a frame with an IPv4 header, its checksum left to the fuzz target."""
    total = 20 + len(options) + len(body)
    head = struct.pack(">BBHHHBBH", first, tos, total, 0, frag, 64, proto, 0)
    return eth(head + src + V4[1] + options + body, 0x0800)


def v6(
    body: bytes,
    *,
    src: bytes = V6[0],
    proto: int = 17,
    tclass: int = 0,
    length: int | None = None,
) -> bytes:
    """Return a frame with an IPv6 header; *length* lies about the payload length."""
    size = len(body) if length is None else length
    head = struct.pack(">IHBB", 6 << 28 | tclass << 20, size, proto, 64)
    return eth(head + src + V6[1] + body, 0x86DD)


SEEDS: Final = {
    "v4": v4(udp()),
    "v4_empty": v4(udp(b"")),
    "v4_ce": v4(udp(), tos=3),
    "v4_padded": v4(udp(b"x")) + bytes(20),
    "v4_odd": v4(udp(b"abc")),
    "v4_other_port": v4(udp(dport=444)),
    "v4_first_fragment": v4(udp(), frag=0x2000),
    "v4_later_fragment": v4(udp(), frag=0x0010),
    "v4_options": v4(udp(), first=0x46, options=bytes([1, 1, 1, 0])),
    "v4_icmp": v4(bytes(16), proto=1),
    "v4_tcp": v4(bytes(20), proto=6),
    "v4_udp_length_short": v4(udp(length=9)),
    "v4_udp_length_long": v4(udp(length=900)),
    "v4_source_loopback": v4(udp(), src=bytes([127, 0, 0, 1])),
    "v4_source_multicast": v4(udp(), src=bytes([224, 0, 0, 1])),
    "v4_source_ourselves": v4(udp(), src=V4[1]),
    "v4_source_port_0": v4(udp(sport=0)),
    "v4_truncated": v4(udp())[:40],
    "v6": v6(udp()),
    "v6_empty": v6(udp(b"")),
    "v6_ce": v6(udp(), tclass=3),
    "v6_link_local": v6(udp(), src=bytes.fromhex("fe80") + bytes(13) + b"\x01"),
    "v6_hop_by_hop": v6(bytes([17, 0, 1, 4, 0, 0, 0, 0]) + udp(), proto=0),
    "v6_fragment": v6(bytes([17, 0, 0, 1, 0, 0, 0, 1]) + udp(), proto=44),
    "v6_length_long": v6(udp(), length=500),
    "v6_source_mapped": v6(udp(), src=bytes(10) + b"\xff\xff" + V4[0]),
    "v6_icmp": v6(bytes(16), proto=58),
    "arp": eth(bytes(28), 0x0806),
    "vlan": eth(bytes([0, 1, 8, 0]) + v4(udp())[14:], 0x8100),
    "other_mac": eth(v4(udp())[14:], 0x0800, dest=b"\xff" * 6),
    "short": OURS,
    "quic_initial": v4(udp(bytes.fromhex("c00000000108") + bytes(range(60)))),
}


def main() -> None:
    """Replace the corpus."""
    OUT.mkdir(exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    for name, frame in SEEDS.items():
        (OUT / name).write_bytes(b"\x03" + frame)
    # The same without repairs: absent checksum, and partial (pseudo-header sum only).
    (OUT / "v6_no_checksum").write_bytes(b"\x01" + SEEDS["v6"])
    (OUT / "v4_no_checksum").write_bytes(b"\x01" + SEEDS["v4"])
    words = struct.unpack(">16H", V6[0] + V6[1])
    total = sum(words) + 17 + 13
    total = (total & 0xFFFF) + (total >> 16)
    (OUT / "v6_partial_checksum").write_bytes(b"\x00" + v6(udp(checksum=total)))
    (OUT / "v4_bad_header_checksum").write_bytes(b"\x02" + SEEDS["v4"])


if __name__ == "__main__":
    main()
