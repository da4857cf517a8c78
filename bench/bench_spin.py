"""What is a round trip worth looking for?

`make bench-spin` sends one 1200-byte datagram at a time to an echo server in Python that
looks for the next one before it sleeps, for 0, 20 and 50 us, over a veth pair: on the
socket lane, on AF_XDP, and on AF_XDP with busy polling.  It prints median and 99th
percentile of the round trips as the client sees them, and the CPU that the server takes
for each, with the client asking at once and after a pause of 1 ms (in which spinning is
vain).  Medians of RUNS runs; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import harness
from harness import CLIENT_CORE, SERVER_CORE, BenchError, figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness import Program
    from qxnet import Link

RUNS = 3
PINGS = 3000
PINGS_PAUSED = 300
PAUSE_S = 0.001
PORT = 7010
SPINS_US = (0, 20, 50)
LANES = ("socket", "xdp", "xdp busy-polled")


@dataclass(frozen=True, slots=True)
class Trips:
    """One run: round trips in us, and what the server took for each."""

    p50_us: float
    p99_us: float
    server_cpu_us: float


Found = dict[tuple[str, int, float], list[Trips]]


def server_argv(link: Link, lane: str, spin_us: int) -> list[str]:
    """Return the command of the echo server."""
    argv = [sys.executable, str(harness.ROOT / "bench" / "echo_server.py")]
    argv += ["--transport", lane.split(maxsplit=1)[0], "--host", link.server.address4]
    argv += ["--port", str(PORT), "--interface", link.server.interface]
    argv += ["--spin", str(spin_us)]
    return [*argv, "--busy-poll", "20"] if "busy" in lane else argv


def pings(link: Link, cnt: int, pause_s: float) -> Iterator[float]:
    """Give the time of each round trip in us; the client never sleeps."""
    with link.client.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.setblocking(False)  # the socket module's signature
        sock.connect((link.server.address4, PORT))
        for number in range(cnt):
            data = number.to_bytes(4, "big").ljust(harness.PAYLOAD_BYTES, b"x")
            began = time.perf_counter_ns()
            sock.send(data)
            while not answered(sock, data):
                if time.perf_counter_ns() - began > 1e9:
                    raise BenchError("an echo did not come back within a second")
            yield (time.perf_counter_ns() - began) / 1000
            until = time.perf_counter_ns() + pause_s * 1e9
            while time.perf_counter_ns() < until:
                pass


def answered(sock: socket.socket, data: bytes) -> bool:
    """Look once for the answer."""
    try:
        return sock.recv(2048) == data
    except BlockingIOError:
        return False


def measure(link: Link, program: Program, cnt: int, pause_s: float) -> Trips:
    """Ping a server that runs."""
    list(pings(link, cnt // 10, pause_s))
    before = program.cpu_ns()
    trips = sorted(pings(link, cnt, pause_s))
    cpu_us = (program.cpu_ns() - before) / 1000 / cnt
    return Trips(statistics.median(trips), trips[cnt * 99 // 100], cpu_us)


def run_all(link: Link, runs: int) -> Found:
    """Run every lane and spin in turn; keys are (lane, spin, pause)."""
    found: Found = defaultdict(list)
    for _ in range(runs):
        for lane in LANES:
            for spin_us in SPINS_US:
                argv = server_argv(link, lane, spin_us)
                with harness.start(link.server, SERVER_CORE, argv) as program:
                    for cnt, pause_s in ((PINGS, 0.0), (PINGS_PAUSED, PAUSE_S)):
                        trips = measure(link, program, cnt, pause_s)
                        found[lane, spin_us, pause_s].append(trips)
    return found


def main() -> int:
    """Measure, print the table and the JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    machine = harness.machine()
    harness.headline(machine, options.runs)
    os.sched_setaffinity(0, {CLIENT_CORE, SERVER_CORE})
    try:
        with harness.link_of_rules() as link:
            os.sched_setaffinity(0, {CLIENT_CORE})
            found = run_all(link, options.runs)
    except BenchError as error:
        print(f"bench-spin: {error}", file=sys.stderr)
        return 1
    names = [field.name for field in fields(Trips)]
    medians = {
        f"{lane}, spin {spin_us} us, pause {pause_s * 1000:g} ms": {
            name: figure([getattr(run, name) for run in of]) for name in names
        }
        for (lane, spin_us, pause_s), of in found.items()
    }
    harness.table(
        ["server", "round trip p50, us", "p99, us", "server's CPU, us"],
        [[key, *(str(of[name]) for name in names)] for key, of in medians.items()],
    )
    rounded = {
        key: {name: round(value.median, 1) for name, value in of.items()}
        for key, of in medians.items()
    }
    harness.finish({**rounded, "machine": machine, "runs": options.runs})
    return 0


if __name__ == "__main__":
    sys.exit(main())
