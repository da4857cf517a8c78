"""Side by side: our server and those of others, under the same load in the same run.

`make compare` installs what is missing (peers.py), measures, and writes compare.json,
compare.md and compare.svg into docs/performance, and the figures of README.md; README.md
here says what they mean.  Servers run in turn, and that several times.  What has been
measured is in compare.json after each of them: ended by Ctrl-C or SIGTERM, the
comparison can still be rendered, and says that it is partial.

    compare.py --peers sid             with servers from a root of Debian sid, too
    compare.py --only quicxdp,caddy    only those whose names begin so
    compare.py --render                write tables and pictures of the last results anew
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import breakdown
import compare_render
import harness
import peers
from certificate import make_certificate
from harness import CLIENT_CORE, ROOT, SERVER_CORE, BenchError
from peers import Link, Missing, Peer, Start

from quicxdp.bench import document, place, session
from quicxdp.bench.child import launched
from quicxdp.bench.namespaces import entered
from quicxdp.bench.units import GIGABYTE, HANDSHAKE, REQUEST, Unit
from quicxdp.config import Io

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

    from quicxdp.bench.child import Program
    from quicxdp.bench.place import Place

OUTPUT = ROOT / "docs" / "performance"
PORT = 4433
READY_S = 20.0
SILENCE_S = 5.0  # a server that sends nothing for so long has failed; so has a body
PATIENCE_S = 15.0  # with its connections
LARGE_BYTES = 10_000_000
WARM_UP_BYTES = 1_000_000  # some take seconds for the large ones
SIZES = (LARGE_BYTES, WARM_UP_BYTES, 1024, 100)
GTLS_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Test:
    """What a server is given to do."""

    words: tuple[str, ...]
    unit: Unit
    warm_up: tuple[str, ...]  # instead of the words after the first
    is_upload: bool = False


WARM_UP_BODY = (f"--size={WARM_UP_BYTES}", "--requests=1")
TESTS = {
    "down": Test(("down", f"--size={LARGE_BYTES}"), GIGABYTE, WARM_UP_BODY),
    "up": Test(("up", f"--size={LARGE_BYTES}"), GIGABYTE, WARM_UP_BODY, is_upload=True),
    "requests": Test(
        ("requests", "--size=1024", "--connections=8", "--streams=32"),
        REQUEST,
        ("--size=1024", "--streams=32", "--requests=256"),
    ),
    "handshakes": Test(
        ("handshakes", "--size=100", "--connections=8"),
        HANDSHAKE,
        ("--size=100", "--connections=8", "--requests=8"),
    ),
}
GTLS = "gtlsclient"


@dataclass(frozen=True, slots=True)
class Bench:
    """Where servers are measured, and for how long."""

    places: Mapping[Link, Place]
    seconds: float


@contextlib.contextmanager
def open_bench(seconds: float) -> Iterator[Bench]:
    """Make the links.

    Raises:
        OSError: not permitted.
    """
    with contextlib.ExitStack() as stack:
        cores = (SERVER_CORE, CLIENT_CORE)
        places = {
            link: stack.enter_context(place.own(io=io, is_ipv6=False, cores=cores))
            for link, io in ((Link.LOOPBACK, Io.SOCKET), (Link.VETH, Io.XDP))
        }
        yield Bench(places, seconds)


@contextlib.contextmanager
def started(bench: Bench, peer: Peer) -> Iterator[tuple[session.Session, Start, Program]]:
    """Run a server until the end of the block, once it answers.

    It has a load generator of its own: one that was given up on would answer the next.

    Raises:
        BenchError: it does not.
    """
    of = bench.places[peer.link]
    inside = None if peer.root is None else peer.root / "tmp"
    with contextlib.ExitStack() as stack:
        # Starts on its core while the server does on the other one.
        client = stack.enter_context(session.load_generator(of))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=inside)))
        folder.chmod(0o755)  # nginx gives up root
        make_certificate(folder, of.host)
        for size in SIZES:
            (folder / str(size)).write_bytes(bytes(size))
        start = Start(
            of.host,
            PORT,
            folder / "certificate.pem",
            folder / "key.pem",
            folder,
            of.interface,
        )
        program = stack.enter_context(
            launched(peer.argv(start), core=SERVER_CORE, namespace=of.namespaces[0])
        )
        is_ours = peer in peers.OURS
        server = (
            session.OwnServer(program) if is_ours else session.OtherServer(program.pid)
        )
        if is_ours and "error" in (said := program.read_json()):
            raise BenchError(said["error"])
        to = session.Session(client, server, PATIENCE_S)
        wait_ready(to, start, program)
        yield to, start, program


def wait_ready(to: session.Session, start: Start, program: Program) -> None:
    """Return when the server answers.

    Raises:
        BenchError: it does not.
    """
    words = [
        *("handshakes", start.host, str(start.port), "--size=100"),
        *("--requests=1", "--timeout=0.5"),
    ]
    give_up_s = time.monotonic() + READY_S
    while True:
        if program.process.poll() is not None:
            program.read_line(READY_S)  # which tells its last words
        try:
            to.run(words)
        except session.RunFailedError as error:
            if time.monotonic() > give_up_s:
                raise BenchError(f"does not answer: {error}") from None
        else:
            if program.process.poll() is None:
                return
            raise BenchError("another server answers on its port")


Row = dict[str, Any]


def run_peer(bench: Bench, peer: Peer, *, with_breakdown: bool) -> dict[str, Row]:
    """Run every test against one server; a row has "error" or a sample."""
    rows: dict[str, Row] = {}
    try:
        with started(bench, peer) as (to, start, program):
            where = [start.host, str(start.port)]
            for name, test in TESTS.items():
                if test.is_upload and not peer.can_receive:
                    rows[name] = {"error": "needs a back end that reads bodies"}
                    continue
                mode, *options = test.words
                words = [mode, *where, *options, f"--timeout={SILENCE_S:g}"]
                try:
                    to.run([mode, *where, *test.warm_up, f"--timeout={SILENCE_S:g}"])
                    sample = to.run([*words, f"--seconds={bench.seconds}"])
                    rows[name] = {"sample": sample}
                    if with_breakdown:
                        with breakdown.sampled(program.pid, start.folder) as shares:
                            to.run([*words, f"--seconds={bench.seconds}"])
                        rows[name]["breakdown"] = shares.shares
                except session.RunFailedError as error:
                    rows[name] = {"error": last_line(error)}
            rows[GTLS] = gtlsclient(bench.places[peer.link], start, to)
    except BenchError as error:
        for name in (*TESTS, GTLS):
            rows.setdefault(name, {"error": last_line(error)})
    return rows


def last_line(error: BenchError) -> str:
    """Return what of an error says why."""
    return str(error).strip().splitlines()[-1][-300:]


def gtlsclient(of: Place, start: Start, to: session.Session) -> Row:
    """Download once with a client that nobody here wrote."""
    command = [
        *("taskset", "--cpu-list", str(CLIENT_CORE), "gtlsclient", "-q"),
        *("--exit-on-all-streams-close", "--no-pmtud", "--max-udp-payload-size=1200"),
        *(f"--download={start.folder / GTLS}", start.host, str(start.port)),
        f"https://{start.host}:{start.port}/{LARGE_BYTES}",
    ]
    (start.folder / GTLS).mkdir()
    assert to.server is not None
    cpu_ns, begin_ns = to.server.cpu_ns(), time.monotonic_ns()
    try:
        with entered(of.namespaces[1]):
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=GTLS_TIMEOUT_S,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": str(error)}
    wall_ns, cpu_ns = time.monotonic_ns() - begin_ns, to.server.cpu_ns() - cpu_ns
    body = start.folder / GTLS / str(LARGE_BYTES)
    body_bytes = body.stat().st_size if body.exists() else 0
    if done.returncode or body_bytes != LARGE_BYTES:
        said = (done.stderr or done.stdout).strip()[-200:]
        ended = f"exit status {done.returncode}, {body_bytes} bytes"
        return {"error": f"gtlsclient: {ended} {said}".strip()}
    return {
        "figures": {
            "mbit_per_s": LARGE_BYTES * 8e3 / wall_ns,
            "server_cpu_s_per_gb": cpu_ns / LARGE_BYTES,
        }
    }


@dataclass(slots=True)
class Results:
    """What has been measured so far, and how.

    Attributes:
        head: what compare.json tells besides the servers.
        versions: of the servers.
        path: of compare.json.
    """

    head: Mapping[str, Any]
    versions: Mapping[Peer, str]
    path: Path
    rows: dict[Peer, list[dict[str, Row]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(self, peer: Peer, rows: dict[str, Row]) -> None:
        """Take what a server did in one round, and write everything.

        Raises:
            OSError: it cannot be written.
        """
        self.rows[peer].append(rows)
        text = json.dumps(self.document(), indent=1) + "\n"
        # Whoever ends us meanwhile finds the old file or the new one, never half of it.
        part = self.path.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        part.replace(self.path)

    def document(self) -> dict[str, Any]:
        """Return what compare.json holds."""
        return {
            **self.head,
            "peers": {
                peer.name: {
                    "stack": peer.stack,
                    "version": version,
                    "link": peer.link.value,
                    "rounds": len(self.rows.get(peer, ())),
                    "tests": self._tests(peer),
                }
                for peer, version in self.versions.items()
            },
        }

    def _tests(self, peer: Peer) -> dict[str, Any]:
        rounds = self.rows.get(peer, [])
        names = rounds[0] if rounds else ()
        return {name: summary(name, [rows[name] for rows in rounds]) for name in names}


def run_all(bench: Bench, results: Results, runs: int) -> None:
    """Run all servers in turn, several times."""
    has_perf = breakdown.why_not() is None
    chosen = list(results.versions)
    for number in range(runs):
        # Who goes first changes from turn to turn.
        first = number * len(chosen) // runs
        for peer in [*chosen[first:], *chosen[:first]]:
            began_s = time.monotonic()
            with_breakdown = has_perf and number == 0
            results.add(peer, run_peer(bench, peer, with_breakdown=with_breakdown))
            took_s = time.monotonic() - began_s
            print(f"run {number + 1}: {peer.name}, {took_s:.0f} s", flush=True)


def summary(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Return what all runs of one test of one server came to."""
    errors = [row["error"] for row in rows if "error" in row]
    if errors:
        return {"error": errors[0], "failed": len(errors), "runs": len(rows)}
    if name == GTLS:
        figures = [row["figures"] for row in rows]
        return {"figures": _figures(figures)}
    samples = [row["sample"] for row in rows]
    of_load = document.of_load(samples, TESTS[name].unit)
    keys = ("latency_us", "client_was_limit", "lanes", "lost_packets")
    return {
        "figures": _figures([run["figures"] for run in of_load["runs"]]),
        **{key: of_load[key] for key in keys},
        "breakdown": next((row["breakdown"] for row in rows if "breakdown" in row), None),
    }


