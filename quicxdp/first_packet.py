"""What can be read of a datagram that belongs to no connection: first_packet.h in Python.

The fields that RFC 8999 section 5.1 promises for every version, and of an Initial of the
versions 1 and 2 (RFC 9000 section 17.2.2, RFC 9369 section 3.2) the token.
"""

from __future__ import annotations

from typing import Final, NamedTuple

LONG_HEADER: Final = 0x80
FIXED_BIT: Final = 0x40
# RFC 9000 section 14.1: a client's first datagrams are at least so long.
DATAGRAM_BYTES_MIN: Final = 1200
# RFC 9000 section 7.2: what a client chooses for its first packets.
DCID_BYTES_MIN: Final = 8
_CID_BYTES_MAX: Final = 20
_VERSION_2: Final = 0x6B3343CF
_DCID_LEN_OFF: Final = 5
# The shortest that header protection can take its sample of (RFC 9001 section 5.4.2).
_PAYLOAD_BYTES_MIN: Final = 20


class FirstPacket(NamedTuple):
    """A long header, up to the source connection ID."""

    version: int
    dcid: bytes
    is_initial: bool  # if the version is one that we know
    has_fixed_bit: bool
    end_off: int


def read(data: bytes) -> FirstPacket | None:
    """Return the header of a datagram; None if it is none that we could ever take."""
    size = len(data)
    if size <= _DCID_LEN_OFF or not data[0] & LONG_HEADER:
        return None
    scid_len_off = _DCID_LEN_OFF + 1 + data[_DCID_LEN_OFF]
    if data[_DCID_LEN_OFF] > _CID_BYTES_MAX or size <= scid_len_off:
        return None
    end_off = scid_len_off + 1 + data[scid_len_off]
    if data[scid_len_off] > _CID_BYTES_MAX or size < end_off:
        return None
    version = int.from_bytes(data[1:_DCID_LEN_OFF], "big")
    return FirstPacket(
        version,
        data[_DCID_LEN_OFF + 1 : scid_len_off],
        data[0] >> 4 & 3 == (version == _VERSION_2),
        bool(data[0] & FIXED_BIT),
        end_off,
    )


def destination(data: bytes) -> bytes:
    """Return the destination connection ID of a long header."""
    start = _DCID_LEN_OFF + 1
    return data[start : start + data[_DCID_LEN_OFF]]


def token(data: bytes, packet: FirstPacket) -> bytes | None:
    """Return the token of an Initial; None if the packet's lengths contradict it."""
    size, start = _varint(data, packet.end_off)
    end = start + size
    if not start or end > len(data):
        return None
    payload_bytes, payload_off = _varint(data, end)
    if not payload_off or not (
        _PAYLOAD_BYTES_MIN <= payload_bytes <= len(data) - payload_off
    ):
        return None
    return data[start:end]


def _varint(data: bytes, off: int) -> tuple[int, int]:
    """Return a variable-length integer (RFC 9000 section 16) and its end; 0: cut off."""
    if off >= len(data):
        return 0, 0
    end = off + (1 << (data[off] >> 6))
    if end > len(data):
        return 0, 0
    bits = 8 * (end - off) - 2
    return int.from_bytes(data[off:end], "big") & ((1 << bits) - 1), end
