"""Does a flood of Initials harm who is connected, and what does one cost the server?

`make demo-flood` runs a server (quicxdp.serve as it is, no limit changed) at one end of a
veth link and, on the other core, a client with one connection, and next to it a sender of
20,000 Initials per second: real ones, each with keys and a connection ID of its own, from
forged addresses of eight networks.  The client's goodput and the 99th percentile of its
round trips are measured without and with the flood, in turn; what an Initial costs the
server beside a transfer, and alone; and memory at the end.  Once per lane; the last line
is one JSON object with the worst of them.

    flood.py                      everything
    flood.py --io xdp --rounds 5  one lane, longer
    flood.py --mode junk          another flood: junk, spread (512 networks)

Bounds are checked, and a missed one makes the exit status 1.  The sender shares its core
with the client; if it cannot keep its rate, that is told, and counts as a bound missed.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastpath
import harness
from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import pull_quic_header
from fastpath import Bench, Setup
from harness import CLIENT_CORE, BenchError, Program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

RATE_HZ = 20_000
LANES = ("socket", "xdp")
PHASE_S = 1.5
COST_S = 2.0
# The flood begins before what is measured beside it, and ends after it.
MARGIN_S = 0.4
SETTLE_S = 0.1

GOODPUT_RATIO_MIN = 0.8
P99_RATIO_MAX = 2.0
CPU_US_MAX = 3.0
# Half-open connections, what waits, and tables: see docs/deployment.md.
RSS_GROWTH_MIB_MAX = 64.0
SENT_PART_MIN = 0.95

# Of an Initial of 1200 bytes with connection IDs of 8, number of 4 and tag of 16.
PAYLOAD_BYTES = 1200 - (1 + 4 + 2 * 9 + 1 + 2 + 4) - 16

DOWN = ("down", "--size=1000000", "--streams=4")
ASK = ("requests", "--size=100")


@dataclass(frozen=True, slots=True)
class Flood:
    """The sender, and what it is told to send."""

    program: Program
    mode: str
    rate_hz: int
    sent_parts: list[float]  # of each flood so far, how much of it left in time

    def begin(self, seconds: float) -> None:
        """Let it run for so long."""
        self.program.tell(f"{self.mode} {self.rate_hz} {round(seconds * 1000)}")

    def end(self, seconds: float) -> dict[str, Any]:
        """Wait for its end; return what the sender says, and note what left in time."""
        said = self.program.read_json(seconds + 10)
        in_time = said["sent"] * 1e9 / said["wall_ns"] / self.rate_hz
        self.sent_parts.append(in_time)
        return said


def client_hello() -> bytes:
    """Return the plaintext of a client's Initial, behind its source connection ID."""
    client = QuicConnection(
        configuration=QuicConfiguration(is_client=True, alpn_protocols=["h3"])
    )
    client.connect(("192.0.2.1", 443), now=0.0)
    datagram = client.datagrams_to_send(now=0.0)[0][0]
    buf = Buffer(data=datagram)
    header = pull_quic_header(buf, host_cid_length=8)
    crypto = CryptoPair()
    crypto.setup_initial(
        cid=header.destination_cid, is_client=False, version=header.version or 1
    )
    _, plain, _ = crypto.decrypt_packet(datagram[: header.packet_length], buf.tell(), 0)
    # aioquic pads the datagram, behind the packet; here PADDING frames do.
    return header.source_cid + plain.ljust(PAYLOAD_BYTES, b"\0")


@contextlib.contextmanager
def sender(bench: Bench, mode: str, rate_hz: int) -> Iterator[Flood]:
    """Run flood_load beside the client, and let answers to it end there, unheard."""
    server, client = bench.link.server, bench.link.client
    for name in ("all", server.interface):
        rp_filter = f"/proc/sys/net/ipv4/conf/{name}/rp_filter"
        server.run(["sh", "-c", f"echo 0 >{rp_filter}"])
    route = ["ip", "route", "replace", "default", "via", client.address4]
    server.run([*route, "dev", server.interface])
    mac = server.run(["cat", f"/sys/class/net/{server.interface}/address"]).stdout
    hello = bench.folder / "hello"
    hello.write_bytes(client_hello())
    argv = [str(harness.BUILD / "flood_load"), str(hello)]
    argv += [f"interface={client.interface}", f"mac={mac.strip()}"]
    argv += [f"peer={server.address4}:{fastpath.PORT}"]
    with harness.start(client, CLIENT_CORE, argv) as program:
        yield Flood(program, mode, rate_hz, [])


