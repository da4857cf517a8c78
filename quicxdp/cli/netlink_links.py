"""What the kernel says about network interfaces, over netlink; needs no privileges.

Some facts
  - RTM_GETLINK lists the interfaces of this network namespace with the XDP programs that
    are attached to them (IFLA_XDP; net/core/rtnetlink.c).  sysfs may show another
    namespace.
  - The "netdev" family of generic netlink (Linux 6.3) lists what XDP features drivers say
    they have (include/uapi/linux/netdev.h).  virtio_net says so without looking at what
    its device can do, so a feature is a hint and its absence is proof.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# linux/netlink.h
_NETLINK_ROUTE = 0
_NETLINK_GENERIC = 16
_NLM_F_REQUEST = 0x1
_NLM_F_DUMP = 0x300
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ATTRIBUTE_TYPE_MASK = 0x3FFF
_ALIGN = 4
# linux/rtnetlink.h, linux/if_link.h
_RTM_NEWLINK = 16
_RTM_GETLINK = 18
_IFINFO = struct.Struct("=BxHiII")
_IFLA_IFNAME = 3
_IFLA_MTU = 4
_IFLA_NUM_TX_QUEUES = 31
_IFLA_NUM_RX_QUEUES = 32
_IFLA_XDP = 43
_IFLA_XDP_ATTACHED = 2
_IFLA_XDP_PROG_ID = 4
_IFF_UP = 1
# linux/genetlink.h, linux/netdev.h
_GENL_HEADER = struct.Struct("=BBH")
_GENL_ID_CTRL = 16
_CTRL_CMD_GETFAMILY = 3
_CTRL_ATTR_FAMILY_ID = 1
_CTRL_ATTR_FAMILY_NAME = 2
_NETDEV_CMD_DEV_GET = 1
_NETDEV_A_DEV_IFINDEX = 1
_NETDEV_A_DEV_XDP_FEATURES = 3

_RECEIVE_BYTES = 1 << 18
_TIMEOUT_S = 2.0


class XdpMode(Enum):
    """How a program is attached (XDP_ATTACHED_* of linux/if_link.h)."""

    NATIVE = 1
    GENERIC = 2
    OFFLOADED = 3
    SEVERAL = 4


class XdpFeatures(IntFlag):
    """What a driver says that it can (enum netdev_xdp_act)."""

    BASIC = 1
    REDIRECT = 2
    NDO_XMIT = 4
    XSK_ZEROCOPY = 8
    HW_OFFLOAD = 16
    RX_SG = 32
    NDO_XMIT_SG = 64


@dataclass(frozen=True, slots=True)
class Link:
    """One interface."""

    index: int
    name: str
    is_up: bool
    mtu_bytes: int
    rx_queue_cnt: int
    tx_queue_cnt: int
    xdp_mode: XdpMode | None
    xdp_program_id: int | None
    xdp_features: XdpFeatures | None  # None: this kernel does not tell


def links() -> list[Link]:
    """List the interfaces of this network namespace.

    Raises:
        OSError: the kernel has no netlink, or a sandbox forbids it.
    """
    features = _features()
    request = _IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    return [
        parse_link(payload, features)
        for kind, payload in _ask(_NETLINK_ROUTE, _RTM_GETLINK, request, dump=True)
        if kind == _RTM_NEWLINK
    ]


def parse_link(payload: bytes, features: dict[int, XdpFeatures] | None) -> Link:
    """Read one RTM_NEWLINK message."""
    _, _, index, flags, _ = _IFINFO.unpack_from(payload)
    fields = attributes(payload[_IFINFO.size :])
    xdp = attributes(fields.get(_IFLA_XDP, b""))
    mode = xdp.get(_IFLA_XDP_ATTACHED, b"\0")[0]
    return Link(
        index=index,
        name=fields.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace"),
        is_up=bool(flags & _IFF_UP),
        mtu_bytes=_u32(fields.get(_IFLA_MTU)),
        rx_queue_cnt=_u32(fields.get(_IFLA_NUM_RX_QUEUES)),
        tx_queue_cnt=_u32(fields.get(_IFLA_NUM_TX_QUEUES)),
        xdp_mode=XdpMode(mode) if mode in {m.value for m in XdpMode} else None,
        xdp_program_id=_u32(xdp.get(_IFLA_XDP_PROG_ID)) or None,
        xdp_features=None if features is None else features.get(index, XdpFeatures(0)),
    )


def attributes(data: bytes) -> dict[int, bytes]:
    """Split netlink attributes; what is cut off is left out."""
    found: dict[int, bytes] = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            break
        found[kind & _ATTRIBUTE_TYPE_MASK] = data[_ATTRIBUTE.size : length]
        data = data[(length + _ALIGN - 1) & -_ALIGN :]
    return found


def _u32(data: bytes | None) -> int:
    return int.from_bytes(data[:4], sys.byteorder) if data else 0


def _attribute(kind: int, data: bytes) -> bytes:
    packed = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data
    return packed + bytes(-len(packed) % _ALIGN)


def _features() -> dict[int, XdpFeatures] | None:
    """Return the XDP features by interface index; None if the kernel cannot tell."""
    request = _GENL_HEADER.pack(_CTRL_CMD_GETFAMILY, 1, 0)
    request += _attribute(_CTRL_ATTR_FAMILY_NAME, b"netdev\0")
    features: dict[int, XdpFeatures] = {}
    try:
        family = 0
        for _, payload in _ask(_NETLINK_GENERIC, _GENL_ID_CTRL, request, dump=False):
            answer = attributes(payload[_GENL_HEADER.size :])
            family = int.from_bytes(
                answer.get(_CTRL_ATTR_FAMILY_ID, b"")[:2], sys.byteorder
            )
        request = _GENL_HEADER.pack(_NETDEV_CMD_DEV_GET, 1, 0)
        for _, payload in _ask(_NETLINK_GENERIC, family, request, dump=True):
            answer = attributes(payload[_GENL_HEADER.size :])
            bits = answer.get(_NETDEV_A_DEV_XDP_FEATURES, b"")
            features[_u32(answer.get(_NETDEV_A_DEV_IFINDEX))] = XdpFeatures(
                int.from_bytes(bits[:8], sys.byteorder)
            )
    except OSError:
        return None
    return features


def _ask(
    protocol: int, kind: int, request: bytes, *, dump: bool
) -> Iterator[tuple[int, bytes]]:
    """Send one request and yield the messages that answer it: types and payloads.

    Raises:
        OSError: the kernel refused.
    """
    flags = _NLM_F_REQUEST | (_NLM_F_DUMP if dump else 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as sock:
        sock.settimeout(_TIMEOUT_S)
        sock.bind((0, 0))
        size_bytes = _HEADER.size + len(request)
        sock.send(_HEADER.pack(size_bytes, kind, flags, 1, 0) + request)
        while True:
            for answer_kind, payload in messages(sock.recv(_RECEIVE_BYTES)):
                if answer_kind == _NLMSG_DONE:
                    return
                if answer_kind == _NLMSG_ERROR:
                    code = -int.from_bytes(payload[:4], sys.byteorder, signed=True)
                    if code:
                        raise OSError(code, os.strerror(code))
                    return
                yield answer_kind, payload
            if not dump:
                return


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Split a datagram of netlink messages."""
    while len(data) >= _HEADER.size:
        length, kind, _, _, _ = _HEADER.unpack_from(data)
        if not _HEADER.size <= length <= len(data):
            return
        yield kind, data[_HEADER.size : length]
        data = data[(length + _ALIGN - 1) & -_ALIGN :]
