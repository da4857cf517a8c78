"""How close does the C datapath come to bare loops over the same kernel interfaces?

`make bench-datapath` runs each lane pair with bare_ring or bare_gso and with
datapath_load, in turn, RUNS times, and prints medians and spreads; the last line is one
JSON object.  README.md says what each figure means.

    bench_datapath.py              all lane pairs
    bench_datapath.py gso_gro ...  some of them
    bench_datapath.py --strace     ours only, counted by strace as well: no timing
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from harness import BUILD, CLIENT_CORE, SERVER_CORE, BenchError, figure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qxnet import Link

RUNS = 5
RUN_MS = 300
PINGS = 20_000
SERVER_PORT = 4433
CLIENT_PORT = 4434
RTT = "rtt_spin"
TARGET_SHARE = 0.90
TARGET_CALLS = 1 / 24
TARGET_RTT_RATIO = 1.4
TRACED = (
    "sendto,sendmsg,sendmmsg,recvmsg,recvmmsg,recvfrom,poll,ppoll,epoll_wait,epoll_pwait,"
    "epoll_pwait2,epoll_ctl,read,write,timerfd_settime,ioctl,getsockopt"
)


@dataclass(frozen=True, slots=True)
class LanePair:
    """What sends, what receives, and how the receiver waits."""

    name: str
    tx_xdp: bool
    rx_xdp: bool
    spin: bool = False
    segmented: bool = False  # XDP on the receiving interface although nobody uses it


PAIRS = (
    LanePair("xdp_xdp_poll", tx_xdp=True, rx_xdp=True),
    LanePair("xdp_xdp_spin", tx_xdp=True, rx_xdp=True, spin=True),
    LanePair("gso_xdp", tx_xdp=False, rx_xdp=True),
    LanePair("gso_gro", tx_xdp=False, rx_xdp=False),
    LanePair("gso_gro_segmented", tx_xdp=False, rx_xdp=False, segmented=True),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one lane pair: what both ends reported."""

    mpps: float
    ns_per_packet_tx: float
    ns_per_packet_rx: float
    syscalls_per_packet_tx: float
    syscalls_per_packet_rx: float
    waits_per_packet_rx: float
    machine_ns_per_packet: float
    lost_share: float
    allocations: float
    other_lane_share: float


class Ends:
    """The command lines of both ends of a link."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.server = (link.server, f"{link.server.address4}:{SERVER_PORT}")
        self.client = (link.client, f"{link.client.address4}:{CLIENT_PORT}")
        self.mac = {
            netns.name: netns.run(
                ["cat", f"/sys/class/net/{netns.interface}/address"]
            ).stdout.strip()
            for netns in (link.server, link.client)
        }

    def argv(
        self, role: str, *, ours: bool, xdp: bool, words: Iterable[str]
    ) -> list[str]:
        """Return the command of a role; rx and echo are the server's, tx and ping not."""
        ends = [self.server, self.client]
        if role in {"tx", "ping"}:
            ends.reverse()
        (here, local), (there, peer) = ends
        name = "datapath_load" if ours else "bare_ring" if xdp else "bare_gso"
        argv = [str(BUILD / name), role, f"local={local}", *words]
        # bare_gso connects to a peer that it is given; its receiver hears everybody.
        if role in {"tx", "ping"} or (role == "echo" and not ours):
            argv.append(f"peer={peer}")
        if xdp:
            argv.append(f"interface={here.interface}")
        if xdp and not ours:
            argv.append(f"mac={self.mac[there.name]}")
        return argv


def run_pair(ends: Ends, pair: LanePair, *, ours: bool) -> Run:
    """Let one end send and the other receive for RUN_MS."""
    words = [f"ms={RUN_MS}"]
    # Nothing is left together when the kernel has segmented on the way, so the best bare
    # receiver is another one then.
    unpacked = ["mode=mmsg"] if pair.segmented and not ours else []
    rx = ends.argv(
        "rx",
        ours=ours,
        xdp=pair.rx_xdp,
        words=[*words, *unpacked, f"spin={int(pair.spin)}"],
    )
    tx = ends.argv(
        "tx", ours=ours, xdp=pair.tx_xdp, words=[*words, f"spin={int(pair.spin)}"]
    )
    link = ends.link
    with (
        harness.pass_program(link.server, SERVER_CORE, wanted=pair.segmented),
        harness.start(link.server, SERVER_CORE, rx) as receiver,
        harness.start(link.client, CLIENT_CORE, tx) as sender,
    ):
        busy, since = harness.busy_ns(), time.monotonic_ns()
        sent = sender.read_json()
        busy, elapsed = harness.busy_ns() - busy, time.monotonic_ns() - since
        got = receiver.read_json()
    return _run_of(sent, got, busy / elapsed)


