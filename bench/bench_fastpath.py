"""What does a server cost on the engine in C, and what on aioquic's own?

`make bench-fastpath` serves loadgen over loopback with engine="native" (sockets) and
engine="aioquic" (asyncio's transport), and over veth with engine="native" for each io=,
in turn, and prints medians and spreads; the last line is one JSON object.  README.md says
what each figure means.

    bench_fastpath.py --scene lo       one link only (lo, veth, veth_segmented)
    bench_fastpath.py --runs 5         longer
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fastpath
import harness
from fastpath import Bench, Setup
from harness import BenchError, figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# As h2load -c 8 -m 32, for a kilobyte: an answer is a packet, roughly.
REQUEST_BYTES = 1024
REQUEST_CONNECTIONS = 8
REQUEST_STREAMS = 32
HANDSHAKES_AT_A_TIME = 4
TIMES_DOWN = 25.0
TIMES_UP = 20.0
TIMES_REQUESTS = 1.5
# Seconds per gigabyte that one core may take, by the OpenSSL that encrypts.
DOWN_S_PER_GB = {"3.0": 0.8, "newer": 0.6}
UNITS = {
    "down_cpu_s_per_gb": "down: CPU s per GB",
    "up_cpu_s_per_gb": "up: CPU s per GB",
    "cpu_us_per_request": "CPU us per request",
    "cpu_us_per_handshake": "CPU us per handshake",
}
SETUPS = (
    Setup("lo", "native", "socket"),
    Setup("lo", "aioquic", "asyncio"),
    *(
        Setup(scene, "native", io)
        for scene in ("veth", "veth_segmented")
        for io in ("socket", "xdp")
    ),
)
SCENES = tuple(dict.fromkeys(setup.scene for setup in SETUPS))


@dataclass(frozen=True, slots=True)
class Load:
    """How much an engine is given to do: a fraction of a second per figure."""

    transfer_bytes: int
    requests: int
    handshakes: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What one unit cost the server and the whole machine."""

    server: float
    machine: float
    client_was_limit: bool


def run_setup(bench: Bench, setup: Setup, load: Load) -> dict[str, Cost]:
    """Run everything once against one server; keys as in UNITS."""
    size = load.transfer_bytes
    plan: dict[str, tuple[Sequence[str], dict[str, int], float]] = {
        # what the client does, what the server must count, units in it
        "down_cpu_s_per_gb": (
            ["down", "--requests=1", f"--size={size}"],
            {"body_bytes_out": size},
            size,
        ),
        "up_cpu_s_per_gb": (
            ["up", "--requests=1", f"--size={size}"],
            {"body_bytes_in": size},
            size,
        ),
        "cpu_us_per_request": (
            [
                *("requests", f"--requests={load.requests}", f"--size={REQUEST_BYTES}"),
                f"--connections={REQUEST_CONNECTIONS}",
                f"--streams={REQUEST_STREAMS}",
            ],
            {"requests": load.requests},
            load.requests * 1e3,
        ),
        "cpu_us_per_handshake": (
            [
                *("handshakes", f"--requests={load.handshakes}"),
                f"--connections={HANDSHAKES_AT_A_TIME}",
            ],
            {"connections": load.handshakes},
            load.handshakes * 1e3,
        ),
    }
    costs = {}
    with fastpath.server_of(bench, setup) as program:
        fastpath.warm_up(bench, setup, program)
        for what, (words, wanted, units) in plan.items():
            cost = fastpath.load(bench, setup, program, words, wanted)
            costs[what] = Cost(
                cost.server_ns / units,
                cost.machine_ns / units,
                bool(cost.said["client_was_limit"]),
            )
    return costs


Costs = dict[Setup, list[dict[str, Cost]]]


