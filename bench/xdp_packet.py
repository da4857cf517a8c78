"""What does a packet cost a server over AF_XDP, beyond the bare ring and its encryption?

`make bench-packet` lets the server on the engine in C send and receive one large body
with io="xdp" over veth, and in turn with that runs bare_ring.c over the same veth and the
AEAD alone; it prints the terms.  The last line is one JSON object; README.md says what
each figure means.

    xdp_packet.py --runs 9 --mbytes 100    longer
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import bench_engine
import fastpath
import harness
from bench_datapath import Ends
from fastpath import Bench, Setup
from harness import CLIENT_CORE, SERVER_CORE, BenchError, figure

if TYPE_CHECKING:
    from collections.abc import Sequence

SETUP: Final = Setup("veth", "native", "xdp")
BARE_MS = 400
AEAD_PACKETS = 20_000
AEAD_WINDOW = 64
# What the engine, Python and acknowledgments may add to a packet.
OVER_NS = 350
# Which half of the AEAD a packet of the server takes.
WAYS: Final = {"down": "aead_seal_ns", "up": "aead_open_ns"}

Runs = dict[str, list[dict[str, float]]]


def bare(bench: Bench, way: str) -> float:
    """Return the CPU time per packet of a bare ring in the server's place, nanoseconds.

    It sends to, or receives from, a plain UDP socket with GSO and GRO, as the load
    generator has one.
    """
    link, cores = bench.link, (SERVER_CORE, CLIENT_CORE)
    if way == "down":
        # Its roles have the sender at the client's end.
        link = replace(link, server=link.client, client=link.server)
        cores = (CLIENT_CORE, SERVER_CORE)
    ends = Ends(link)
    words = [f"ms={BARE_MS}"]
    rx = ends.argv("rx", ours=False, xdp=way == "up", words=words)
    tx = ends.argv("tx", ours=False, xdp=way == "down", words=words)
    with (
        harness.start(link.server, cores[0], rx) as receiver,
        harness.start(link.client, cores[1], tx) as sender,
    ):
        sent = sender.read_json()
        got = receiver.read_json()
    end = sent if way == "down" else got
    if end["payload_bytes"] != harness.PAYLOAD_BYTES or not end["packets"]:
        raise BenchError(f"bare ring, {way}: not a measurement: {end}")
    return float(end["user_ns"] + end["system_ns"]) / float(end["packets"])


def served(bench: Bench, way: str, size: int) -> float:
    """Return the server's CPU time per data packet, nanoseconds."""
    counted = {"down": "body_bytes_out", "up": "body_bytes_in"}[way]
    with fastpath.server_of(bench, SETUP) as program:
        fastpath.warm_up(bench, SETUP, program)
        words = [way, "--requests=1", f"--size={size}"]
        sample = fastpath.load(bench, SETUP, program, words, {counted: size})
    packets = sample.said["packets_in" if way == "down" else "packets_out"]
    return sample.server_ns / float(packets)


def run_once(bench: Bench, size: int) -> dict[str, dict[str, float]]:
    """Return the terms of both ways."""
    aead = bench_engine.run("conn", AEAD_PACKETS, AEAD_WINDOW)
    out = {}
    for way, half in WAYS.items():
        terms = {
            "server_ns": served(bench, way, size),
            "bare_ring_ns": bare(bench, way),
            "aead_ns": float(aead[half]),
        }
        # Of the same run: what is subtracted has seen the same machine.
        terms["over_ns"] = terms["server_ns"] - terms["bare_ring_ns"] - terms["aead_ns"]
        out[way] = terms
    return out


def summary(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Reduce the runs of one way to what goes into the JSON object."""
    figures = {key: figure([run[key] for run in runs]) for key in runs[0]}
    return {
        **{key: round(value.median, 1) for key, value in figures.items()},
        "spread": {key: round(value.spread, 4) for key, value in figures.items()},
    }


def show(runs: Runs) -> None:
    """Print the terms and the verdict of both ways."""
    keys = ("server_ns", "bare_ring_ns", "aead_ns", "over_ns")
    harness.table(
        ["ns per packet", "server", "bare ring", "AEAD", "beyond both"],
        [
            [way, *(str(figure([r[k] for r in of])) for k in keys)]
            for way, of in runs.items()
        ],
    )
    for way, of in runs.items():
        over = figure([run["over_ns"] for run in of]).median
        print(
            f"{'met' if over <= OVER_NS else 'MISSED':6}  {way}: {over:.0f} ns beyond the"
            f" bare ring and the AEAD, wanted at most {OVER_NS}"
        )


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--mbytes", type=float, default=50.0, help="of a body")
    options = parser.parse_args()
    runs: Runs = defaultdict(list)
    try:
        harness.build("bare_ring", "bare_gso", "engine_load")
        machine = harness.machine()
        # And what the dynamic linker does first.
        aead_bytes = bench_engine.run("conn", 1000, AEAD_WINDOW)["datagram_bytes"]
        harness.headline(machine, options.runs)
        with fastpath.open_bench() as bench:
            for _ in range(options.runs):
                for way, terms in run_once(bench, int(options.mbytes * 1e6)).items():
                    runs[way].append(terms)
    except (BenchError, subprocess.TimeoutExpired) as error:
        print(f"bench-packet: {error}", file=sys.stderr)
        return 1
    show(runs)
    harness.finish(
        {
            **{way: summary(of) for way, of in runs.items()},
            "over_ns_wanted": OVER_NS,
            "cipher": "AES-128-GCM",
            "aead_datagram_bytes": aead_bytes,
            "openssl": ", ".join(sorted(bench.openssl)),
            "machine": machine,
            "runs": options.runs,
            "transfer_mbytes": options.mbytes,
        }
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
