#!/usr/bin/env python3
"""Write the seeds of fuzz_pcap: small files for its reader, and lists of actions.

Run it from anywhere; it overwrites fuzz_pcap/ beside itself.
"""

import struct
from pathlib import Path
from typing import Final

OUT: Final = Path(__file__).parent / "fuzz_pcap"
WRITE, INTERFACE, SECRETS, SOCKET, FRAME = 0, 1, 2, 3, 5  # action % 8 of fuzz_pcap.c
IPV6, OUTGOING = 64, 128


def block(kind: int, body: bytes) -> bytes:
    """Return a pcapng block."""
    length = struct.pack("=I", len(body) + 12)
    return struct.pack("=I", kind) + length + body + length


def option(code: int, value: bytes) -> bytes:
    """Return an option, padded."""
    return struct.pack("=HH", code, len(value)) + value + bytes(-len(value) % 4)


def action(what: int, data: bytes = b"", length: int | None = None) -> bytes:
    """Return an action and its bytes."""
    return bytes([what, len(data) if length is None else length]) + data


SECTION: Final = block(0x0A0D0D0A, struct.pack("=IHHq", 0x1A2B3C4D, 1, 0, -1))
PACKET_HEAD: Final = struct.pack("=IIIII", 0, 1, 2, 5, 5)
END: Final = bytes(4)
SEEDS: Final = {
    "file": SECTION
    + block(1, struct.pack("=HHI", 1, 0, 0) + option(2, b"xdp a") + END)
    + block(6, PACKET_HEAD + b"hello" + bytes(3) + option(1, b"dropped") + END)
    + block(5, struct.pack("=III", 0, 1, 2) + option(4, bytes(8)) + END),
    "secrets": SECTION + block(10, struct.pack("=II", 0x544C534B, 4) + b"#  \n"),
    "broken": SECTION + block(6, PACKET_HEAD + b"hel")[:-3],
    "options_lie": block(6, PACKET_HEAD + bytes(8) + struct.pack("=HH", 2, 999)),
    "actions": action(INTERFACE)
    + action(FRAME, b"in")
    + action(FRAME + OUTGOING, b"out")
    + action(SOCKET, b"four")
    + action(SOCKET + IPV6 + OUTGOING, b"six")
    + action(SECRETS, b"S")
    + action(FRAME + 8 * 7, b"refused")
    + action(WRITE),
    "ring_full": action(FRAME, length=255) * 24,
    "file_full": (action(FRAME, length=255) * 8 + action(WRITE)) * 5,
}

if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for name, data in SEEDS.items():
        (OUT / name).write_bytes(data)
