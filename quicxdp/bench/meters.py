"""Clocks of processes and of the whole machine, memory, and medians.

CPU time is a process's user and system time together, from its scheduler clock, which is
precise to nanoseconds where /proc/PID/stat counts ticks.  Work that the kernel does for a
process is not always billed to it, so the busy time of the machine stands beside it.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLOCK_OF_PROCESS: Final = 2  # CPUCLOCK_SCHED of linux/posix-timers_types.h
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of several runs and how far they lie apart, relative to it."""

    median: float
    spread: float

    def __str__(self) -> str:
        """Give four significant digits and half of the spread in per cent."""
        return f"{self.median:.4g} ±{self.spread * 50:.0f}%"


def figure(values: Sequence[float]) -> Figure:
    """Return the median of *values* and their spread relative to it."""
    median = statistics.median(values)
    return Figure(median, (max(values) - min(values)) / median if median else 0.0)


def cpu_ns(pid: int) -> int:
    """Return the user and system time of a process, all its threads.

    Raises:
        OSError: there is no such process.
    """
    return time.clock_gettime_ns((~pid << 3) | _CLOCK_OF_PROCESS)


def tree_of(pid: int) -> list[int]:
    """Return a process and all that descend from it and still run."""
    children: dict[int, list[int]] = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name stands in parentheses, and may hold anything.
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
            children[int(fields.split()[1])].append(int(path.parent.name))
    out = [pid]
    for each in out:
        out += children[each]
    return out


def tree_cpu_ns(pid: int) -> int:
    """Return the CPU time of a process and all that descend from it and still run."""
    total = 0
    for each in tree_of(pid):
        with contextlib.suppress(OSError):
            total += cpu_ns(each)
    return total


def pss_kib(pid: int) -> int | None:
    """Return the memory of a process, shared pages by its part; None: not to be had."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return None


def tree_pss_kib(pid: int) -> int:
    """Return the memory of a process and all that descend from it."""
    return sum(pss_kib(each) or 0 for each in tree_of(pid))


def busy_ns() -> int:
    """Return how long all cores together were busy, from /proc/stat (10 ms ticks)."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields)
    ticks = user + nice + system + irq + softirq + steal
    return ticks * _NS_PER_S // os.sysconf("SC_CLK_TCK")
