"""`quicxdp doctor`: which lane would be chosen here, and why not a better one."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import sys
import textwrap
from typing import TYPE_CHECKING

from .exits import CommandError, ExitCode
from .help import Formatter

if TYPE_CHECKING:
    import argparse

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
  host          kernel, machine, cpu_cnt, udp_gso, udp_gro, ipv6, rmem_max_bytes,
                wmem_max_bytes, capabilities, missing_capabilities, memlock_bytes
                (null: no limit)
  choice        {io, reason}: with no --interface given to serve or fetch
  interfaces    a list of {name, kind, driver, is_up, mtu_bytes, rx_queue_cnt,
                tx_queue_cnt, attached: null or {mode, program_id}, native_xdp: "no",
                "perhaps" or "unknown", zero_copy_offered (null: unknown), blockers,
                notes, choice: {io, reason, tx}} where io is what io="auto" would use
                with this interface, and tx the lane of outgoing datagrams
  advice        a list of sentences

Names once there stay and keep their meaning; schema grows when one has to go.

exit status: 0 told; 1 there is no such interface; 2 wrong usage; 3 not on Linux
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
    if sys.platform != "linux":
        raise CommandError(
            "doctor looks at Linux only so far; here the lane is asyncio",
            ExitCode.NO_START,
        )
    from . import diagnosis  # noqa: PLC0415  (its modules exist on Linux only)

    found = diagnosis.diagnose(
        options.interface, asyncio.run(diagnosis.probe()), _versions()
    )
    if options.json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        print("\n".join(_text(found)))
    return ExitCode.OK


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {"python": sys.version.split()[0]}
    for name in ("quicxdp", "aioquic", "uvloop"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def _text(found: Diagnosis) -> list[str]:
    """Write the diagnosis for a person."""
    host = found.host
    versions = ", ".join(f"{k} {v}" for k, v in found.versions.items() if v)
    missing = ", ".join(f"no {c.name}" for c in host.missing)
    locked = host.lockable_bytes
    sockets = (
        f"GSO {_yes(host.udp_gso)}, GRO {_yes(host.udp_gro)}, IPv6 {_yes(host.ipv6)}, "
        f"buffers up to {_size(host.rmem_max_bytes)} receiving, "
        f"{_size(host.wmem_max_bytes)} sending"
    )
    lines = [
        versions,
        f"Linux {host.kernel} {host.machine}, {host.cpu_cnt} CPUs",
        f"C extension       {'works' if found.native_works else found.native_reason}",
        f"sockets           {sockets}",
        f"capabilities      {missing or 'all that AF_XDP needs'}",
        f"lockable memory   {'no limit' if locked is None else _size(locked)}",
        f"without interface lane {found.choice.io.value}: {found.choice.reason}",
    ]
    for item in found.interfaces:
        link = item.link
        lines += [
            "",
            f"{link.name}: {item.kind}"
            + (f", driver {item.driver}" if item.driver else "")
            + f", {'up' if link.is_up else 'down'}, MTU {link.mtu_bytes}, "
            f"{item.rx_queue_cnt} RX queues",
            f"  lane {item.choice.io.value}: {item.choice.reason}",
            f"  native XDP: {item.native_xdp.value}"
            + (f"; {item.attached_text}" if item.attached_text else ""),
        ]
        for text in (*item.blockers, *item.notes):
            lines += textwrap.wrap(
                text, 88, initial_indent="  - ", subsequent_indent="    "
            )
    lines.append("")
    for text in found.advice:
        lines += _wrapped(text, "* ")
    return lines


def _wrapped(text: str, bullet: str) -> list[str]:
    return textwrap.wrap(
        text,
        88,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_on_hyphens=False,  # commands are among the words
    )


def _yes(value: bool) -> str:  # noqa: FBT001
    return "yes" if value else "no"


def _size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "unknown"
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:  # noqa: PLR2004
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} GiB"
