"""From facts about the machine to what would happen: the doctor's reasoning.

`diagnose` puts the rule table (quicxdp.lanes) together with what stands in the way of
the lane it picks: `lanes` alone says what to try first, and trying is what the doctor
must not do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from quicxdp import device as devices
from quicxdp import lanes
from quicxdp.config import Io
from quicxdp.device import Device, DeviceKind
from quicxdp.lanes import Lane, Situation

from . import ethtool, host_facts, measure, netlink_links, remedies
from .exits import CommandError
from .netlink_links import Link, XdpFeatures, XdpMode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .host_facts import Host
    from .remedies import Remedy

SCHEMA = 1

# native/src/datapath/afxdp_sizes.c: one queue, 256 frames each way of 2048 bytes.
_FRAMES_BYTES_MIN = 1 << 20

_FIREWALL = (
    "Packets that AF_XDP takes pass no firewall: nftables, iptables, conntrack and "
    "rp_filter do not see them.  Everything else on the interface still does."
)
_VIRTIO = (
    "the virtual machine's host has offloads on that native XDP needs off, and offers "
    "no way to turn them off"
)


class NativeXdp(Enum):
    """Whether the driver would take a program, as far as can be known without trying."""

    NO = "no"
    PERHAPS = "perhaps"
    UNKNOWN = "unknown"


# What the lane that is told depends on.
_NOTES = {
    NativeXdp.PERHAPS: (
        "the driver offers zero-copy, which only binding proves; if it refuses, packets "
        "are copied and the lane is hybrid: AF_XDP receives, UDP_SEGMENT sends"
    ),
    NativeXdp.UNKNOWN: (
        "this kernel (before 6.3) does not tell what the driver can do; if binding shows "
        "zero-copy, AF_XDP sends as well"
    ),
}


@dataclass(frozen=True, slots=True)
class Interface:
    """What the doctor says about one interface."""

    link: Link
    kind: str
    driver: str
    rx_queue_cnt: int
    native_xdp: NativeXdp
    zero_copy: NativeXdp
    offloads: dict[str, bool] | None
    attach_costs: tuple[str, ...]
    remedies: tuple[Remedy, ...]
    blockers: tuple[str, ...]
    notes: tuple[str, ...]
    choice: Lane

    @property
    def attached_text(self) -> str:
        """The program that is attached, in words."""
        if self.link.xdp_mode is None:
            return ""
        mode = _mode(self.link.xdp_mode)
        return f"program {self.link.xdp_program_id} is attached ({mode})"

    def as_json(self) -> dict[str, Any]:
        """Return the element of "interfaces"."""
        link = self.link
        features = link.xdp_features
        attached = None
        if link.xdp_mode is not None:
            attached = {"mode": _mode(link.xdp_mode), "program_id": link.xdp_program_id}
        return {
            "name": link.name,
            "kind": self.kind,
            "driver": self.driver,
            "is_up": link.is_up,
            "mtu_bytes": link.mtu_bytes,
            "rx_queue_cnt": self.rx_queue_cnt,
            "tx_queue_cnt": link.tx_queue_cnt,
            "attached": attached,
            "native_xdp": self.native_xdp.value,
            "modes": {
                "zero_copy": self.zero_copy.value,
                "native": self.native_xdp.value,
                "generic": "yes",
            },
            "offloads": self.offloads,
            "attach_costs": list(self.attach_costs),
            "commands": _commands(self.remedies),
            "zero_copy_offered": (
                None if features is None else bool(features & XdpFeatures.XSK_ZEROCOPY)
            ),
            "blockers": list(self.blockers),
            "notes": list(self.notes),
            "choice": {
                "io": self.choice.io.value,
                "reason": self.choice.reason,
                "tx": "socket" if self.choice.io is Io.HYBRID else self.choice.io.value,
            },
        }


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that the doctor says."""

    versions: dict[str, str | None]
    host: Host
    native_works: bool
    native_reason: str
    choice: Lane
    interfaces: tuple[Interface, ...]
    advice: tuple[str, ...]
    remedies: tuple[Remedy, ...]
    measured: measure.Measured | None

    def as_json(self) -> dict[str, Any]:
        """Return the object that --json prints; `quicxdp doctor --help` explains it."""
        host = self.host
        return {
            "schema": SCHEMA,
            "versions": self.versions,
            "native": {"works": self.native_works, "reason": self.native_reason},
            "host": {
                "kernel": host.kernel,
                "machine": host.machine,
                "cpu_cnt": host.cpu_cnt,
                "udp_gso": host.udp_gso,
                "udp_gro": host.udp_gro,
                "ipv6": host.ipv6,
                "rmem_max_bytes": host.rmem_max_bytes,
                "wmem_max_bytes": host.wmem_max_bytes,
                "capabilities": sorted(c.name for c in host.capabilities),
                "missing_capabilities": [c.name for c in host.missing],
                "memlock_bytes": host.memlock_bytes,
                "firewalls": list(host.firewalls),
            },
            "choice": {"io": self.choice.io.value, "reason": self.choice.reason},
            "interfaces": [item.as_json() for item in self.interfaces],
            "advice": list(self.advice),
            "commands": _commands(self.remedies),
            "measured": self.measured and self.measured.as_json(),
        }

    def as_text(self) -> list[str]:
        """Return what a person reads, up to the advice; bullets begin with "  - "."""
        host = self.host
        missing = ", ".join(f"no {c.name}" for c in host.missing)
        locked = host.lockable_bytes
        sockets = (
            f"GSO {_yes(host.udp_gso)}, GRO {_yes(host.udp_gro)}, "
            f"IPv6 {_yes(host.ipv6)}, "
            f"buffers up to {_size(host.rmem_max_bytes)} receiving, "
            f"{_size(host.wmem_max_bytes)} sending"
        )
        lines = [
            f"Linux {host.kernel} {host.machine}, {host.cpu_cnt} CPUs",
            f"C extension       {'works' if self.native_works else self.native_reason}",
            f"sockets           {sockets}",
            f"capabilities      {missing or 'all that AF_XDP needs'}",
            f"lockable memory   {'no limit' if locked is None else _size(locked)}",
            f"without interface lane {self.choice.io.value}: {self.choice.reason}",
        ]
        for item in self.interfaces:
            link = item.link
            lines += [
                "",
                f"{link.name}: {item.kind}"
                + (f", driver {item.driver}" if item.driver else "")
                + f", {'up' if link.is_up else 'down'}, MTU {link.mtu_bytes}, "
                f"{item.rx_queue_cnt} RX queues",
                f"  lane {item.choice.io.value}: {item.choice.reason}",
                f"  native XDP: {item.native_xdp.value}; "
                f"zero-copy: {item.zero_copy.value}"
                + (f"; {item.attached_text}" if item.attached_text else ""),
            ]
            if item.offloads is not None:
                on = ", ".join(name for name, is_on in item.offloads.items() if is_on)
                lines.append(f"  - offloads on: {on or 'none'}")
            remarks = (*item.blockers, *item.notes, *item.attach_costs)
            lines += [f"  - {text}" for text in remarks]
            lines += _command_lines(item.remedies, "  ")
        lines.append("")
        lines += _command_lines(self.remedies, "")
        if self.measured is not None:
            lines += _measured(self.measured)
        return lines


