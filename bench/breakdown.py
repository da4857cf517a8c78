"""Where a server's CPU time goes: perf samples of its processes, by what the code is of.

The clock of the CPU is sampled, since virtual machines often have no cycle counter.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness import CLIENT_CORE

from quicxdp.bench.meters import tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES_HZ = 499
END_S = 20.0
# The first pattern that a shared object's name matches.
KINDS = (
    (re.compile(r"\[(?:kernel|guest\.kernel)|^\[unknown\]|\.ko$"), "kernel"),
    (re.compile(r"libcrypto|libssl|_rust\.abi3|_openssl"), "cryptography"),
    (re.compile(r"^_native_ext"), "our C"),
    (re.compile(r"^(?:lib)?python3|\.cpython-|^_?uvloop|^loop\."), "Python"),
    (re.compile(r"^lib(?:c|m|pthread)[.-]|^ld-|\[vdso\]"), "libc"),
)


class Breakdown:
    """Shares of the samples, by kind; filled at the end of `sampled`."""

    def __init__(self) -> None:
        self.shares: dict[str, float] = {}


def why_not() -> str | None:
    """Return why there will be none, or None."""
    if shutil.which("perf") is None:
        return "perf is not installed (Debian: linux-perf)"
    return None


@contextlib.contextmanager
def sampled(pid: int, folder: Path) -> Iterator[Breakdown]:
    """Sample a process and its children during the block."""
    out = Breakdown()
    data = folder / "perf.data"
    pids = ",".join(map(str, tree_of(pid)))
    to_perf, from_perf = os.pipe(), os.pipe()
    process = subprocess.Popen(
        [
            *("taskset", "--cpu-list", str(CLIENT_CORE), "perf", "record", "-q"),
            *("-e", "cpu-clock", "-F", str(SAMPLES_HZ), "-p", pids, "-o", str(data)),
            *("-D", "-1", f"--control=fd:{to_perf[0]},{from_perf[1]}"),
        ],
        pass_fds=(to_perf[0], from_perf[1]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for fd in (to_perf[0], from_perf[1]):
        os.close(fd)
    try:
        # On a busy machine it takes a second to begin, most of the block.
        with contextlib.suppress(BrokenPipeError):  # it has ended: no samples
            os.write(to_perf[1], b"enable\n")
        select.select([from_perf[0]], [], [], END_S)
        yield out
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for fd in (to_perf[1], from_perf[0]):
            os.close(fd)
    out.shares = _shares(data)


def _shares(data: Path) -> dict[str, float]:
    done = subprocess.run(
        ["perf", "report", "-i", str(data), "--stdio", "--sort", "dso", "-t", ","],
        check=False,
        capture_output=True,
        text=True,
        timeout=END_S,
        stdin=subprocess.DEVNULL,
    )
    shares: dict[str, float] = defaultdict(float)
    for line in done.stdout.splitlines():
        match = re.fullmatch(r"\s*([0-9.]+)%?\s*,\s*(.+?)\s*", line)
        if match:
            name = Path(match[2]).name
            kind = next((kind for of, kind in KINDS if of.search(name)), "program")
            shares[kind] += float(match[1]) / 100
    return {kind: round(share, 3) for kind, share in sorted(shares.items())}
