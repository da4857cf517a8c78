"""One end of a connection over the simulated NIC, on virtual time.

It is of any of four kinds: aioquic's connection, ours without I/O (SANS_IO), or ours in
an endpoint's engine, as serve() and connect() use it: with its datagrams carried by the
engine (NATIVE), or by a protocol that asks for them (CARRIED).
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Final

from aioquic.buffer import Buffer  # type: ignore[attr-defined]  # it is public
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType, pull_quic_header

from quicxdp._native_engine import TURN_MORE
from quicxdp.connection import FastConnection
from quicxdp.engine_time import deadline
from quicxdp.engine_turn import EngineTurn
from quicxdp.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.events import QuicEvent

    from quicxdp.addresses import Address
    from quicxdp.datapath import Datapath

NEVER_NS: Final = 2**64 - 1
# aioquic compares rounded times, and may find that its own deadline has not come.
_LATE_NS: Final = 1000


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

    def connect(self, peer: Address, now_ns: int) -> None:
        """Begin a connection to the server at *peer*."""
        self.quic = self._make()
        self.quic.connect(peer, now=deadline(now_ns))

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
            deadline_ns = min(deadline_ns, math.ceil(timer * 1e9) + _LATE_NS)
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
