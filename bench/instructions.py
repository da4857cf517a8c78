"""Do the engine, a request and a handshake take more instructions than they took?

Seconds on a shared machine say little about a change of a few per cent; instructions, as
callgrind counts them, repeat.  `make bench-check` compares with the last line of
bench/history.jsonl and fails where something has grown by a fifth; `make bench-record`
adds a line.  What other versions of Python or libcrypto count is not comparable, and
said so.

    engine_*     engine_load.c, sans-IO: per data packet without its encryption (send and
                 receive, what goes back included), per acknowledged packet (ack)
    request      the server of `quicxdp bench`: a GET of 1 KiB on an open connection, one
                 at a time: system calls aside, all of the HTTP/3 and Python path
    handshake    the same server: a connection with one GET of 100 bytes
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from certificate import make_certificate
from harness import BUILD, ROOT, BenchError

from quicxdp.bench.child import launched

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from quicxdp.bench.child import Program

HISTORY = ROOT / "bench" / "history.jsonl"
# What warms it up is in both counts and cancels out.
PACKETS = (6144, 12288)
GROWN = 1.2
REQUESTS = (100, 300)
HANDSHAKES = (10, 50)
START_S = 60.0
TOOL_S = 120.0
VALGRIND = ("valgrind", "--tool=callgrind", "-q")
# What is counted, and of what: all between the call and the return, less the encryption.
AEAD = {"send": "aead_seal", "receive": "aead_unseal"}
AEAD_KEYS = {f"{key}_aead": name for key, name in AEAD.items()}
FUNCTIONS = {
    "send": "qx_conn_send",
    "receive": "qx_conn_receive",
    "ack": "recovery_on_ack_frame",
}


def engine() -> dict[str, float]:
    """Count what one more packet takes the engine."""
    harness.build("engine_load")
    (few, before), (many, after) = (_engine_run(packets) for packets in PACKETS)
    cost = {
        key: after[name] - before[name] for key, name in (FUNCTIONS | AEAD_KEYS).items()
    }
    for key in AEAD:
        cost[key] -= cost.pop(f"{key}_aead")
    # Taking an ACK is receiving too, but has a figure of its own.
    cost["receive"] -= cost["ack"]
    return {f"engine_{key}": count / (many - few) for key, count in cost.items()}


def _engine_run(packets: int) -> tuple[int, dict[str, int]]:
    """Return how many packets were measured, and the instructions by function."""
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/callgrind"
        program = [str(BUILD / "engine_load"), "conn", f"packets={packets}"]
        said = _run([*VALGRIND, f"--callgrind-out-file={out}", *program])
        words = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--auto=no"]
        text = _run([*words, out])
    counts: dict[str, int] = {}
    names = [*FUNCTIONS.values(), *AEAD.values()]
    for line in text.splitlines():
        match = re.match(r"\s*([0-9,]+) \([ 0-9.]+%\)\s+\S+:(\w+)", line)
        if match and match[2] in names:
            # A function stands there once per file and object that it has lines of; the
            # greatest is all of it.
            count = int(match[1].replace(",", ""))
            counts[match[2]] = max(count, counts.get(match[2], 0))
    for name in names:
        if name not in counts:
            raise BenchError(f"callgrind has seen no {name}; was it renamed?")
    return int(json.loads(said)["packets"]), counts


def server() -> dict[str, float]:
    """Count what a request and a handshake take a server."""
    with tempfile.TemporaryDirectory() as name, _server(Path(name)) as counted:
        requests = ["requests", "--size=1024"]
        handshakes = ["handshakes", "--size=100"]
        counted.load([*requests, f"--requests={REQUESTS[0]}"])  # warm
        return {
            "request": counted.slope(requests, *REQUESTS),
            "handshake": counted.slope(handshakes, *HANDSHAKES),
        }


class _Counted:
    """A server under callgrind."""

    def __init__(self, program: Program, port: int, out: Path) -> None:
        self._program = program
        self._port = port
        self._out = out
        self._dumps = 0

    def slope(self, words: list[str], few: int, many: int) -> float:
        """Return what one more of it takes: what all runs have in common cancels out."""
        counts = []
        for cnt in (few, many):
            self._control("-z")
            self.load([*words, f"--requests={cnt}"])
            counts.append(self._dump())
        return (counts[1] - counts[0]) / (many - few)

    def load(self, words: list[str]) -> None:
        """Let the load generator ask it."""
        mode, *options = words
        argv = [sys.executable, "-m", "quicxdp.loadgen", mode, "127.0.0.1"]
        _run([*argv, str(self._port), "--timeout=30", *options])
        # Until it answers this, it has not closed what was closed.
        self._program.ask("totals")

    def _dump(self) -> int:
        self._dumps += 1
        self._control("-d")
        path = self._out.with_name(f"{self._out.name}.{self._dumps}")
        text = path.read_text(encoding="utf-8")
        found = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
        if found is None:
            raise BenchError(f"callgrind has written no sum into {path}")
        return int(found[1])

    def _control(self, what: str) -> None:
        _run(["callgrind_control", what, str(self._program.pid)])


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[_Counted]:
    make_certificate(folder, "127.0.0.1")
    out = folder / "callgrind"
    argv = ["env", "PYTHONHASHSEED=0", *VALGRIND, f"--callgrind-out-file={out}"]
    argv += [sys.executable, "-m", "quicxdp.cli.bench_server", "--host", "127.0.0.1"]
    argv += ["--certfile", str(folder / "certificate.pem")]
    argv += ["--keyfile", str(folder / "key.pem"), "--loop", "asyncio", "--io", "socket"]
    with launched(argv) as program:
        said = program.read_json(START_S)
        if "error" in said:
            raise BenchError(said["error"])
        yield _Counted(program, said["port"], out)


def _run(argv: list[str]) -> str:
    try:
        done = subprocess.run(
            argv, check=False, capture_output=True, text=True, timeout=TOOL_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"{argv[0]}: {error}") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise BenchError(f"{' '.join(argv)}: exit status {done.returncode}: {said}")
    return done.stdout


def last_line() -> dict[str, Any] | None:
    """Return what was recorded last."""
    if not HISTORY.exists():
        return None
    lines = HISTORY.read_text(encoding="utf-8").splitlines()
    if not lines:
        return None
    told: dict[str, Any] = json.loads(lines[-1])
    return told


def compare(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Print the ratios; return what has grown too much."""
    for key in ("python", "openssl"):
        if now[key] != before[key]:
            print(f"not comparable: {key} was {before[key]}, is {now[key]}")
    rows, grown = [], []
    for key, value in now["instructions"].items():
        old = before["instructions"].get(key)
        ratio = value / old if old else None
        was = f"{old:,.0f}" if old else "-"
        rows.append([key, was, f"{value:,.0f}", f"{ratio:.3f}" if ratio else "new"])
        if ratio is not None and ratio > GROWN:
            grown.append(key)
    print(f"compared with {before['git']} of {before['date']}")
    harness.table(["instructions", "before", "now", "ratio"], rows)
    return grown


def main() -> int:
    """Count, compare or record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--record", action="store_true", help="add a line to the history")
    options = parser.parse_args()
    try:
        counted = {**engine(), **server()}
    except BenchError as error:
        print(f"bench-check: {error}", file=sys.stderr)
        return 1
    machine = harness.machine()
    now = {
        "git": machine["git"],
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        "cpu": machine["cpu"],
        "python": machine["python"],
        "openssl": machine["openssl"],
        "instructions": {key: round(value, 1) for key, value in counted.items()},
    }
    before = last_line()
    grown = compare(now, before) if before is not None else []
    if options.record:
        with HISTORY.open("a", encoding="utf-8") as file:
            file.write(json.dumps(now) + "\n")
    harness.finish(now)
    if grown and not options.record:
        print(f"bench-check: grown by more than a fifth: {', '.join(grown)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
