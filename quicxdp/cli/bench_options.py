"""The options of `quicxdp bench`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from quicxdp.bench.units import GIGABYTE, HANDSHAKE, REQUEST, Unit

from .bench_values import core_pair, count, positive, rate, shape, size
from .options import add_engine_option, add_family_options, add_io_options, seconds

if TYPE_CHECKING:
    import argparse

CONGESTION_CONTROLS: Final = ("reno", "cubic")

_DESCRIPTION: Final = """\
Measure an HTTP/3 server: one of ours, started for it on a network of its own, or --url.
The load comes from many connections of one process, on the engine in C.
"""
_EPILOG: Final = """\
examples:
  quicxdp bench throughput                     20 seconds: a download on loopback
  quicxdp bench throughput --up --io xdp       an upload over AF_XDP (root)
  quicxdp bench requests --url https://example.org/ --connections 4
  quicxdp bench handshakes --handshake 0rtt
  quicxdp bench latency --rate 2000            open loop: stalls count for all that wait
  quicxdp bench throughput --netem loss=1%,delay=25ms,rate=100mbit
  quicxdp bench idle                           memory of 500 idle connections
  quicxdp bench datapath                       what a datagram costs on each lane

Use --url only for servers that you may put load on.

A latency in an open loop (--rate) counts from when its request was due.  Where the
client was the busy one, its rates say nothing about the server, and the output says so.
--json prints one object, which docs/bench.schema.json describes.

exit status: 0 measured; 1 failed, or broke off (what was measured until then is printed,
marked as partial); 2 wrong usage; 3 could not start; 130 ended by Ctrl-C (likewise)
"""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One of the benchmarks that put load on a server, and what it does by default."""

    name: str
    about: str
    unit: Unit
    size_bytes: int
    connections: int
    streams: int
    rate_hz: float = 0.0


BENCHMARKS: Final = {
    each.name: each
    for each in (
        Benchmark(
            "throughput",
            "large bodies, down or up",
            GIGABYTE,
            10_000_000,
            connections=1,
            streams=1,
        ),
        Benchmark(
            "requests",
            "as many small requests as the server answers",
            REQUEST,
            1024,
            connections=8,
            streams=32,
        ),
        Benchmark(
            "handshakes",
            "as many connections as it takes, each with a request",
            HANDSHAKE,
            100,
            connections=4,
            streams=1,
        ),
        Benchmark(
            "latency",
            "small requests at a fixed rate",
            REQUEST,
            1024,
            connections=4,
            streams=32,
            rate_hz=500.0,
        ),
    )
}


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    """Add the command's options to the command line; the command adds `run`."""
    parser = commands.add_parser(
        "bench",
        help="measure an HTTP/3 server, ours or another",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    names = [*BENCHMARKS, "idle", "datapath"]
    about = "; ".join(f"{each.name}: {each.about}" for each in BENCHMARKS.values())
    parser.add_argument(
        "benchmark",
        choices=names,
        metavar="BENCHMARK",
        help=f"{about}; idle: memory of connections; datapath: cost of a datagram",
    )
    _add_load_options(parser.add_argument_group("load"))
    _add_target_options(parser.add_argument_group("server"))
    _add_output_options(parser.add_argument_group("output"))
    add_io_options(parser)
    add_engine_option(parser)
    parser.add_argument(
        "--congestion-control",
        choices=CONGESTION_CONTROLS,
        default=CONGESTION_CONTROLS[0],
        help="of both ends (default: %(default)s)",
    )
    parser.set_defaults(usage_error=parser.error)
    return parser


def _add_load_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    way = group.add_mutually_exclusive_group()
    way.add_argument("--down", action="store_true", help="GET, as throughput does anyway")
    way.add_argument("--up", action="store_true", help="throughput: POST bodies instead")
    add("--size", type=size, metavar="BYTES", help="of a body, as 1024, 10k, 5M, 1G")
    add("--connections", type=count, metavar="N", help="at a time")
    add("--streams", type=count, metavar="N", help="requests at a time on each")
    add(
        "--rate",
        type=rate,
        metavar="HZ",
        help="requests per second, however fast the server is (open loop); 0: the next "
        "one when one is done (default: 0; latency: 500)",
    )
    add(
        "--handshake",
        choices=("full", "resumed", "0rtt"),
        default="full",
        help="handshakes: as a new client makes them, by a session ticket, or with the "
        "request in the first packet (default: %(default)s)",
    )
    add(
        "--seconds",
        type=positive(seconds),
        default=4.0,
        metavar="S",
        help="of one run (default: %(default)g)",
    )
    add("--runs", type=count, default=3, metavar="N", help="(default: %(default)s)")
    add(
        "--warm-up",
        type=seconds,
        default=1.0,
        metavar="S",
        help="before the first run (default: %(default)g)",
    )
    add(
        "--netem",
        type=shape,
        metavar="WHAT",
        help="what happens to packets: loss=1%%,delay=25ms,rate=100mbit, or some of it, "
        "each way",
    )
    add(
        "--netem-by",
        choices=("sim", "kernel"),
        default="sim",
        help="sim: the simulated NIC, on virtual time; kernel: its queueing disciplines "
        "on a link made for it (root) (default: %(default)s)",
    )


def _add_target_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--url", help="measure this server (default: one of ours, started for it)")
    add("-k", "--insecure", action="store_true", help="do not check its certificate")
    add("--cacert", type=Path, metavar="FILE", help="trust these authorities (PEM)")
    add_family_options(group)
    add(
        "--cores",
        type=core_pair,
        metavar="S,C",
        help="of server and client (default: the first two that we may use)",
    )
    add(
        "--timeout",
        type=positive(seconds),
        default=10.0,
        metavar="S",
        help="a server that is silent for so long has failed (default: %(default)g)",
    )


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--json", action="store_true", help="print one JSON object in place of tables")
    add(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw it too, into FILE.svg or FILE.png (pip install 'quicxdp[plot]')",
    )
    add("--no-progress", action="store_true", help="never show a progress bar")


def plan(options: argparse.Namespace) -> dict[str, Any]:
    """Return what is to be done, defaults filled in, as the document tells it."""
    of = BENCHMARKS[options.benchmark]

    def either(name: str, default: float) -> Any:  # noqa: ANN401
        value = getattr(options, name)
        return default if value is None else value

    mode = {"throughput": "up" if options.up else "down", "handshakes": "handshakes"}
    return {
        "mode": mode.get(of.name, "requests"),
        "size_bytes": either("size", of.size_bytes),
        "connections": either("connections", of.connections),
        "streams": either("streams", of.streams),
        "rate_hz": either("rate", of.rate_hz),
        "handshake": options.handshake,
        "seconds": options.seconds,
        "warm_up_seconds": options.warm_up,
        "runs": options.runs,
        "congestion_control": options.congestion_control,
    }
