"""`quicxdp doctor`: which lane would be chosen here, and why not a better one."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import sys
import textwrap
from importlib import import_module
from typing import TYPE_CHECKING

import quicxdp
from quicxdp.lanes import Lane

from .exits import CommandError, ExitCode
from .help import Formatter

if TYPE_CHECKING:
    import argparse

    from . import diagnosis_windows
    from .diagnosis import Diagnosis

_DESCRIPTION = """\
Tell which lane quicxdp would choose on this machine, and why; what each interface could
do; and what stands in the way of AF_XDP.  Nothing is attached or changed.
"""
_EPILOG = """\
examples:
  quicxdp doctor                       this machine and all its interfaces
  sudo quicxdp doctor --interface eth0
  quicxdp doctor --json | python3 -m json.tool

--json prints one object, "schema": 1, with
  versions      quicxdp, python, aioquic, uvloop (null: not installed)
  native        {works, reason}: the C extension
  host          kernel, machine, cpu_cnt, udp_gso, udp_gro; on Linux ipv6,
                rmem_max_bytes, wmem_max_bytes, capabilities, missing_capabilities,
                memlock_bytes (null: no limit); on Windows udp_ecn, administrator,
                xdp_driver (null: not installed, or {running, version})
  choice        {io, reason}: with no --interface given to serve or fetch
  interfaces    a list of {name, kind, driver, is_up, mtu_bytes, rx_queue_cnt,
                tx_queue_cnt, attached: null or {mode, program_id}, native_xdp: "no",
                "perhaps" or "unknown", zero_copy_offered (null: unknown), blockers,
                notes, choice: {io, reason, tx}} where io is what io="auto" would use
                with this interface, and tx the lane of outgoing datagrams
  advice        a list of sentences

Names once there stay and keep their meaning; schema grows when one has to go.

exit status: 0 told; 1 there is no such interface; 2 wrong usage; 3 neither Linux nor
Windows
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options to the command line."""
    parser = commands.add_parser(
        "doctor",
        help="tell which lane would be chosen here, and why",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=Formatter,
    )
    parser.add_argument(
        "--interface", metavar="NAME", help="look at this one only (default: all)"
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
    # Not at the top: each module needs what only its platform has.
    name = "diagnosis_windows" if sys.platform == "win32" else "diagnosis"
    diagnosis = import_module(f".{name}", __package__)
    found = diagnosis.diagnose(options.interface, asyncio.run(probe()), _versions())
    if options.json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        print("\n".join(text(found)))
    return ExitCode.OK


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
