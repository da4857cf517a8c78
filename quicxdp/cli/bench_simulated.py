"""`quicxdp bench --netem` by the simulated NIC: a path on virtual time.

Each run has another seed, so the spread is what chance makes of the same path.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quicxdp.bench.child import BenchError
from quicxdp.bench.document import document, of_simulation
from quicxdp.bench.simulated import simulate
from quicxdp.errors import QuicxdpError

from . import bench_options
from .bench_target import write_certificate
from .bench_view import progress
from .exits import CommandError, sentence

if TYPE_CHECKING:
    import argparse

    from quicxdp.bench.simulated import SimulatedRun

_ADDRESS = "192.0.2.2"
_RULE = (
    "virtual time: rates and latencies are the path's, as if computing took none; there "
    "are no CPU figures"
)


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; return the document.

    Raises:
        CommandError: nothing came of it.
    """
    plan = {**bench_options.plan(options), "warm_up_seconds": 0.0}
    runs: list[SimulatedRun] = []
    error = None
    with (
        tempfile.TemporaryDirectory() as folder,
        progress(wanted=not options.no_progress) as begin,
    ):
        certificate = write_certificate(Path(folder), _ADDRESS)
        try:
            for number in range(1, options.runs + 1):
                told = begin(f"run {number} of {options.runs}", plan["seconds"])
                runs.append(
                    simulate(
                        plan,
                        options.netem,
                        certificate=certificate,
                        seed=number,
                        on_progress=told,
                    )
                )
        except (BenchError, QuicxdpError) as failure:
            error = {"kind": "local", "message": sentence(failure)}
        except KeyboardInterrupt:
            error = {"kind": "interrupted", "message": "ended by Ctrl-C"}
    if not runs:
        if error is not None and error["kind"] == "local":
            raise CommandError(error["message"])
        raise KeyboardInterrupt
    setup = {
        "url": None,
        "link": "simulated",
        "netem": options.netem.text,
        "netem_by": "the simulated NIC",
        "io": "simulated",
        "engine": "native",
        "broken_rules": [_RULE],
    }
    rows = [run.figures for run in runs]
    told_all = document(
        benchmark=options.benchmark, setup=setup, plan=plan, rows=rows, error=error
    )
    return told_all | of_simulation(runs)
