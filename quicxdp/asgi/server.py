"""A server for one application: HTTP/3 over QUIC, its companion on TCP, one lifespan.

    async with Server(ServerConfig(app=app, ssl_certfile=path)) as server:
        ...  # it serves; leaving the block stops it as a signal does the command

It installs no signal handlers and changes nothing of its host process.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
from typing import TYPE_CHECKING, Final, Self

from aioquic.quic.configuration import QuicConfiguration

from quicxdp import binding, certificate
from quicxdp.errors import ConfigError, DatapathError
from quicxdp.h3 import ALPN, ErrorCode
from quicxdp.server import serve

from . import loading, metrics, tcp
from .access import AccessLog
from .config import LOCALHOST, ServerConfig
from .connection import STREAM_WINDOW_BYTES, AsgiProtocol
from .hub import Hub
from .lifespan import Lifespan

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import TextIO

    from quicxdp.capture import Capture
    from quicxdp.certificate import ServerCertificate
    from quicxdp.server import QuicServer

    from .types import App

logger = logging.getLogger(__name__)

_IDLE_TIMEOUT_S: Final = 60.0
# Tries to find a port that is free for UDP and TCP.
_PORT_TRIES: Final = 16


class Server:
    """Serves an application; `start` and `stop`, or an asynchronous context manager.

    Attributes:
        hub: the connections and what they have counted.
        quic: the listening endpoints, one for each address.
        certificate: that is shown to clients.
    """

    def __init__(
        self,
        config: ServerConfig,
        *,
        capture: Capture | None = None,
        secrets_log: TextIO | None = None,
    ) -> None:
        """Make a server that does nothing yet.

        Args:
            config: what to serve, and how.
            capture: where the packets are written down; see `quicxdp.Capture`.
            secrets_log: where TLS secrets of QUIC are written, for Wireshark.
        """
        self.config = config
        self._capture = capture
        self._is_running = False
        self._configuration = QuicConfiguration(
            is_client=False,
            alpn_protocols=[ALPN],
            idle_timeout=_IDLE_TIMEOUT_S,
            max_stream_data=STREAM_WINDOW_BYTES,
            secrets_log_file=secrets_log,
        )
        self._tls: ssl.SSLContext | None = None
        self.hub: Hub
        self.quic: list[QuicServer] = []
        self.certificate: ServerCertificate
        self._lifespan: Lifespan
        self._companion: tcp.TcpCompanion | None = None
        self._metrics: tcp.TcpCompanion | None = None
        self._udp: list[tuple[str, socket.socket]] = []
        self._tcp: list[socket.socket] = []

    @property
    def port(self) -> int:
        """The port that it listens on."""
        port: int = self.quic[0].transport.get_extra_info("sockname")[1]
        return port

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    # Starting

    async def start(self) -> None:
        """Load certificate and application, bind, start the application, listen.

        Raises:
            ApplicationError: the application cannot be loaded or does not start.
            ConfigError: the certificate, an address or another option is of no use.
            DatapathError: an address cannot be bound, or io="xdp" is not possible.
            UnavailableError: this installation lacks something that is asked for.
        """
        config = self.config
        if not config.http3_only or config.metrics_port is not None:
            tcp.require()
        if config.metrics_port is not None:
            metrics.require()
        self.certificate = self._load_certificate()
        app = self._load_app()
        self._lifespan = Lifespan(app, config.lifespan)
        self.hub = Hub(
            app,
            root_path=config.root_path,
            state=self._lifespan.state,
            limit_concurrency=config.limit_concurrency,
        )
        if config.access_log:
            self.hub.access = AccessLog(config.access_log_format, self.hub.clock)
        try:
            self._bind()
            await self._lifespan.start()
            await self._listen()
            self._is_running = True
        except BaseException:
            await self._close()
            raise

    def _load_certificate(self) -> ServerCertificate:
        config = self.config
        return certificate.load(
            config.ssl_certfile,
            config.ssl_keyfile,
            certificate.utc_now(),
            password=config.ssl_keyfile_password,
        )

    def reload_certificate(self) -> None:
        """Read certificate and key again; new connections are shown what is there now.

        Connections that are open go on.

        Raises:
            ConfigError: they are of no use; those from before stay in use.
        """
        loaded = self._load_certificate()
        if self._tls is not None:
            # What OpenSSL refuses it has taken half of: not of the one in use.
            self._load_into(tcp.new_context())
            self._load_into(self._tls)
        self.certificate = loaded
        self._show(loaded)

    def _load_app(self) -> App:
        config = self.config
        if isinstance(config.app, str):
            return loading.load(
                config.app, factory=config.factory, app_dir=config.app_dir
            )
        return loading.check(config.app, "the application")

    def _bind(self) -> None:
        hosts = self.config.host or LOCALHOST
        addresses = [found for host in hosts for found in binding.addresses(host)]
        for left in reversed(range(_PORT_TRIES)):
            try:
                self._bind_port(addresses, self.config.port)
            except DatapathError:
                self._unbind()
                # A port of the kernel's choice for UDP may be taken for TCP.
                if self.config.port or not left:
                    raise
            else:
                return

    def _bind_port(self, addresses: list[str], port: int) -> None:
        kinds = [(socket.SOCK_DGRAM, "UDP")]
        if not self.config.http3_only:
            kinds.append((socket.SOCK_STREAM, "TCP"))
        for host in addresses:
            for kind, transport in kinds:
                try:
                    sock = binding.bind(host, port, kind)
                except OSError as error:
                    if self._udp and self._may_do_without(host, error):
                        logger.warning("no server on %s: %s", host, error.strerror)
                        break
                    raise DatapathError(
                        error.errno, binding.failure(host, port, error, transport)
                    ) from error
                if kind is socket.SOCK_DGRAM:
                    self._udp.append((host, sock))
                else:
                    self._tcp.append(sock)
                port = port or sock.getsockname()[1]

    def _may_do_without(self, host: str, error: OSError) -> bool:
        return not self.config.host and binding.may_do_without(host, error)

    def _unbind(self) -> None:
        for sock in (*(sock for _, sock in self._udp), *self._tcp):
            sock.close()
        self._udp.clear()
        self._tcp.clear()

    async def _listen(self) -> None:
        config = self.config
        self._show(self.certificate)
        while self._udp:
            host, sock = self._udp[0]
            endpoint = await serve(
                host,
                config.port,
                sock=sock,
                configuration=self._configuration,
                create_protocol=functools.partial(AsgiProtocol, hub=self.hub),
                io=config.io,
                interface=config.interface,
                engine=config.engine,
                allow=config.allow,
                deny=config.deny,
                capture=self._capture,
                **config.admission.arguments(),
            )
            del self._udp[0]  # the endpoint's from here on
            self.quic.append(endpoint)
        if self._tcp:
            sockets, self._tcp = self._tcp, []
            self._tls = tcp.new_context()
            self._load_into(self._tls)
            self._companion = tcp.TcpCompanion(
                tcp.shared(self.hub.app, self.hub),
                sockets,
                context=self._tls,
                alt_svc_port=self.port,
                grace_s=config.timeout_graceful_shutdown,
            )
            self._companion.start()
        if config.metrics_port is not None:
            self._serve_metrics(config.metrics_host, config.metrics_port)

    def _serve_metrics(self, host: str, port: int) -> None:
        try:
            sock = binding.bind(host, port, socket.SOCK_STREAM)
        except OSError as error:
            raise DatapathError(
                error.errno, binding.failure(host, port, error, "TCP")
            ) from error
        transports = [endpoint.transport for endpoint in self.quic]
        app = tcp.alone(metrics.metrics_app(self.hub, transports))
        self._metrics = tcp.TcpCompanion(app, [sock], context=None)
        self._metrics.start()

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Where the metrics are, if anywhere."""
        return None if self._metrics is None else self._metrics.address

    def _show(self, loaded: ServerCertificate) -> None:
        # Each new connection takes them from here.
        configuration = self._configuration
        configuration.certificate = loaded.leaf
        configuration.certificate_chain = list(loaded.chain)
        configuration.private_key = loaded.key

    def _load_into(self, context: ssl.SSLContext) -> None:
        config = self.config
        # A password of ours, or OpenSSL would ask for one on the terminal.
        password = config.ssl_keyfile_password or ""
        try:
            context.load_cert_chain(config.ssl_certfile, config.ssl_keyfile, password)
        except OSError as error:
            raise ConfigError(
                f"OpenSSL does not take the certificate {config.ssl_certfile}: {error}"
            ) from error

    # Stopping

    async def stop(self) -> None:
        """Drain, close, and let the application end; harmless when repeated."""
        if not self._is_running:
            return
        self._is_running = False
        try:
            await self.drain()
        finally:
            await self._close()

    async def drain(self) -> None:
        """Take nothing new, and let answers under way finish.

        Clients are told by GOAWAY; what lasts longer than the grace is cut off.
        """
        await asyncio.gather(self._drain(), self._stop_companion())

    async def _drain(self) -> None:
        hub = self.hub
        hub.is_draining = True
        for connection in tuple(hub.connections):
            connection.begin_drain()
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while not all(connection.is_idle for connection in hub.connections):
                    hub.idle_changed.clear()
                    await hub.idle_changed.wait()
        except TimeoutError:
            busy = sum(not connection.is_idle for connection in hub.connections)
            logger.warning(
                "%d connections cut off after %g s",
                busy,
                self.config.timeout_graceful_shutdown,
            )
        tasks = [task for each in tuple(hub.connections) for task in each.cancel()]
        if tasks:
            await asyncio.wait(tasks)
        for connection in tuple(hub.connections):
            connection.close(ErrorCode.H3_NO_ERROR, "the server is stopping")

    async def _stop_companion(self) -> None:
        if self._companion is not None:
            await self._companion.stop()
            self._companion = None

    async def _close(self) -> None:
        self._unbind()
        await self._stop_companion()
        if self._metrics is not None:
            await self._metrics.stop()
            self._metrics = None
        for endpoint in self.quic:
            endpoint.close()
        for endpoint in self.quic:
            await endpoint.wait_closed()
        self.quic.clear()
        await self._lifespan.stop()
