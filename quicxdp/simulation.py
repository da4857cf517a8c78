"""The simulated NIC: two datapaths joined by a link on virtual time.

For tests and experiments without root, without a network and without waiting: loss,
duplication, reordering, ECN marks, MTU and full rings on command, repeatable by seed.
"""

from __future__ import annotations

import socket
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from . import _native
from .addresses import pack_addr
from .config import DatapathConfig
from .datapath import Datapath
from .ownership import Owner

if TYPE_CHECKING:
    from .addresses import Address


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """What happens to frames between the two ends (struct qx_link_config)."""

    seed: int = 1
    delay_ns: int = 0  # one way
    reorder_delay_ns: int = 0  # extra delay of a reordered frame
    rate_bytes_per_s: int = 0  # 0: unlimited
    mtu_bytes: int = 1500  # longer IP packets are dropped
    loss_ppm: int = 0
    duplicate_ppm: int = 0
    reorder_ppm: int = 0
    ce_ppm: int = 0  # ECT frames that get CE
    rx_stalled: int = 0  # bit n: end n's kernel delivers nothing
    tx_stalled: int = 0  # bit n: end n's kernel completes nothing


class Link:
    """A link with two ends, 0 and 1; close it after the datapaths on it."""

    def __init__(self, config: LinkConfig | None = None) -> None:
        self._link: _native.CData | None = _native.open_link(
            asdict(config or LinkConfig())
        )

    def open(
        self,
        end: int,
        local: Address,
        remote: Address | None = None,
        config: DatapathConfig | None = None,
    ) -> Datapath:
        """Open *end* as a datapath at the numeric address *local*.

        Raises:
            DatapathError: the end is taken, or the configuration makes no sense.
        """
        config = config or DatapathConfig()
        family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
        dp = _native.open_memory_datapath(
            self._alive(),
            end,
            local=pack_addr(family, local),
            remote=pack_addr(family, remote) if remote else _native.NO_ADDR,
            rx_frame_cnt=config.rx_frame_cnt,
            tx_frame_cnt=config.tx_frame_cnt,
        )
        return Datapath(dp, family, config, Owner())

    def configure(self, config: LinkConfig) -> None:
        """Change what happens from now on."""
        _native.configure_link(self._alive(), asdict(config))

    def advance(self, now_ns: int) -> int:
        """Set the clock; return when the next frame is due, or `NEVER_NS`."""
        return _native.lib().qx_link_advance(self._alive(), now_ns)

    def inject(self, end: int, frame: bytes) -> None:
        """Deliver *frame*, raw Ethernet, to *end*.

        Raises:
            DatapathError: ENOSPC, its rings have no room.
        """
        rc = _native.lib().qx_link_inject(self._alive(), end, frame, len(frame))
        _native.check(rc, "injecting a frame")

    def close(self) -> None:
        """Free the link; harmless when repeated."""
        if self._link is not None:
            link, self._link = self._link, None
            _native.lib().qx_link_close(link)

    def _alive(self) -> _native.CData:
        if self._link is None:
            raise RuntimeError("this link is closed")
        return self._link
