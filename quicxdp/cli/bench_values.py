"""What the options of `quicxdp bench` take, and which of them contradict each other."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Final

from quicxdp.bench.netem import Shape
from quicxdp.config import XDP_DEFAULT, EngineKind, Io
from quicxdp.errors import ConfigError

from .options import xdp_options

if TYPE_CHECKING:
    from collections.abc import Callable

_SIZES: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_SIZE_MAX: Final = 10**12
_COUNT_MAX: Final = 100_000
_RATE_MAX: Final = 10_000_000.0


def size(text: str) -> int:
    """Read a size for argparse: bytes, or with k, M or G."""
    match = re.fullmatch(r"([0-9]{1,13})([kKmMgG]?)", text)
    value = int(match[1]) * _SIZES[match[2].lower()] if match else 0
    if not 0 < value <= _SIZE_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; give 1024, 10k, 5M or 1G")
    return value


def count(text: str) -> int:
    """Read a number of things for argparse."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _COUNT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number up to {_COUNT_MAX}")
    return int(text)


def rate(text: str) -> float:
    """Read a rate for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _RATE_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate per second")
    return value


def positive(read: Callable[[str], float]) -> Callable[[str], float]:
    """Return *read* without zero."""

    def read_positive(text: str) -> float:
        value = read(text)
        if value <= 0:
            raise argparse.ArgumentTypeError(f"{text!r} is too short")
        return value

    return read_positive


def shape(text: str) -> Shape:
    """Read --netem for argparse."""
    try:
        return Shape.parse(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def core_pair(text: str) -> tuple[int, int]:
    """Read --cores for argparse."""
    match = re.fullmatch(r"([0-9]{1,4}),([0-9]{1,4})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not two cores such as 0,1")
    return int(match[1]), int(match[2])


def check(options: argparse.Namespace) -> None:
    """End with wrong usage where options contradict each other."""
    fail = options.usage_error
    benchmark = options.benchmark
    _check_target(options)
    if options.up and benchmark != "throughput":
        fail("--up is for throughput")
    if options.handshake != "full" and benchmark != "handshakes":
        fail("--handshake is for handshakes")
    if benchmark == "handshakes" and options.streams not in (None, 1):
        fail("handshakes have one request on each connection")
    _check_without_load(options)
    if options.netem is not None and options.netem_by == "sim":
        _check_simulation(options)
    if options.plot is not None and options.plot.suffix not in (".svg", ".png"):
        fail("--plot takes a FILE.svg or FILE.png")


def _check_without_load(options: argparse.Namespace) -> None:
    fail, benchmark = options.usage_error, options.benchmark
    unused: dict[str, tuple[str, ...]] = {"idle": ("size", "streams", "rate")}
    unused["datapath"] = (*unused["idle"], "connections", "cores")
    for name in unused.get(benchmark, ()):
        if getattr(options, name) is not None:
            fail(f"{benchmark} has no use for --{name}")
    if benchmark == "datapath" and options.io is not Io.AUTO:
        fail("datapath measures every lane, so --io is of no use")
    if benchmark in ("idle", "datapath"):
        if options.netem is not None or options.plot is not None:
            fail(f"{benchmark} has no use for --netem and --plot")
        if options.url is not None:
            fail(f"{benchmark} is measured on this machine, not by --url")


def _check_target(options: argparse.Namespace) -> None:
    fail = options.usage_error
    is_detailed = xdp_options(options) != XDP_DEFAULT or options.spin
    if is_detailed and (options.url or options.netem or options.benchmark == "datapath"):
        fail("AF_XDP in detail and --spin are for a server of ours on a real link")
    if options.interface is not None and options.url is None:
        fail(
            "--interface goes with --url; for a server of ours --io xdp makes a link of "
            "its own"
        )
    if options.url is None and (options.insecure or options.cacert):
        fail("--insecure and --cacert go with --url")
    if options.netem is not None and options.url is not None:
        fail("--netem is for a server of ours; the way to --url is what it is")


def _check_simulation(options: argparse.Namespace) -> None:
    fail = options.usage_error
    if options.benchmark == "handshakes":
        fail("handshakes over --netem are measured with --netem-by kernel")
    if options.connections not in (None, 1):
        fail("the simulated NIC has one connection; --netem-by kernel has many")
    if options.io is not Io.AUTO or options.engine is EngineKind.AIOQUIC:
        fail("the simulated NIC has no --io and no --engine aioquic")
    # So its defaults are those of one connection.
    options.connections = 1
