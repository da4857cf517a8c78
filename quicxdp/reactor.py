"""The event-loop shell of one endpoint.

    readable -> one call that receives -> deliver -> due timers -> flush -> errors -> arm

With an engine (`attach`), what it has found out is told before the flush, and the flush
has a second half: what the engine sends.

That is a turn.  Whatever is sent during a turn leaves in its one flush; what is sent
outside (`soon`) is flushed once, at the loop's next chance.  The loop's own timers are
not used: see clock.py.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final, Protocol

from .clock import NEVER_NS, Clock
from .config import BATCH_MAX
from .errors import DatapathError
from .outbox import Outbox

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from .addresses import Address, PeerAddress
    from .config import SendLimits
    from .datapath import Datapath

# An event loop's timers do not fire below a millisecond; asking for less spins.
_LOOP_DELAY_MIN_S: Final = 0.001
_NS_PER_S: Final = 1_000_000_000


class Endpoint(Protocol):
    """What a reactor calls."""

    def deliver(self, batch: list[tuple[bytes, PeerAddress]]) -> None:
        """Take a batch that has arrived; raises nothing but exits."""

    def datapath_failed(self, exc: DatapathError) -> None:
        """Learn that receiving or sending failed as a whole."""

    def peer_failed(self, code: int, peer: Address | None) -> None:
        """Learn of an error that the kernel reported for one datagram."""

    def backlog_changed(self) -> None:
        """Learn that `Outbox.backlog_bytes` may have changed."""

    def drained(self) -> None:
        """Learn that nothing that was sent waits any more."""


class Turn(Protocol):
    """What an engine adds to a turn; see engine_turn.py."""

    is_full: bool

    def receive(self, now_ns: int, /) -> list[tuple[bytes, PeerAddress]]:
        """Take a batch, handle what is the engine's, return the rest."""

    def tell(self, failed: Callable[[BaseException], object], /) -> None:
        """Let the application hear of what has happened."""

    def flush(self, now_ns: int, /) -> None:
        """Send what the engine has to send."""

    def deadline_ns(self) -> int:
        """Return when `receive` must run next at the latest."""


