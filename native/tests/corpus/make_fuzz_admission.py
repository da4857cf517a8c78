#!/usr/bin/env python3
"""Write the seeds of fuzz_admission: one datagram for each way through the gate."""

from pathlib import Path

PAD, KNOW, LOADED, IPV6 = 1, 2, 4, 16
V1, V2, GREASE = 0x00000001, 0x6B3343CF, 0x1A2A3A4A
DCID, SCID = b"\x08" + b"12345678", b"\x04" + b"scid"


def initial(*, first: int = 0xC0, version: int = V1, token: bytes = b"") -> bytes:
    """Return an Initial whose packet ends where PAD lets its datagram end."""
    head = bytes([first]) + version.to_bytes(4, "big") + DCID + SCID
    head += bytes([len(token)]) + token
    return head + (0x4000 | 1200 - len(head) - 2).to_bytes(2, "big")


SEEDS = {
    "initial": (PAD, initial()),
    "initial_small": (0, initial()),
    "initial_v2": (PAD, initial(first=0xD0, version=V2)),
    "initial_v6": (PAD | IPV6, initial()),
    "known": (KNOW, initial()),
    "other_version": (PAD, initial(version=GREASE)),
    "retry": (PAD | LOADED, initial()),
    "retry_v2": (PAD | LOADED, initial(first=0xD0, version=V2)),
    "short": (0, bytes([0x40]) + bytes(30)),
    "token": (PAD | LOADED, initial(token=bytes(range(60)))),
    "version_negotiation": (PAD, initial(version=0)),
    "zero_rtt": (PAD, initial(first=0xD0)),
}


def main() -> None:
    """Write each seed to a file of its name."""
    folder = Path(__file__).parent / "fuzz_admission"
    folder.mkdir(exist_ok=True)
    for name, (flags, datagram) in SEEDS.items():
        (folder / name).write_bytes(bytes([flags, 7]) + datagram)


if __name__ == "__main__":
    main()