def run_all(
    bench: Bench, setups: Sequence[Setup], loads: Mapping[str, Load], runs: int
) -> Costs:
    """Run every setup in turn."""
    costs: Costs = defaultdict(list)
    for turn in range(runs):
        first = turn % len(setups)
        for setup in (*setups[first:], *setups[:first]):
            costs[setup].append(run_setup(bench, setup, loads[setup.engine]))
    return costs


def summary(runs: Sequence[Mapping[str, Cost]]) -> dict[str, Any]:
    """Reduce the runs of one setup to what goes into the JSON object."""
    out: dict[str, Any] = {}
    spread, busy, limits = {}, {}, []
    for what in UNITS:
        value = figure([run[what].server for run in runs])
        out[what] = round(value.median, 4)
        spread[what] = round(value.spread, 4)
        busy[what] = round(figure([run[what].machine for run in runs]).median, 4)
        if any(run[what].client_was_limit for run in runs):
            limits.append(what)
    return {**out, "spread": spread, "machine_busy": busy, "client_was_limit": limits}


def show(costs: Costs) -> None:
    """Print one line of figures per server."""
    rows = [
        [
            f"{setup.scene} {setup.engine} {setup.io}",
            *(str(figure([run[what].server for run in runs])) for what in UNITS),
        ]
        for setup, runs in costs.items()
    ]
    harness.table(["server", *UNITS.values()], rows)


def verdicts(native: Mapping[str, Any], aioquic: Mapping[str, Any], openssl: str) -> None:
    """Print each target and whether it was met."""
    old = openssl.startswith("OpenSSL 3.0.")
    most = DOWN_S_PER_GB["3.0" if old else "newer"]
    down = native["down_cpu_s_per_gb"]
    print(
        f"{'met' if down <= most else 'MISSED':6}  lo down: {down:.3f} CPU s per GB,"
        f" wanted at most {most:g} with {openssl}"
    )
    for what, least in (
        ("down_cpu_s_per_gb", TIMES_DOWN),
        ("up_cpu_s_per_gb", TIMES_UP),
        ("cpu_us_per_request", TIMES_REQUESTS),
    ):
        times = aioquic[what] / native[what]
        print(
            f"{'met' if times >= least else 'MISSED':6}  lo aioquic/native {what}:"
            f" {times:.1f}, wanted at least {least:g}"
        )


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--scene", choices=SCENES, help="one link only")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--mbytes", type=float, default=100.0, help="of a transfer, native"
    )
    parser.add_argument(
        "--aioquic-mbytes", type=float, default=20.0, help="of a transfer, aioquic"
    )
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--handshakes", type=int, default=12)
    return parser.parse_args()


def main() -> int:
    """Run what the command line asks for."""
    options = parse_arguments()
    loads = {
        engine: Load(int(mbytes * 1e6), options.requests, options.handshakes)
        for engine, mbytes in (
            ("native", options.mbytes),
            ("aioquic", options.aioquic_mbytes),
        )
    }
    setups = [setup for setup in SETUPS if options.scene in (None, setup.scene)]
    try:
        machine = harness.machine()
        harness.headline(machine, options.runs)
        with fastpath.open_bench() as bench:
            costs = run_all(bench, setups, loads, options.runs)
    except (BenchError, subprocess.TimeoutExpired) as error:
        print(f"bench-fastpath: {error}", file=sys.stderr)
        return 1
    show(costs)
    result: dict[str, Any] = defaultdict(dict)
    for setup, runs in costs.items():
        result[setup.scene][setup.name] = summary(runs)
    openssl = ", ".join(sorted(bench.openssl))
    result.update(result.pop("lo", {}))
    if "native" in result:
        verdicts(result["native"], result["aioquic"], openssl)
    harness.finish(
        {
            **result,
            "openssl": openssl,
            "machine": machine,
            "runs": options.runs,
            "transfer_mbytes": {
                "native": options.mbytes,
                "aioquic": options.aioquic_mbytes,
            },
            "cipher": fastpath.CIPHER,
            "requests": options.requests,
            "handshakes": options.handshakes,
        }
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
