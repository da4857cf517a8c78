"""A QUIC client and a QUIC server on simulated NICs, on virtual time, with a NAT between.

    client -- link -- NAT -- link -- server

Either end is of any of four kinds: aioquic's connection, ours without I/O (SANS_IO), or
ours in an endpoint's engine, as serve() and connect() use it: with its datagrams carried
by the engine (NATIVE), or by a protocol that asks for them (CARRIED).  Nobody
waits and nothing is random but for the links' seed and what TLS draws.

The NAT is there because an endpoint cannot change its own address: `World.rebind` gives
the client another one, as seen by the server, without the client's knowledge.
"""

from __future__ import annotations

import enum
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from aioquic.buffer import Buffer  # type: ignore[attr-defined]  # it is public
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType, pull_quic_header

from quicxdp._native_engine import TURN_MORE
from quicxdp.config import DatapathConfig
from quicxdp.connection import FastConnection
from quicxdp.engine_time import deadline
from quicxdp.engine_turn import EngineTurn
from quicxdp.outbox import Outbox
from quicxdp.simulation import Link, LinkConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.events import QuicEvent

    from quicxdp.addresses import Address
    from quicxdp.datapath import Datapath

__all__ = ["Host", "Kind", "StuckError", "World"]

CLIENT: Final = ("192.0.2.1", 4000)
SERVER: Final = ("192.0.2.200", 443)
NAT: Final = ("198.51.100.1", 1000)
FRAMES: Final = DatapathConfig(rx_frame_cnt=256, tx_frame_cnt=256)
START_NS: Final = 1_000_000_000
NEVER_NS: Final = 2**64 - 1
# aioquic compares rounded times, and may find that its own deadline has not come.
LATE_NS: Final = 1000
# So many turns without the clock moving on are a timer that spins.
SPIN_TURN_CNT: Final = 200


class StuckError(Exception):
    """Virtual time does not go on."""


class Kind(enum.Enum):
    """Who handles the 1-RTT packets of an end."""

    AIOQUIC = "aioquic"
    SANS_IO = "sans_io"
    NATIVE = "native"
    CARRIED = "carried"


class Port:
    """A datapath and what is to leave through it."""

    def __init__(self, datapath: Datapath) -> None:
        self.datapath = datapath
        self._outbox = Outbox(datapath.send)

    def send(self, data: bytes, addr: Address) -> None:
        """Queue a datagram."""
        outbox = self._outbox
        if addr is not outbox.aimed_at:
            outbox.aim(self.datapath.book.path(addr), addr)
        if not outbox.add(data):
            outbox.flush()

    def flush(self) -> None:
        """Hand over what is queued, and what found no room earlier."""
        if self._outbox.stalled:
            self._outbox.resume()
        self._outbox.flush()
        self.datapath.flush()


class Host:
    """One end of the connection.

    Attributes:
        quic: the connection; a server has none before the first packet.
        on_event: called with each event.
    """

    def __init__(
        self, kind: Kind, datapath: Datapath, configuration: QuicConfiguration
    ) -> None:
        self.kind = kind
        self.quic: QuicConnection | None = None
        self.on_event: Callable[[QuicEvent], object] = lambda _: None
        self._configuration = configuration
        self._datapath = datapath
        self._port = Port(datapath)
        self._turn: EngineTurn | None = None
        if kind in (Kind.NATIVE, Kind.CARRIED):
            self._turn = EngineTurn(
                datapath,
                datapath._owner,  # noqa: SLF001  # as the transport does
                cid_len_bytes=configuration.connection_id_length,
                soon=lambda: None,
            )

    def connect(self, now_ns: int) -> None:
        """Begin a connection to the server."""
        self.quic = self._make()
        self.quic.connect(SERVER, now=deadline(now_ns))

    def close(self) -> None:
        """Forget everything."""
        if self._turn is not None:
            self._turn.close()
        self._datapath.close()

    def run(self, now_ns: int) -> None:
        """Take a turn: receive, timers, application, send."""
        self._receive(now_ns)
        if self.quic is None:
            return
        now = deadline(now_ns)
        timer = self.quic.get_timer()
        if timer is not None and timer <= now:
            self.quic.handle_timer(now)
        while (event := self.quic.next_event()) is not None:
            self.on_event(event)
        for data, addr in self.quic.datagrams_to_send(now):
            self._port.send(data, addr)
        self._port.flush()
        if self._turn is not None:
            self._turn.finish(now_ns, NEVER_NS)

    def deadline_ns(self) -> int:
        """Return when `run` has something to do without a datagram."""
        deadline_ns = NEVER_NS if self._turn is None else self._turn.engine.deadline_ns()
        timer = None if self.quic is None else self.quic.get_timer()
        if timer is not None:
            deadline_ns = min(deadline_ns, math.ceil(timer * 1e9) + LATE_NS)
        return deadline_ns

    def _receive(self, now_ns: int) -> None:
        while True:
            if self._turn is None:
                batch = self._datapath.recv(now_ns)
                is_full = bool(batch)
            else:
                flags = self._turn.run(now_ns, NEVER_NS)
                batch = self._turn.take()
                is_full = bool(flags & TURN_MORE)
            for data, addr in batch:
                if self.quic is None:
                    self._accept(data)
                if self.quic is not None:
                    self.quic.receive_datagram(data, addr, deadline(now_ns))
            if not is_full:
                return

    def _accept(self, data: bytes) -> None:
        header = pull_quic_header(
            Buffer(data=data), host_cid_length=self._configuration.connection_id_length
        )
        if header.packet_type is QuicPacketType.INITIAL:
            self.quic = self._make(
                original_destination_connection_id=header.destination_cid
            )

    def _make(
        self, *, original_destination_connection_id: bytes | None = None
    ) -> QuicConnection:
        if self.kind is Kind.AIOQUIC:
            return QuicConnection(
                configuration=self._configuration,
                original_destination_connection_id=original_destination_connection_id,
            )
        connection = FastConnection(
            configuration=self._configuration,
            original_destination_connection_id=original_destination_connection_id,
            engine=None if self._turn is None else self._turn.engine,
        )
        if self.kind is Kind.CARRIED:
            connection.carry_datagrams()
        return connection


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
