"""Seconds as aioquic counts them, nanoseconds as C does.

A deadline of C must not be missed by rounding: whoever waits for `deadline(ns)` and then
asks for `to_ns` of it finds that the deadline has passed.  On a clock that counts from
1970, a float is a multiple of 238 ns, so this is not a matter of the last digit.
"""

from __future__ import annotations

import math
from typing import Final

_NS_PER_S: Final = 1_000_000_000


def to_ns(time_s: float) -> int:
    """Return *time_s* in nanoseconds, rounded."""
    return int(time_s * _NS_PER_S + 0.5)


def from_ns(time_ns: int) -> float:
    """Return *time_ns* in seconds."""
    return time_ns / _NS_PER_S


def deadline(time_ns: int) -> float:
    """Return a time in seconds of which `to_ns` is not before *time_ns*."""
    time_s = time_ns / _NS_PER_S
    while to_ns(time_s) < time_ns:
        time_s = math.nextafter(time_s, math.inf)
    return time_s
