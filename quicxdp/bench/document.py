"""What `quicxdp bench --json` prints; docs/bench.schema.json describes it.

A figure is what a run came to: the median of the runs, how far they lie apart relative to
it, and each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from quicxdp.loadgen.report import latency_us, merged

from .machine import facts
from .meters import figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .session import Sample
    from .units import Unit

SCHEMA: Final = 1
_NS_PER_S: Final = 1_000_000_000
_DIGITS: Final = 6


def document(
    *,
    benchmark: str,
    setup: Mapping[str, Any],
    plan: Mapping[str, Any],
    unit: Unit,
    samples: Sequence[Sample],
    error: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Return the document of a benchmark.

    Args:
        benchmark: its name.
        setup: what was measured where.
        plan: what was to be done.
        unit: what costs are divided by.
        samples: the runs; at least one.
        error: what ended it early, by "kind" and "message".
    """
    rows = [run_figures(sample, unit) for sample in samples]
    return {
        "schema": SCHEMA,
        "benchmark": benchmark,
        "partial": error is not None,
        "error": error,
        "machine": facts(),
        "setup": setup,
        "plan": plan,
        "figures": {
            key: summary([row[key] for row in rows]) for key in rows[0] if key in rows[-1]
        },
        "latency_us": latency_us(merged(sample.said["histogram"] for sample in samples)),
        "totals": {
            key: sum(sample.said[key] for sample in samples)
            for key in ("requests", "body_bytes", "resumed", "early_data")
        },
        "lost_packets": sum(sample.said.get("lost_packets", 0) for sample in samples),
        "lanes": {
            "server": _lane_sums([sample.server_lanes for sample in samples]),
            "client": _lane_sums([sample.said["lanes"] for sample in samples]),
        },
        "client_was_limit": any(sample.said["client_was_limit"] for sample in samples),
        "runs": [
            {
                "figures": row,
                "seconds": sample.said["seconds"],
                "requests": sample.said["requests"],
                "whole": sample.is_whole,
                "histogram": sample.said["histogram"],
                "samples": [list(each) for each in sample.said["samples"]],
            }
            for row, sample in zip(rows, samples, strict=True)
        ],
    }


def run_figures(sample: Sample, unit: Unit) -> dict[str, float]:
    """Return what one run came to."""
    said = sample.said
    seconds = sample.wall_ns / _NS_PER_S
    units = said["body_bytes"] / 1e9 if unit.is_bytes else said["requests"] / 1e6
    cost = "cpu_s_per_gb" if unit.is_bytes else f"cpu_us_per_{unit.name}"
    out = {
        f"{unit.name}s_per_s" if not unit.is_bytes else "requests_per_s": (
            said["requests_per_s"]
        ),
        "mbit_per_s": said["mbit_per_s"],
        "client_cpu_share": said["client_cpu_share"],
        f"client_{cost}": said["client_cpu_s"] / units,
        "machine_busy_cores": sample.machine_busy_ns / _NS_PER_S / seconds,
    }
    if sample.server_cpu_ns is not None:
        cpu_s = sample.server_cpu_ns / _NS_PER_S
        out["server_cpu_share"] = cpu_s / seconds
        out[f"server_{cost}"] = cpu_s / units
    if sample.server_pss_kib is not None:
        out["server_pss_mib"] = sample.server_pss_kib / 1024
    return {key: float(f"{value:.{_DIGITS}g}") for key, value in out.items()}


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return a figure of a document."""
    of = figure(values)
    median = float(f"{of.median:.{_DIGITS}g}")
    return {"median": median, "spread": round(of.spread, 4), "values": list(values)}


def _lane_sums(
    runs: Sequence[Mapping[str, Mapping[str, int]] | None],
) -> dict[str, dict[str, int]]:
    sums: dict[str, dict[str, int]] = {}
    for run in runs:
        for lane, counters in (run or {}).items():
            into = sums.setdefault(lane, dict.fromkeys(counters, 0))
            for key, value in counters.items():
                into[key] += value
    return sums
