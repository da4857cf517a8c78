"""The way of a long header through a server: gate, queue, aioquic; and handshakes' time.

    datagram -> gate -> waiting -> aioquic's server -> handshake -> completed
                refused   full       2 ms a turn         timeout

Work for handshakes (a signature, a connection's objects) costs milliseconds, so what is
admitted waits until the packets of those who are connected have been handled, and is
worked off for a bounded time; the rest follows in the loop's next turn.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from . import aioquic_shim as shim
from . import first_packet
from .admission import (
    REFUSED,
    Admission,
    AdmissionStats,
    Counts,
    Refusal,
    Verdict,
    refused_by_name,
)
from .arrivals import Arrival, Arrivals, Handshakes
from .clock import monotonic_ns
from .plain_gate import PlainGate
from .retry_tokens import KEY_BYTES, LIFETIME_S, RetryTokens, TokenState

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection

    from aioquic.asyncio.protocol import QuicConnectionProtocol

    from .addresses import Address
    from .admission import Gate
    from .engine_turn import EngineTurn

TURN_NS: Final = 2_000_000
_NS_PER_S: Final = 1_000_000_000


class Table(Protocol):
    """The connections of a server, by connection ID."""

    gate: Gate | None

    @property
    def connection_cnt(self) -> int:
        """How many there are."""

    def __contains__(self, cid: object, /) -> bool: ...
    def get(self, cid: bytes, /) -> QuicConnectionProtocol | None:
        """Return the connection that has the ID *cid*."""


class Server(Protocol):
    """Whose reception it is."""

    def receive(self, data: bytes, addr: Address, tokens: RetryTokens | None, /) -> None:
        """Let aioquic's server have a datagram; with *tokens*, Retry is demanded."""

    def feed_collected(self) -> None:
        """Let connections handle what they were given since the last call."""

    def report(self, message: str, exc: Exception, /) -> None:
        """Tell of an error that is nobody else's."""


