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
    from collections.abc import Iterable, Mapping, Sequence

    from .session import Sample
    from .simulated import SimulatedRun
    from .units import Unit

SCHEMA: Final = 1
_NS_PER_S: Final = 1_000_000_000
_DIGITS: Final = 6


def document(
    *,
    benchmark: str,
    setup: Mapping[str, Any],
    plan: Mapping[str, Any],
    rows: Sequence[Mapping[str, float]],
    error: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return what the document of any benchmark has.

    Args:
        benchmark: its name.
        setup: what was measured where.
        plan: what was to be done.
        rows: the figures of each run; at least one.
        error: what ended it early, by "kind" and "message".
    """
    return {
        "schema": SCHEMA,
        "benchmark": benchmark,
        "partial": error is not None,
        "error": error,
        "machine": facts(),
        "setup": setup,
        "plan": plan,
        "figures": {
            key: summary([row[key] for row in rows])
            for key in rows[0]
            if all(key in row for row in rows)
        },
    }


def of_load(samples: Sequence[Sample], unit: Unit) -> dict[str, Any]:
    """Return what the document of load on a server has besides."""
    return {
        "latency_us": _latency(sample.said["histogram"] for sample in samples),
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
                "figures": run_figures(sample, unit),
                "seconds": sample.said["seconds"],
                "requests": sample.said["requests"],
                "whole": sample.is_whole,
                "histogram": sample.said["histogram"],
                "samples": [list(each) for each in sample.said["samples"]],
            }
            for sample in samples
        ],
    }


def of_simulation(runs: Sequence[SimulatedRun]) -> dict[str, Any]:
    """Return what the document of runs over the simulated NIC has besides."""
    return {
        "latency_us": _latency(run.histogram for run in runs),
        "totals": {
            "requests": sum(run.requests for run in runs),
            "body_bytes": sum(run.body_bytes for run in runs),
        },
        "runs": [
            {
                "figures": run.figures,
                "seconds": run.seconds,
                "requests": run.requests,
                "whole": True,
                "histogram": run.histogram,
                "samples": [list(each) for each in run.samples],
            }
            for run in runs
        ],
    }


def _latency(encoded: Iterable[str]) -> dict[str, float] | None:
    times = merged(encoded)
    return latency_us(times) if times.get_total_count() else None


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
