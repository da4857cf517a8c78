"""What `quicxdp bench` aims at: a server of ours, or the one behind --url."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration
from cryptography import x509

from quicxdp.bench import place as places
from quicxdp.bench.child import BenchError, Program, launched
from quicxdp.certificate import utc_now
from quicxdp.config import Io

from . import cert, url
from .dial import DialOptions, dial
from .exits import CommandError, StartError
from .h3_client import WINDOW_BYTES, H3ClientProtocol
from .options import io_words

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from quicxdp.bench.place import Place

_OK = 200
_START_S = 20.0


@dataclass(frozen=True, slots=True)
class Target:
    """A server that answers.

    Attributes:
        place: where it and the client are.
        program: the process, if it is ours.
        host: its address.
        port: its port.
        words: what the load generator must know of it besides.
        about: what it is, as the document tells it.
    """

    place: Place
    program: Program | None
    host: str
    port: int
    words: tuple[str, ...]
    about: dict[str, Any]


@contextmanager
def found(options: argparse.Namespace, plan: dict[str, Any]) -> Iterator[Target]:
    """Start a server of ours, or look at the one behind --url.

    Raises:
        CommandError: it cannot be started, or does not answer as it should.
    """
    with ExitStack() as stack:
        if options.url is not None:
            try:
                target = asyncio.run(_look_at(options, plan))
            except CommandError as error:
                # The statuses of `fetch` are its own.
                raise CommandError(str(error)) from None
            yield target
            return
        yield stack.enter_context(_own(options))


@contextmanager
def _own(options: argparse.Namespace) -> Iterator[Target]:
    with ExitStack() as stack:
        try:
            place = stack.enter_context(
                places.own(
                    io=options.io,
                    is_ipv6=options.family == socket.AF_INET6,
                    cores=options.cores,
                    shape=options.netem,
                )
            )
        except OSError as error:
            what = "--netem-by kernel" if options.netem else f"--io {options.io.value}"
            raise StartError(
                f"{what} needs a link of its own: {error.strerror}"
            ) from None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certfile, keyfile = write_certificate(folder, place.host)
        argv = [sys.executable, "-m", "quicxdp.cli.bench_server"]
        interfaces = [] if place.interface is None else [place.interface]
        argv += ["--host", place.host, *io_words(options, interfaces)]
        argv += ["--engine", options.engine.value]
        argv += ["--congestion-control", options.congestion_control]
        argv += ["--certfile", str(certfile), "--keyfile", str(keyfile)]
        core, namespace = place.cores[0], place.namespaces[0]
        try:
            program = stack.enter_context(launched(argv, core=core, namespace=namespace))
            said = program.read_json(_START_S)
        except (OSError, BenchError) as error:
            raise StartError(f"the server did not start: {error}") from None
        if "error" in said:
            raise StartError(f"the server did not start: {said['error']}")
        port = said.pop("port")
        yield Target(place, program, place.host, port, (), {"url": None, **said})


def write_certificate(folder: Path, address: str) -> tuple[Path, Path]:
    """Write a certificate for *address* and its key; return where they are."""
    issued = cert.issue([x509.IPAddress(ipaddress.ip_address(address))], utc_now())
    certfile, keyfile = folder / cert.CERTIFICATE_NAME, folder / cert.KEY_NAME
    certfile.write_bytes(issued.certificate)
    keyfile.write_bytes(issued.key)
    return certfile, keyfile


async def _look_at(options: argparse.Namespace, plan: dict[str, Any]) -> Target:
    """Connect once, with the certificate checked, and see what a request gets."""
    parsed = url.parse(options.url)
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=list(H3_ALPN),
        server_name=parsed.host,
        max_data=WINDOW_BYTES,
        max_stream_data=WINDOW_BYTES,
    )
    if options.insecure:
        configuration.verify_mode = ssl.CERT_NONE
    if options.cacert is not None:
        try:
            configuration.load_verify_locations(cafile=str(options.cacert))
        except (OSError, ssl.SSLError) as error:
            raise CommandError(f"--cacert {options.cacert}: {error}") from None
    connection = await dial(
        parsed.host,
        parsed.port,
        configuration,
        DialOptions(
            io=options.io,
            interface=options.interface,
            family=options.family,
            timeout_s=options.timeout,
            engine=options.engine,
        ),
    )
    try:
        length = None
        if plan["mode"] != "up":
            async with asyncio.timeout(options.timeout):
                length = await _body_bytes(connection.protocol, parsed)
    except TimeoutError:
        raise CommandError(
            f"{options.url}: connected, but no answer within {options.timeout:g} s"
        ) from None
    finally:
        await connection.close()
    words = ["--name", parsed.host, "--authority", parsed.authority]
    words += ["--path", parsed.target]
    if plan["mode"] != "up":
        plan["size_bytes"] = length
        words += ["--any-size"] if length is None else ["--size", str(length)]
    for interface in options.interface or ():
        words += ["--interface", interface]
    if options.io is not Io.AUTO:
        words += ["--io", options.io.value]
    place = places.elsewhere(options.cores)
    about = {"url": options.url, "address": connection.address, "port": connection.port}
    return Target(place, None, connection.address, connection.port, tuple(words), about)


async def _body_bytes(protocol: H3ClientProtocol, parsed: url.Url) -> int | None:
    """Return how long the body of an answer is; None if it does not say."""
    headers = [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", parsed.authority.encode()),
        (b":path", parsed.target.encode()),
    ]
    response = protocol.send_request(headers, None, may_be_empty=False)
    try:
        fields = dict(await response.head)
    finally:
        protocol.finish(response)
    if (status := int(fields[b":status"])) != _OK:
        raise CommandError(
            f"{parsed.text} is answered with status {status}; name a page that is "
            f"answered with {_OK}"
        )
    length = fields.get(b"content-length", b"")
    return int(length) if length.isdigit() else None


def setup_of(target: Target, options: argparse.Namespace) -> dict[str, Any]:
    """Return what the document tells of where a target is."""
    place = target.place
    return {
        "link": place.link,
        "netem": None if options.netem is None else options.netem.text,
        "netem_by": place.shaper,
        "cores": {"server": place.cores[0], "client": place.cores[1]},
        "broken_rules": list(place.broken_rules),
    }
