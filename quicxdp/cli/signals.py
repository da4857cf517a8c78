"""Stopping on Ctrl-C and SIGTERM: the first asks, the second ends the process."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def first_signal(stop: Callable[[signal.Signals], object]) -> Iterator[None]:
    """Call *stop* in the event loop at the first signal.

    From then on the kernel ends the process at the next one, whatever the event loop is
    doing; an XDP program goes with its descriptors.  Where the event loop cannot watch
    signals (Windows), Python's own way with Ctrl-C stays.
    """
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _NUMBERS}

    def signalled(number: signal.Signals) -> None:
        for each in _NUMBERS:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        stop(number)

    try:
        for number in _NUMBERS:
            loop.add_signal_handler(number, signalled, number)
    except NotImplementedError:
        yield
        return
    try:
        yield
    finally:
        for number in _NUMBERS:
            # False: the first signal has come, and the second must keep its meaning.
            if loop.remove_signal_handler(number):
                signal.signal(number, before[number])


@contextmanager
def on_hangup(reload: Callable[[], object]) -> Iterator[None]:
    """Call *reload* in the event loop at each SIGHUP, where there is such a signal."""
    number = getattr(signal, "SIGHUP", None)
    if number is None:
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(number, reload)
    try:
        yield
    finally:
        loop.remove_signal_handler(number)
