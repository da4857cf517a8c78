"""Timers of the packet path, on CLOCK_MONOTONIC in nanoseconds.

Event loops fire no earlier than about a millisecond after they were asked to, and
uvloop's clock is a millisecond old on top; a QUIC pacer turns that into a busy loop.  So
an endpoint keeps its deadlines here, in one heap, and arms one kernel timer for the
earliest of them (`Datapath.arm`; without a datapath, one loop.call_at).

Cancelled entries stay in the heap until they come up or outnumber the live ones: QUIC
moves its deadline with nearly every packet, and almost none of them ever fires.
"""

from __future__ import annotations

import heapq
import math
import sys
import time
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from . import _native

if TYPE_CHECKING:
    from collections.abc import Callable

# The clock that C keeps deadlines on (quicxdp.h).  On Linux both of Python's are that
# one; on Windows monotonic() may be the 16 ms tick of the system.
monotonic = time.perf_counter if sys.platform == "win32" else time.monotonic
monotonic_ns = time.perf_counter_ns if sys.platform == "win32" else time.monotonic_ns

NEVER_NS: Final = _native.NEVER_NS
_NS_PER_S: Final = 1_000_000_000
_COMPACT_MIN: Final = 64


class Timer:
    """A callback that will run once, unless cancelled; has asyncio.TimerHandle's face."""

    __slots__ = ("_args", "_callback", "_clock", "_when_s", "expired")

    def __init__(
        self,
        clock: Clock,
        when_s: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
    ) -> None:
        self._clock = clock
        self._when_s = when_s
        self._callback: Callable[..., object] | None = callback
        self._args = args
        self.expired = False  # no longer in the clock's heap

    def cancel(self) -> None:
        """Forget the callback; harmless when repeated or too late."""
        if self._callback is not None:
            self._callback = None
            self._args = ()
            if not self.expired:
                self._clock._cancelled()  # noqa: SLF001  # the two are one thing

    def cancelled(self) -> bool:
        """Tell whether the callback will not run any more."""
        return self._callback is None

    def when(self) -> float:
        """Return the deadline in seconds, as it was given."""
        return self._when_s

    def fire(self) -> None:
        """Run the callback, once."""
        callback, args = self._callback, self._args
        self._callback, self._args = None, ()
        if callback is not None:
            callback(*args)


class Clock:
    """The deadlines of one endpoint.

    Whoever runs the clock promises to look at `due` at `alarm_ns` or soon after, and
    keeps that attribute up to date; a timer before it calls `hurry`.  An alarm that comes
    too early costs one idle turn, which is cheaper than moving the kernel's timer
    whenever a deadline is put off.

    Attributes:
        alarm_ns: when `due` will be looked at.
        heap: entries (deadline, order, timer), cancelled ones included; for a caller that
            looks at the first before it asks for `next_ns`.
        hurry: called when `alarm_ns` is too late.
    """

    __slots__ = ("_cancelled_cnt", "_sequence", "alarm_ns", "heap", "hurry")

    def __init__(self, hurry: Callable[[], object]) -> None:
        self.hurry = hurry
        self.heap: list[tuple[int, int, Timer]] = []
        self._sequence = count()
        self._cancelled_cnt = 0
        self.alarm_ns = NEVER_NS

    time = staticmethod(monotonic)

    def __len__(self) -> int:
        """Return how many timers will still run."""
        return len(self.heap) - self._cancelled_cnt

    def call_at(
        self, when_s: float, callback: Callable[..., object], *args: object
    ) -> Timer:
        """Run *callback* once `time()` has reached *when_s*."""
        timer = Timer(self, when_s, callback, args)
        # Rounded up, and one more for the error of the product (a float of seconds is
        # exact to a nanosecond for the first 100 days after boot), so that the callback
        # never finds its own deadline in the future.
        when_ns = math.ceil(when_s * _NS_PER_S) + 1
        heapq.heappush(self.heap, (when_ns, next(self._sequence), timer))
        if when_ns < self.alarm_ns:
            self.hurry()
        return timer

    def call_later(
        self, delay_s: float, callback: Callable[..., object], *args: object
    ) -> Timer:
        """Run *callback* in *delay_s* seconds."""
        return self.call_at(self.time() + delay_s, callback, *args)

    def next_ns(self) -> int:
        """Return the earliest deadline, `NEVER_NS` if there is none."""
        heap = self.heap
        while heap:
            when_ns, _, timer = heap[0]
            if not timer.cancelled():
                return when_ns
            heapq.heappop(heap)
            self._cancelled_cnt -= 1
        return NEVER_NS

    def due(self, now_ns: int) -> list[Timer]:
        """Take the timers whose deadline has passed, earliest first; call `fire` on each.

        One of them may cancel another one of the same list; `fire` then does nothing.
        """
        found: list[Timer] = []
        while self.next_ns() <= now_ns:
            found.append(heapq.heappop(self.heap)[2])
        for timer in found:
            timer.expired = True
        return found

    def _cancelled(self) -> None:
        self._cancelled_cnt += 1
        if self._cancelled_cnt > _COMPACT_MIN and self._cancelled_cnt * 2 > len(
            self.heap
        ):
            self.heap = [entry for entry in self.heap if not entry[2].cancelled()]
            heapq.heapify(self.heap)
            self._cancelled_cnt = 0
