"""`quicxdp serve`: files of a folder over HTTP/3; applications are serve_app.py's."""

from __future__ import annotations

import asyncio
import functools
import logging
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aioquic.h3.connection import H3_ALPN, ErrorCode
from aioquic.quic.configuration import QuicConfiguration

import quicxdp
from quicxdp import binding
from quicxdp.errors import ConfigError, QuicxdpError
from quicxdp.source_rules import SourceRules

from . import banner, capture_file, logs, serve_app, startup, stats_file
from .cert import CERTIFICATE_NAME, DIRECTORY, KEY_NAME
from .exits import ExitCode, StartError, sentence
from .h3_server import STREAM_WINDOW_BYTES, H3ServerProtocol
from .h3_state import ServerState
from .help import CommandParser
from .options import (
    LOOPS,
    add_admission_options,
    add_engine_option,
    add_io_options,
    add_source_options,
    admission_of,
    new_event_loop,
    port_number,
    seconds,
    xdp_options,
)
from .private_file import new_file, open_secrets_log
from .responder import Responder
from .settings import Settings
from .signals import first_signal

if TYPE_CHECKING:
    import argparse
    from types import ModuleType

    from quicxdp.admission import Admission
    from quicxdp.capture import Capture
    from quicxdp.certificate import ServerCertificate
    from quicxdp.server import QuicServer

    from .privileges import Account

logger = logging.getLogger(__name__)

DEFAULT_HOSTS = ("127.0.0.1", "::1")
DEFAULT_PORT = 4433
_IDLE_TIMEOUT_S = 60.0
_GRACE_S = 5.0

