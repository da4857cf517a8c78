"""A QUIC client and a QUIC server on simulated NICs, on virtual time, with a NAT between.

    client -- link -- NAT -- link -- server

Either end is of any kind of `quicxdp.bench.simulated_host`.  Nobody waits and nothing is
random but for the links' seed and what TLS draws.

The NAT is there because an endpoint cannot change its own address: `World.rebind` gives
the client another one, as seen by the server, without the client's knowledge.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from quicxdp.bench.simulated_host import Host, Kind, Port
from quicxdp.config import DatapathConfig
from quicxdp.simulation import Link, LinkConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from aioquic.quic.configuration import QuicConfiguration

    from quicxdp.addresses import Address

__all__ = ["SERVER", "Host", "Kind", "StuckError", "World"]

CLIENT: Final = ("192.0.2.1", 4000)
SERVER: Final = ("192.0.2.200", 443)
NAT: Final = ("198.51.100.1", 1000)
FRAMES: Final = DatapathConfig(rx_frame_cnt=256, tx_frame_cnt=256)
START_NS: Final = 1_000_000_000
# So many turns without the clock moving on are a timer that spins.
SPIN_TURN_CNT: Final = 200


class StuckError(Exception):
    """Virtual time does not go on."""


class World:
    """Everything between two applications; a context manager."""

    def __init__(
        self,
        kinds: tuple[Kind, Kind],
        configurations: tuple[QuicConfiguration, QuicConfiguration],
        link: LinkConfig,
    ) -> None:
        """Make a world; *kinds* and *configurations*: the client's, the server's."""
        self.now_ns = START_NS
        self.link = link
        self._inside, self._outside = Link(link), Link(link)
        self._rebound_cnt = 0
        self._nat_inside = Port(self._inside.open(1, SERVER, config=FRAMES))
        self._nat_outside = Port(self._outside.open(0, NAT, config=FRAMES))
        self.client = Host(
            kinds[0], self._inside.open(0, CLIENT, config=FRAMES), configurations[0]
        )
        self.server = Host(
            kinds[1], self._outside.open(1, SERVER, config=FRAMES), configurations[1]
        )

    def __enter__(self) -> Self:
        """Nothing to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all."""
        self.client.close()
        self.server.close()
        self._nat_inside.datapath.close()
        self._nat_outside.datapath.close()
        self._inside.close()
        self._outside.close()

    def configure(self, link: LinkConfig) -> None:
        """Change both links."""
        self.link = link
        self._inside.configure(link)
        self._outside.configure(link)

    def rebind(self, *, other_host: bool) -> None:
        """Let the NAT forget: the client comes from another port, or host."""
        self._rebound_cnt += 1
        host = self._nat_outside.datapath.local()[0]
        if other_host:
            host = f"198.51.100.{1 + self._rebound_cnt % 200}"
        self._nat_outside.datapath.close()
        # A device keeps the MTU that its link has when it opens; this may be a small one.
        self._outside.configure(replace(self.link, mtu_bytes=LinkConfig().mtu_bytes))
        self._nat_outside = Port(
            self._outside.open(0, (host, 1000 + self._rebound_cnt), config=FRAMES)
        )
        self._outside.configure(self.link)

    def run(self, until: Callable[[], bool], *, at_most_s: float) -> bool:
        """Let time go on until *until*; tell whether that came in time.

        Raises:
            StuckError: a timer fires again and again.
        """
        end_ns = self.now_ns + int(at_most_s * 1e9)
        spin_cnt = 0
        while True:
            next_ns = self._turn()
            if until():
                return True
            if next_ns > end_ns:
                self.now_ns = end_ns
                return False
            if next_ns > self.now_ns:
                self.now_ns = next_ns
                spin_cnt = 0
            else:
                spin_cnt += 1
                if spin_cnt > SPIN_TURN_CNT:
                    raise StuckError(f"at {self.now_ns} ns")

    def _turn(self) -> int:
        """Do all that is due; return when the next thing is."""
        now_ns = self.now_ns
        self._inside.advance(now_ns)
        self._outside.advance(now_ns)
        self.client.run(now_ns)
        self.server.run(now_ns)
        self._forward(self._nat_inside, self._nat_outside, SERVER)
        self._forward(self._nat_outside, self._nat_inside, CLIENT)
        return min(
            self._inside.advance(now_ns),
            self._outside.advance(now_ns),
            self.client.deadline_ns(),
            self.server.deadline_ns(),
        )

    def _forward(self, come: Port, go: Port, to: Address) -> None:
        while batch := come.datapath.recv(self.now_ns):
            for data, _ in batch:
                go.send(data, to)
        go.flush()
