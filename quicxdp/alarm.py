"""Running the timers of a clock, in an endpoint's turns or by the event loop's timers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .clock import NEVER_NS, Clock, monotonic_ns

if TYPE_CHECKING:
    import asyncio

# An event loop's timers do not fire below a millisecond; asking for less spins.
_LOOP_DELAY_MIN_S: Final = 0.001
_NS_PER_S: Final = 1_000_000_000


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
