"""The counters of an endpoint, with the names that C gives them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class LaneStats:
    """What one lane carried; counters only grow."""

    rx_packets: int = 0  # datagrams delivered
    rx_bytes: int = 0  # their payload
    tx_packets: int = 0  # datagrams handed to the kernel
    tx_bytes: int = 0
    rx_syscalls: int = 0
    tx_syscalls: int = 0


@dataclass(frozen=True, slots=True)
class InterfaceStats:
    """What an interface's AF_XDP turned out to be.

    Attributes:
        modes: "copy", "zerocopy" or "generic", by RX queue, as the kernel says.
        pages: of the buffers: "normal", "huge", or "advised" if the kernel was asked to
            make huge ones.
        busy_poll: whether receiving works the driver's queue off.
        sends: whether it is sent over as well; else the kernel's socket sends.
        frame_bytes: the length of a buffer.
        note: what is less than was wanted, and the remedy; or "".
    """

    modes: tuple[str, ...] = ()
    pages: str = "normal"
    busy_poll: bool = False
    sends: bool = True
    frame_bytes: int = 0
    note: str = ""

    @property
    def is_zerocopy(self) -> bool:
        """Whether no queue copies."""
        return bool(self.modes) and all(mode == "zerocopy" for mode in self.modes)


@dataclass(frozen=True, slots=True)
class Stats:
    """struct qx_stats, plus what Python counts.

    The fields from fill_wakeups on, frames and rings belong to the device: endpoints that
    share an interface report the same sums there.  docs/statistics.md explains each.
    """

    lanes: Mapping[str, LaneStats]  # "socket", "xdp", "asyncio"
    drops: Mapping[str, int]  # by reason; see enum qx_drop
    frames: Mapping[str, int]  # the census, by place; sums to frame_cnt
    rings: Mapping[str, int]  # how much stands in the rings, summed over queues
    interfaces: Mapping[str, InterfaceStats] = field(default_factory=dict)
    errors_lost: int = 0  # errors that nobody took before newer ones came
    backlog_dropped: int = 0  # datagrams beyond SendLimits.backlog_bytes
    lanes_lost: int = 0  # times that an interface went and the socket went on alone
    lanes_back: int = 0  # times that AF_XDP was opened again, after that or a change
    lanes_given_up: int = 0  # times that it could not be, for want of rights
    turns: int = 0  # how often the endpoint woke up or looked
    turns_empty: int = 0  # of those, how many found nothing
    kernel_socket_dropped: int = 0  # by the kernel, its socket's buffer being full
    icmp_believed: int = 0  # messages about what the endpoint has sent
    icmp_ignored: int = 0  # messages that do not fit what it has sent
    fill_wakeups: int = 0  # of the kernel, for an empty fill ring
    tx_wakeups: int = 0  # of the kernel, to send
    rx_ring_produced: int = 0
    completion_ring_produced: int = 0
    kernel_rx_dropped: int = 0
    kernel_rx_invalid_descs: int = 0
    kernel_tx_invalid_descs: int = 0
    kernel_rx_ring_full: int = 0
    kernel_fill_ring_empty: int = 0
    kernel_tx_ring_empty: int = 0
    mirror_dumps: int = 0  # of the kernel's routes and neighbours: 1 at opening
    mirror_overruns: int = 0
    mirror_solicits: int = 0
    mirror_link_changes: int = 0
    mirror_bad_messages: int = 0
    mirror_routes: int = 0
    frame_cnt: int = 0
    queue_cnt: int = 0
    zerocopy: int = 0

    @property
    def total(self) -> LaneStats:
        """The sum over all lanes."""
        lanes = self.lanes.values()
        return LaneStats(
            **{
                f.name: sum(getattr(lane, f.name) for lane in lanes)
                for f in fields(LaneStats)
            }
        )


@dataclass(slots=True)
class LaneCounts:
    """How often an endpoint's XDP lane went and came; as in `Stats`."""

    lost: int = 0
    back: int = 0
    given_up: int = 0


def from_native(
    values: dict[str, Any],
    *,
    lane_names: Sequence[str],
    drop_names: Sequence[str],
    frame_state_names: Sequence[str],
    ring_names: Sequence[str],
    interfaces: Mapping[str, InterfaceStats],
    backlog_dropped: int,
    lane_counts: LaneCounts,
) -> Stats:
    """Make `Stats` of what `_native.read_stats` returned."""
    rest = dict(values)
    lanes = [LaneStats(**lane) for lane in rest.pop("lane")]
    drops = dict(zip(drop_names, rest.pop("drop"), strict=True))
    drops.pop("none", None)
    frames = dict(zip(frame_state_names, rest.pop("frames"), strict=True))
    rings = dict(zip(ring_names, rest.pop("rings"), strict=True))
    return Stats(
        lanes=MappingProxyType(dict(zip(lane_names, lanes, strict=True))),
        drops=MappingProxyType(drops),
        frames=MappingProxyType(frames),
        rings=MappingProxyType(rings),
        interfaces=MappingProxyType(dict(interfaces)),
        backlog_dropped=backlog_dropped,
        lanes_lost=lane_counts.lost,
        lanes_back=lane_counts.back,
        lanes_given_up=lane_counts.given_up,
        **rest,
    )
