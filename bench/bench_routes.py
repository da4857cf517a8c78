"""What does the mirror of the kernel's routing table cost: memory, and time per lookup?

`make bench-routes` fills the table with 100,000 routes of several kinds, several times,
and asks it; the last line is one JSON object.  README.md says what each figure means.

    bench_routes.py --routes 10000 --runs 15
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import harness
from harness import BUILD, CLIENT_CORE, BenchError, figure

TABLES = ("ipv4", "ipv6", "mixed", "hosts6")
LOOKUP_NS = 200
MIB = 1 << 20
MEMORY_MIB = 32


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Reduce the runs of one kind of table to what goes into the JSON object."""
    lookup = figure([float(run["lookup_ns"]) for run in runs])
    return {
        "lookup_ns": round(lookup.median, 1),
        "spread": round(lookup.spread, 4),
        "mib": round(max(run["bytes"] for run in runs) / MIB, 2),
        "add_ns": round(figure([float(run["add_ns"]) for run in runs]).median),
    }


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--routes", type=int, default=100_000)
    options = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}
    try:
        harness.build("route_load")
        machine = harness.machine()
        for _ in range(options.runs):
            for table in TABLES:
                argv = [str(BUILD / "route_load"), table, f"routes={options.routes}"]
                runs[table].append(harness.run_pinned(CLIENT_CORE, argv))
    except BenchError as error:
        print(f"bench-routes: {error}", file=sys.stderr)
        return 1
    harness.headline(machine, options.runs)
    summaries = {table: summary(of_table) for table, of_table in runs.items()}
    harness.table(
        ["table", "ns per lookup", "MiB", "ns per route entered"],
        [
            [
                table,
                str(figure([run["lookup_ns"] for run in runs[table]])),
                f"{of_table['mib']:.1f}",
                f"{of_table['add_ns']}",
            ]
            for table, of_table in summaries.items()
        ],
    )
    for table, of_table in summaries.items():
        for what, value, most in (
            ("ns per lookup", of_table["lookup_ns"], LOOKUP_NS),
            ("MiB", of_table["mib"], MEMORY_MIB),
        ):
            word = "met" if value <= most else "MISSED"
            print(f"{word:6}  {table}: {what} {value:.3g}, wanted at most {most:g}")
    harness.finish({**summaries, "routes": options.routes, "machine": machine})
    return 0


if __name__ == "__main__":
    sys.exit(main())
