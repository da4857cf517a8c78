"""`quicxdp serve module:app`: an ASGI application over HTTP/3, HTTP/2 and HTTP/1.1."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import logging.config
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import quicxdp
from quicxdp.asgi.access import AccessFormat
from quicxdp.asgi.config import ServerConfig
from quicxdp.asgi.lifespan import LifespanMode
from quicxdp.asgi.server import Server
from quicxdp.errors import QuicxdpError

from . import banner, capture_file, logs, startup, stats_file
from .exits import ExitCode, StartError, sentence
from .options import admission_of, new_event_loop, port_number
from .private_file import open_secrets_log
from .signals import first_signal, on_hangup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

# Options of `serve` that only a folder has a use for, and what they are by default.
_OF_FOLDERS: Final = {
    "listing": False,
    "bench_endpoint": False,
    "user": None,
    "group": None,
    "keep_capabilities": False,
}


def is_app(target: str) -> bool:
    """Whether a target is the name of an application, not of a folder."""
    return ":" in target and not Path(target).exists()


def positive_number(text: str) -> int:
    """Read a count for argparse."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a count from 1")
    return int(text)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what only applications have; names are uvicorn's where it has the option."""
    add = parser.add_argument_group("applications (module:attribute)").add_argument
    add(
        "--factory",
        action="store_true",
        help="the attribute is a function that returns the application",
    )
    add(
        "--app-dir",
        type=Path,
        metavar="DIR",
        help="look for the module there first (default: the current folder)",
    )
    add(
        "--lifespan",
        type=LifespanMode,
        choices=list(LifespanMode),
        default=LifespanMode.AUTO,
        metavar="MODE",
        help="auto, on (the application must take part) or off (default: auto)",
    )
    add(
        "--root-path",
        default="",
        metavar="PATH",
        help="the path that a proxy in front has taken off",
    )
    add(
        "--limit-concurrency",
        type=positive_number,
        metavar="COUNT",
        help="answer 503 when so many requests are being answered",
    )
    add(
        "--http3-only",
        action="store_true",
        help="no HTTP/1.1 and HTTP/2 on the TCP port, by which browsers find HTTP/3",
    )
    add(
        "--ssl-keyfile-password",
        metavar="PASSWORD",
        help="of an encrypted key; others can read it in the list of processes, "
        "QUICXDP_SSL_KEYFILE_PASSWORD is safer",
    )
    add(
        "--access-log-format",
        type=AccessFormat,
        choices=list(AccessFormat),
        default=AccessFormat.TEXT,
        metavar="FORMAT",
        help="text or json: an object a line (default: text)",
    )
    add(
        "--metrics-port",
        type=port_number,
        metavar="PORT",
        help="serve metrics for Prometheus on this TCP port, over plain HTTP",
    )
    add(
        "--metrics-host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="on this address (default: %(default)s)",
    )
    add(
        "--log-config",
        type=Path,
        metavar="FILE",
        help="set up logging by this file: .json for dictConfig, others for fileConfig",
    )


# Options above that a folder has no use for, and what they are by default.
_OF_APPS: Final = {
    "factory": False,
    "app_dir": None,
    "lifespan": LifespanMode.AUTO,
    "root_path": "",
    "limit_concurrency": None,
    "http3_only": False,
    "ssl_keyfile_password": None,
    "access_log_format": AccessFormat.TEXT,
    "log_config": None,
    "metrics_port": None,
    "metrics_host": "127.0.0.1",
}


def refuse_options(options: argparse.Namespace) -> None:
    """End the command if a folder is served with options for applications."""
    _refuse(options, _OF_APPS, "an application, not with a folder")


def _refuse(options: argparse.Namespace, unset: Mapping[str, object], what: str) -> None:
    for name, default in unset.items():
        if getattr(options, name) != default:
            option = "--" + name.replace("_", "-")
            options.usage_error(f"{option} goes with {what}")


