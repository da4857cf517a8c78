"""What a run says at its end."""

from __future__ import annotations

import math
from array import array
from typing import Any, Final

# Above this share of a core the client, not the server, decides how fast it goes.
BUSY_SHARE: Final = 0.9
_NS_PER_S: Final = 1_000_000_000
_NS_PER_US: Final = 1000


def percentile(ordered: array[int], share: float) -> int:
    """Return the smallest value that so large a share of all is not above."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def latency_us(times_ns: array[int]) -> dict[str, float]:
    """Return how long requests took, in microseconds."""
    ordered = array("Q", sorted(times_ns))
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {
        key: round(percentile(ordered, share) / _NS_PER_US, 1)
        for key, share in shares.items()
    }


def report(
    *, wall_ns: int, cpu_ns: int, body_bytes: int, times_ns: array[int]
) -> dict[str, Any]:
    """Return the run as what goes into a JSON object.

    Args:
        wall_ns: how long requests were made.
        cpu_ns: user and system time of this process meanwhile.
        body_bytes: of complete bodies, up or down.
        times_ns: how long each request took, from when it was due.
    """
    seconds = wall_ns / _NS_PER_S
    share = cpu_ns / wall_ns
    return {
        "requests": len(times_ns),
        "seconds": round(seconds, 4),
        "requests_per_s": round(len(times_ns) / seconds, 1),
        "mbit_per_s": round(body_bytes * 8 / 1e6 / seconds, 1),
        "body_bytes": body_bytes,
        "latency_us": latency_us(times_ns),
        "client_cpu_s": round(cpu_ns / _NS_PER_S, 4),
        "client_cpu_share": round(share, 3),
        "client_was_limit": share >= BUSY_SHARE,
    }
