"""What a server is asked for; names are uvicorn's where it has the option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from quicxdp.admission import DEFAULT, Admission
from quicxdp.config import ENGINE_DEFAULT, EngineKind, Io
from quicxdp.errors import ConfigError

from .access import AccessFormat
from .lifespan import LifespanMode

if TYPE_CHECKING:
    from pathlib import Path

    from .types import App

LOCALHOST: Final = ("127.0.0.1", "::1")
DEFAULT_PORT: Final = 4433
_PORT_MAX: Final = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """An application and how to serve it.

    Attributes:
        app: the application, or its name as in ``package.module:app``.
        factory: the name is that of a function which returns the application.
        app_dir: where its module is looked for first; the current folder if None.
        lifespan: whether the application takes part in startup and shutdown.
        root_path: the path that a proxy in front has taken off.
        host: addresses or names to listen on; empty for 127.0.0.1 and, if the machine has
            it, ::1.
        port: of UDP and TCP; 0 lets the kernel choose.
        ssl_certfile: PEM, the certificate and its chain.
        ssl_keyfile: PEM; None if the key is in *ssl_certfile*.
        ssl_keyfile_password: of the key, if it is encrypted.
        http3_only: no companion for HTTP/1.1 and HTTP/2 on the TCP port.
        admission: how many connections and handshakes there may be, and when clients must
            prove their address.
        limit_concurrency: answer 503 when so many applications run already.
        timeout_graceful_shutdown: seconds that answers under way may take after a stop.
        access_log: write a line for every request to the logger ``quicxdp.access``.
        access_log_format: as text or as JSON.
        metrics_host: where Prometheus finds the metrics, over plain HTTP/1.1.
        metrics_port: of TCP; 0 lets the kernel choose, None leaves metrics out.
    """

    app: App | str
    factory: bool = False
    app_dir: Path | None = None
    lifespan: LifespanMode = LifespanMode.AUTO
    root_path: str = ""
    host: tuple[str, ...] = ()
    port: int = DEFAULT_PORT
    ssl_certfile: Path
    ssl_keyfile: Path | None = None
    ssl_keyfile_password: str | None = None
    http3_only: bool = False
    io: Io = Io.AUTO
    interface: str | None = None
    engine: EngineKind = ENGINE_DEFAULT
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    admission: Admission = DEFAULT
    limit_concurrency: int | None = None
    timeout_graceful_shutdown: float = 5.0
    access_log: bool = False
    access_log_format: AccessFormat = AccessFormat.TEXT
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= _PORT_MAX:
            raise ConfigError(f"port={self.port} is no port; one is 0 to {_PORT_MAX}")
        if self.limit_concurrency is not None and self.limit_concurrency < 1:
            raise ConfigError(
                f"limit_concurrency={self.limit_concurrency} would answer nobody"
            )
        if self.root_path and not self.root_path.startswith("/"):
            raise ConfigError(f"root_path={self.root_path!r} must begin with a slash")
        # "/api/" and "/x" are "/api/x".
        object.__setattr__(self, "root_path", self.root_path.rstrip("/"))
        if self.factory and not isinstance(self.app, str):
            raise ConfigError("factory=True goes with the name of an application")
