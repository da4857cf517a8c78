"""How long does a small request take while another thread of the server runs Python code?

`make bench-busy` asks a server on the engine in C, and one on aioquic's own, for 100
bytes, one request after the other, without and with a thread that computes beside the
event loop, in turn.  The last line is one JSON object; README.md says what each figure
means.

    busy_thread.py --runs 5 --seconds 3    longer
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import fastpath
import harness
from fastpath import Bench, Setup
from harness import BenchError, figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SETUPS = (Setup("lo", "native", "socket"), Setup("lo", "aioquic", "asyncio"))
REQUEST = ("requests", "--size=100")
ALONE_SECONDS = 0.5
# A thread that waits for the GIL asks for it after the switch interval, and gets it when
# the other one has heard of that and the scheduler agrees.
WAIT_SLACK = 1.2
KEYS = ("p50_us", "p99_us", "longest_wait_us", "long_waits_share")

Runs = dict[tuple[str, str], list[dict[str, float]]]


def ask(bench: Bench, setup: Setup, *, busy: bool, seconds: float) -> dict[str, float]:
    """Return what one run with or without the busy thread has shown; keys as in KEYS."""
    options = ["--meter-turns", *(["--busy-thread"] if busy else [])]
    with fastpath.server_of(bench, setup, *options) as program:
        fastpath.warm_up(bench, setup, program)
        program.ask("reset")
        words = [*REQUEST, f"--seconds={seconds:g}"]
        said = fastpath.load(bench, setup, program, words).said
        turns = program.ask("totals")
    return {
        "p50_us": said["latency_us"]["p50"],
        "p99_us": said["latency_us"]["p99"],
        "longest_wait_us": turns["waited_max_ns"] / 1e3,
        "long_waits_share": turns["long_waits"] / max(turns["turns"], 1),
        "switch_interval_us": turns["switch_interval_s"] * 1e6,
    }


def summary(runs: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Reduce the runs of one row to what goes into the JSON object."""
    out: dict[str, Any] = {}
    for key in KEYS:
        value = figure([run[key] for run in runs])
        out[key] = round(value.median, 4)
        out[f"{key}_spread"] = round(value.spread, 4)
    return out


def verdict(native: Mapping[str, Any], switch_interval_us: float) -> None:
    """Print the target and whether it was met."""
    longest = native["busy"]["longest_wait_us"]
    word = "met" if longest <= switch_interval_us * WAIT_SLACK else "MISSED"
    print(
        f"{word:6}  native, busy thread: the longest wait of a turn is {longest:.0f} us;"
        f" wanted at most the switch interval, {switch_interval_us:.0f} us"
        f" (and a fifth for waking up)"
    )


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="with a busy thread")
    options = parser.parse_args()
    runs: Runs = defaultdict(list)
    try:
        machine = harness.machine()
        harness.headline(machine, options.runs)
        with fastpath.open_bench() as bench:
            for _ in range(options.runs):
                for setup in SETUPS:
                    for state in ("alone", "busy"):
                        busy = state == "busy"
                        seconds = options.seconds if busy else ALONE_SECONDS
                        found = ask(bench, setup, busy=busy, seconds=seconds)
                        runs[setup.engine, state].append(found)
    except (BenchError, subprocess.TimeoutExpired) as error:
        print(f"bench-busy: {error}", file=sys.stderr)
        return 1
    harness.table(
        ["server", "request p50, us", "p99, us", "longest wait of a turn, us"],
        [
            [f"{engine} {state}", *(str(figure([r[k] for r in of])) for k in KEYS[:3])]
            for (engine, state), of in runs.items()
        ],
    )
    result: dict[str, Any] = defaultdict(dict)
    for (engine, state), of in runs.items():
        result[engine][state] = summary(of)
    switch_interval_us = runs["native", "busy"][0]["switch_interval_us"]
    verdict(result["native"], switch_interval_us)
    harness.finish(
        {
            **result,
            "switch_interval_us": switch_interval_us,
            "machine": machine,
            "runs": options.runs,
        }
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
