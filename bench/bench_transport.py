"""What does a packet cost a Python server and a gigabyte an aioquic one, per transport?

`make bench-transport` runs one echo protocol and one aioquic server behind asyncio's and
uvloop's transport and behind quicxdp's with io="xdp" and io="socket", in turn, and prints
medians and spreads; the last line is one JSON object.  README.md says what each figure
means.

    bench_transport.py                      everything
    bench_transport.py --only echo          one half (echo, aioquic)
    bench_transport.py --runs 5 --mbytes 20 longer
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
from harness import BUILD, CLIENT_CORE, SERVER_CORE, BenchError, Figure, Program, figure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qxnet import Link

TRANSPORTS = ("asyncio", "uvloop", "xdp", "socket")
OURS = ("xdp", "socket")
ECHO_PORT = 5000
QUIC_PORT = 4433
CLIENT_PORT = 6000
ECHO_MS = 300
ECHO_WINDOW = 256
TRANSFER_TIMEOUT_S = 20.0
ECHO_TIMES_ASYNCIO = 3.0
ECHO_TIMES_UVLOOP = 1.5
SETTLE_S = 0.01
OTHER_LANE_MAX = 0.02
ECHOES_MIN = 1000


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run cost the server and the whole machine."""

    server_ns: float
    machine_ns: float


@dataclass(frozen=True, slots=True)
class Scene:
    """A link, and whether both its ends have a native XDP program at all times."""

    link: Link
    segmented: bool
    folder: Path


Servers = dict[tuple[str, str], Program]


def server_argv(scene: Scene, kind: str, transport: str) -> list[str]:
    """Return the command of a server."""
    server = scene.link.server
    port = (ECHO_PORT if kind == "echo" else QUIC_PORT) + TRANSPORTS.index(transport)
    argv = [sys.executable, str(harness.ROOT / "bench" / f"{kind}_server.py")]
    argv += ["--transport", transport, "--host", server.address4, "--port", str(port)]
    argv += ["--interface", server.interface]
    if kind == "aioquic":
        argv += ["--certificate", str(scene.folder / "certificate.pem")]
        argv += ["--private-key", str(scene.folder / "key.pem")]
    return argv


@contextlib.contextmanager
def servers_of(
    scene: Scene, kinds: Sequence[str]
) -> Iterator[dict[tuple[str, str], Program]]:
    """Start the servers that may idle side by side: all but XDP's, which attaches."""
    programs = {}
    with contextlib.ExitStack() as undo:
        for kind in kinds:
            for transport in TRANSPORTS:
                if transport != "xdp":
                    argv = server_argv(scene, kind, transport)
                    started = harness.launch(scene.link.server, SERVER_CORE, argv)
                    programs[kind, transport] = undo.enter_context(started)
        for program in programs.values():
            program.wait_ready()
        yield programs


@contextlib.contextmanager
def server_of(
    scene: Scene, kind: str, transport: str, idle: Servers
) -> Iterator[Program]:
    """Give the server under test; XDP's is attached only while it is measured."""
    link = scene.link
    if transport == "xdp":
        argv = server_argv(scene, kind, transport)
        with harness.start(link.server, SERVER_CORE, argv) as program:
            yield program
        return
    with harness.pass_program(link.server, SERVER_CORE, wanted=scene.segmented):
        yield idle[kind, transport]


@contextlib.contextmanager
def metered(program: Program) -> Iterator[list[Cost]]:
    """Append to the list that it gives what the block cost, once it is over."""
    out: list[Cost] = []
    busy, cpu = harness.busy_ns(), program.cpu_ns()
    yield out
    # The last packets are still being worked on.
    time.sleep(SETTLE_S)
    out.append(Cost(program.cpu_ns() - cpu, harness.busy_ns() - busy))


@contextlib.contextmanager
def on_its_lane(scene: Scene, transport: str, packets: float) -> Iterator[None]:
    """Check who carried about *packets* packets: the kernel's UDP stack or not."""
    before = scene.link.server.udp_counters()
    yield
    seen = scene.link.server.udp_counters().since(before)
    through_kernel = seen.in_datagrams + seen.out_datagrams
    if transport == "xdp" and through_kernel > packets * OTHER_LANE_MAX:
        raise BenchError(
            f"xdp: {through_kernel} datagrams went through the kernel: {seen}"
        )
    # A send of many segments counts once.
    if transport != "xdp" and through_kernel < packets * OTHER_LANE_MAX:
        raise BenchError(f"{transport}: hardly anything went through the kernel: {seen}")


