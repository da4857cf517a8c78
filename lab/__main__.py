"""`make lab`: boots guests, runs the scenarios in them, and sums up.

A scenario is a file of tests in lab/scenarios with the machines that it wants, and each
of its machines is one boot.  What a guest leaves lies in build/lab/SCENARIO-MACHINE:
console.log, results.xml, captures of its cables; build/lab/result.json has it all.

Exit status 0: passed, and the last line says so; 1: something failed; 77: nothing could
be run here (with --quick: not all of it), for the reasons that were printed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from lab import machine
from lab.packages import LabUnavailableError

if TYPE_CHECKING:
    from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
SCENARIOS = ROOT / "lab" / "scenarios"
RESULTS = ROOT / "build" / "lab"
QUICK = ("zero_copy", "virtio")
SKIPPED_STATUS = 77
NO_TESTS_STATUS = 5  # of pytest: -k has left none
BUILD_TIMEOUT_S = 200
FAILURE_CHARS = 3000


@dataclass(slots=True)
class Result:
    """What one boot has shown."""

    scenario: str
    machine: str
    took_s: float = 0.0
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    zerocopy: list[str] = field(default_factory=list)


def main() -> int:
    """Run what was asked for; the last line sums it up."""
    parser = argparse.ArgumentParser(prog="lab", description="zero-copy AF_XDP in QEMU")
    parser.add_argument("--quick", action="store_true", help="one boot, two minutes")
    parser.add_argument(
        "scenario",
        nargs="*",
        help="name, or name:machine; default: all of them (--list)",
    )
    parser.add_argument("-k", dest="only", help="tests whose name matches, as of pytest")
    parser.add_argument("--list", action="store_true", help="name them and do nothing")
    options = parser.parse_args()
    boots = [QUICK] if options.quick else wanted(options.scenario)
    if options.list:
        print("\n".join(":".join(boot) for boot in boots))
        return 0
    # So that what is unfinished is taken down, as with Ctrl-C.
    signal.signal(signal.SIGTERM, _exit)
    build()
    shutil.rmtree(RESULTS, ignore_errors=True)
    results = [boot_and_tell(scenario, name, options.only) for scenario, name in boots]
    (RESULTS / "result.json").write_text(
        json.dumps([asdict(result) for result in results], indent=2), encoding="utf-8"
    )
    return sum_up(results, skips_allowed=not options.quick)


def wanted(names: list[str]) -> list[tuple[str, str]]:
    """Return the boots that *names* stand for, all of them if there are none."""
    every = [
        (path.stem.removeprefix("test_"), name)
        for path in sorted(SCENARIOS.glob("test_*.py"))
        for name in machines(path.stem.removeprefix("test_"))
    ]
    known = {scenario for scenario, _ in every} | {":".join(boot) for boot in every}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"lab: no scenario is called {' or '.join(unknown)}; see --list")
    return [
        boot for boot in every if not names or boot[0] in names or ":".join(boot) in names
    ]


def machines(scenario: str) -> dict[str, machine.Machine]:
    """Return the machines that a scenario wants, by their names."""
    module = importlib.import_module(f"lab.scenarios.test_{scenario}")
    found: dict[str, machine.Machine] = module.MACHINES
    return found


def build() -> None:
    """Build the C programs that run in guests."""
    subprocess.run(
        ["make", "--no-print-directory", "-s", "-C", "native", "build/contract_afxdp"],
        cwd=ROOT,
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=BUILD_TIMEOUT_S,
    )


def boot_and_tell(scenario: str, name: str, only: str | None) -> Result:
    """Run one scenario on one of its machines, printing what comes of it."""
    print(f"lab: {scenario} on {name}", flush=True)
    result = boot(scenario, name, only)
    for test in result.skipped:
        print(f"lab: skipped: {test}")
    for test in result.failed:
        print(f"lab: FAILED: {test}")
    counts = f"{result.passed} passed, {len(result.failed)} failed, "
    counts += f"{len(result.skipped)} skipped in {result.took_s:.0f} s"
    print(f"lab: {scenario} on {name}: {counts}", flush=True)
    return result


def boot(scenario: str, name: str, only: str | None) -> Result:
    """Run one scenario on one of its machines."""
    result = Result(scenario, name)
    folder = RESULTS / f"{scenario}-{name}"
    folder.mkdir(parents=True)
    wish = machines(scenario)[name]
    try:
        outcome = machine.run(wish, command(scenario, wish, only), folder)
    except LabUnavailableError as error:
        result.skipped.append(f"{scenario} on {name}: {error}")
        return result
    result.took_s = outcome.took_s
    try:
        read_results(folder / "results.xml", result)
    except (OSError, ET.ParseError):
        reason = outcome.reason or f"no results, status {outcome.status}"
        result.failed.append(f"{scenario} on {name}: {reason}\n{outcome.tail()}")
    reason = outcome.reason
    if not reason and outcome.status not in {0, NO_TESTS_STATUS}:
        reason = f"status {outcome.status}"
    if reason and not result.failed:
        result.failed.append(f"{scenario} on {name}: {reason}\n{outcome.tail()}")
    return result


def command(scenario: str, wish: machine.Machine, only: str | None) -> list[str]:
    """Return what the guest runs."""
    return [
        *("env", f"LAB_DRIVER={wish.driver.value}", "TMPDIR=/run/tmp", "HOME=/run/tmp"),
        *(f"PATH={os.environ['PATH']}:/usr/sbin:/sbin", "LC_ALL=C.UTF-8"),
        *("sh", "-c", 'cd "$0" && exec "$@"', str(ROOT)),
        *(
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:hypothesispytest",
        ),
        *("--junitxml=/run/lab/results.xml", "-o", "junit_family=xunit1"),
        *("--tb=short", "--color=no", "-v", "--durations=6"),
        *(("-k", only) if only else ()),
        f"lab/scenarios/test_{scenario}.py",
    ]


def read_results(path: Path, result: Result) -> None:
    """Take over what pytest has written."""
    for case in ET.parse(path).iter("testcase"):  # noqa: S314  # our own pytest wrote it
        name = f"{result.scenario} on {result.machine}: {case.get('name')}"
        wrong = [*case.findall("failure"), *case.findall("error")]
        skipped = case.find("skipped")
        if wrong:
            text = wrong[0].text or wrong[0].get("message") or ""
            result.failed.append(f"{name}:\n{text[-FAILURE_CHARS:]}")
        elif skipped is not None:
            result.skipped.append(f"{name}: {skipped.get('message')}")
        else:
            result.passed += 1
            result.zerocopy += [
                str(item.get("value"))
                for item in case.iter("property")
                if item.get("name") == "zerocopy"
            ]


def sum_up(results: list[Result], *, skips_allowed: bool) -> int:
    """Print the last line and return the exit status."""
    passed = sum(result.passed for result in results)
    failed = sum(len(result.failed) for result in results)
    skipped = sum(len(result.skipped) for result in results)
    proved = {driver for result in results for driver in result.zerocopy}
    drivers = [driver.value for driver in machine.Driver if driver.value in proved]
    status, verdict = 0, "OK"
    if failed:
        status, verdict = 1, f"FAILED {failed} failed,"
    elif not passed or (skipped and not skips_allowed):
        status, verdict = SKIPPED_STATUS, "SKIPPED"
    print(
        f"lab: {verdict} {passed} passed, {skipped} skipped "
        f"zerocopy={','.join(drivers) or 'none'}"
    )
    return status


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