_DESCRIPTION = """\
Serve the files of a folder over HTTP/3: GET and HEAD, byte ranges, validators,
index.html.  Hidden files and links that lead out of the folder are not served.

Or serve an ASGI application, MODULE:APP, over HTTP/3 and, on the TCP port of the same
number, over HTTP/2 and HTTP/1.1.
"""
_EPILOG = """\
examples:
  quicxdp cert                                    once: a certificate for this machine
  quicxdp serve .                                 https://localhost:4433/
  quicxdp serve public --host 192.0.2.1 --port 443 \\
      --certfile fullchain.pem --keyfile privkey.pem
  sudo quicxdp serve public --host 192.0.2.1 --interface eth1 \\
      --user www-data                             root only until everything is open
  quicxdp serve main:app --host 0.0.0.0           the ASGI application app of main.py
  quicxdp serve --bench-endpoint                  /1000000 answers a million bytes

The first Ctrl-C or SIGTERM sends GOAWAY, lets answers under way finish (--grace), closes
every connection and ends; the second ends the process at once.

exit status: 0 stopped by a signal; 1 failed while serving; 2 wrong usage; 3 could not
start (certificate, folder, address, interface, user)
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options to the command line."""
    parser = commands.add_parser(
        "serve",
        help="serve a folder or an ASGI application over HTTP/3",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add(
        "target",
        nargs="?",
        metavar="DIR|MODULE:APP",
        help="folder, or ASGI application, to serve",
    )
    add(
        "--host",
        action="append",
        metavar="ADDRESS",
        help="address or name to listen on; repeatable (default: 127.0.0.1 and ::1)",
    )
    add(
        "--port",
        type=port_number,
        default=DEFAULT_PORT,
        help="UDP port; 0 picks one (default: %(default)s)",
    )
    add(
        "--certfile",
        "--ssl-certfile",
        type=Path,
        metavar="PEM",
        help=f"certificate and chain (default: {DIRECTORY / CERTIFICATE_NAME})",
    )
    add(
        "--keyfile",
        "--ssl-keyfile",
        type=Path,
        metavar="PEM",
        help=f"its key (default: in --certfile, or {DIRECTORY / KEY_NAME})",
    )
    add_io_options(parser)
    add_source_options(parser)
    add_engine_option(parser)
    add_admission_options(parser)
    add(
        "--listing",
        "--index",
        action="store_true",
        help="list folders that have no index.html",
    )
    add(
        "--bench-endpoint",
        action="store_true",
        help="GET /N answers N zero bytes; POST answers the length of what was sent, "
        "POST /sha256 its hash",
    )
    add(
        "--grace",
        "--timeout-graceful-shutdown",
        type=seconds,
        default=_GRACE_S,
        metavar="SECONDS",
        help="how long answers under way may take after a stop (default: %(default)g)",
    )
    add(
        "--log-level",
        type=logs.LogLevel,
        choices=list(logs.LogLevel),
        default=logs.LogLevel.INFO,
        metavar="LEVEL",
        help="debug, info, warning or error (default: info)",
    )
    add("--access-log", action="store_true", help="print a line for every request")
    add("--loop", choices=LOOPS, default="auto", help="event loop (default: %(default)s)")
    add(
        "--uvloop",
        action="store_const",
        const="uvloop",
        dest="loop",
        help="--loop uvloop",
    )
    add(
        "--secrets-log",
        type=new_file,
        metavar="FILE",
        help="write TLS secrets for Wireshark to this new file ({time} and {pid} in its "
        "name are replaced); whoever has it can read everything",
    )
    add(
        "--stats-file",
        type=Path,
        metavar="FILE",
        help="write the counters there as JSON on SIGUSR1 and at the end",
    )
    capture_file.add_options(parser)
    add(
        "--user",
        metavar="NAME",
        help="once everything is open, run as this user, without capabilities and "
        "without a way to get them back",
    )
    add("--group", metavar="NAME", help="run as this group (default: the user's)")
    add(
        "--keep-capabilities",
        action="store_true",
        help="with --user or --group: keep the capabilities that AF_XDP is opened with",
    )
    serve_app.add_options(parser)
    if isinstance(parser, CommandParser):
        parser.settings = Settings(parser)
    parser.set_defaults(run=run, usage_error=parser.error)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal asks to stop."""
    if options.target is None and not options.bench_endpoint:
        options.usage_error(
            "name a folder or an application to serve, or --bench-endpoint"
        )
    if options.keep_capabilities and options.user is None and options.group is None:
        options.usage_error("--keep-capabilities needs --user or --group")
    try:
        SourceRules.parse(options.allow, options.deny)
        admission = admission_of(options)
    except ConfigError as error:
        options.usage_error(str(error))
    if options.target is not None and serve_app.is_app(options.target):
        return serve_app.run(options)
    options.directory = None if options.target is None else Path(options.target)
    serve_app.refuse_options(options)
    logs.set_up(options.log_level, access=options.access_log)
    with ExitStack() as stack:
        server = _Server.prepare(options, admission, stack)
        with asyncio.Runner(loop_factory=new_event_loop(options.loop)) as runner:
            runner.run(server.serve())
    return ExitCode.OK


@dataclass(slots=True)
class _Server:
    """Everything between a checked command line and the last closed connection."""

    options: argparse.Namespace
    certificate: ServerCertificate
    configuration: QuicConfiguration
    state: ServerState
    capture: Capture | None
    account: Account | None
    admission: Admission
    endpoints: list[QuicServer] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def prepare(
        cls, options: argparse.Namespace, admission: Admission, stack: ExitStack
    ) -> _Server:
        """Open and check all files, so that what is wrong with them is said first."""
        account = None
        if options.user is not None or options.group is not None:
            account = _privileges().find(options.user, options.group)
        loaded = startup.load_certificate(options)
        root = None
        if options.directory is not None:
            root = stack.enter_context(startup.open_root(options.directory))
        configuration = QuicConfiguration(
            is_client=False,
            alpn_protocols=list(H3_ALPN),
            certificate=loaded.leaf,
            certificate_chain=list(loaded.chain),
            private_key=loaded.key,
            idle_timeout=_IDLE_TIMEOUT_S,
            max_stream_data=STREAM_WINDOW_BYTES,
        )
        capture = capture_file.create(options)
        secrets_log = None
        if capture is not None:
            stack.callback(capture.close)
        if options.secrets_log is not None:
            secrets_log = stack.enter_context(open_secrets_log(options.secrets_log))
            logger.warning(
                "TLS secrets go to %s: whoever reads it can read all traffic of this run",
                options.secrets_log,
            )
        configuration.secrets_log_file = capture_file.secrets_log(
            secrets_log, capture and capture.secrets_log
        )
        responder = Responder(
            root, with_listing=options.listing, with_bench=options.bench_endpoint
        )
        state = ServerState(
            responder,
            open_files_max=startup.raise_file_limit(),
            server_name=f"quicxdp/{quicxdp.__version__}".encode(),
        )
        return cls(options, loaded, configuration, state, capture, account, admission)

    async def serve(self) -> None:
        """Listen, say so, wait for a signal, drain, close."""
        try:
            await self._listen()
            self._give_up_privileges()
            if self.capture is not None:
                self.capture.start()
            # First, so that whoever has read the announcement may send signals.
            with (
                first_signal(lambda _number: self.stop.set()),
                stats_file.on_signal(self.options.stats_file, self._transports()),
            ):
                self._announce()
                await self.stop.wait()
                await self._drain()
        finally:
            stats_file.try_write(self.options.stats_file, self._transports())
            for endpoint in self.endpoints:
                endpoint.close()
            for endpoint in self.endpoints:
                await endpoint.wait_closed()

    async def _listen(self) -> None:
        port = self.options.port
        for host in self.options.host or DEFAULT_HOSTS:
            try:
                found = binding.addresses(host)
            except ConfigError as error:
                raise StartError(str(error)) from None
            for address in found:
                if (endpoint := await self._listen_on(address, port)) is not None:
                    self.endpoints.append(endpoint)
                    # All share one port, also when the kernel has picked it.
                    port = port or banner.listener(endpoint.transport).port

    async def _listen_on(self, host: str, port: int) -> QuicServer | None:
        sock = None
        try:
            sock = binding.bind(host, port)
            return await quicxdp.serve(
                host,
                port,
                sock=sock,
                configuration=self.configuration,
                create_protocol=functools.partial(H3ServerProtocol, state=self.state),
                io=self.options.io,
                interface=self.options.interface,
                xdp=xdp_options(self.options),
                spin_us=self.options.spin,
                engine=self.options.engine,
                allow=self.options.allow,
                deny=self.options.deny,
                capture=self.capture,
                **self.admission.arguments(),
            )
        except QuicxdpError as error:
            if sock is not None:
                sock.close()
            raise StartError(
                f"cannot serve on {host} port {port}: {sentence(error)}"
            ) from error
        except OSError as error:
            if self._may_do_without(host, error):
                logger.warning("no server on %s: %s", host, error.strerror or error)
                return None
            raise StartError(binding.failure(host, port, error)) from error

    def _may_do_without(self, host: str, error: OSError) -> bool:
        """Whether this is the default ::1 on a machine without IPv6."""
        return (
            self.options.host is None
            and bool(self.endpoints)
            and binding.may_do_without(host, error)
        )

    def _give_up_privileges(self) -> None:
        if self.account is None:
            return
        _privileges().give_up(
            self.account, keep_capabilities=self.options.keep_capabilities
        )
        logger.info(
            "running as %s from here on, %s capabilities",
            self.account.text,
            "with AF_XDP's" if self.options.keep_capabilities else "without",
        )

    def _announce(self) -> None:
        what = str(self.options.directory) if self.options.directory else "no files"
        if self.options.bench_endpoint:
            what += " and the bench endpoint"
        for line in banner.lines(
            version=quicxdp.__version__,
            what=what,
            engine=_engine(self.endpoints[0]),
            listeners=[banner.listener(each) for each in self._transports()],
            certificate=self.certificate,
            ca_file=startup.find_ca(self.options.certfile, self.certificate),
        ):
            print(line, flush=True)

    def _transports(self) -> list[asyncio.BaseTransport]:
        return [endpoint.transport for endpoint in self.endpoints]

    async def _drain(self) -> None:
        connections = self.state.connections
        logger.info(
            "stopping: %d connections; once more to stop at once", len(connections)
        )
        self.state.is_draining = True
        for connection in tuple(connections):
            connection.begin_drain()
        try:
            async with asyncio.timeout(self.options.grace):
                while not all(connection.is_idle for connection in connections):
                    self.state.idle_changed.clear()
                    await self.state.idle_changed.wait()
        except TimeoutError:
            busy = sum(not connection.is_idle for connection in connections)
            logger.warning("%d connections cut off after %g s", busy, self.options.grace)
        for connection in tuple(connections):
            connection.close(ErrorCode.H3_NO_ERROR, "the server is stopping")


def _privileges() -> ModuleType:
    from . import privileges  # noqa: PLC0415  (no such thing on Windows)

    return privileges


def _engine(endpoint: QuicServer) -> str:
    info = endpoint.transport.get_extra_info("quicxdp")
    return f"{info.engine.value}: {info.engine_reason}"
