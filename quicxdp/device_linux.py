"""What an interface of Linux is, asked by ioctl."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
import struct
from typing import Final

from .device import Device, DeviceKind
from .errors import DatapathError

# linux/sockios.h, linux/ethtool.h, linux/if.h
_SIOCGIFFLAGS: Final = 0x8913
_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_GDRVINFO: Final = 3
_DRVINFO_BYTES: Final = 196
_DRVINFO_DRIVER: Final = slice(4, 36)
_IFF_LOOPBACK: Final = 0x8
_IFREQ: Final = struct.Struct("16sP16x")
_IFREQ_FLAGS: Final = struct.Struct("16sH22x")

# ETHTOOL_GDRVINFO names of devices without hardware.
_SOFTWARE_DRIVERS: Final = frozenset(
    {
        "802.1Q VLAN Support",
        "bonding",
        "bridge",
        "dummy",
        "ifb",
        "ipvlan",
        "macvlan",
        "openvswitch",
        "team",
        "tun",
        "veth",
        "vxlan",
        "wireguard",
    }
)


def inspect(interface: str) -> Device:
    """Return what *interface* is.

    Raises:
        DatapathError: ENODEV, there is none of that name in this network namespace.
    """
    name = interface.encode()
    # ioctls rather than /sys, which may show another network namespace.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, _IFREQ_FLAGS.pack(name, 0))
        except OSError as error:
            raise DatapathError(
                error.errno or errno.ENODEV,
                f"looking at interface {interface!r}: {os.strerror(error.errno or 0)}; "
                f"`ip -brief link` lists the names",
            ) from None
        if _IFREQ_FLAGS.unpack(answer)[1] & _IFF_LOOPBACK:
            return Device(interface, DeviceKind.LOOPBACK, "")
        info = array.array(
            "B", struct.pack("=I", _ETHTOOL_GDRVINFO).ljust(_DRVINFO_BYTES, b"\0")
        )
        try:
            fcntl.ioctl(sock, _SIOCETHTOOL, _IFREQ.pack(name, info.buffer_info()[0]))
        except OSError:
            # No ethtool operations: no hardware behind it.
            return Device(interface, DeviceKind.SOFTWARE, "")
    driver = info[_DRVINFO_DRIVER].tobytes().split(b"\0")[0].decode(errors="replace")
    kind = DeviceKind.SOFTWARE if driver in _SOFTWARE_DRIVERS else DeviceKind.NIC
    return Device(interface, kind, driver)
