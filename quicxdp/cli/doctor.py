"""`quicxdp doctor`: which lane would be chosen here, and why not a better one."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import sys
import textwrap
from typing import TYPE_CHECKING

import quicxdp
from quicxdp.lanes import Lane

from .exits import CommandError, ExitCode

if TYPE_CHECKING:
    import argparse

    from . import diagnosis_windows
    from .diagnosis import Diagnosis

_DESCRIPTION = """\
Tell which lane quicxdp would choose on this machine, and why; what each interface could
do; what stands in the way of AF_XDP, what attaching would cost, and the commands that
change it.  Nothing is attached or changed.
"""
_EPILOG = """\
examples:
  quicxdp doctor                       this machine and all its interfaces
  sudo quicxdp doctor --interface eth0
  quicxdp doctor --measure             what a datagram costs here, 3 seconds
  quicxdp doctor --json | python3 -m json.tool

--json prints one object; for Linux docs/doctor.schema.json describes it (JSON Schema).
On Windows "host" has kernel, machine, cpu_cnt, udp_gso, udp_gro, udp_ecn, administrator,
xdp_driver (null: not installed, or {running, version}).  Names once there stay and keep
their meaning; "schema", now 1, grows when one has to go.

exit status: 0 told; 1 there is no such interface, or measuring failed; 2 wrong usage;
3 neither Linux nor Windows
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options to the command line."""
    parser = commands.add_parser(
        "doctor",
        help="tell which lane would be chosen here, and why",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument(
        "--interface", metavar="NAME", help="look at this one only (default: all)"
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="time the lanes over loopback and, as root, over a link made for it",
    )
    parser.add_argument("--json", action="store_true", help="for programs; see below")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Look around and tell."""
    if sys.platform not in ("linux", "win32"):
        raise CommandError(
            "doctor looks at Linux and Windows only so far; here the lane is asyncio",
            ExitCode.NO_START,
        )
    found = _diagnose(options)
    if options.json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        print("\n".join(text(found)))
    return ExitCode.OK


def _diagnose(
    options: argparse.Namespace,
) -> Diagnosis | diagnosis_windows.Diagnosis:
    # Not at the top: each module needs what only its platform has.
    about = (options.interface, asyncio.run(probe()), _versions())
    if sys.platform == "win32":
        if options.measure:
            raise CommandError("--measure times the lanes of Linux only", ExitCode.USAGE)
        from . import diagnosis_windows  # noqa: PLC0415

        return diagnosis_windows.diagnose(*about)
    from . import diagnosis, measure  # noqa: PLC0415

    return diagnosis.diagnose(*about, measure.measure() if options.measure else None)


async def probe() -> Lane:
    """Open and close an endpoint on loopback: does the C datapath really work here?"""
    transport, _ = await quicxdp.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    info = transport.get_extra_info("quicxdp")
    transport.close()
    await asyncio.sleep(0)
    return Lane(info.io, info.reason)


def text(found: Diagnosis | diagnosis_windows.Diagnosis) -> list[str]:
    """Write the diagnosis for a person."""
    versions = ", ".join(f"{k} {v}" for k, v in found.versions.items() if v)
    lines = [versions]
    for line in found.as_text():
        lines += (
            textwrap.wrap(line, 88, subsequent_indent="    ", break_on_hyphens=False)
            if line.startswith("  - ")
            else [line]
        )
    lines.append("")
    for advice in found.advice:
        lines += _wrapped(advice, "* ")
    return lines


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {"python": sys.version.split()[0]}
    for name in ("quicxdp", "aioquic", "uvloop"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def _wrapped(text: str, bullet: str) -> list[str]:
    return textwrap.wrap(
        text,
        88,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_on_hyphens=False,  # commands are among the words
    )