def rss_mib(program: Program) -> tuple[float, float]:
    """Return the memory of a process now, and the most that it ever had."""
    status = Path(f"/proc/{program.process.pid}/status").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return tuple(int(fields[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Phases:
    """One server under test, and who asks it."""

    bench: Bench
    setup: Setup
    server: Program
    flood: Flood

    def load(self, words: Sequence[str], *, flooded: bool) -> dict[str, Any]:
        """Run the load generator, with or without the flood beside it.

        Returns:
            What it says; "server_ns", the CPU time of the server; "handled", how
            many datagrams of the flood came to it in that time; and "is_calm": no
            handshake began or was given up then, which costs a thousand refusals.
        """
        client = self.bench.client(self.setup)
        mode, *options = words
        options += ["--cipher", fastpath.CIPHER, f"--seconds={PHASE_S}"]
        # The connection is made before the flood begins: it is the established one.
        host = self.bench.host(self.setup)
        client.ask(" ".join([mode, host, str(fastpath.PORT), *options]))
        flood_s = PHASE_S + 2 * MARGIN_S
        if flooded:
            self.flood.begin(flood_s)
            time.sleep(MARGIN_S)
        before, was = self.counts(), self.server.cpu_ns()
        said = client.ask("go")
        spent, after = self.server.cpu_ns() - was, self.counts()
        if flooded:
            self.flood.end(flood_s)
        time.sleep(SETTLE_S)
        keys = ("admitted", "handshake_timeouts")
        return {
            **said,
            "server_ns": spent,
            "handled": handled_cnt(after) - handled_cnt(before),
            "is_calm": all(after[key] == before[key] for key in keys),
        }

    def counts(self) -> dict[str, Any]:
        """Return what the server has admitted and refused."""
        counts: dict[str, Any] = self.server.ask("totals")["admission"]
        return counts

    def cost(self) -> tuple[float, float]:
        """Let only the flood happen; return its cost to server and sender, in us each."""
        before, was = self.counts(), self.server.cpu_ns()
        self.flood.begin(COST_S)
        said = self.flood.end(COST_S)
        time.sleep(SETTLE_S)
        spent = self.server.cpu_ns() - was
        handled = handled_cnt(self.counts()) - handled_cnt(before)
        if handled < said["sent"] * SENT_PART_MIN:
            raise BenchError(f"{self.setup}: {said} was sent, {handled} was handled")
        return spent / handled / 1e3, said["cpu_ns"] / said["sent"] / 1e3


def beside_us(alone: dict[str, Any], flooded: dict[str, Any]) -> float:
    """Return what a datagram of the flood cost beside a transfer, in microseconds.

    That is what the server spent beyond the price that a byte has without the flood.
    """
    ns_per_byte = alone["server_ns"] / alone["body_bytes"]
    beyond_ns = flooded["server_ns"] - ns_per_byte * flooded["body_bytes"]
    return float(beyond_ns / flooded["handled"] / 1e3)


def handled_cnt(counts: dict[str, Any]) -> int:
    """Return how many datagrams of no connection were dealt with."""
    keys = ("retries_sent", "versions_sent", "admitted")
    return int(sum(counts["refused"].values()) + sum(counts[key] for key in keys))


def run_lane(bench: Bench, io: str, flood: Flood, rounds: int) -> dict[str, Any]:
    """Measure one lane."""
    setup = Setup("veth", "native", io)
    times: dict[str, list[float]] = defaultdict(list)
    beside: dict[str, list[float]] = defaultdict(list)
    with fastpath.server_of(bench, setup) as server:
        fastpath.warm_up(bench, setup, server)
        phases = Phases(bench, setup, server, flood)
        phases.load(DOWN, flooded=False)
        rss_before, _ = rss_mib(server)
        for _ in range(rounds):
            downs = []
            for name, flooded in (("alone", False), ("flooded", True)):
                downs.append(said := phases.load(DOWN, flooded=flooded))
                times[f"mbit_{name}"].append(said["mbit_per_s"])
                times[f"client_cpu_{name}"].append(said["client_cpu_share"])
            beside["calm" if downs[1]["is_calm"] else "busy"].append(beside_us(*downs))
            for name, flooded in (("alone", False), ("flooded", True)):
                said = phases.load(ASK, flooded=flooded)
                times[f"p99_{name}"].append(said["latency_us"]["p99"])
                times[f"p50_{name}"].append(said["latency_us"]["p50"])
        alone_us, sender_us = phases.cost()
        _, rss_most = rss_mib(server)
        admission = server.ask("totals")["admission"]
    middle = {name: statistics.median(values) for name, values in times.items()}
    return {
        **{name: round(value, 2) for name, value in middle.items()},
        "goodput_ratio": round(middle["mbit_flooded"] / middle["mbit_alone"], 3),
        "p99_ratio": round(middle["p99_flooded"] / middle["p99_alone"], 3),
        "cpu_us_per_initial": round(alone_us, 3),
        "cpu_beside_us": round(statistics.median(beside["calm"] or beside["busy"]), 3),
        "cpu_sender_us": round(sender_us, 3),
        "rss_mib": round(rss_most, 1),
        "rss_growth_mib": round(rss_most - rss_before, 1),
        "admission": admission,
    }


def missed(result: dict[str, Any], sent_part: float) -> list[str]:
    """Name the bounds that were missed."""
    bounds = [
        ("goodput_ratio", result["goodput_ratio"] >= GOODPUT_RATIO_MIN, ">= 0.8"),
        ("p99_ratio", result["p99_ratio"] <= P99_RATIO_MAX, "<= 2"),
        ("cpu_us_per_initial", result["cpu_us_per_initial"] <= CPU_US_MAX, "<= 3"),
        (
            "rss_growth_mib",
            result["rss_growth_mib"] <= RSS_GROWTH_MIB_MAX,
            f"<= {RSS_GROWTH_MIB_MAX:g}",
        ),
    ]
    found = [
        f"{name} is {result[name]}, wanted {want}" for name, ok, want in bounds if not ok
    ]
    if sent_part < SENT_PART_MIN:
        found.append(
            f"the sender was the limit: it kept {sent_part:.0%} of its rate; the client "
            f"or somebody else took its core"
        )
    return found


def show(lanes: dict[str, dict[str, Any]], rate_hz: int, mode: str) -> None:
    """Print what was measured."""
    print(f"flood: {rate_hz} datagrams per second, {mode}, beside one connection")
    harness.table(
        [
            "lane",
            *("Mbit/s alone", "flooded", "p99 us alone", "flooded"),
            *("us per datagram: alone", "beside", "sender"),
            *("peak MiB", "grown"),
        ],
        [
            [
                io,
                *(str(of[key]) for key in ("mbit_alone", "mbit_flooded")),
                *(str(of[key]) for key in ("p99_alone", "p99_flooded")),
                str(of["cpu_us_per_initial"]),
                *(str(of[f"cpu_{key}_us"]) for key in ("beside", "sender")),
                *(str(of[key]) for key in ("rss_mib", "rss_growth_mib")),
            ]
            for io, of in lanes.items()
        ],
    )
    for io, of in lanes.items():
        refused = {why: n for why, n in of["admission"]["refused"].items() if n}
        print(
            f"{io}: {refused} refused, {of['admission']['admitted']} admitted, "
            f"{of['admission']['retries_sent']} asked to retry"
        )


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--io", choices=LANES, action="append", help="default: both")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rate", type=int, default=RATE_HZ, help="per second")
    parser.add_argument(
        "--mode", choices=("initials", "junk", "spread"), default="initials"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _exit)
    lanes: dict[str, dict[str, Any]] = {}
    try:
        harness.build("flood_load")
        machine = harness.machine()
        harness.headline(machine, options.rounds)
        with (
            fastpath.open_bench() as bench,
            sender(bench, options.mode, options.rate) as flood,
        ):
            for io in options.io or LANES:
                lanes[io] = run_lane(bench, io, flood, options.rounds)
            sent_part = statistics.median(flood.sent_parts)
    except (BenchError, subprocess.TimeoutExpired) as error:
        print(f"flood: {error}", file=sys.stderr)
        return 1
    show(lanes, options.rate, options.mode)
    result: dict[str, Any] = {
        "goodput_ratio": min(of["goodput_ratio"] for of in lanes.values()),
        **{
            name: max(of[name] for of in lanes.values())
            for name in ("p99_ratio", "cpu_us_per_initial", "rss_mib", "rss_growth_mib")
        },
    }
    problems = missed(result, sent_part)
    for problem in problems:
        print(f"MISSED  {problem}")
    harness.finish(
        {
            **result,
            "mode": options.mode,
            "rate_hz": options.rate,
            "sent_part": round(sent_part, 3),
            "lanes": lanes,
            "machine": machine,
        }
    )
    return 1 if problems else 0


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
