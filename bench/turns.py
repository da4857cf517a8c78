"""How long the turns of an event loop take, and how long they wait in them.

A turn is what happens between two calls of select().  What its wall time exceeds the
thread's time on a core and in the queue for one by (/proc/thread-self/schedstat), it has
waited: for the GIL, since nothing else in a turn blocks, and for no other process.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
import time

__all__ = ["MeteredSelector", "loop_with", "start_busy_thread"]

SelectorKeys = list[tuple[selectors.SelectorKey, int]]


class MeteredSelector(selectors.DefaultSelector):
    """A selector that knows what its loop does in between.

    Attributes:
        turns: how many turns had something to do.
        waited_max_ns: the longest that one has waited.
        long_waits: how many have waited longer than the switch interval.
    """

    def __init__(self, switch_interval_s: float) -> None:
        super().__init__()
        self._limit_ns = round(switch_interval_s * 1e9)
        self._clock_fd = -1
        self._blocked_ns = 0
        self._has_work = False
        self.reset()

    def reset(self) -> None:
        """Begin to count."""
        self.turns = self.waited_max_ns = self.long_waits = 0
        self._has_work = False  # the turn that calls this is not counted

    def select(self, timeout: float | None = None) -> SelectorKeys:
        """Wait for events; the loop's turn ends and another one begins."""
        if self._has_work:
            waited_ns = self._blocked_so_far_ns() - self._blocked_ns
            self.turns += 1
            self.waited_max_ns = max(self.waited_max_ns, waited_ns)
            self.long_waits += waited_ns > self._limit_ns
        events = super().select(timeout)
        self._has_work = bool(events)
        self._blocked_ns = self._blocked_so_far_ns()
        return events

    def _blocked_so_far_ns(self) -> int:
        """Return how long this thread was neither running nor ready to run, as of now."""
        if self._clock_fd < 0:
            self._clock_fd = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        _on_core, queued, _ = os.pread(self._clock_fd, 128, 0).split()
        return time.monotonic_ns() - time.thread_time_ns() - int(queued)

    def close(self) -> None:
        """Close what was opened."""
        super().close()
        if self._clock_fd >= 0:
            os.close(self._clock_fd)
            self._clock_fd = -1


def loop_with(selector: selectors.BaseSelector) -> asyncio.AbstractEventLoop:
    """Return asyncio's loop on a selector."""
    return asyncio.SelectorEventLoop(selector)


def start_busy_thread() -> None:
    """Run Python code in another thread, until the process ends."""
    threading.Thread(target=_be_busy, daemon=True).start()


def _be_busy() -> None:
    number = 0
    while True:
        number = (number + 1) % 1000
