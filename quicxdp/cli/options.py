"""Options that several commands share."""

from __future__ import annotations

import argparse
import math
import socket
from typing import TYPE_CHECKING

from quicxdp.admission import DEFAULT, Admission, Retry
from quicxdp.config import (
    ENGINE_DEFAULT,
    SPIN_US_MAX,
    EngineKind,
    Io,
    XdpMode,
    XdpOptions,
)

from .exits import StartError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

LOOPS = ("auto", "asyncio", "uvloop")
_PORT_MAX = 65535
_SECONDS_MAX = 1e6
_MEBIBYTES_MAX = 1 << 20


def add_io_options(parser: argparse.ArgumentParser) -> None:
    """Add --io, --interface and what goes with them; `xdp_options` reads the rest."""
    parser.add_argument(
        "--io",
        type=Io,
        choices=list(Io),
        default=Io.AUTO,
        metavar="LANE",
        help="how datagrams travel: auto, socket (batched), xdp (needs --interface), "
        "hybrid (xdp receives, socket sends) or asyncio (default: auto; `quicxdp doctor` "
        "explains the choice)",
    )
    parser.add_argument(
        "--interface",
        action="append",
        metavar="NAME",
        help="network interface that AF_XDP may attach to; attaching can reset its link; "
        "repeatable",
    )
    group = parser.add_argument_group("AF_XDP in detail")
    group.add_argument(
        "--xdp-mode",
        type=XdpMode,
        choices=list(XdpMode),
        default=XdpMode.AUTO,
        metavar="MODE",
        help="zerocopy or copy (or an error), generic (without the driver, slow; only "
        "with --io xdp or hybrid), auto: zerocopy where it is offered, else copy "
        "(default: auto)",
    )
    group.add_argument(
        "--huge-pages",
        action="store_true",
        help="put the packet buffers into huge pages (vm.nr_hugepages) if there are any",
    )
    group.add_argument(
        "--busy-poll",
        type=microseconds,
        default=0,
        metavar="US",
        help="work the driver's queue off when receiving instead of being interrupted "
        "(SO_BUSY_POLL); docs/deployment.md names what to set on the interface",
    )
    group.add_argument(
        "--spin",
        type=microseconds,
        default=0,
        metavar="US",
        help="look for datagrams for so long before sleeping, as long as that pays; 20 "
        "to 50 shortens round trips and costs CPU (any lane in C; default: 0)",
    )


def xdp_options(options: argparse.Namespace) -> XdpOptions:
    """Return what the options in detail ask for."""
    return XdpOptions(
        mode=options.xdp_mode,
        huge_pages=options.huge_pages,
        busy_poll_us=options.busy_poll,
    )


def io_words(
    options: argparse.Namespace, interfaces: Sequence[str] | None = None
) -> list[str]:
    """Return the words that `add_io_options` reads *options* from, for a child of ours.

    Args:
        options: what was read.
        interfaces: named in place of those.
    """
    words = ["--io", options.io.value, "--xdp-mode", options.xdp_mode.value]
    for interface in (options.interface if interfaces is None else interfaces) or ():
        words += ["--interface", interface]
    words += ["--huge-pages"] if options.huge_pages else []
    return [*words, "--busy-poll", str(options.busy_poll), "--spin", str(options.spin)]


def microseconds(text: str) -> int:
    """Read a short time for argparse."""
    if not text.isascii() or not text.isdigit() or int(text) > SPIN_US_MAX:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no such time; give 0 to {SPIN_US_MAX} microseconds"
        )
    return int(text)


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add --allow and --deny."""
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="BLOCK",
        help="addresses that may send here, such as 192.0.2.0/24; repeatable; with any, "
        "no others may",
    )
    parser.add_argument(
        "--deny",
        action="append",
        default=[],
        metavar="BLOCK",
        help="addresses that may not; repeatable; the most specific block decides",
    )


def add_admission_options(parser: argparse.ArgumentParser) -> None:
    """Add what limits new connections."""
    parser.add_argument(
        "--max-connections",
        type=whole_number,
        default=DEFAULT.max_connections,
        metavar="N",
        help="how many at most, on each address; new ones beyond are dropped "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--max-handshakes",
        type=whole_number,
        default=DEFAULT.max_handshakes,
        metavar="N",
        help="how many of them may be in their handshake (default: %(default)s)",
    )
    parser.add_argument(
        "--handshake-timeout",
        type=seconds,
        default=DEFAULT.handshake_timeout_s,
        metavar="SECONDS",
        help="when a handshake that is not over is closed (default: %(default)g)",
    )
    parser.add_argument(
        "--retry",
        type=Retry,
        choices=list(Retry),
        default=DEFAULT.retry,
        metavar="WHEN",
        help="let clients prove their address first, at the price of a round trip: "
        "always, never, or auto: while an eighth of --max-handshakes is open "
        f"(default: {DEFAULT.retry.value})",
    )
    parser.add_argument(
        "--new-per-prefix",
        type=float,
        default=DEFAULT.new_per_prefix_hz,
        metavar="RATE",
        help="connections per second that one network (IPv4 /24, IPv6 /56) may begin "
        "without that proof; 0: no limit (default: %(default)g)",
    )


def admission_of(options: argparse.Namespace) -> Admission:
    """Return what those options ask for.

    Raises:
        ConfigError: a limit makes no sense.
    """
    return Admission(
        max_connections=options.max_connections,
        max_handshakes=options.max_handshakes,
        handshake_timeout_s=options.handshake_timeout,
        retry=options.retry,
        new_per_prefix_hz=options.new_per_prefix,
    )


def add_engine_option(parser: argparse.ArgumentParser) -> None:
    """Add --engine."""
    parser.add_argument(
        "--engine",
        type=EngineKind,
        choices=list(EngineKind),
        default=ENGINE_DEFAULT,
        metavar="NAME",
        help="who handles the packets of a connection once it has its keys: native (the "
        "engine in C, or an error), aioquic (Python), or auto (native where it can be "
        f"used, else aioquic; default: {ENGINE_DEFAULT.value})",
    )


def whole_number(text: str) -> int:
    """Read a number above 0 for argparse."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def add_family_options(group: argparse._ArgumentGroup) -> None:
    """Add -4 and -6."""
    family = group.add_mutually_exclusive_group()
    for flag, value in (("-4", socket.AF_INET), ("-6", socket.AF_INET6)):
        family.add_argument(
            flag,
            f"--ipv{flag[1]}",
            action="store_const",
            const=value,
            default=socket.AF_UNSPEC,
            dest="family",
            help=f"use IPv{flag[1]} only",
        )


def port_number(text: str) -> int:
    """Read a port for argparse."""
    if not text.isascii() or not text.isdigit() or int(text) > _PORT_MAX:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no port; a port is 0 to {_PORT_MAX}"
        )
    return int(text)


def mebibytes(text: str) -> int:
    """Read a size in MiB for argparse; return it in bytes."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _MEBIBYTES_MAX:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size; give 1 to {_MEBIBYTES_MAX} MiB"
        )
    return int(text) << 20


def seconds(text: str) -> float:
    """Read a duration for argparse: neither negative, nor infinite, nor NaN."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < _SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def new_event_loop(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop of that name; None stands for asyncio's own."""
    if name == "asyncio":
        return None
    try:
        import uvloop  # noqa: PLC0415  (optional)
    except ImportError:
        if name == "auto":
            return None
        raise StartError(
            "uvloop is not installed; pip install uvloop, or leave --loop out"
        ) from None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