def diagnose(
    interface: str | None,
    probed: Lane,
    versions: dict[str, str | None],
    measured: measure.Measured | None,
) -> Diagnosis:
    """Look at the machine and at *interface*, or at all of them.

    Raises:
        CommandError: there is no such interface.
    """
    try:
        links = netlink_links.links()
    except OSError as error:
        raise CommandError(f"the kernel does not list its interfaces: {error}") from error
    if interface is not None:
        links = [link for link in links if link.name == interface]
        if not links:
            raise CommandError(
                f"there is no interface {interface!r} in this network namespace; see "
                f"`ip -brief link`"
            )
    host = host_facts.look()
    unavailable = probed.reason if probed.io is Io.ASYNCIO else ""
    interfaces = tuple(
        judge(
            link,
            devices.inspect(link.name),
            host,
            unavailable=unavailable,
            rx_queue_cnt=ethtool.rx_queue_cnt(link.name),
            offloads=ethtool.offloads(link.name),
            virtio_forbids=host_facts.virtio_forbids_xdp(link.name, link.index),
        )
        for link in links
    )
    return Diagnosis(
        versions=versions,
        host=host,
        native_works=not unavailable,
        native_reason=unavailable,
        choice=probed,
        interfaces=interfaces,
        advice=tuple(_advice(host, unavailable, interfaces)),
        remedies=tuple(remedies.for_host(host)),
        measured=measured,
    )


def judge(
    link: Link,
    device: Device,
    host: Host,
    *,
    unavailable: str,
    rx_queue_cnt: int | None,
    virtio_forbids: bool,
    offloads: dict[str, bool] | None = None,
) -> Interface:
    """Say what io="auto" would do with one interface."""
    native, troubles = _native(link, device, virtio_forbids=virtio_forbids)
    troubles += _troubles(link, device, host)
    zero_copy = _zero_copy(link, native)
    situation, detail = _situation(device, zero_copy, troubles, unavailable=unavailable)
    queue_cnt = rx_queue_cnt or link.rx_queue_cnt
    is_possible = native is not NativeXdp.NO
    return Interface(
        link=link,
        kind=device.kind.value,
        driver=device.driver,
        rx_queue_cnt=queue_cnt,
        native_xdp=native,
        zero_copy=zero_copy,
        offloads=offloads,
        attach_costs=tuple(
            remedies.attach_costs(device, offloads) if is_possible else ()
        ),
        remedies=tuple(
            remedies.for_interface(
                link,
                device,
                queue_cnt,
                may_attach=is_possible and not unavailable,
                virtio_forbids=virtio_forbids and device.driver == "virtio_net",
            )
        ),
        blockers=tuple(text for _, text in troubles),
        notes=(_NOTES[zero_copy],) if zero_copy in _NOTES else (),
        choice=lanes.predicted(device.name, situation, detail),
    )


