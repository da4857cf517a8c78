"""Write tests/protect_vectors.h: packets that aioquic has sealed.

    gen_protect_vectors.py           write the header
    gen_protect_vectors.py --check   is the committed header what aioquic makes?

Sealing is deterministic, so equal bytes mean that each side opens what the other seals.
Only those who add vectors need this; aioquic must be importable.
"""

# ruff: noqa: INP001  a script, not a package

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import aioquic
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.tls import CipherSuite

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = Path(__file__).resolve().parent.parent / "tests" / "protect_vectors.h"

SUITES = {
    CipherSuite.AES_128_GCM_SHA256: 32,
    CipherSuite.AES_256_GCM_SHA384: 48,
    CipherSuite.CHACHA20_POLY1305_SHA256: 32,
}
VERSIONS = (QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2)
LONG_HEADER_ZERO_RTT = 0xD0
SHORT_HEADER = 0x40
KEY_PHASE_BIT = 0x04


class Shape(NamedTuple):
    """One packet: how often its keys were updated, its number and its sizes."""

    updates: int
    long_header: bool
    pn: int
    pn_bytes: int
    cid_bytes: int
    payload_bytes: int


# The sizes are the least that can be sampled, some around the ciphers' block size and one
# of many blocks; the numbers are the least, truncated ones and the largest.
SHAPES = (
    Shape(0, long_header=False, pn=0, pn_bytes=1, cid_bytes=8, payload_bytes=3),
    Shape(0, long_header=True, pn=7, pn_bytes=2, cid_bytes=0, payload_bytes=33),
    Shape(1, long_header=False, pn=0xABCD1234, pn_bytes=3, cid_bytes=0, payload_bytes=16),
    Shape(
        2, long_header=False, pn=2**62 - 1, pn_bytes=4, cid_bytes=20, payload_bytes=257
    ),
)


def pattern(seed: str, length: int) -> bytes:
    """Return bytes that look random and are always the same."""
    return hashlib.shake_128(seed.encode()).digest(length)


def plain_header(shape: Shape) -> bytes:
    """Return the unprotected header that a shape describes."""
    first = LONG_HEADER_ZERO_RTT if shape.long_header else SHORT_HEADER
    if shape.updates % 2:
        first |= KEY_PHASE_BIT
    number = shape.pn % (1 << 8 * shape.pn_bytes)
    return (
        bytes([first | shape.pn_bytes - 1])
        + pattern("cid", shape.cid_bytes + (11 if shape.long_header else 0))
        + number.to_bytes(shape.pn_bytes, "big")
    )


def vectors() -> Iterator[str]:
    """Seal every shape with every suite and version, as C initialisers."""
    for suite, secret_bytes in SUITES.items():
        for version in VERSIONS:
            for index, shape in enumerate(SHAPES):
                name = f"{suite.name} {version.name} {index}"
                secret = pattern(f"secret {name}", secret_bytes)
                pair = CryptoPair()
                pair.send.setup(cipher_suite=suite, secret=secret, version=version)
                pair.recv.setup(cipher_suite=suite, secret=secret, version=version)
                for _ in range(shape.updates):
                    pair.update_key()
                    pair.encrypt_packet(b"\x40\x00", b"\x01" * 4, 0)
                header = plain_header(shape)
                payload = pattern(f"payload {name}", shape.payload_bytes)
                packet = pair.encrypt_packet(header, payload, shape.pn)
                yield "\n".join(
                    (
                        "\t{",
                        f'\t\t.name = "{name}",',
                        f"\t\t.suite = 0x{suite:04x},",
                        f"\t\t.version = 0x{version:08x},",
                        f"\t\t.updates = {shape.updates},",
                        f"\t\t.one_rtt = {'false' if shape.long_header else 'true'},",
                        f"\t\t.pn = {shape.pn}u,",
                        f"\t\t.pn_len_bytes = {shape.pn_bytes},",
                        f"\t\t.secret = {quoted(secret)},",
                        f"\t\t.header = {quoted(header)},",
                        f"\t\t.payload = {quoted(payload)},",
                        f"\t\t.packet = {quoted(packet)},",
                        "\t},",
                    )
                )


def quoted(data: bytes) -> str:
    """Return a C string of hexadecimal digits, wrapped into lines."""
    digits = data.hex()
    lines = [digits[i : i + 64] for i in range(0, len(digits), 64)]
    return "\n\t\t\t  ".join(f'"{line}"' for line in lines)


def generate() -> str:
    """Return the whole header."""
    return "\n".join(
        (
            f"/* protect_vectors.h: packets sealed by aioquic {aioquic.__version__}.",
            " *",
            " * Initialisers of an array, written by tools/gen_protect_vectors.py. */",
            "/* clang-format off */",
            *vectors(),
            "",
        )
    )


def main() -> int:
    """Write or check the header."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = generate()
    if not parser.parse_args().check:
        HEADER.write_text(text, encoding="utf-8")
    elif HEADER.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{HEADER} is not what aioquic {aioquic.__version__} makes\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