def _run_of(sent: dict[str, Any], got: dict[str, Any], busy_cores: float) -> Run:
    for end in (sent, got):
        if end["payload_bytes"] != harness.PAYLOAD_BYTES or not end["packets"]:
            raise BenchError(f"not a measurement: {end}")

    def per_packet(end: dict[str, Any], *keys: str) -> float:
        return sum(float(end[key]) for key in keys) / float(end["packets"])

    packets_per_ns = got["packets"] / got["elapsed_ns"]
    return Run(
        mpps=packets_per_ns * 1e3,
        ns_per_packet_tx=per_packet(sent, "user_ns", "system_ns"),
        ns_per_packet_rx=per_packet(got, "user_ns", "system_ns"),
        syscalls_per_packet_tx=per_packet(sent, "syscalls", "waits"),
        syscalls_per_packet_rx=per_packet(got, "syscalls"),
        waits_per_packet_rx=per_packet(got, "waits"),
        machine_ns_per_packet=busy_cores / packets_per_ns,
        lost_share=got["lost"] / (got["lost"] + got["packets"]),
        allocations=sent["allocations"] + got["allocations"],
        other_lane_share=max(
            per_packet(sent, "other_lane"), per_packet(got, "other_lane")
        ),
    )


def run_ping(ends: Ends, *, ours: bool) -> dict[str, Any]:
    """Send one packet at a time to an echo, both ends spinning."""
    echo = ends.argv("echo", ours=ours, xdp=True, words=["spin=1"])
    ping = ends.argv("ping", ours=ours, xdp=True, words=[f"packets={PINGS}", "spin=1"])
    with (
        harness.start(ends.link.server, SERVER_CORE, echo),
        harness.start(ends.link.client, CLIENT_CORE, ping) as client,
    ):
        return client.read_json()


def pair_summary(ours: list[Run], bare: list[Run]) -> dict[str, object]:
    """Reduce the runs of one lane pair to what goes into the JSON object."""
    out: dict[str, object] = {}
    for field in fields(Run):
        for prefix, runs in (("", ours), ("bare_", bare)):
            values = [getattr(run, field.name) for run in runs]
            out[prefix + field.name] = round(statistics.median(values), 6)
    for prefix, runs in (("", ours), ("bare_", bare)):
        both = (f"{prefix}syscalls_per_packet_tx", f"{prefix}syscalls_per_packet_rx")
        out[f"{prefix}syscalls_per_packet"] = max(float(str(out[name])) for name in both)
        out[f"{prefix}mpps_spread"] = round(figure([run.mpps for run in runs]).spread, 4)
    shares = [our.mpps / its.mpps for our, its in zip(ours, bare, strict=True)]
    out["share_of_bare"] = round(statistics.median(shares), 4)
    out["share_of_bare_spread"] = round(figure(shares).spread, 4)
    return out


def rtt_summary(
    ours: list[dict[str, Any]], bare: list[dict[str, Any]]
) -> dict[str, object]:
    """Reduce the ping-pong runs likewise."""
    out: dict[str, object] = {"round_trips": ours[0]["round_trips"]}
    for prefix, runs in (("", ours), ("bare_", bare)):
        p50 = figure([run["p50_ns"] / 1e3 for run in runs])
        out[f"{prefix}p50_us"] = p50.median
        out[f"{prefix}p50_spread"] = round(p50.spread, 4)
        out[f"{prefix}p99_us"] = statistics.median(run["p99_ns"] / 1e3 for run in runs)
    ratios = [our["p50_ns"] / its["p50_ns"] for our, its in zip(ours, bare, strict=True)]
    out["times_bare"] = round(statistics.median(ratios), 4)
    out["allocations"] = max(run["allocations"] for run in ours)
    return out


def measure(ends: Ends, names: list[str]) -> dict[str, object]:
    """Run everything RUNS times in turn, print the table, return the summaries."""
    pairs = [pair for pair in PAIRS if pair.name in names]
    runs: dict[tuple[str, bool], list[Run]] = defaultdict(list)
    pings: dict[bool, list[dict[str, Any]]] = defaultdict(list)
    for turn in range(RUNS):
        # Who goes first changes, so that a machine growing warm or busy favours nobody.
        order = (False, True) if turn % 2 == 0 else (True, False)
        for pair in pairs:
            for ours in order:
                runs[pair.name, ours].append(run_pair(ends, pair, ours=ours))
        if RTT in names:
            for ours in order:
                pings[ours].append(run_ping(ends, ours=ours))
    result: dict[str, object] = {}
    rows = []
    for pair in pairs:
        our_runs, bare_runs = runs[pair.name, True], runs[pair.name, False]
        result[pair.name] = pair_summary(our_runs, bare_runs)
        rows += [pair_row(pair.name, our_runs), pair_row("  bare", bare_runs)]
    harness.table(COLUMNS, rows)
    if pings:
        result[RTT] = rtt_summary(pings[True], pings[False])
    return result


