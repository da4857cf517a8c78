"""A thread that waits for a datapath and wakes the event loop.

For where the loop cannot watch the datapath itself: Windows, whose two kinds of loop
watch sockets or completions but no events; and for whoever gives a core away to be woken
sooner (`spin_ns`), since the thread then looks again and again instead of sleeping.

    thread: wait -> call_soon_threadsafe -> rest      loop: turn -> go on

The thread rests from the wake-up until the loop's turn is over, so there is one wake-up
per turn, however much arrives, and a busy loop is not asked again and again.  The wait
itself holds no GIL.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from .alarm import report
from .errors import DatapathError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from .datapath import Datapath

# How often a thread looks whether its loop was closed without closing the transport.
_LOOK_NS: Final = 1_000_000_000


class Waiter:
    """Runs *turn* on *loop* whenever *datapath* has something to do."""

    __slots__ = (
        "_datapath",
        "_ended",
        "_go_on",
        "_loop",
        "_spin_ns",
        "_thread",
        "_turn",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        datapath: Datapath,
        turn: Callable[[], object],
        *,
        spin_ns: int = 0,
    ) -> None:
        self._loop = loop
        self._datapath = datapath
        self._turn = turn
        self._spin_ns = spin_ns
        self._ended = threading.Event()
        self._go_on = threading.Semaphore(0)
        # A daemon, so that a transport that nobody closed cannot keep the process.
        self._thread = threading.Thread(
            target=self._run, name="quicxdp waiter", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the waiting; the datapath may be closed afterwards.

        In another thread than the datapath's, which may not use it, this only asks: the
        thread then ends within a second and keeps the datapath alive until it has.
        """
        self._ended.set()
        self._go_on.release()
        try:
            self._datapath.arm(0)
        except RuntimeError:
            return
        except DatapathError:
            # Its own look ends it; closing under it would take its memory away.
            pass
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set() and not self._loop.is_closed():
            try:
                if not self._datapath.wait(self._spin_ns, _LOOK_NS):
                    continue
            except DatapathError as error:
                self._call_soon(self._failed, error)
                return
            if self._ended.is_set() or not self._call_soon(self._woken):
                return
            while not self._go_on.acquire(timeout=_LOOK_NS / 1e9):
                if self._loop.is_closed():
                    return

    def _call_soon(self, callback: Callable[..., None], *args: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # Closed meanwhile.
            return False
        return True

    def _failed(self, error: DatapathError) -> None:
        report(self._loop, "Waiting failed; no more datagrams are received", error)

    def _woken(self) -> None:
        try:
            if not self._ended.is_set():
                self._turn()
        finally:
            self._go_on.release()