def run_echo(scene: Scene, program: Program, transport: str) -> Cost:
    """Return what one echoed packet cost."""
    link = scene.link
    client = [
        *(str(BUILD / "echo_client"), "run"),
        f"local={link.client.address4}:{CLIENT_PORT}",
        f"peer={link.server.address4}:{ECHO_PORT + TRANSPORTS.index(transport)}",
        # Segmented, single packets arrive however they were sent, so the cheap way is
        # fair; on a bare veth it would hand the server whole bundles.
        f"mode={'gso' if scene.segmented else 'mmsg'}",
        *(f"window={ECHO_WINDOW}", f"ms={ECHO_MS}", "warmup_ms=0"),
    ]
    # The CPU clocks start before the first packet and stop after the last one.
    with (
        metered(program) as cost,
        harness.launch(link.client, CLIENT_CORE, client) as load,
    ):
        load.wait_ready()
        said = load.read_json()
    if said["odd"] or said["total"] < ECHOES_MIN:
        raise BenchError(f"echo over {transport}: not a measurement: {said}")
    return Cost(cost[0].server_ns / said["total"], cost[0].machine_ns / said["total"])


def run_transfer(
    scene: Scene, program: Program, transport: str, *, up: bool, size_bytes: int
) -> Cost:
    """Return what one byte cost, down to or up from gtlsclient on one stream."""
    link = scene.link
    host, port = link.server.address4, str(QUIC_PORT + TRANSPORTS.index(transport))
    client = [
        *("taskset", "--cpu-list", str(CLIENT_CORE), "gtlsclient", "-q"),
        *("--exit-on-all-streams-close", "--no-pmtud", "--max-udp-payload-size=1200"),
        *(["-m", "POST", "-d", str(scene.folder / "upload")] if up else []),
        *(host, port, f"https://{host}:{port}/{0 if up else size_bytes}"),
    ]
    before = program.ask("totals")
    packets = size_bytes / harness.PAYLOAD_BYTES
    with on_its_lane(scene, transport, packets), metered(program) as cost:
        done = subprocess.run(
            link.client.command(client),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TRANSFER_TIMEOUT_S,
            check=False,
        )
    after = program.ask("totals")
    moved = "body_bytes_in" if up else "body_bytes_out"
    if done.returncode or after[moved] - before[moved] != size_bytes:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise BenchError(
            f"aioquic over {transport}, {'up' if up else 'down'}: {after} after {before};"
            f" gtlsclient: exit status {done.returncode} {said}"
        )
    return Cost(cost[0].server_ns / size_bytes, cost[0].machine_ns / size_bytes)


Costs = dict[tuple[str, str], list[Cost]]


def run_scene(scene: Scene, options: argparse.Namespace) -> Costs:
    """Run everything in turn; keys are (what, transport)."""
    size_bytes = int(options.mbytes * 1e6)
    costs: Costs = defaultdict(list)
    client = scene.link.client
    with (
        harness.pass_program(client, CLIENT_CORE, wanted=scene.segmented),
        servers_of(scene, options.only) as idle,
    ):
        for turn in range(options.runs):
            # Who goes first changes from turn to turn.
            order = TRANSPORTS[turn % 4 :] + TRANSPORTS[: turn % 4]
            for transport in order:
                if "echo" in options.only:
                    with server_of(scene, "echo", transport, idle) as program:
                        costs["echo", transport].append(
                            run_echo(scene, program, transport)
                        )
                if "aioquic" in options.only:
                    with server_of(scene, "aioquic", transport, idle) as program:
                        for what in ("down", "up"):
                            cost = run_transfer(
                                scene,
                                program,
                                transport,
                                up=what == "up",
                                size_bytes=size_bytes,
                            )
                            costs[what, transport].append(cost)
    return costs


