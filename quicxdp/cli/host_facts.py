"""What this machine and this process can do for AF_XDP and for batched sockets.

Everything here only looks: nothing is attached, no setting is changed.
"""

from __future__ import annotations

import os
import resource
import socket
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

# linux/udp.h
_SOL_UDP = 17
_UDP_SEGMENT = 103
_UDP_GRO = 104

# linux/virtio_net.h: offloads of the guest, which native XDP cannot have, and the control
# queue command that would switch them off (drivers/net/virtio_net.c, virtnet_xdp_set).
_VIRTIO_GUEST_OFFLOADS = (1, 7, 8, 9, 10)
_VIRTIO_CTRL_GUEST_OFFLOADS = 2


class Capability(IntEnum):
    """Those of linux/capability.h that matter here."""

    CAP_NET_ADMIN = 12
    CAP_NET_RAW = 13
    CAP_IPC_LOCK = 14
    CAP_SYS_ADMIN = 21
    CAP_BPF = 39


# An AF_XDP socket needs the first, maps and program the second, XSKMAP and attaching the
# third.  CAP_SYS_ADMIN stands for the last two.
NEEDED = (Capability.CAP_NET_RAW, Capability.CAP_BPF, Capability.CAP_NET_ADMIN)


@dataclass(frozen=True, slots=True)
class Host:
    """The machine, and this process on it."""

    kernel: str
    machine: str
    cpu_cnt: int
    udp_gso: bool
    udp_gro: bool
    ipv6: bool
    rmem_max_bytes: int | None
    wmem_max_bytes: int | None
    capabilities: frozenset[Capability]
    memlock_bytes: int | None  # None: no limit
    firewalls: tuple[str, ...] = ()  # that are loaded

    @property
    def missing(self) -> list[Capability]:
        """The capabilities that AF_XDP needs and this process lacks."""
        held = set(self.capabilities)
        if Capability.CAP_SYS_ADMIN in held:
            held |= {Capability.CAP_BPF, Capability.CAP_NET_ADMIN}
        return [capability for capability in NEEDED if capability not in held]

    @property
    def lockable_bytes(self) -> int | None:
        """How much memory frames may take; None: no limit."""
        return (
            None if Capability.CAP_IPC_LOCK in self.capabilities else self.memlock_bytes
        )


def look() -> Host:
    """Look around."""
    uname = os.uname()
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    return Host(
        kernel=uname.release,
        machine=uname.machine,
        cpu_cnt=len(os.sched_getaffinity(0)),
        udp_gso=_has_udp_option(_UDP_SEGMENT, 1200),
        udp_gro=_has_udp_option(_UDP_GRO, 1),
        ipv6=_has_ipv6(),
        rmem_max_bytes=_number("/proc/sys/net/core/rmem_max"),
        wmem_max_bytes=_number("/proc/sys/net/core/wmem_max"),
        capabilities=parse_capabilities(
            Path("/proc/self/status").read_text(encoding="ascii")
        ),
        memlock_bytes=None if limit == resource.RLIM_INFINITY else limit,
        firewalls=tuple(firewalls()),
    )


def parse_capabilities(status: str) -> frozenset[Capability]:
    """Read the effective capabilities out of /proc/PID/status."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            bits = int(value, 16)
            return frozenset(c for c in Capability if bits >> c & 1)
    return frozenset()


def firewalls() -> list[str]:
    """Return which packet filters of the kernel are loaded here, as far as it says so.

    Their rules are root's to see; that there are any cannot be known without.
    """
    found = [
        name
        for name, path in (
            ("iptables", "/proc/net/ip_tables_names"),
            ("ip6tables", "/proc/net/ip6_tables_names"),
        )
        if _text(path)
    ]
    modules = {line.split(" ")[0] for line in _text("/proc/modules").splitlines()}
    return [*found, *(["nftables"] if "nf_tables" in modules else [])]


def virtio_forbids_xdp(interface: str, index: int) -> bool:
    """Whether a virtio device has offloads that native XDP needs off and cannot turn off.

    The kernel answers such an attach with EOPNOTSUPP, although the driver's features say
    that it can do XDP.
    """
    folder = Path("/sys/class/net") / interface
    if _number(str(folder / "ifindex")) != index:
        return False  # sysfs shows another network namespace
    try:
        bits = (folder / "device" / "features").read_text(encoding="ascii").strip()
    except OSError:
        return False
    has = [bit < len(bits) and bits[bit] == "1" for bit in range(64)]
    return not has[_VIRTIO_CTRL_GUEST_OFFLOADS] and any(
        has[bit] for bit in _VIRTIO_GUEST_OFFLOADS
    )


def _has_udp_option(option: int, value: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.setsockopt(_SOL_UDP, option, value)
        except OSError:
            return False
        return True


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