def config(options: argparse.Namespace) -> ServerConfig:
    """Return what the command line asks for."""
    return ServerConfig(
        app=options.target,
        factory=options.factory,
        app_dir=options.app_dir,
        lifespan=options.lifespan,
        root_path=options.root_path,
        host=tuple(options.host or ()),
        port=options.port,
        ssl_certfile=options.certfile,
        ssl_keyfile=options.keyfile,
        ssl_keyfile_password=options.ssl_keyfile_password,
        http3_only=options.http3_only,
        io=options.io,
        interface=options.interface,
        engine=options.engine,
        allow=tuple(options.allow),
        deny=tuple(options.deny),
        admission=admission_of(options),
        limit_concurrency=options.limit_concurrency,
        timeout_graceful_shutdown=options.grace,
        access_log=options.access_log,
        access_log_format=options.access_log_format,
        metrics_host=options.metrics_host,
        metrics_port=options.metrics_port,
    )


def run(options: argparse.Namespace) -> int:
    """Serve until a signal asks to stop."""
    _refuse(options, _OF_FOLDERS, "a folder, not with an application")
    logs.set_up(
        options.log_level, access=options.access_log, form=options.access_log_format
    )
    if options.log_config is not None:
        _configure_logging(options.log_config)
    startup.name_certificate(options)
    with ExitStack() as stack:
        capture = capture_file.create(options)
        secrets_log = None
        if capture is not None:
            stack.callback(capture.close)
        if options.secrets_log is not None:
            secrets_log = stack.enter_context(open_secrets_log(options.secrets_log))
        try:
            server = Server(
                config(options),
                capture=capture,
                secrets_log=capture_file.secrets_log(
                    secrets_log, capture and capture.secrets_log
                ),
            )
        except QuicxdpError as error:
            raise StartError(sentence(error)) from error
        startup.raise_file_limit()
        with asyncio.Runner(loop_factory=new_event_loop(options.loop)) as runner:
            runner.run(_serve(server, options, capture.start if capture else _nothing))
    return ExitCode.OK


def _nothing() -> None:
    pass


def _configure_logging(path: Path) -> None:
    try:
        if path.suffix == ".json":
            logging.config.dictConfig(json.loads(path.read_text(encoding="utf-8")))
        else:
            logging.config.fileConfig(path, disable_existing_loggers=False)
    except Exception as error:
        # What may be wrong with such a file is everything.
        raise StartError(f"--log-config {path} cannot be used: {error!r}") from error


async def _serve(
    server: Server, options: argparse.Namespace, start_capture: Callable[[], object]
) -> None:
    try:
        await server.start()
    except QuicxdpError as error:
        raise StartError(sentence(error)) from error
    transports = [endpoint.transport for endpoint in server.quic]
    try:
        start_capture()
        stop = asyncio.Event()
        # First, so that whoever has read the announcement may send signals.
        with (
            first_signal(lambda _number: stop.set()),
            stats_file.on_signal(options.stats_file, transports),
            on_hangup(lambda: _reload(server)),
        ):
            _announce(server, options)
            await stop.wait()
            logger.info(
                "stopping: %d connections; once more to stop at once",
                len(server.hub.connections),
            )
            await server.drain()
            stats_file.try_write(options.stats_file, transports)
    finally:
        await server.stop()


def _reload(server: Server) -> None:
    try:
        server.reload_certificate()
    except QuicxdpError as error:
        # Told, and nothing else: the server goes on as it was.
        logger.error("the certificate stays as it was: %s", sentence(error))  # noqa: TRY400
    else:
        end = server.certificate.leaf.not_valid_after_utc
        logger.info("a certificate until %s UTC from here on", f"{end:%Y-%m-%d %H:%M}")


def _announce(server: Server, options: argparse.Namespace) -> None:
    if server.metrics_address is not None:
        host, port = server.metrics_address
        print(f"metrics for Prometheus on http://{banner.url_host(host)}:{port}/")
    info = server.quic[0].transport.get_extra_info("quicxdp")
    for line in banner.lines(
        version=quicxdp.__version__,
        what=options.target,
        engine=f"{info.engine.value}: {info.engine_reason}",
        listeners=[banner.listener(endpoint.transport) for endpoint in server.quic],
        certificate=server.certificate,
        ca_file=startup.find_ca(options.certfile, server.certificate),
        browser_hint=not options.http3_only,
    ):
        print(line, flush=True)