def _figures(rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    return {key: document.summary([row[key] for row in rows]) for key in rows[0]}


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--peers", choices=["pypi", "sid", ""], default="pypi")
    parser.add_argument("--only", default="", help="beginnings of names, with commas")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one run")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--readme", type=Path, help="whose figures are to be replaced")
    parser.add_argument("--render", action="store_true", help="of the last results")
    return parser.parse_args()


def chosen_peers(options: argparse.Namespace) -> tuple[dict[Peer, str], dict[str, str]]:
    """Return versions of the servers that can be measured, and why others cannot."""
    all_peers = [*peers.OURS, *peers.PYPI]
    all_peers += peers.SID_PEERS if options.peers == "sid" else ()
    starts = tuple(filter(None, options.only.split(",")))
    missing: dict[str, str] = {}
    found: dict[Peer, str] = {}
    for peer in all_peers:
        if starts and not peer.name.startswith(starts):
            continue
        try:
            version = peer.install()
        except Missing as error:
            missing[peer.name] = str(error)
            print(f"left out: {peer.name}: {error}", flush=True)
        else:
            print(f"{peer.name}: {version}", flush=True)
            found[peer] = version
    return found, missing


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have the first SIGINT or SIGTERM end what runs, and let nothing disturb that.

    It becomes SystemExit: of KeyboardInterrupt a session would end its run only.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def measure(options: argparse.Namespace, path: Path) -> None:
    """Measure, and keep *path* up to date.

    Raises:
        BenchError: nothing can be measured here.
        SystemExit: ended by a signal; what was measured until then is in *path*.
    """
    machine = harness.machine()
    versions, missing = chosen_peers(options)
    if not versions:
        raise BenchError("no server is left to measure")
    try:
        with open_bench(options.seconds) as bench:
            head = {
                "schema": 1,
                "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
                "command": shlex.join(["bench/compare.py", *sys.argv[1:]]),
                "machine": machine,
                "runs": options.runs,
                "seconds": options.seconds,
                "broken_rules": list(bench.places[Link.LOOPBACK].broken_rules),
                "no_breakdown": breakdown.why_not(),
                "missing": missing,
            }
            results = Results(head, versions, path)
            try:
                run_all(bench, results, options.runs)
            except SystemExit:
                if results.rows:
                    print(f"compare: ended; {path} has what was measured (--render)")
                raise
    except OSError as error:
        raise BenchError(f"cannot measure here: {error}") from None


def main() -> int:
    """Measure and write."""
    options = parse_arguments()
    results = options.output / "compare.json"
    try:
        if not options.render:
            options.output.mkdir(parents=True, exist_ok=True)
            with ended_by_signals():
                measure(options, results)
        compare_render.render(results, options.output, options.readme)
    except (BenchError, OSError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