class Reception:
    """Made by a server, used by it alone.

    Attributes:
        handshakes: the connections in their handshake.
        closed: no new connections are taken any more.
        turn_ns: how long waiting datagrams are worked off at a time.
    """

    def __init__(
        self,
        server: Server,
        admission: Admission,
        *,
        table: Table,
        versions: Collection[int],
        cid_len_bytes: int,
    ) -> None:
        self._server = server
        self._admission = admission
        self._table = table
        self._versions = versions
        self._key = os.urandom(KEY_BYTES)
        self._tokens = RetryTokens(self._key)
        self._gate: Gate = PlainGate(
            admission,
            self._tokens,
            versions=versions,
            known=table,
            cid_len_bytes=cid_len_bytes,
        )
        self._judges = True
        self._arrivals = Arrivals()
        self._own = Counts()  # what the gate does not know of
        self._timeout_cnt = 0
        self._timer: asyncio.TimerHandle | None = None
        self._goes_on = False
        self._loop: asyncio.AbstractEventLoop
        self.handshakes: Handshakes[QuicConnectionProtocol] = Handshakes(
            admission.handshake_timeout_s
        )
        self.closed = False
        self.turn_ns = TURN_NS

    def start(self, loop: asyncio.AbstractEventLoop, turn: EngineTurn | None) -> None:
        """Begin; with the engine's *turn*, C judges before anything goes up."""
        self._loop = loop
        if turn is not None:
            self._gate = turn.guard(
                self._admission,
                retry_key=self._key,
                token_lifetime_s=LIFETIME_S,
                versions=list(self._versions),
            )
            self._judges = False
        self._table.gate = self._gate

    def stop(self) -> None:
        """Forget all that waits, and set no timer any more."""
        self.closed = True
        self._arrivals.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stats(self) -> AdmissionStats:
        """Return the counters of now."""
        counts = self._gate.counts()
        return AdmissionStats(
            connections=self._table.connection_cnt,
            handshakes=len(self.handshakes),
            waiting=len(self._arrivals),
            handshake_timeouts=self._timeout_cnt,
            admitted=counts.admitted,
            tokens_valid=counts.tokens_valid,
            retries_sent=counts.retries_sent,
            versions_sent=counts.versions_sent,
            refused=refused_by_name(counts.refused, self._own.refused),
        )

    # Datagrams

    def stray(self, data: bytes, addr: Address) -> None:
        """Count a short header of no connection."""
        if self._judges:
            self._gate.judge(data, addr, monotonic_ns())

    def add(self, data: bytes, addr: Address) -> None:
        """Take a datagram with a long header, or an empty one."""
        verdict: int = Verdict.ADMIT  # C has let it through
        if self._judges:
            verdict = self._gate.judge(data, addr, monotonic_ns())
            if verdict >= REFUSED:
                return
        cid = first_packet.destination(data)
        if not self._arrivals.add(cid, Arrival(data, addr, verdict)):
            self._own.refuse(Refusal.QUEUE_FULL)

    def work_off(self) -> None:
        """Give aioquic what waits, for at most `turn_ns` and what is begun by then."""
        if not self._arrivals:
            return
        end_ns = monotonic_ns() + self.turn_ns
        while self._arrivals:
            cid, arrivals = self._arrivals.pop()
            self._receive(cid, arrivals)
            if monotonic_ns() >= end_ns:
                break
        if self._arrivals and not self._goes_on:
            self._goes_on = True
            self._loop.call_soon(self._go_on)
        self.tell_load()

    def _go_on(self) -> None:
        self._goes_on = False
        self.work_off()

    def tell_load(self) -> None:
        """Tell the gate how much there is, with what waits."""
        waiting = self._arrivals.cid_cnt
        self._gate.set_load(
            self._table.connection_cnt + waiting,
            len(self.handshakes) + waiting,
            closed=self.closed,
        )

    def _receive(self, cid: bytes, arrivals: list[Arrival]) -> None:
        for arrival in arrivals:
            try:
                self._receive_one(cid, arrival)
            except Exception as exc:  # noqa: BLE001  # one datagram's fault is its own
                self._server.report("receiving a datagram failed", exc)
        self._server.feed_collected()
        protocol = self._table.get(cid)
        if protocol is not None and shim.is_handshake_complete(protocol):
            self.handshakes.end(protocol)

    def _receive_one(self, cid: bytes, arrival: Arrival) -> None:
        data, addr, verdict = arrival
        if verdict in (Verdict.RETRY, Verdict.VERSION, Verdict.BAD_TOKEN):
            self._server.receive(data, addr, self._tokens)
            return
        if cid in self._table:
            self._server.receive(data, addr, None)
            return
        if (why := self._obstacle()) is not None:
            self._own.refuse(why)
            return
        token, state = self._token(data, addr)
        # A foreign one, perhaps of another server of that name, is as good as none.
        retried = state is not TokenState.FOREIGN
        self._server.receive(data, addr, self._tokens if retried else None)
        if state is TokenState.VALID and cid in self._table:
            self._tokens.use(token)
            self._gate.use_token(token)

    def _obstacle(self) -> Refusal | None:
        # The gate has looked already, but others may have come first.
        if self.closed:
            return Refusal.CLOSED
        if self._table.connection_cnt >= self._admission.max_connections:
            return Refusal.CONNECTIONS
        if len(self.handshakes) >= self._admission.max_handshakes:
            return Refusal.HANDSHAKES
        return None

    def _token(self, data: bytes, addr: Address) -> tuple[bytes, TokenState]:
        packet = first_packet.read(data)
        token = first_packet.token(data, packet) if packet is not None else None
        if packet is None or not token:
            return b"", TokenState.FOREIGN
        now_s = self._loop.time()
        return token, self._tokens.state(addr, packet.dcid, token, now_s)

    # Handshakes

    def begun(self, protocol: QuicConnectionProtocol) -> None:
        """Give a new connection its time."""
        self.handshakes.begin(protocol, self._loop.time())
        self._set_timer()

    def ended(self, protocol: QuicConnectionProtocol) -> None:
        """Take note that a connection is over."""
        self.handshakes.end(protocol)
        self.tell_load()

    def _set_timer(self) -> None:
        deadline_s = self.handshakes.next_s()
        if self._timer is None and deadline_s is not None and not self.closed:
            self._timer = self._loop.call_at(deadline_s, self._time_is_over)

    def _time_is_over(self) -> None:
        self._timer = None
        for protocol in self.handshakes.take_expired(self._loop.time()):
            if shim.is_handshake_complete(protocol):
                continue
            self._timeout_cnt += 1
            try:
                shim.end_now(protocol, "the handshake took too long")
            except Exception as exc:  # noqa: BLE001  # one connection's fault is its own
                self._server.report("closing a connection failed", exc)
        self._set_timer()
        self.tell_load()
