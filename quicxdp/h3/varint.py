"""Variable-length integers (RFC 9000 section 16), and frames made of them."""

from __future__ import annotations

import struct
from typing import Final

MAX: Final = (1 << 62) - 1
_ONE_BYTE: Final = 0x40
_TWO_BYTES: Final = 0x4000
_FOUR_BYTES: Final = 0x4000_0000
_two = struct.Struct(">H").pack
_four = struct.Struct(">I").pack
_eight = struct.Struct(">Q").pack


def encode(value: int) -> bytes:
    """Return *value* in as few bytes as it takes."""
    if value < _ONE_BYTE:
        return value.to_bytes()
    if value < _TWO_BYTES:
        return _two(value | 0x4000)
    if value < _FOUR_BYTES:
        return _four(value | 0x8000_0000)
    return _eight(value | 0xC000_0000_0000_0000)


def decode(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer at *at* and where it ends; (-1, at) if more must come first."""
    if at >= len(data):
        return -1, at
    first = data[at]
    if first < _ONE_BYTE:
        return first, at + 1
    size_bytes = 1 << (first >> 6)
    end = at + size_bytes
    if end > len(data):
        return -1, at
    value = int.from_bytes(data[at:end])
    return value & ((1 << (8 * size_bytes - 2)) - 1), end


def frame(kind: int, payload: bytes) -> bytes:
    """Return a frame (RFC 9114 section 7.1), or a capsule (RFC 9297 section 3.2)."""
    return encode(kind) + encode(len(payload)) + payload
