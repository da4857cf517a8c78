"""quicxdp: QUIC and HTTP/3 for Python, on AF_XDP and batched UDP sockets.

transport, protocol = await quicxdp.create_datagram_endpoint(Protocol, local_addr=...)
server = await quicxdp.serve(host, port, configuration=...)
async with quicxdp.connect(host, port, configuration=...) as protocol: ...
async with quicxdp.Server(quicxdp.ServerConfig(app=..., ssl_certfile=...)): ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .capture import Capture
from .config import EngineKind, Io, XdpMode, XdpOptions
from .endpoint import create_datagram_endpoint
from .errors import (
    ConfigError,
    DatapathError,
    LocalProtocolError,
    ProtocolError,
    QuicxdpError,
    RemoteProtocolError,
    UnavailableError,
)

if TYPE_CHECKING:
    from .asgi.config import ServerConfig
    from .asgi.server import Server
    from .client import connect
    from .server import QuicServer, serve

__version__ = "0.1.0"

__all__ = [
    "Capture",
    "ConfigError",
    "DatapathError",
    "EngineKind",
    "Io",
    "LocalProtocolError",
    "ProtocolError",
    "QuicServer",
    "QuicxdpError",
    "RemoteProtocolError",
    "Server",
    "ServerConfig",
    "UnavailableError",
    "XdpMode",
    "XdpOptions",
    "connect",
    "create_datagram_endpoint",
    "serve",
]

# These need aioquic, which takes 0.1 s to import; plain UDP users should not wait for it.
_NEEDS_AIOQUIC = {
    "QuicServer": "server",
    "Server": "asgi.server",
    "ServerConfig": "asgi.config",
    "connect": "client",
    "serve": "server",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    module = _NEEDS_AIOQUIC.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"{__name__}.{module}"), name)
