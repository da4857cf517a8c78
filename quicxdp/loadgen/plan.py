"""What a run is asked to do: options in, a `Plan` out."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, NoReturn

from aioquic.tls import CipherSuite

from .messages import authority

if TYPE_CHECKING:
    from collections.abc import Sequence

CIPHERS: Final = {
    "aes128": CipherSuite.AES_128_GCM_SHA256,
    "aes256": CipherSuite.AES_256_GCM_SHA384,
    "chacha20": CipherSuite.CHACHA20_POLY1305_SHA256,
}


class Mode(Enum):
    """What one request is."""

    DOWN = "down"  # GET of `size` bytes
    UP = "up"  # POST of `size` bytes
    REQUESTS = "requests"  # as down, small
    HANDSHAKES = "handshakes"  # as requests, each on a connection of its own
    IDLE = "idle"  # as requests, but one on each connection, and then nothing


# What the size of a body is unless it is said.
_SIZE_BYTES: Final = {
    Mode.DOWN: 50_000_000,
    Mode.UP: 50_000_000,
    Mode.REQUESTS: 100,
    Mode.HANDSHAKES: 100,
    Mode.IDLE: 100,
}


class Handshake(Enum):
    """How much of a handshake a connection of `Mode.HANDSHAKES` makes."""

    FULL = "full"  # with the server's certificate
    RESUMED = "resumed"  # by a ticket of an earlier connection (RFC 8446 section 2.2)
    EARLY = "0rtt"  # the same, and the request is in the first flight


class PlanError(Exception):
    """The words make no sense; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run.

    Attributes:
        mode: what a request is.
        host: of the server; an address or a name.
        port: of the server.
        name: what the server's certificate is for; sent as SNI unless it is an address.
        authority: what stands in ":authority".
        path: of a GET; a POST goes there too.
        size_bytes: of the body that is asked for or sent; of a GET None takes any.
        connections: how many there are at a time.
        streams: how many requests are under way on each at most.
        requests: how many are made; 0: as many as `seconds` have room for.
        seconds: how long requests are made, if not so many.
        rate_hz: requests per second, whether or not the server keeps up (open loop); 0:
            the next one when one is done (closed loop).
        handshake: how connections begin, if they are the load.
        progress_s: how often to tell how far it is; 0: never.
        cipher: a key of `CIPHERS`, or None for aioquic's choice.
        congestion_control: a name that the engine knows.
        io: quicxdp's lane.
        interfaces: for AF_XDP.
        timeout_s: a run without any progress for so long has failed.
    """

    mode: Mode
    host: str
    port: int
    name: str
    authority: str
    path: str
    size_bytes: int | None
    connections: int
    streams: int
    requests: int
    seconds: float
    rate_hz: float
    handshake: Handshake
    progress_s: float
    cipher: str | None
    congestion_control: str
    io: str
    interfaces: tuple[str, ...]
    timeout_s: float


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise PlanError(f"{message}\n{self.format_usage().strip()}")


def parser() -> argparse.ArgumentParser:
    """Return the options of one run."""
    out = _Parser(prog="loadgen", description="Put load on an HTTP/3 server.")
    out.add_argument("mode", type=Mode, help=", ".join(mode.value for mode in Mode))
    out.add_argument("host")
    out.add_argument("port", type=int)
    out.add_argument("--name", help="of the server in TLS; the host otherwise")
    out.add_argument("--authority", help="of the request; host and port otherwise")
    out.add_argument("--path", help="of the request; /SIZE, or / for up, otherwise")
    out.add_argument("--size", type=int, help="bytes of a body")
    out.add_argument("--any-size", action="store_true", help="take answers of any size")
    out.add_argument("--connections", type=int, default=1, help="at a time")
    out.add_argument("--streams", type=int, default=1, help="requests at a time on each")
    out.add_argument("--requests", type=int, default=0, help="how many; 0: --seconds")
    out.add_argument("--seconds", type=float, default=2.0)
    out.add_argument("--rate", type=float, default=0.0, help="per second: open loop")
    out.add_argument(
        "--handshake",
        type=Handshake,
        default=Handshake.FULL,
        help=", ".join(kind.value for kind in Handshake),
    )
    out.add_argument("--progress", type=float, default=0.0, help="seconds between lines")
    out.add_argument("--cipher", choices=sorted(CIPHERS))
    out.add_argument("--congestion-control", default="reno")
    out.add_argument("--io", default="socket", help="quicxdp's lane")
    out.add_argument("--interface", action="append", help="for AF_XDP; repeatable")
    out.add_argument("--timeout", type=float, default=10.0, help="s without progress")
    return out


def parse(words: Sequence[str]) -> Plan:
    """Return the plan that *words* describe.

    Raises:
        PlanError: they make no sense.
    """
    options = parser().parse_args(words)
    mode: Mode = options.mode
    size_bytes = _SIZE_BYTES[mode] if options.size is None else options.size
    least = 1 if mode is Mode.UP else 0
    if size_bytes < least or min(options.connections, options.streams) < 1:
        raise PlanError("a body, connections and streams cannot be that few")
    if min(options.requests, options.rate, options.progress) < 0 or options.seconds <= 0:
        raise PlanError("requests, rate and seconds cannot be negative")
    if mode is Mode.HANDSHAKES and options.streams != 1:
        raise PlanError("handshakes: there is one request on each connection")
    if mode is not Mode.HANDSHAKES and options.handshake is not Handshake.FULL:
        raise PlanError("only handshakes can be resumed ones")
    return Plan(
        mode=mode,
        host=options.host,
        port=options.port,
        name=options.name or options.host,
        authority=options.authority or authority(options.host, options.port),
        path=options.path or ("/0" if mode is Mode.UP else f"/{size_bytes}"),
        size_bytes=None if options.any_size and mode is not Mode.UP else size_bytes,
        connections=options.connections,
        streams=options.streams,
        requests=options.requests,
        seconds=options.seconds,
        rate_hz=options.rate,
        handshake=options.handshake,
        progress_s=options.progress,
        cipher=options.cipher,
        congestion_control=options.congestion_control,
        io=options.io,
        interfaces=tuple(options.interface or ()),
        timeout_s=options.timeout,
    )