COLUMNS = (
    *(
        "lane pair",
        "Mpps",
        "tx ns",
        "rx ns",
        "machine ns",
        "calls tx",
        "calls rx",
        "waits",
    ),
    *("lost", "other lane", "allocations"),
)


def pair_row(name: str, runs: list[Run]) -> list[str]:
    """Return one line of the table."""

    def of(field: str) -> str:
        return str(figure([getattr(run, field) for run in runs]))

    return [
        name,
        *(of("mpps"), of("ns_per_packet_tx"), of("ns_per_packet_rx")),
        of("machine_ns_per_packet"),
        *(of("syscalls_per_packet_tx"), of("syscalls_per_packet_rx")),
        of("waits_per_packet_rx"),
        f"{statistics.median(run.lost_share for run in runs):.2%}",
        f"{max(run.other_lane_share for run in runs):.2%}",
        f"{max(run.allocations for run in runs):.0f}",
    ]


def verdicts(result: dict[str, Any]) -> None:
    """Print each target, whether it was met, and by how much."""
    for name, summary in result.items():
        if name == RTT:
            checks = [
                ("round trip, times bare", summary["times_bare"], TARGET_RTT_RATIO, -1)
            ]
        else:
            checks = [("share of bare", summary["share_of_bare"], TARGET_SHARE, 1)]
            # With segmentation on the way the receiver is the faster end by far, and what
            # it does between two packets is no load.
            if name != "gso_gro_segmented":
                calls = summary["syscalls_per_packet"]
                checks.append(("calls per packet", calls, TARGET_CALLS, -1))
        checks.append(("allocations", summary["allocations"], 0, -1))
        for what, value, target, sign in checks:
            met = "met" if (value - target) * sign >= 0 else "MISSED"
            wants = "at least" if sign > 0 else "at most"
            print(f"{met:6}  {name}: {what} {value:.3g}, wanted {wants} {target:.3g}")


def strace_counts(ends: Ends, pair: LanePair) -> None:
    """Compare the library's own count of system calls with what strace sees."""
    rx = ends.argv(
        "rx", ours=True, xdp=pair.rx_xdp, words=["ms=200", f"spin={int(pair.spin)}"]
    )
    tx = ends.argv("tx", ours=True, xdp=pair.tx_xdp, words=["ms=200"])
    with tempfile.TemporaryDirectory() as folder:
        traced = []
        for name, argv in (("rx", rx), ("tx", tx)):
            log = Path(folder, name)
            tracing = ["strace", "-qq", "-f", "-e", f"trace={TRACED}", "-o", str(log)]
            traced.append((log, [*tracing, *argv]))
        (rx_log, rx), (tx_log, tx) = traced
        server, client = ends.link.server, ends.link.client
        with (
            harness.pass_program(server, SERVER_CORE, wanted=pair.segmented),
            harness.start(server, SERVER_CORE, rx) as receiver,
            harness.start(client, CLIENT_CORE, tx) as sender,
        ):
            ends_said = (
                ("tx", sender.read_json(), tx_log),
                ("rx", receiver.read_json(), rx_log),
            )
        for name, said, log in ends_said:
            names = re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE)
            seen = {call: names.count(call) for call in sorted(set(names))}
            counted = (said["syscalls"] + said["waits"]) / said["packets"]
            print(
                f"{pair.name} {name}: by the counters {counted:.4f} calls per packet,"
                f" by strace {len(names) / said['total']:.4f} over the whole run: {seen}"
            )


def main() -> int:
    """Run what the command line asks for."""
    known = [*(pair.name for pair in PAIRS), RTT]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="LANE_PAIR", help=", ".join(known))
    parser.add_argument(
        "--strace", action="store_true", help="count system calls, untimed"
    )
    options = parser.parse_args()
    names: list[str] = options.names or known
    if unknown := set(names) - set(known):
        parser.error(
            f"no such lane pair: {', '.join(sorted(unknown))}; there are {known}"
        )
    try:
        harness.build("bare_ring", "bare_gso", "datapath_load")
        machine = harness.machine()
        harness.headline(machine, RUNS)
        with harness.link_of_rules() as link:
            ends = Ends(link)
            if options.strace:
                for pair in PAIRS:
                    if pair.name in names:
                        strace_counts(ends, pair)
                return 0
            result = measure(ends, names)
    except BenchError as error:
        print(f"bench-datapath: {error}", file=sys.stderr)
        return 1
    verdicts(result)
    harness.finish({**result, "machine": machine, "runs": RUNS, "run_ms": RUN_MS})
    return 0


if __name__ == "__main__":
    sys.exit(main())