class Reactor:
    """The turns of one endpoint, on one loop."""

    __slots__ = (
        "_again",
        "_datapath",
        "_endpoint",
        "_in_turn",
        "_loop",
        "_recv",
        "_running",
        "_scheduled",
        "_turn",
        "clock",
        "outbox",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        datapath: Datapath,
        endpoint: Endpoint,
        limits: SendLimits | None = None,
    ) -> None:
        self._loop = loop
        self._datapath = datapath
        self._recv: Callable[[int], list[tuple[bytes, PeerAddress]]] = datapath.recv
        self._turn: Turn | None = None
        self._endpoint = endpoint
        self.outbox = Outbox(datapath.send, limits)
        self.clock = Clock(self.soon)
        self._running = False
        self._in_turn = False
        self._scheduled = False
        self._again = False

    def attach(self, turn: Turn) -> None:
        """Let an engine receive, and send, from now on."""
        self._turn = turn
        self._recv = turn.receive

    def start(self) -> None:
        """Begin to receive."""
        self._running = True
        self._loop.add_reader(self._datapath.fd, self._readable)

    def stop(self) -> None:
        """End receiving and sending; the clock goes on with the loop's timers."""
        if self._running:
            self._running = False
            self._loop.remove_reader(self._datapath.fd)
        self.outbox.clear()
        LoopAlarm(self._loop, self.clock)

    def soon(self) -> None:
        """Arrange for a flush, unless one is coming anyway."""
        if not (self._in_turn or self._scheduled):
            self._scheduled = True
            self._loop.call_soon(self._flush_soon)

    def flush(self) -> bool:
        """Send the batch now; tell whether there was one."""
        sent = False
        try:
            sent = self.outbox.flush()
        except DatapathError as exc:
            self._endpoint.datapath_failed(exc)
        if self.outbox.stalled:
            self._endpoint.backlog_changed()
        return sent

    def drain(self) -> bool:
        """Send everything, as far as there is room; tell whether all is gone.

        A flush may have had to leave something in the datapath, whose descriptor then
        becomes readable for this.
        """
        self.flush()
        try:
            stayed = self._datapath.flush()
        except DatapathError as exc:
            self._endpoint.datapath_failed(exc)
            return True
        return not (stayed or self.outbox)

    def _flush_soon(self) -> None:
        self._scheduled = False
        if self._running:
            self._end_turn()

    def _readable_again(self) -> None:
        self._again = False
        if self._running:
            self._readable()

    def _readable(self) -> None:
        now_ns = monotonic_ns()
        self._in_turn = True
        try:
            try:
                batch = self._recv(now_ns)
            except DatapathError as exc:
                self._endpoint.datapath_failed(exc)
            except RuntimeError as exc:
                # The loop went on in another thread.  The descriptor stays readable, so
                # without this the loop would do nothing but fail, for ever.
                self._running = False
                self._loop.remove_reader(self._datapath.fd)
                report(self._loop, "Receiving stopped", exc, transport=self._endpoint)
                return
            else:
                turn = self._turn
                is_full = len(batch) >= BATCH_MAX if turn is None else turn.is_full
                if is_full and not self._again:
                    # Others first: a busy endpoint must not starve the loop.
                    self._again = True
                    self._loop.call_soon(self._readable_again)
                if batch:
                    self._endpoint.deliver(batch)
            if self.clock.alarm_ns <= now_ns:
                self.clock.alarm_ns = NEVER_NS
                run_due(self._loop, self.clock, now_ns)
            if self.outbox.stalled:
                self._resume()
        finally:
            self._in_turn = False
            if self._running:
                self._end_turn(readable=True)

    def _resume(self) -> None:
        try:
            self.outbox.resume()
        except DatapathError as exc:
            self._endpoint.datapath_failed(exc)
        self._endpoint.backlog_changed()

    def _end_turn(self, *, readable: bool = False) -> None:
        if self._turn is None:
            self._flush_and_arm(NEVER_NS, readable=readable)
            return
        self._in_turn = True
        try:
            self._turn.tell(self._listener_failed)
        finally:
            self._in_turn = False
            if self._running:
                # What aioquic sends goes first: it may be what makes the rest readable.
                sent = self.flush()
                try:
                    self._turn.flush(monotonic_ns())
                except DatapathError as exc:
                    self._endpoint.datapath_failed(exc)
                readable = readable and not sent
                self._flush_and_arm(self._turn.deadline_ns(), readable=readable)

    def _listener_failed(self, exc: BaseException) -> None:
        message = "a connection failed to handle its events"
        report(self._loop, message, exc, transport=self._endpoint)

    def _flush_and_arm(self, deadline_ns: int, *, readable: bool) -> None:
        if not self.flush() and readable and self.drain():
            self._endpoint.drained()
        for code, peer in self._datapath.errors():
            self._endpoint.peer_failed(code, peer)
        clock = self.clock
        if clock.heap and clock.heap[0][0] < clock.alarm_ns:
            deadline_ns = min(deadline_ns, clock.next_ns())
        if deadline_ns < clock.alarm_ns:
            clock.alarm_ns = deadline_ns
            self._datapath.arm(deadline_ns)


class LoopAlarm:
    """Runs a clock by the loop's timers, one at a time, for want of a datapath's."""

    __slots__ = ("_clock", "_handle", "_loop")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock | None = None
    ) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self._clock = clock or Clock(self._hurry)
        self._clock.hurry = self._hurry
        self._clock.alarm_ns = NEVER_NS
        self._hurry()

    @property
    def clock(self) -> Clock:
        """The clock that runs."""
        return self._clock

    def _hurry(self) -> None:
        next_ns = self._clock.next_ns()
        if next_ns >= self._clock.alarm_ns or self._loop.is_closed():
            return
        if self._handle is not None:
            self._handle.cancel()
        self._clock.alarm_ns = next_ns
        delay_s = (next_ns - monotonic_ns()) / _NS_PER_S
        self._handle = self._loop.call_later(max(delay_s, _LOOP_DELAY_MIN_S), self._fire)

    def _fire(self) -> None:
        self._handle = None
        self._clock.alarm_ns = NEVER_NS
        run_due(self._loop, self._clock, monotonic_ns())
        self._hurry()


def run_due(loop: asyncio.AbstractEventLoop, clock: Clock, now_ns: int) -> None:
    """Run the timers that are due; what one of them raises goes to the loop's handler."""
    for timer in clock.due(now_ns):
        try:
            timer.fire()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:  # noqa: BLE001  # asyncio's rule for callbacks
            report(loop, f"Exception in the timer {timer!r}", exc)


def report(
    loop: asyncio.AbstractEventLoop, message: str, exc: BaseException, **context: object
) -> None:
    """Hand *exc* to the loop's exception handler."""
    details: dict[str, Any] = {"message": message, "exception": exc, **context}
    loop.call_exception_handler(details)
