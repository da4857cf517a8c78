"""What a run says at its end.

How long requests took goes into a histogram of high dynamic range, three digits
precise: added to those of other runs, its percentiles are those of all requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Above this share of a core the client, not the server, decides how fast it goes.
BUSY_SHARE: Final = 0.9
_NS_PER_S: Final = 1_000_000_000
_NS_PER_US: Final = 1000
# Longer than any request may take.
_LONGEST_NS: Final = 24 * 3600 * _NS_PER_S
_DIGITS: Final = 3
_SHARES: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}


def histogram(times_ns: Iterable[int] = ()) -> HdrHistogram:
    """Return *times_ns* as a histogram."""
    out = HdrHistogram(1, _LONGEST_NS, _DIGITS)
    for time_ns in times_ns:
        out.record_value(time_ns)
    return out


def merged(encoded: Iterable[str]) -> HdrHistogram:
    """Return the sum of histograms as `report` encodes them."""
    out = histogram()
    for each in encoded:
        out.decode_and_add(each)
    return out


def latency_us(times: HdrHistogram) -> dict[str, float]:
    """Return how long requests took, in microseconds."""
    return {
        key: round(times.get_value_at_percentile(share) / _NS_PER_US, 1)
        for key, share in _SHARES.items()
    }


def report(
    *, wall_ns: int, cpu_ns: int, body_bytes: int, times_ns: Sequence[int]
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
    times = histogram(times_ns)
    return {
        "requests": len(times_ns),
        "seconds": round(seconds, 4),
        "requests_per_s": round(len(times_ns) / seconds, 1),
        "mbit_per_s": round(body_bytes * 8 / 1e6 / seconds, 1),
        "body_bytes": body_bytes,
        "latency_us": latency_us(times) if times_ns else None,
        "histogram": times.encode().decode("ascii"),
        "client_cpu_s": round(cpu_ns / _NS_PER_S, 4),
        "client_cpu_share": round(share, 3),
        "client_was_limit": share >= BUSY_SHARE,
    }
