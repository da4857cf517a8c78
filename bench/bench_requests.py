"""What does a request cost an ASGI server over HTTP/3?

`make bench-requests` serves the applications of asgi_apps.py by `quicxdp serve` and by
Hypercorn, and a file of a kilobyte by `quicxdp serve DIR`, to eight connections with 32
requests at a time, in turn; and a gigabyte from an application.  Server on one core, load
generator on another, over loopback.  Reported are medians; the last line is one JSON
object.

    bench_requests.py --runs 5         longer
    bench_requests.py --only asgi      one server
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from certificate import make_certificate

from quicxdp.bench.child import BenchError, Program, launched

if TYPE_CHECKING:
    from collections.abc import Sequence

BENCH = Path(__file__).resolve().parent
PORT = 4437
SERVER_CORE, CLIENT_CORE = 0, 1
SIZE_BYTES = 1024
CONNECTIONS, STREAMS = 8, 32
STREAM_BYTES = 1_000_000_000
WAIT_S = 20.0
LOADGEN = (sys.executable, "-m", "quicxdp.loadgen", "--stdin")
TARGETS_US = {"asgi": 15.0, "static": 12.0}
STREAM_TARGET_S = 1.2
TIMES_HYPERCORN = 20.0


@dataclass(frozen=True, slots=True)
class Server:
    """How a server is started, and how much it is given to do."""

    argv: Sequence[str]
    requests: int


def servers(folder: Path) -> dict[str, Server]:
    """Return all servers, by the key of their figures."""
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    files = folder / "www"
    files.mkdir()
    (files / str(SIZE_BYTES)).write_bytes(bytes(SIZE_BYTES))
    pair = ["--certfile", certificate, "--keyfile", key]
    ours = [sys.executable, "-m", "quicxdp", "serve"]
    where = ["--host", "127.0.0.1", "--port", str(PORT), *pair]
    apps = ["--http3-only", "--app-dir", str(BENCH)]
    theirs = [sys.executable, "-m", "hypercorn", "--workers", "0", *pair]
    theirs += ["--bind", f"127.0.0.1:{PORT}", "--quic-bind", f"127.0.0.1:{PORT}"]
    return {
        "asgi": Server([*ours, "asgi_apps:minimal", *apps, *where], 20_000),
        "starlette": Server([*ours, "asgi_apps:starlette", *apps, *where], 10_000),
        "static": Server([*ours, str(files), *where], 10_000),
        "hypercorn": Server([*theirs, f"{BENCH}/asgi_apps.py:minimal"], 1_500),
    }


def run(client: Program, server: Program, what: str) -> tuple[int, dict[str, Any]]:
    """Have the client do it; return the server's CPU time, and what the client said."""
    client.ask(what)
    before_ns = server.cpu_ns()
    said = client.ask("go")
    return server.cpu_ns() - before_ns, said


def wait_for(server: Program) -> None:
    """Wait until the server listens: until UDP's table has its port."""
    wanted = f":{PORT:04X} "
    deadline = time.monotonic() + WAIT_S
    while wanted not in Path("/proc/net/udp").read_text(encoding="ascii"):
        server.cpu_ns()  # has it ended?
        if time.monotonic() > deadline:
            raise BenchError(f"{server.name} does not listen after {WAIT_S:g} s")
        time.sleep(0.02)


def words(mode: str, requests: int, size_bytes: int, **options: int) -> str:
    """Return what the load generator is to do."""
    more = " ".join(f"--{key}={value}" for key, value in options.items())
    return (
        f"{mode} 127.0.0.1 {PORT} --requests={requests} --size={size_bytes} "
        f"--path=/{size_bytes} --cipher=aes128 {more}"
    )


Samples = dict[str, list[dict[str, float]]]


def measure(server: Server, key: str, samples: Samples) -> None:
    """Run one server once."""
    load = {"connections": CONNECTIONS, "streams": STREAMS}
    with (
        launched(server.argv, core=SERVER_CORE) as process,
        launched(LOADGEN, core=CLIENT_CORE) as client,
    ):
        wait_for(process)
        run(client, process, words("requests", server.requests // 10, SIZE_BYTES, **load))
        used_ns, said = run(
            client, process, words("requests", server.requests, SIZE_BYTES, **load)
        )
        samples[key].append(
            {
                "requests_per_s": said["requests_per_s"],
                "server_cpu_us_per_request": used_ns / 1e3 / server.requests,
            }
        )
        if key == "asgi":
            used_ns, said = run(client, process, words("down", 1, STREAM_BYTES))
            samples["stream"].append(
                {
                    "server_cpu_s_per_gb": used_ns / STREAM_BYTES,
                    "seconds": said["seconds"],
                }
            )


def summary(samples: Samples) -> dict[str, dict[str, float]]:
    """Return the medians."""
    return {
        key: {
            what: round(harness.figure([run[what] for run in runs]).median, 3)
            for what in runs[0]
        }
        for key, runs in samples.items()
    }


def show(samples: Samples) -> None:
    """Print a line of figures per server."""
    for key, runs in samples.items():
        figures = (
            f"{what} {harness.figure([run[what] for run in runs])}" for what in runs[0]
        )
        print(f"{key:10}", "  ".join(figures))


def verdicts(found: dict[str, dict[str, float]]) -> None:
    """Print each target and whether it was met."""
    checks = [
        (f"{key}: CPU us per request", found[key]["server_cpu_us_per_request"], most)
        for key, most in TARGETS_US.items()
        if key in found
    ]
    if "stream" in found:
        cost = found["stream"]["server_cpu_s_per_gb"]
        checks.append(("stream: CPU s per GB", cost, STREAM_TARGET_S))
    for what, value, most in checks:
        met = "met" if value <= most else "MISSED"
        print(f"{met:6}  {what}: {value:.2f}, wanted at most {most:g}")
    if {"asgi", "hypercorn"} <= found.keys():
        rates = [found[key]["requests_per_s"] for key in ("asgi", "hypercorn")]
        times = rates[0] / rates[1]
        met = "met" if times >= TIMES_HYPERCORN else "MISSED"
        print(
            f"{met:6}  requests/s over Hypercorn's: {times:.1f} times, wanted at least "
            f"{TIMES_HYPERCORN:g}"
        )


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", help="the key of one server")
    options = parser.parse_args()
    samples: Samples = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificate(folder, "127.0.0.1")
        known = servers(folder)
        try:
            for _ in range(options.runs):
                for key, server in known.items():
                    if options.only in (None, key):
                        measure(server, key, samples)
        except BenchError as error:
            print(f"bench_requests: {error}", file=sys.stderr)
            return 1
    show(samples)
    found = summary(samples)
    verdicts(found)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
