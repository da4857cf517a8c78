"""The event-loop shell of one endpoint.

    readable -> one call that receives -> deliver -> due timers -> flush -> errors -> arm

With an engine (`attach`), one call receives, handles, sends and arms.  Only if something
came of it that Python must hear of, the engine stops in the middle:

    readable -> engine: receive -> deliver -> timers -> tell -> flush -> engine: finish

That is a turn.  Whatever is sent during a turn leaves in its one flush; what is sent
outside (`soon`) is flushed once, at the loop's next chance.  The loop's own timers are
not used: see clock.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ._native_engine import TURN_ERRORS, TURN_EVENTS, TURN_MORE, TURN_STAYED
from .alarm import LoopAlarm, report, run_due
from .clock import NEVER_NS, Clock, monotonic_ns
from .config import BATCH_MAX
from .errors import DatapathError
from .outbox import Outbox
from .spin import Spin
from .waiter import Waiter

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from .addresses import Address, PeerAddress
    from .config import SendLimits
    from .datapath import Datapath


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

    def run(self, now_ns: int, alarm_ns: int, /) -> int:
        """Take a batch and handle what is the engine's; go on to the end if that is all.

        Returns:
            What is left to do, enum qx_turn_flags.
        """

    def take(self) -> list[tuple[bytes, PeerAddress]]:
        """Note the engine's news; return what is not the engine's."""

    def tell(self, failed: Callable[[BaseException], object], /) -> None:
        """Let the application hear of what has happened."""

    def finish(self, now_ns: int, alarm_ns: int, /) -> int:
        """Send what the engine has to send, and arm; returns as `run`."""


class Reactor:
    """The turns of one endpoint, on one loop."""

    __slots__ = (
        "_again",
        "_datapath",
        "_draining",
        "_endpoint",
        "_in_turn",
        "_loop",
        "_recv",
        "_running",
        "_scheduled",
        "_spin",
        "_turn",
        "_waiter",
        "clock",
        "outbox",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        datapath: Datapath,
        endpoint: Endpoint,
        limits: SendLimits | None = None,
        *,
        spin_ns: int = 0,
    ) -> None:
        self._spin = Spin(datapath.spin, spin_ns) if spin_ns else None
        self._waiter: Waiter | None = None
        self._loop = loop
        self._datapath = datapath
        self._recv = datapath.recv
        self._turn: Turn | None = None
        self._endpoint = endpoint
        self.outbox = Outbox(datapath.send, limits)
        self.clock = Clock(self.soon)
        self._running = False
        self._in_turn = False
        self._scheduled = False
        self._again = False
        self._draining = False

    def _look(self) -> None:
        """Take a turn, and look for the next one before the loop sleeps."""
        if self._turn is None:
            self._readable()
        else:
            self._engine_readable()
        if self._spin is not None and self._running and not self._again:
            try:
                found = self._spin.look()
            except DatapathError as exc:
                self._endpoint.datapath_failed(exc)
            else:
                if found:
                    self._others_first()

    def attach(self, turn: Turn) -> None:
        """Let an engine receive, and send, from now on."""
        self._turn = turn
        if self._running:
            self._unwatch()
            self.start()

    def start(self) -> None:
        """Begin to receive."""
        self._running = True
        readable = self._readable if self._turn is None else self._engine_readable
        if self._spin is not None:
            readable = self._look
        if self._datapath.fd >= 0:
            try:
                self._loop.add_reader(self._datapath.fd, readable)
            except NotImplementedError:
                pass
            else:
                return
        # The thread looks, in place of the loop.
        spin_ns = 0 if self._spin is None else self._spin.spin_ns
        self._spin = None
        self._waiter = Waiter(self._loop, self._datapath, self._look, spin_ns=spin_ns)

    def stop(self) -> None:
        """End receiving and sending; the clock goes on with the loop's timers."""
        if self._running:
            self._unwatch()
        elif self._waiter is not None:
            # It was only asked before, in a thread that may not wait for it.
            self._waiter.stop()
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
        self._draining = bool(stayed or self.outbox)
        return not self._draining

    def _flush_soon(self) -> None:
        self._scheduled = False
        if not self._running:
            return
        if self._turn is None:
            self._end_turn(readable=False)
        else:
            self._end_engine_turn(self._turn, readable=False)

    def _readable_again(self) -> None:
        self._again = False
        if self._running:
            self._look()

    def _others_first(self) -> None:
        # A busy endpoint must not starve the loop.
        if not self._again:
            self._again = True
            self._loop.call_soon(self._readable_again)

    def _readable(self) -> None:
        now_ns = monotonic_ns()
        self._in_turn = True
        try:
            try:
                batch = self._recv(now_ns)
            except DatapathError as exc:
                self._endpoint.datapath_failed(exc)
            except RuntimeError as exc:
                self._wrong_thread(exc)
                return
            else:
                if len(batch) >= BATCH_MAX:
                    self._others_first()
                if batch:
                    self._endpoint.deliver(batch)
            self._run_due(now_ns, is_due=self.clock.alarm_ns <= now_ns)
        finally:
            self._in_turn = False
            if self._running:
                self._end_turn(readable=True)

    def _wrong_thread(self, exc: RuntimeError) -> None:
        # The loop went on in another thread.  The descriptor stays readable, so without
        # this the loop would do nothing but fail, for ever.
        self._unwatch()
        report(self._loop, "Receiving stopped", exc, transport=self._endpoint)

    def _unwatch(self) -> None:
        self._running = False
        if self._waiter is None:
            self._loop.remove_reader(self._datapath.fd)
        else:
            self._waiter.stop()

    def _run_due(self, now_ns: int, *, is_due: bool) -> None:
        if is_due:
            self.clock.alarm_ns = NEVER_NS
            run_due(self._loop, self.clock, now_ns)
        if self.outbox.stalled:
            self._resume()

    def _resume(self) -> None:
        try:
            self.outbox.resume()
        except DatapathError as exc:
            self._endpoint.datapath_failed(exc)
        self._endpoint.backlog_changed()

    def _end_turn(self, *, readable: bool) -> None:
        if not self.flush() and readable and self.drain():
            self._endpoint.drained()
        self._tell_errors()
        clock = self.clock
        if clock.heap and clock.heap[0][0] < clock.alarm_ns:
            deadline_ns = clock.next_ns()
            if deadline_ns < clock.alarm_ns:
                clock.alarm_ns = deadline_ns
                self._datapath.arm(deadline_ns)

    def _tell_errors(self) -> None:
        for code, peer in self._datapath.errors():
            self._endpoint.peer_failed(code, peer)

    # With an engine

    def _engine_readable(self) -> None:
        now_ns = monotonic_ns()
        turn, clock = self._turn, self.clock
        assert turn is not None  # noqa: S101  # that is when this is the reader
        if self.outbox and not self.outbox.stalled:
            # What aioquic sends goes first: it may be what makes the rest readable.
            self.flush()
        is_due = clock.alarm_ns <= now_ns
        heap = clock.heap
        alarm_ns = clock.alarm_ns = heap[0][0] if heap else NEVER_NS
        flags = TURN_EVENTS
        try:
            flags = turn.run(now_ns, alarm_ns)
        except DatapathError as exc:
            self._endpoint.datapath_failed(exc)
        except RuntimeError as exc:
            self._wrong_thread(exc)
            return
        # Most turns end here; for what had to stay the descriptor becomes readable.
        if flags & ~TURN_STAYED or is_due or self._draining or self.outbox.stalled:
            self._go_on(turn, now_ns, flags, is_due=is_due)

    def _go_on(self, turn: Turn, now_ns: int, flags: int, *, is_due: bool) -> None:
        self._in_turn = True
        try:
            if flags & TURN_MORE:
                self._others_first()
            if flags & TURN_EVENTS and (batch := turn.take()):
                # First those who are connected: what goes up may be milliseconds' work.
                self._end_engine_turn(turn, readable=False)
                self._in_turn = True
                self._endpoint.deliver(batch)
            self._run_due(now_ns, is_due=is_due)
        finally:
            self._in_turn = False
            if self._running:
                self._end_engine_turn(turn, readable=True)

    def _end_engine_turn(self, turn: Turn, *, readable: bool) -> None:
        self._in_turn = True
        try:
            turn.tell(self._listener_failed)
        finally:
            self._in_turn = False
            if self._running:
                sent = self.flush()
                clock = self.clock
                clock.alarm_ns = clock.next_ns()
                try:
                    flags = turn.finish(monotonic_ns(), clock.alarm_ns)
                except DatapathError as exc:
                    self._endpoint.datapath_failed(exc)
                    flags = TURN_ERRORS
                if flags & TURN_EVENTS:
                    # Rare: a key that must not seal more, or memory that ran out.
                    self.soon()
                if flags & TURN_ERRORS:
                    self._tell_errors()
                if readable and not sent and self._draining and self.drain():
                    self._endpoint.drained()

    def _listener_failed(self, exc: BaseException) -> None:
        message = "a connection failed to handle its events"
        report(self._loop, message, exc, transport=self._endpoint)
