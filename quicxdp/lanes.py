"""Which lane an endpoint takes: the rule table.

XDP attaches only to an interface that the user named, since attaching can reset a link
and costs passing traffic its offloads.  With a named interface the rules depend on what
the interface is and how its driver hands packets over, because the costs do:

  - Loopback and software devices: GSO and GRO cross them unsegmented (ns per 1200-byte
    packet, sending, measured on veth: AF_XDP 1100, UDP_SEGMENT 100, sendmmsg 2400).
  - A network card with zero-copy: AF_XDP sends for less than UDP_SEGMENT and receives for
    less than GRO (instructions per packet, igb: 240 against 2700, 585 against 2300).
  - A network card that copies: AF_XDP still receives for less (1340), but copying costs
    more than UDP_SEGMENT when sending (2960).

Zero-copy is known only once it is had, so a card is decided in two steps: `choose` says
what to open, `settle` what came of it.  `quicxdp doctor` reads the same table.
"""

from __future__ import annotations

import enum
import errno
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from .config import INTERFACE_CNT_MAX, Io, Sending, XdpMode, XdpOptions
from .device import Device, DeviceKind, inspect
from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .errors import DatapathError
    from .stats import InterfaceStats


class Situation(enum.Enum):
    """What io="auto" may find."""

    NO_EXTENSION = enum.auto()
    NO_INTERFACE = enum.auto()
    UNTRIED = enum.auto()
    LOOPBACK = enum.auto()
    SOFTWARE = enum.auto()
    NIC_ZEROCOPY = enum.auto()
    NIC_COPY = enum.auto()
    NO_RIGHTS = enum.auto()
    NO_DRIVER = enum.auto()
    ATTACHED = enum.auto()
    TROUBLE = enum.auto()


@dataclass(frozen=True, slots=True)
class Rule:
    """What io="auto" does about a situation, and why."""

    io: Io
    reason: str  # with the interface in front, where there is one


RULES: Final[Mapping[Situation, Rule]] = {
    Situation.NO_EXTENSION: Rule(Io.ASYNCIO, ""),
    Situation.NO_INTERFACE: Rule(
        Io.SOCKET, "no interface was named; interface= lets AF_XDP be considered"
    ),
    Situation.UNTRIED: Rule(
        Io.SOCKET,
        "XDP for Windows has been tried in simulation only (docs/windows.md); "
        'io="xdp" asks for it',
    ),
    Situation.LOOPBACK: Rule(
        Io.SOCKET, "is loopback, where batched sockets are faster than AF_XDP"
    ),
    Situation.SOFTWARE: Rule(
        Io.SOCKET, "is a software device, where batched sockets are faster than AF_XDP"
    ),
    Situation.NIC_ZEROCOPY: Rule(
        Io.XDP, "is a network card with zero-copy: AF_XDP both ways"
    ),
    Situation.NIC_COPY: Rule(
        Io.HYBRID, "is a network card that copies: AF_XDP receives, UDP_SEGMENT sends"
    ),
    Situation.NO_RIGHTS: Rule(Io.SOCKET, "AF_XDP is not permitted"),
    Situation.NO_DRIVER: Rule(Io.SOCKET, "the driver does not support AF_XDP"),
    Situation.ATTACHED: Rule(Io.SOCKET, "AF_XDP is in use by somebody else"),
    Situation.TROUBLE: Rule(Io.SOCKET, "AF_XDP was not possible"),
}

# What an interface is before its driver was asked; a card may be either kind.
_BY_KIND: Final[Mapping[DeviceKind, Situation]] = {
    DeviceKind.LOOPBACK: Situation.LOOPBACK,
    DeviceKind.SOFTWARE: Situation.SOFTWARE,
    DeviceKind.NIC: Situation.NIC_ZEROCOPY,
}

# Why opening failed.
_BY_ERRNO: Final[Mapping[int, Situation]] = {
    errno.EPERM: Situation.NO_RIGHTS,
    errno.EOPNOTSUPP: Situation.NO_DRIVER,
    errno.EBUSY: Situation.ATTACHED,
}


@dataclass(frozen=True, slots=True)
class Lane:
    """A decision: which lane to open, and why.

    Attributes:
        io: the lane; `Io.XDP` where binding will show whether it is the hybrid.
        reason: why.
        interfaces: those to attach to.
        sending: what sends, for `Io.XDP` and `Io.HYBRID`.
        is_settled: whether nothing is left to be found out by binding.
    """

    io: Io
    reason: str
    interfaces: tuple[str, ...] = ()
    sending: Sending = Sending.XDP
    is_settled: bool = True