def _situation(
    device: Device,
    zero_copy: NativeXdp,
    troubles: list[tuple[Situation, str]],
    *,
    unavailable: str,
) -> tuple[Situation, str]:
    """Find the rule that applies, with what it has to say besides."""
    if unavailable:
        return Situation.NO_EXTENSION, unavailable
    if device.kind is not DeviceKind.NIC:
        return (
            Situation.LOOPBACK
            if device.kind is DeviceKind.LOOPBACK
            else Situation.SOFTWARE
        ), ""
    if troubles:
        return troubles[0]
    return (
        Situation.NIC_ZEROCOPY if zero_copy is NativeXdp.PERHAPS else Situation.NIC_COPY
    ), ""


def _troubles(link: Link, device: Device, host: Host) -> list[tuple[Situation, str]]:
    """Say what stands in the way besides the driver, and which rule that leads to."""
    found = []
    if link.xdp_mode is not None:
        text = (
            "another XDP program is attached; it is never replaced (`ip link show` "
            "names it)"
        )
        found.append((Situation.ATTACHED, text))
    if host.missing:
        names = ", ".join(c.name for c in host.missing)
        found.append((Situation.NO_RIGHTS, f"this process lacks {names}"))
    lockable = host.lockable_bytes
    if lockable is not None and lockable < _FRAMES_BYTES_MIN:
        text = f"only {lockable} bytes may be locked; frames need 1 MiB"
        found.append((Situation.TROUBLE, text))
    mtu_bytes_max = remedies.MTU_BYTES_MAX
    if link.mtu_bytes > mtu_bytes_max and device.kind is not DeviceKind.LOOPBACK:
        text = f"an MTU above {mtu_bytes_max} is more than native XDP takes"
        found.append((Situation.TROUBLE, text))
    return found


def _native(
    link: Link, device: Device, *, virtio_forbids: bool
) -> tuple[NativeXdp, list[tuple[Situation, str]]]:
    if device.kind is DeviceKind.LOOPBACK:
        return NativeXdp.NO, [(Situation.LOOPBACK, "loopback has no native XDP")]
    if link.xdp_features is None:
        return NativeXdp.UNKNOWN, []
    if not link.xdp_features & XdpFeatures.REDIRECT:
        text = f"the driver {device.driver or 'here'} has no native XDP"
        return NativeXdp.NO, [(Situation.NO_DRIVER, text)]
    if device.driver == "virtio_net" and virtio_forbids:
        return NativeXdp.NO, [(Situation.NO_DRIVER, _VIRTIO)]
    return NativeXdp.PERHAPS, []


def _zero_copy(link: Link, native: NativeXdp) -> NativeXdp:
    """Only binding a socket would tell; a driver that does not offer it has none."""
    if native is NativeXdp.NO or link.xdp_features is None:
        return native
    offered = link.xdp_features & XdpFeatures.XSK_ZEROCOPY
    return NativeXdp.PERHAPS if offered else NativeXdp.NO


def _advice(host: Host, unavailable: str, interfaces: tuple[Interface, ...]) -> list[str]:
    advice = [_FIREWALL]
    if host.firewalls:
        advice.append(
            f"Loaded here: {', '.join(host.firewalls)}.  Rules for a port that AF_XDP "
            f"serves belong into --allow and --deny."
        )
    if unavailable:
        advice.append(
            "Without the C extension datagrams go one by one: install a C compiler and "
            "build quicxdp again."
        )
    lockable = host.lockable_bytes
    if lockable is not None and lockable < remedies.FRAMES_BYTES_GOOD:
        advice.append(
            "Without CAP_IPC_LOCK the limit on locked memory makes AF_XDP's buffers "
            "smaller."
        )
    if any(item.choice.io in {Io.XDP, Io.HYBRID} for item in interfaces):
        advice.append("Name the interface to use AF_XDP: quicxdp serve --interface NAME.")
    return advice


def _commands(found: tuple[Remedy, ...]) -> list[dict[str, str]]:
    return [{"purpose": item.purpose, "command": item.command} for item in found]


def _mode(mode: XdpMode) -> str:
    return mode.name.lower()


def _yes(value: bool) -> str:  # noqa: FBT001
    return "yes" if value else "no"


def _size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "unknown"
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:  # noqa: PLR2004
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} GiB"


def _command_lines(found: Iterable[Remedy], indent: str) -> list[str]:
    """Commands stay in one piece, to be copied."""
    lines = []
    for item in found:
        lines += [f"{indent}to {item.purpose}:", f"{indent}    {item.command}"]
    return lines


def _measured(found: measure.Measured) -> list[str]:
    return [
        "",
        "measured here, 1200-byte datagrams between two endpoints of one process:",
        *(
            f"  {lane.lane:7} over {lane.over:8} "
            f"round trip {lane.round_trip_us:6.1f} us, "
            f"{lane.datagrams_per_s:8.0f} datagrams/s, "
            f"{lane.cpu_ns_per_datagram:6.0f} ns of CPU each"
            for lane in found.lanes
        ),
        *(f"  {what} was left out: {why}" for what, why in found.left_out.items()),
        "",
    ]
