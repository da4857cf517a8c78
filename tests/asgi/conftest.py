"""Servers of applications on loopback, in this process, and clients for them."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from quicxdp.asgi.config import ServerConfig
from quicxdp.asgi.server import Server
from tests.cli.conftest import Connect, connect, engine, logging_as_before, pki

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from quicxdp.asgi.types import App
    from quicxdp.config import EngineKind

__all__ = ["Connect", "connect", "engine", "logging_as_before", "pki"]


class ServeApp(Protocol):
    """What the fixture `serve_app` returns."""

    def __call__(
        self,
        app: App | str,
        **options: Any,  # noqa: ANN401
    ) -> AbstractAsyncContextManager[Server]:
        """Serve an application on 127.0.0.1."""


@pytest.fixture
def serve_app(pki: Path, engine: EngineKind) -> ServeApp:
    """Return what starts a server of an application, on either engine."""

    @asynccontextmanager
    async def start(
        app: App | str,
        **options: Any,  # noqa: ANN401
    ) -> AsyncIterator[Server]:
        known: dict[str, Any] = {
            "host": ("127.0.0.1",),
            "port": 0,
            "ssl_certfile": pki / "cert.pem",
            "ssl_keyfile": pki / "key.pem",
            "engine": engine,
            "http3_only": True,
            **options,
        }
        async with Server(ServerConfig(app=app, **known)) as server:
            yield server
        assert server.hub.active_cnt == 0

    return start


def client_context(pki: Path, *protocols: str) -> ssl.SSLContext:
    """Return a context that trusts the test's authority."""
    context = ssl.create_default_context(cafile=str(pki / "ca.pem"))
    context.set_alpn_protocols(list(protocols))
    return context


async def http1(
    port: int, pki: Path, path: str = "/", method: str = "GET", body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    """Send a request over TCP by HTTP/1.1; return status, fields and content."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        port,
        ssl=client_context(pki, "http/1.1"),
        server_hostname="localhost",
    )
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, content = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    fields = {
        name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
    }
    return int(first.split()[1]), fields, content
