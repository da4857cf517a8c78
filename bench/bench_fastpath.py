"""What does a server cost on the engine in C, and what on aioquic's own?

`make bench-fastpath` serves gtlsclient over loopback with engine="native" (sockets) and
engine="aioquic" (asyncio's transport), and over veth with engine="native" for each io=,
in turn, and prints medians and spreads; the last line is one JSON object.  README.md says
what each figure means.

    bench_fastpath.py --scene lo       one link only (lo, veth, veth_segmented)
    bench_fastpath.py --runs 5         longer
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from certificate import make_certificate
from harness import CLIENT_CORE, SERVER_CORE, BenchError, Program, figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from qxnet import Link, Netns

PORT = 4433
CLIENT_TIMEOUT_S = 30.0
SETTLE_S = 0.01
OTHER_LANE_MAX = 0.02
REQUEST_BYTES = 100
CONNECTION_TYPE = {"native": "FastConnection", "aioquic": "QuicConnection"}
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


@dataclass(frozen=True, slots=True)
class Load:
    """How much an engine is given to do: a fraction of a second per figure."""

    transfer_bytes: int
    requests: int
    handshakes: int


@dataclass(frozen=True, slots=True)
class Setup:
    """One server under test."""

    scene: str  # lo, veth, veth_segmented
    engine: str
    io: str

    @property
    def name(self) -> str:
        """What its figures are filed under within the scene."""
        return self.engine if self.scene == "lo" else self.io


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
class Bench:
    """Where the servers and clients are, and what they need."""

    link: Link
    folder: Path
    loads: Mapping[str, Load]
    openssl: set[str]  # what the servers say that they are linked with

    def host(self, setup: Setup) -> str:
        """Return the address that the server listens on."""
        return "127.0.0.1" if setup.scene == "lo" else self.link.server.address4

    def client_netns(self, setup: Setup) -> Netns:
        """Return where the client runs."""
        return self.link.server if setup.scene == "lo" else self.link.client

    def upload(self, setup: Setup) -> Path:
        """Return the file that is sent up."""
        return self.folder / f"upload-{setup.engine}"


@contextlib.contextmanager
def server_of(bench: Bench, setup: Setup) -> Iterator[Program]:
    """Run the server under test; on a segmented link, XDP sits on both ends meanwhile."""
    server, client = bench.link.server, bench.link.client
    argv = [sys.executable, str(harness.ROOT / "bench" / "fastpath_server.py")]
    argv += ["--engine", setup.engine, "--io", setup.io]
    argv += ["--host", bench.host(setup), "--port", str(PORT)]
    argv += ["--certificate", str(bench.folder / "certificate.pem")]
    argv += ["--private-key", str(bench.folder / "key.pem")]
    if setup.io == "xdp":
        argv += ["--interface", server.interface]
    segmented = setup.scene == "veth_segmented"
    with (
        harness.pass_program(client, CLIENT_CORE, wanted=segmented),
        harness.pass_program(server, SERVER_CORE, wanted=segmented and setup.io != "xdp"),
        harness.start(server, SERVER_CORE, argv) as program,
    ):
        yield program


def run_client(bench: Bench, setup: Setup, words: Sequence[str], times: int = 1) -> None:
    """Run gtlsclient so often, one after the other, and see that it is content."""
    host = bench.host(setup)
    client = ["gtlsclient", "-q", "--exit-on-all-streams-close", "--no-pmtud"]
    client += [f"--max-udp-payload-size={harness.PAYLOAD_BYTES}"]
    *options, path = words
    client += [*options, host, str(PORT), f"https://{host}:{PORT}{path}"]
    loop = (
        'times=$1; shift; while [ "$times" -gt 0 ]; do "$@" || exit; times=$((times-1))'
    )
    argv = ["taskset", "--cpu-list", str(CLIENT_CORE)]
    argv += ["sh", "-c", f"{loop}; done", "sh", str(times), *client]
    done = subprocess.run(
        bench.client_netns(setup).command(argv),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=CLIENT_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise BenchError(f"{setup}: gtlsclient: exit status {done.returncode} {said}")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one unit cost the server and the whole machine."""

    server: float
    machine: float


