"""What the benchmarks here share: building, pinned processes, CPU clocks, tables, JSON.

The measuring rules that it enforces:

* Traffic runs between two network namespaces of our own, joined by veth at MTU 1500;
  never over an interface of the machine.
* The server or receiver has core 0 to itself, the client or sender core 1; nothing else
  is started meanwhile, and the kernel polls NAPI where it pleases (no threaded NAPI).
* CPU time is a process's user and system time together, read from its scheduler clock
  (nanoseconds, not ticks), and the busy time of the whole machine from ``/proc/stat``,
  since work that the kernel does for a process is not always billed to it.
* Everything that is compared runs in turn within one run of the script; reported are the
  median and the spread, (greatest - least) / median.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT)]

import qxnet  # noqa: E402  (found by the line above)

from quicxdp.bench.child import BenchError, Program, launched  # noqa: E402
from quicxdp.bench.machine import facts  # noqa: E402
from quicxdp.bench.meters import Figure, busy_ns, figure  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "PAYLOAD_BYTES",
    "ROOT",
    "BenchError",
    "Figure",
    "Program",
    "build",
    "busy_ns",
    "figure",
    "finish",
    "headline",
    "launch",
    "link_of_rules",
    "machine",
    "pass_program",
    "run_pinned",
    "start",
    "table",
]

PAYLOAD_BYTES = 1200
SERVER_CORE = 0
CLIENT_CORE = 1
READY_TIMEOUT_S = 15.0
BUILD = ROOT / "build" / "bench"
CFLAGS = (
    *("-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Wshadow", "-Wconversion"),
    *("-Werror", "-I", str(ROOT / "native" / "include")),
)
WRAPS = "-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=mmap"


@contextlib.contextmanager
def launch(netns: qxnet.Netns, core: int, argv: Sequence[str]) -> Iterator[Program]:
    """Run *argv* in a namespace on one core; ends it at the end of the block."""
    with launched(netns.command(argv), core=core) as program:
        yield program


@contextlib.contextmanager
def start(netns: qxnet.Netns, core: int, argv: Sequence[str]) -> Iterator[Program]:
    """Do as `launch` and wait until the program says "ready"."""
    with launch(netns, core, argv) as program:
        program.wait_ready(READY_TIMEOUT_S)
        yield program


@contextlib.contextmanager
def pass_program(netns: qxnet.Netns, core: int, *, wanted: bool = True) -> Iterator[None]:
    """Have a native XDP program that passes everything on the namespace's interface.

    The kernel then segments what the other end sends with UDP_SEGMENT, as it must for a
    NIC without that offload; bare veth passes a 64 KiB send on in one piece.
    """
    if not wanted:
        yield
        return
    argv = [str(BUILD / "bare_ring"), "pass", f"interface={netns.interface}"]
    with start(netns, core, argv):
        yield


@contextlib.contextmanager
def link_of_rules() -> Iterator[qxnet.Link]:
    """Make the two namespaces, and check that the link is what the rules say."""
    why = qxnet.unavailable()
    if why is not None:
        raise BenchError(f"cannot measure here: {why}")
    if len(os.sched_getaffinity(0)) < CLIENT_CORE + 1:
        raise BenchError("cannot measure here: needs two cores")
    with qxnet.joined(queue_cnt=1, mtu_bytes=1500) as link:
        for netns in (link.server, link.client):
            path = f"/sys/class/net/{netns.interface}/threaded"
            if netns.run(["cat", path], check=False).stdout.strip() not in {"", "0"}:
                raise BenchError(f"{netns.interface}: threaded NAPI is on; turn it off")
        yield link


def build(*names: str) -> None:
    """Compile those of the load programs whose sources are newer."""
    BUILD.mkdir(parents=True, exist_ok=True)
    here = ROOT / "bench"
    headers = [*here.glob("*.h"), *(ROOT / "native" / "include").glob("*.h")]
    for name in names:
        source, program = here / f"{name}.c", BUILD / name
        needs, extra = [source, *headers], []
        if name in {"datapath_load", "engine_load", "flood_load", "route_load"}:
            _run(["make", "-s", "-C", str(ROOT / "native"), "lib"])
            library = ROOT / "native" / "build" / "libquicxdp.a"
            needs.append(library)
            extra = [WRAPS, str(library)]
        if name == "route_load":
            # No packets, so nothing is counted; and the table is not in the public API.
            extra = ["-I", str(ROOT / "native" / "src" / "datapath"), str(library)]
        if name == "flood_load":
            # It seals Initials with what seals our packets.
            extra = ["-I", str(ROOT / "native" / "src" / "quic"), str(library)]
        if name in {"engine_load", "flood_load"}:
            flags = _run(["pkg-config", "--cflags", "--libs", "libcrypto"])
            extra += shlex.split(flags)
        newest = max(path.stat().st_mtime for path in needs)
        if not program.exists() or program.stat().st_mtime < newest:
            compiler = os.environ.get("CC", "gcc")
            _run([compiler, *CFLAGS, "-o", str(program), str(source), *extra])


def run_pinned(core: int, argv: Sequence[str]) -> dict[str, Any]:
    """Run a program that needs no network to its end; it prints one line of JSON."""
    said = _run(["taskset", "--cpu-list", str(core), *argv])
    answer: dict[str, Any] = json.loads(said)
    return answer


def _run(argv: Sequence[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-4000:]
        raise BenchError(f"{' '.join(argv)}: exit status {done.returncode}: {said}")
    return done.stdout


def machine() -> dict[str, object]:
    """Say where and with what this was measured."""
    return {**facts(), "payload_bytes": PAYLOAD_BYTES}


def headline(result: Mapping[str, object], runs: int) -> None:
    """Print where and how often the following was measured."""
    print(
        f"{result['cpu']}, {result['cores']} cores, kernel {result['kernel']}, git"
        f" {result['git']}; payload {result['payload_bytes']} bytes;"
        f" median of {runs} runs ±half of their spread",
        flush=True,
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns of text, the first one left, the others right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, ["-" * width for width in widths], *rows):
        first, *others = (
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip(), flush=True)


def finish(result: Mapping[str, object]) -> None:
    """Print the one line of JSON that ends every benchmark."""
    print(json.dumps(result, separators=(", ", ": ")), flush=True)
