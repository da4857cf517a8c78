"""What does a packet cost the engine in C, beyond what its encryption costs anyway?

`make bench-engine` runs engine_load several times, whole turns over the simulated NIC and
the engine alone, and prints medians and spreads; the last line is one JSON object.
README.md says what each figure means.

    bench_engine.py --runs 15 --packets 200000    longer
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

import harness
from harness import BUILD, CLIENT_CORE, BenchError, figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROLES = ("nic", "conn")
STEPS = ("send", "receive", "ack", "ack_write", "aead_seal", "aead_open")
DATAPATH = ("datapath_send", "datapath_receive")
OVER_AEAD_NS = 300
ACK_NS = 100

Runs = list[dict[str, Any]]


def run(role: str, packets: int, window: int) -> dict[str, Any]:
    """Return what one run of engine_load says."""
    argv = [str(BUILD / "engine_load"), role]
    return harness.run_pinned(
        CLIENT_CORE, [*argv, f"packets={packets}", f"window={window}"]
    )


def share(run: Mapping[str, Any], step: str) -> float:
    """Return the cost of a step less what the datapath alone takes for it."""
    return float(run[f"{step}_ns"] - run.get(f"datapath_{step}_ns", 0))


AEAD_OF = {"send": "seal", "receive": "open"}


def over_aead(run: Mapping[str, Any], step: str) -> float:
    """Return the same less what the AEAD alone takes."""
    return share(run, step) - float(run[f"aead_{AEAD_OF[step]}_ns"])


def allocations_per_packet(runs: Runs) -> float:
    """Return the most that any run has allocated, in calls per packet."""
    keys = [f"{step}_allocations" for step in STEPS if not step.startswith("aead")]
    return max(sum(int(run[key]) for key in keys) / int(run["packets"]) for run in runs)


def summary(runs: Runs) -> dict[str, Any]:
    """Reduce the runs of one role to what goes into the JSON object."""
    out: dict[str, Any] = {}
    spread: dict[str, float] = {}
    steps = STEPS + (DATAPATH if "datapath_send_ns" in runs[0] else ())
    for step in steps:
        value = figure([share(run, step) for run in runs])
        out[f"{step}_ns"] = round(value.median, 1)
        spread[f"{step}_ns"] = round(value.spread, 4)
    for step in AEAD_OF:
        value = figure([over_aead(run, step) for run in runs])
        out[f"{step}_over_aead_ns"] = round(value.median, 1)
        spread[f"{step}_over_aead_ns"] = round(value.spread, 4)
    out["allocations_per_packet"] = round(allocations_per_packet(runs), 6)
    out["spread"] = spread
    return out


def show(runs: Mapping[str, Runs]) -> None:
    """Print one line of figures per role."""
    head = ["ns per packet", *STEPS[:4], "seal", "open", "datapath", "allocations"]
    rows = []
    for role, of_role in runs.items():
        cells = [str(figure([share(run, step) for run in of_role])) for step in STEPS]
        datapath = "-"
        if "datapath_send_ns" in of_role[0]:
            parts = [figure([run[f"{step}_ns"] for run in of_role]) for step in DATAPATH]
            datapath = " / ".join(f"{part.median:.0f}" for part in parts)
        rows.append([role, *cells, datapath, f"{allocations_per_packet(of_role):.2g}"])
    harness.table(head, rows)


def verdicts(summaries: Mapping[str, dict[str, Any]]) -> None:
    """Print each target and whether it was met."""
    for role, of_role in summaries.items():
        checks: Sequence[tuple[str, float, float]] = (
            ("send beyond the AEAD", of_role["send_over_aead_ns"], OVER_AEAD_NS),
            ("receive beyond the AEAD", of_role["receive_over_aead_ns"], OVER_AEAD_NS),
            ("per acknowledged packet", of_role["ack_ns"], ACK_NS),
            ("allocations per packet", of_role["allocations_per_packet"], 0.001),
        )
        for what, value, most in checks:
            word = "met" if value <= most else "MISSED"
            print(f"{word:6}  {role}: {what} {value:.3g}, wanted at most {most:g}")


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--packets", type=int, default=60_000, help="of one run")
    parser.add_argument(
        "--window", type=int, default=64, help="packets between two acknowledgments"
    )
    options = parser.parse_args()
    runs: dict[str, Runs] = {role: [] for role in ROLES}
    try:
        harness.build("engine_load")
        machine = harness.machine()
        run("conn", 1000, options.window)  # what the dynamic linker does first
        for _ in range(options.runs):
            for role in ROLES:
                runs[role].append(run(role, options.packets, options.window))
    except BenchError as error:
        print(f"bench-engine: {error}", file=sys.stderr)
        return 1
    machine["payload_bytes"] = runs["nic"][0]["datagram_bytes"]
    harness.headline(machine, options.runs)
    show(runs)
    summaries = {role: summary(of_role) for role, of_role in runs.items()}
    verdicts(summaries)
    harness.finish(
        {
            **summaries["nic"],
            "conn": summaries["conn"],
            "openssl": runs["nic"][0]["openssl"],
            "cipher": "AES-128-GCM",
            "machine": machine,
            "runs": options.runs,
            "packets": options.packets,
            "window": options.window,
        }
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