def measured(
    bench: Bench,
    setup: Setup,
    program: Program,
    act: Callable[[], None],
    wanted: Mapping[str, int],
) -> tuple[int, int]:
    """Return the server's and the machine's nanoseconds; it must count *wanted*."""
    before = program.ask("totals")
    counters = bench.link.server.udp_counters()
    busy, cpu = harness.busy_ns(), program.cpu_ns()
    act()
    # The last packets are still being worked on.
    time.sleep(SETTLE_S)
    cpu, busy = program.cpu_ns() - cpu, harness.busy_ns() - busy
    seen = bench.link.server.udp_counters().since(counters)
    after = program.ask("totals")
    for key, value in wanted.items():
        if after[key] - before[key] != value:
            raise BenchError(f"{setup}: {after} after {before}, wanted {wanted}")
    if after["connection_types"] != [CONNECTION_TYPE[setup.engine]]:
        raise BenchError(f"{setup}: connections are {after['connection_types']}")
    bench.openssl.add(after["openssl"])
    packets = sum(wanted.get(f"body_bytes_{way}", 0) for way in ("in", "out"))
    packets //= harness.PAYLOAD_BYTES
    through_kernel = seen.in_datagrams + seen.out_datagrams
    if setup.io == "xdp" and packets and through_kernel > packets * OTHER_LANE_MAX:
        raise BenchError(f"{setup}: {seen} of {packets} packets went through the kernel")
    return cpu, busy


def run_setup(bench: Bench, setup: Setup) -> dict[str, Cost]:
    """Run everything once against one server; keys as in UNITS."""
    load = bench.loads[setup.engine]
    size = load.transfer_bytes
    upload = ["-m", "POST", "-d", str(bench.upload(setup)), "/0"]
    small = f"/{REQUEST_BYTES}"
    plan: dict[str, tuple[Sequence[str], int, dict[str, int], float]] = {
        # what the client does, how often, what the server must count, units in it
        "down_cpu_s_per_gb": ([f"/{size}"], 1, {"body_bytes_out": size}, size),
        "up_cpu_s_per_gb": (upload, 1, {"body_bytes_in": size}, size),
        "cpu_us_per_request": (
            [f"--nstreams={load.requests}", small],
            1,
            {"requests": load.requests},
            load.requests * 1e3,
        ),
        "cpu_us_per_handshake": (
            [small],
            load.handshakes,
            {"connections": load.handshakes},
            load.handshakes * 1e3,
        ),
    }
    costs = {}
    with server_of(bench, setup) as program:
        # What the interpreter and aioquic do once is not what is asked for.
        run_client(bench, setup, [small])
        for what, (words, times, wanted, units) in plan.items():
            act = _client_of(bench, setup, words, times)
            cpu, busy = measured(bench, setup, program, act, wanted)
            costs[what] = Cost(cpu / units, busy / units)
    return costs


def _client_of(
    bench: Bench, setup: Setup, words: Sequence[str], times: int
) -> Callable[[], None]:
    return lambda: run_client(bench, setup, words, times)


Costs = dict[Setup, list[dict[str, Cost]]]


def run_all(bench: Bench, setups: Sequence[Setup], runs: int) -> Costs:
    """Run every setup in turn."""
    costs: Costs = defaultdict(list)
    for turn in range(runs):
        first = turn % len(setups)
        for setup in (*setups[first:], *setups[:first]):
            costs[setup].append(run_setup(bench, setup))
    return costs


def summary(runs: Sequence[Mapping[str, Cost]]) -> dict[str, Any]:
    """Reduce the runs of one setup to what goes into the JSON object."""
    out: dict[str, Any] = {}
    spread, busy = {}, {}
    for what in UNITS:
        value = figure([run[what].server for run in runs])
        out[what] = round(value.median, 4)
        spread[what] = round(value.spread, 4)
        busy[what] = round(figure([run[what].machine for run in runs]).median, 4)
    return {**out, "spread": spread, "machine_busy": busy}


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
        "--mbytes", type=float, default=50.0, help="of a transfer, native"
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
        harness.build("bare_ring")
        machine = harness.machine()
        harness.headline(machine, options.runs)
        with tempfile.TemporaryDirectory() as name, harness.link_of_rules() as link:
            link.server.run(["ip", "link", "set", "lo", "mtu", "1500"])
            bench = Bench(link, Path(name), loads, openssl=set())
            make_certificate(bench.folder, link.server.address4)
            for setup in setups:
                size = loads[setup.engine].transfer_bytes
                bench.upload(setup).write_bytes(bytes(size))
            costs = run_all(bench, setups, options.runs)
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
            "requests": options.requests,
            "handshakes": options.handshakes,
        }
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