def summary(costs: Costs) -> dict[str, Any]:
    """Reduce the runs of a scene to what goes into the JSON object."""
    out: dict[str, Any] = {"echo": {}, "aioquic": {}, "spread": {}, "machine_busy": {}}
    for (what, transport), runs in costs.items():
        # ns per packet to packets per second; ns per byte is seconds per gigabyte.
        server = [
            1e9 / run.server_ns if what == "echo" else run.server_ns for run in runs
        ]
        machine = figure([run.machine_ns for run in runs])
        value = figure(server)
        if what == "echo":
            out["echo"][transport] = round(value.median)
        else:
            out["aioquic"].setdefault(transport, {})[what] = round(value.median, 4)
        out["spread"][f"{what} {transport}"] = round(value.spread, 4)
        out["machine_busy"][f"{what} {transport}"] = round(machine.median, 4)
    return out


def show(title: str, costs: Costs) -> None:
    """Print the table of one scene."""
    whats = list(dict.fromkeys(what for what, _ in costs))
    units = {"echo": "packets per CPU s", "down": "CPU s per GB", "up": "CPU s per GB"}
    busy = {"echo": "machine ns each", "down": "machine s", "up": "machine s"}
    head = [title, *(f"{what}: {unit[what]}" for what in whats for unit in (units, busy))]
    rows = []
    for transport in TRANSPORTS:
        row = [transport]
        for what in whats:
            runs = costs[what, transport]
            server: Figure = figure(
                [1e9 / run.server_ns if what == "echo" else run.server_ns for run in runs]
            )
            row += [str(server), str(figure([run.machine_ns for run in runs]))]
        rows.append(row)
    harness.table(head, rows)


def verdicts(result: Mapping[str, Any]) -> None:
    """Print each target and whether it was met."""
    checks: list[tuple[str, float, str, float]] = []
    for ours in OURS:
        if echo := result["echo"]:
            checks += [
                (
                    f"echo {ours}/asyncio",
                    echo[ours] / echo["asyncio"],
                    ">=",
                    ECHO_TIMES_ASYNCIO,
                ),
                (
                    f"echo {ours}/uvloop",
                    echo[ours] / echo["uvloop"],
                    ">=",
                    ECHO_TIMES_UVLOOP,
                ),
            ]
        for twin in ("asyncio", "uvloop"):
            for what in ("down", "up") if result["aioquic"] else ():
                cost = {key: row[what] for key, row in result["aioquic"].items()}
                checks.append(
                    (f"aioquic {what} {ours}/{twin}", cost[ours] / cost[twin], "<", 1.0)
                )
    for what, value, relation, target in checks:
        met = value >= target if relation == ">=" else value < target
        word = "met" if met else "MISSED"
        print(f"{word:6}  {what}: {value:.3f}, wanted {relation} {target:g}")


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", choices=["echo", "aioquic"], help="one half")
    parser.add_argument(
        "--scene", choices=["plain", "segmented"], help="one kind of link"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mbytes", type=float, default=5.0, help="size of a transfer")
    options = parser.parse_args()
    options.only = [options.only] if options.only else ["echo", "aioquic"]
    scenes = [options.scene] if options.scene else ["plain", "segmented"]
    result: dict[str, Any] = {}
    try:
        harness.build("bare_ring", "echo_client")
        machine = harness.machine()
        harness.headline(machine, options.runs)
        with tempfile.TemporaryDirectory() as name, harness.link_of_rules() as link:
            folder = Path(name)
            make_certificate(folder, link.server.address4)
            (folder / "upload").write_bytes(bytes(int(options.mbytes * 1e6)))
            for scene in scenes:
                costs = run_scene(Scene(link, scene == "segmented", folder), options)
                show(scene, costs)
                result[scene] = summary(costs)
    except (BenchError, subprocess.TimeoutExpired) as error:
        print(f"bench-transport: {error}", file=sys.stderr)
        return 1
    for scene in scenes:
        print(f"\n{scene}:")
        verdicts(result[scene])
    first = result.pop(scenes[0])
    harness.finish(
        {
            **first,
            **result,
            "scene": scenes[0],
            "machine": machine,
            "runs": options.runs,
            "transfer_mbytes": options.mbytes,
            "echo_ms": ECHO_MS,
            "echo_window": ECHO_WINDOW,
        }
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
