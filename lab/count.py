"""`make lab-count`: instructions per packet, by way to send and receive, on both drivers.

One guest per driver, in which one instruction is one nanosecond; count.c says how it is
counted and count.sh what.  The last line is one JSON object, keyed by driver, direction
and way, with the user's and the kernel's instructions for a packet of 1200 bytes.

Instructions are not time: a copy of 1200 bytes counts as some hundred, cache misses
and what the NIC does as nothing.  They compare ways through code, on the same QEMU and
kernel.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from lab.machine import Driver, Machine, run
from lab.packages import LabUnavailableError

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "lab-count"
PROGRAM = ROOT / "build" / "count"
WRAPPED = ["sendto", "sendmsg", "sendmmsg", "recv", "recvfrom", "recvmmsg", "poll"]
BUILD_TIMEOUT_S = 200.0
LIMIT_S = 240.0
SKIPPED_STATUS = 77

Table = dict[str, dict[str, dict[str, int]]]


def main() -> int:
    """Count on every driver; print a table each, and everything as JSON."""
    build()
    shutil.rmtree(RESULTS, ignore_errors=True)
    told: dict[str, Table] = {}
    for driver in Driver:
        try:
            told[driver.value] = count(driver)
        except LabUnavailableError as error:
            print(f"lab-count: skipped: {driver.value}: {error}")
            return SKIPPED_STATUS
        except CountError as error:
            print(f"lab-count: FAILED: {driver.value}: {error}")
            return 1
        show(driver, told[driver.value])
    print(json.dumps(told))
    return 0


class CountError(Exception):
    """A guest did not count; the text says why."""


def build() -> None:
    """Build the program that counts."""
    PROGRAM.parent.mkdir(exist_ok=True)
    libs = _output(["pkg-config", "--libs", "libcrypto"]).split()
    _output(["make", "-s", "-C", "native", "lib"])
    warnings = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]
    argv = ["gcc", "-std=gnu11", "-O2", *warnings, "-Inative/include", "-o", str(PROGRAM)]
    argv += ["lab/count.c", "native/build/libquicxdp.a"]
    argv += [f"-Wl,--wrap={name}" for name in WRAPPED]
    _output([*argv, *libs])


def _output(argv: list[str]) -> str:
    return subprocess.run(
        argv,
        cwd=ROOT,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=BUILD_TIMEOUT_S,
    ).stdout


def count(driver: Driver) -> Table:
    """Run one guest and read what it counted."""
    folder = RESULTS / driver.value
    folder.mkdir(parents=True)
    machine = Machine(driver=driver, captured=False, counting=True, limit_s=LIMIT_S)
    script = [str(ROOT / "lab/count.sh"), str(PROGRAM), "/run/lab/counts"]
    print(f"lab-count: {driver.value}", flush=True)
    outcome = run(machine, script, folder)
    if outcome.reason or outcome.status:
        why = outcome.reason or f"status {outcome.status}"
        raise CountError(f"{why}\n{outcome.tail()}")
    table: Table = {"tx": {}, "rx": {}}
    checked, *lines = (folder / "counts").read_text(encoding="ascii").splitlines()
    print(f"lab-count: {driver.value}: the check, {checked}")
    for line in lines:
        way, mode, counted = line.split(" ", 2)
        table[way][mode] = json.loads(counted)
    return table


def show(driver: Driver, table: Table) -> None:
    """Print what a person wants to see."""
    for way, modes in table.items():
        for mode, counted in modes.items():
            total = counted["user"] + counted["kernel"]
            print(
                f"lab-count: {driver.value:10} {way} {mode:12} "
                f"user {counted['user']:5}  kernel {counted['kernel']:5}  sum {total:5}"
            )


if __name__ == "__main__":
    sys.exit(main())
