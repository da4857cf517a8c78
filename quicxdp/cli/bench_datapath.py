"""`quicxdp bench datapath`: what a datagram costs on each lane, in a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quicxdp.bench.document import document

from . import measure
from .bench_view import progress

if TYPE_CHECKING:
    import argparse

_FIGURES = ("cpu_ns_per_datagram", "datagrams_per_s", "round_trip_us")


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; return the document.

    Raises:
        CommandError: it failed.
    """
    runs = []
    error = None
    with progress(wanted=not options.no_progress) as begin:
        told = begin("lanes", options.runs)
        try:
            for number in range(1, options.runs + 1):
                runs.append(measure.measure())
                told({"seconds": number, "requests": 0, "bytes": 0})
        except KeyboardInterrupt:
            if not runs:
                raise
            error = {"kind": "interrupted", "message": "ended by Ctrl-C"}
    rows = [
        {
            f"{lane.lane}_{lane.over}_{key}": float(getattr(lane, key))
            for lane in of.lanes
            for key in _FIGURES
        }
        for of in runs
    ]
    left_out = [f"{what}: {why}" for what, why in runs[-1].left_out.items()]
    plan = {"mode": "datapath", "size_bytes": 1200, "runs": options.runs}
    setup = {"url": None, "link": "loopback and veth", "broken_rules": left_out}
    return document(benchmark="datapath", setup=setup, plan=plan, rows=rows, error=error)
