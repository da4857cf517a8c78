"""What attaching would cost, and the commands that change what the doctor has found.

Commands are complete lines: what stands in capitals is for the reader to fill in.  None
gives a capability to an interpreter's file: every script of every user would have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from quicxdp.device import Device, DeviceKind

from .host_facts import NEEDED, Capability

if TYPE_CHECKING:
    from .host_facts import Host
    from .netlink_links import Link

# native/src/datapath: QX_QUEUE_MAX, afxdp_sizes.c, udp_linux.c.
_QUEUE_CNT_MAX: Final = 64
FRAMES_BYTES_GOOD: Final = 32 << 20
_SOCKET_BUFFER_BYTES: Final = 8 << 20
# A frame is a page, less headroom and what the kernel puts behind; above, drivers refuse
# native XDP or the packets do not fit a buffer of ours.
MTU_BYTES_MAX: Final = 3498

_SOFTWARE_COST: Final = (
    "attaching turns off the segmentation offloads of the other end: TCP that passes "
    "through becomes several times slower (24 to 6 Gbit/s, measured on veth)"
)
_NIC_COST: Final = (
    "attaching and detaching may reset the link: for a moment, with some drivers (igb) "
    "for seconds in which nothing passes"
)
_SERVE: Final = "quicxdp serve DIR --interface"


@dataclass(frozen=True, slots=True)
class Remedy:
    """A command, and what it is for."""

    purpose: str
    command: str


def attach_costs(device: Device, offloads: dict[str, bool] | None) -> list[str]:
    """Say what attaching would take from the interface's other traffic."""
    if device.kind is DeviceKind.LOOPBACK:
        return []
    if device.kind is DeviceKind.SOFTWARE:
        return [_SOFTWARE_COST]
    costs = [_NIC_COST]
    taken = [name for name in ("rx-lro", "rx-gro-hw") if (offloads or {}).get(name)]
    if taken:
        costs.append(
            f"{' and '.join(taken)}, on now, would be turned off for all traffic of the "
            f"interface: more CPU for TCP"
        )
    return costs


def for_interface(
    link: Link, device: Device, queue_cnt: int, *, may_attach: bool, virtio_forbids: bool
) -> list[Remedy]:
    """Return what would make AF_XDP possible, or better, on one interface."""
    name = link.name
    found = []
    if device.kind is DeviceKind.LOOPBACK:
        return []
    if not link.is_up:
        found.append(Remedy("bring the interface up", f"ip link set dev {name} up"))
    if link.mtu_bytes > MTU_BYTES_MAX:
        command = f"ip link set dev {name} mtu {MTU_BYTES_MAX}"
        found.append(Remedy("make packets fit the buffers of native XDP", command))
    if link.xdp_mode is not None:
        command = f"bpftool net show dev {name}"
        found.append(Remedy("see whose program is attached, and stop that", command))
    if virtio_forbids:
        command = (
            "-device virtio-net-pci,guest_csum=off,guest_tso4=off,guest_tso6=off,"
            "guest_ecn=off,guest_ufo=off"
        )
        found.append(
            Remedy("let virtio take XDP, on the host and in QEMU's command line", command)
        )
    if queue_cnt > _QUEUE_CNT_MAX:
        command = f"ethtool -L {name} combined {_QUEUE_CNT_MAX}"
        found.append(Remedy("let AF_XDP serve all queues", command))
    if may_attach:
        if device.kind is DeviceKind.SOFTWARE:
            command = f"ethtool -K {name} gro on"
            found.append(
                Remedy(
                    "with a program attached, give TCP part of its speed back", command
                )
            )
            command = f"{_SERVE} {name} --io xdp"
            found.append(Remedy("use AF_XDP all the same", command))
        else:
            found.append(Remedy("use AF_XDP", f"{_SERVE} {name}"))
    return found


def for_host(host: Host) -> list[Remedy]:
    """Return what would give this process the rights and the memory it lacks."""
    found = []
    if host.missing:
        names = [capability.name for capability in NEEDED]
        short = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in names)
        found += [
            Remedy(
                "run with the capabilities of AF_XDP, by hand",
                f"sudo setpriv --reuid=USER --regid=GROUP --init-groups "
                f"--inh-caps={short} --ambient-caps={short} {_SERVE} INTERFACE",
            ),
            Remedy(
                "run with the capabilities of AF_XDP, as a service",
                f"sudo systemd-run --uid=USER -p LimitMEMLOCK=64M "
                f"-p 'AmbientCapabilities={' '.join(names)}' "
                f"{_SERVE} INTERFACE",
            ),
            Remedy(
                "start as root and stay it only until everything is open",
                f"sudo {_SERVE} INTERFACE --user USER",
            ),
        ]
    lockable = host.lockable_bytes
    if lockable is not None and lockable < FRAMES_BYTES_GOOD:
        command = "systemctl edit UNIT    # [Service] LimitMEMLOCK=64M"
        found.append(Remedy("give AF_XDP's buffers their full size", command))
    # With it, SO_RCVBUFFORCE goes beyond the limit.
    is_bound = Capability.CAP_NET_ADMIN not in host.capabilities
    for name, size_bytes in (
        ("rmem_max", host.rmem_max_bytes),
        ("wmem_max", host.wmem_max_bytes),
    ):
        if size_bytes is not None and size_bytes < _SOCKET_BUFFER_BYTES and is_bound:
            command = f"sysctl -w net.core.{name}={_SOCKET_BUFFER_BYTES}"
            found.append(
                Remedy(f"let sockets have the buffers we ask for ({name})", command)
            )
    return found
