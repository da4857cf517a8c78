"""What drivers say of themselves, by ethtool's ioctls; needs no privileges.

An ioctl names the interface, so it asks in this network namespace, unlike sysfs.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from array import array
from typing import Final

# linux/sockios.h, linux/ethtool.h
_SIOCETHTOOL: Final = 0x8946
_GSTRINGS: Final = 0x1B
_GSSET_INFO: Final = 0x37
_GFEATURES: Final = 0x3A
_GCHANNELS: Final = 0x3C
_SET_FEATURES: Final = 4
_STRING_BYTES: Final = 32
_CHANNELS: Final = struct.Struct("=9I")
_SSET_INFO: Final = struct.Struct("=IIQI")
_STRINGS_HEAD: Final = struct.Struct("=III")
_FEATURES_HEAD: Final = struct.Struct("=II")
_FEATURES: Final = struct.Struct("=IIII")  # available, requested, active, never_changed
_IFREQ: Final = struct.Struct("16sP16x")

# Those that change what AF_XDP gets, or that attaching takes away.
OFFLOADS: Final = (
    "rx-gro",
    "rx-gro-hw",
    "rx-lro",
    "rx-udp-gro-forwarding",
    "rx-checksum",
    "tx-checksum-ip-generic",
    "tx-tcp-segmentation",
    "tx-udp-segmentation",
)


def rx_queue_cnt(interface: str) -> int | None:
    """Return how many RX queues are in use; None if the driver does not say."""
    answer = _ask(interface, _CHANNELS.pack(_GCHANNELS, *([0] * 8)))
    if answer is None:
        return None
    _, _, _, _, _, rx, _, _, combined = _CHANNELS.unpack(answer)
    return (rx + combined) or None


def offloads(interface: str) -> dict[str, bool] | None:
    """Return which of `OFFLOADS` are on; None if the interface does not say."""
    answer = _ask(interface, _SSET_INFO.pack(_GSSET_INFO, 0, 1 << _SET_FEATURES, 0))
    if answer is None:
        return None
    cnt = _SSET_INFO.unpack(answer)[3]
    names = _ask(
        interface,
        _STRINGS_HEAD.pack(_GSTRINGS, _SET_FEATURES, cnt) + bytes(cnt * _STRING_BYTES),
    )
    word_cnt = (cnt + 31) // 32
    states = _ask(
        interface,
        _FEATURES_HEAD.pack(_GFEATURES, word_cnt) + bytes(word_cnt * _FEATURES.size),
    )
    if names is None or states is None:
        return None
    return parse_offloads(names[_STRINGS_HEAD.size :], states[_FEATURES_HEAD.size :])


def parse_offloads(names: bytes, states: bytes) -> dict[str, bool]:
    """Put the names and the words of bits together."""
    active = [word[2] for word in _FEATURES.iter_unpack(states)]
    found = {}
    for index in range(min(len(names) // _STRING_BYTES, 32 * len(active))):
        raw = names[index * _STRING_BYTES :][:_STRING_BYTES]
        name = raw.split(b"\0")[0].decode(errors="replace")
        if name in OFFLOADS:
            found[name] = bool(active[index // 32] >> index % 32 & 1)
    return found


def _ask(interface: str, request: bytes) -> bytes | None:
    """Let the kernel fill in *request*; None if the driver cannot."""
    data = array("B", request)
    ifreq = _IFREQ.pack(interface.encode(), data.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock, _SIOCETHTOOL, ifreq)
        except OSError:
            return None
    return data.tobytes()
