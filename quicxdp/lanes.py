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

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .config import Io
from .device import Device, DeviceKind, inspect
from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    if sys.platform == "win32" and io is Io.AUTO:
        return Lane(
            Io.SOCKET,
            "XDP for Windows has been tried in simulation only (docs/windows.md); "
            'io="xdp" asks for it',
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
