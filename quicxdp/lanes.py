"""Which lane an endpoint takes: the rule table.

XDP attaches only to an interface that the user named, since attaching can reset a link
and costs passing traffic its offloads.  With a named interface the rules depend on what
the interface is, because the costs do (ns per 1200-byte packet, sending, measured on
veth: AF_XDP 1100, UDP_SEGMENT 100, sendmmsg 2400):

  - Loopback and software devices: GSO and GRO cross them unsegmented, so the socket wins.
  - A network card: AF_XDP receives.  In copy mode, the only one so far, UDP_SEGMENT
    sends.
"""

from __future__ import annotations

import array
import enum
import errno
import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .config import Io
from .errors import ConfigError, DatapathError

if TYPE_CHECKING:
    from collections.abc import Mapping

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


class DeviceKind(enum.Enum):
    """What an interface is, as far as the choice of a lane cares."""

    LOOPBACK = "loopback"
    SOFTWARE = "software device"
    NIC = "network card"


@dataclass(frozen=True, slots=True)
class Device:
    """An interface of this network namespace."""

    name: str
    kind: DeviceKind
    driver: str  # "" where there is none


@dataclass(frozen=True, slots=True)
class Lane:
    """A decision: which lane to open, and why."""

    io: Io
    reason: str
    interface: str = ""
    tx_socket: bool = False


@dataclass(frozen=True, slots=True)
class _Rule:
    xdp: bool
    tx_socket: bool
    reason: str


# With io="auto" and a named interface.
RULES: Final[Mapping[DeviceKind, _Rule]] = {
    DeviceKind.LOOPBACK: _Rule(
        xdp=False,
        tx_socket=False,
        reason="is loopback, where batched sockets are faster than AF_XDP",
    ),
    DeviceKind.SOFTWARE: _Rule(
        xdp=False,
        tx_socket=False,
        reason="is a software device, where batched sockets are faster than AF_XDP",
    ),
    DeviceKind.NIC: _Rule(
        xdp=True,
        tx_socket=True,
        reason="is a network card: AF_XDP receives, UDP_SEGMENT sends",
    ),
}


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


def choose(io: Io, interface: str | None, *, unavailable: str = "") -> Lane:
    """Decide which lane to try first.

    Args:
        io: what the user asked for.
        interface: the interface that the user named, if any.
        unavailable: why the C datapath cannot be used, "" if it can.

    Raises:
        ConfigError: io="xdp" without an interface.
        DatapathError: there is no such interface.
    """
    if io is Io.XDP and not interface:
        raise ConfigError(
            'io="xdp" needs interface="...": XDP attaches only to an interface that you '
            "name; `ip -brief link` lists the names"
        )
    if io is Io.ASYNCIO:
        return Lane(Io.ASYNCIO, 'io="asyncio" was asked for')
    if unavailable:
        return Lane(Io.ASYNCIO, unavailable)
    if io is Io.SOCKET:
        return Lane(Io.SOCKET, 'io="socket" was asked for')
    if not interface:
        return Lane(
            Io.SOCKET, "no interface was named; interface= lets AF_XDP be considered"
        )
    return _choose_for(io, inspect(interface))


def _choose_for(io: Io, device: Device) -> Lane:
    if io is Io.XDP:
        return Lane(Io.XDP, 'io="xdp" was asked for', device.name)
    rule = RULES[device.kind]
    reason = f"{device.name} {rule.reason}"
    if rule.xdp:
        return Lane(Io.XDP, reason, device.name, rule.tx_socket)
    return Lane(Io.SOCKET, reason)