def names(interface: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the interfaces that the user named, each once."""
    if not interface:
        return ()
    found = (interface,) if isinstance(interface, str) else tuple(interface)
    return tuple(dict.fromkeys(name for name in found if name))


def choose(
    io: Io,
    interface: str | Sequence[str] | None,
    *,
    unavailable: str = "",
    xdp: XdpOptions | None = None,
) -> Lane:
    """Decide which lane to try first.

    Args:
        io: what the user asked for.
        interface: the interface, or interfaces, that the user named, if any.
        unavailable: why the C datapath cannot be used, "" if it can.
        xdp: what the user asked for besides.

    Raises:
        ConfigError: io="xdp" without an interface, or generic mode without io="xdp".
        DatapathError: there is no such interface.
    """
    named = names(interface)
    _refuse_contradictions(io, named, xdp)
    if unavailable and io is not Io.ASYNCIO:
        return Lane(RULES[Situation.NO_EXTENSION].io, unavailable)
    asked_for = f'io="{io.value}" was asked for'
    if io in {Io.ASYNCIO, Io.SOCKET}:
        return Lane(io, asked_for)
    if io is Io.AUTO and not named:
        return _lane(Situation.NO_INTERFACE)
    if io is Io.AUTO and sys.platform == "win32":
        return _lane(Situation.UNTRIED)
    devices = [inspect(name) for name in named]
    if io is Io.AUTO:
        return _choose_for(devices)
    return Lane(io, asked_for, named, Sending.SOCKET if io is Io.HYBRID else Sending.XDP)


def _refuse_contradictions(
    io: Io, named: tuple[str, ...], xdp: XdpOptions | None
) -> None:
    insists = io in {Io.XDP, Io.HYBRID}
    if insists and not named:
        raise ConfigError(
            f'io="{io.value}" needs interface="...": XDP attaches only to an interface '
            f"that you name; `ip -brief link` lists the names"
        )
    if len(named) > INTERFACE_CNT_MAX:
        raise ConfigError(
            f"{len(named)} interfaces were named; an endpoint takes {INTERFACE_CNT_MAX}"
        )
    if not insists and xdp is not None and xdp.mode is XdpMode.GENERIC:
        raise ConfigError(
            "generic mode is slower than a socket where the driver could do better, so "
            'it is never chosen: it needs io="xdp" or io="hybrid"'
        )


def _choose_for(devices: Sequence[Device]) -> Lane:
    """Take the interfaces that AF_XDP pays on, if any."""
    found = [(device.name, _BY_KIND[device.kind]) for device in devices]
    reasons = [f"{name} {RULES[situation].reason}" for name, situation in found]
    used = tuple(name for name, situation in found if RULES[situation].io is Io.XDP)
    if not used:
        return Lane(Io.SOCKET, "; ".join(reasons))
    left = [reason for reason, (name, _) in zip(reasons, found, strict=True)
            if name not in used]  # fmt: skip
    return Lane(Io.XDP, "; ".join(left), used, Sending.XDP_IF_ZEROCOPY, is_settled=False)


def settle(lane: Lane, interfaces: Mapping[str, InterfaceStats]) -> Lane:
    """Say what came of opening *lane*, given what its interfaces turned out to be."""
    if lane.is_settled:
        return lane
    found = {
        name: Situation.NIC_ZEROCOPY if item.is_zerocopy else Situation.NIC_COPY
        for name, item in interfaces.items()
    }
    reasons = [f"{name} {RULES[situation].reason}" for name, situation in found.items()]
    if lane.reason:
        reasons.append(lane.reason)
    sends = any(RULES[situation].io is Io.XDP for situation in found.values())
    return replace(
        lane,
        io=Io.XDP if sends else Io.HYBRID,
        reason="; ".join(reasons),
        is_settled=True,
    )


def retreat(lane: Lane, error: DatapathError) -> Lane:
    """Say what to try after *lane* could not be opened with io="auto".

    The sentence of C begins with the interface that it is about, so that others can still
    be used.
    """
    code = error.errno or 0
    failed = error.strerror or str(error)
    situation = _BY_ERRNO.get(code, Situation.TROUBLE)
    reason = f"{RULES[situation].reason}: {failed}"
    if lane.reason:
        reason = f"{reason}; {lane.reason}"
    about = failed.removeprefix("opening the datapath: ").partition(": ")[0]
    left = tuple(name for name in lane.interfaces if name != about)
    if left and left != lane.interfaces:
        return replace(lane, reason=reason, interfaces=left)
    return Lane(RULES[situation].io, reason)


def predicted(name: str, situation: Situation, detail: str = "") -> Lane:
    """Say what io="auto" would do about one interface, for the doctor."""
    rule = RULES[situation]
    if situation in _BY_ERRNO.values() or situation is Situation.TROUBLE:
        return Lane(rule.io, f"{rule.reason}: {detail}")
    if situation is Situation.NO_EXTENSION:
        return Lane(rule.io, detail)
    return Lane(
        rule.io,
        f"{name} {rule.reason}",
        (name,) if rule.io is not Io.SOCKET else (),
        Sending.SOCKET if rule.io is Io.HYBRID else Sending.XDP,
    )


def _lane(situation: Situation) -> Lane:
    rule = RULES[situation]
    return Lane(rule.io, rule.reason)
