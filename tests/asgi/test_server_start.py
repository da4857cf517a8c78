from __future__ import annotations

import asyncio
import shutil
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from quicxdp.asgi.config import ServerConfig
from quicxdp.asgi.server import Server
from quicxdp.cli import cert
from quicxdp.errors import ApplicationError, ConfigError, DatapathError
from tests.asgi.apps import echo
from tests.asgi.conftest import http1
from tests.asgi.h3_client import h3_client

if TYPE_CHECKING:
    from pathlib import Path

    from quicxdp.asgi.types import Receive, Scope, Send
    from tests.asgi.conftest import ServeApp


async def fails_to_start(_scope: Scope, receive: Receive, send: Send) -> None:
    """Have no database."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


def test_what_hinders_the_start_leaves_nothing_open(pki: Path) -> None:
    """A supervisor may try again at once."""

    async def start(**options: object) -> None:
        known = {
            "app": echo,
            "host": ("127.0.0.1",),
            "port": 0,
            "ssl_certfile": pki / "cert.pem",
            "ssl_keyfile": pki / "key.pem",
            **options,
        }
        async with Server(ServerConfig(**known)):  # type: ignore[arg-type]
            raise AssertionError("it has started")

    async def run() -> None:
        with pytest.raises(ApplicationError, match="no database"):
            await start(app=fails_to_start)
        with pytest.raises(ApplicationError, match="no module"):
            await start(app="qx_absent:app")
        with pytest.raises(ConfigError, match="no certificate file"):
            await start(ssl_certfile=pki / "absent.pem")
        with pytest.raises(ConfigError, match="neither an address nor a name"):
            await start(host=("no such host",))
        with (
            socket.create_server(("127.0.0.1", 0)) as taken,
            pytest.raises(DatapathError, match="TCP port"),
        ):
            await start(port=taken.getsockname()[1])

    asyncio.run(run())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"port": 65536}, "no port"),
        ({"limit_concurrency": 0}, "nobody"),
        ({"root_path": "x"}, "slash"),
        ({"factory": True}, "name"),
    ],
)
def test_options_without_meaning_are_refused(
    pki: Path, options: dict[str, object], told: str
) -> None:
    """At the start, with what is wrong."""
    with pytest.raises(ConfigError, match=told):
        ServerConfig(app=echo, ssl_certfile=pki / "cert.pem", **options)  # type: ignore[arg-type]


def weak_certificate() -> bytes:
    """Return a certificate with a key that is too small to be part of a chain."""
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505  (that is the point)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "weak")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def test_a_renewed_certificate_is_shown_to_new_connections_of_both_transports(
    serve_app: ServeApp, pki: Path, tmp_path: Path
) -> None:
    """A certificate of ninety days costs no restart, and a broken one nothing."""
    before, after = tmp_path / "before", tmp_path / "after"
    shutil.copytree(pki, before)
    names = [cert._name(name) for name in cert.DEFAULT_NAMES]
    cert.write(cert.issue(names, datetime.now(UTC)), after, force=False)
    paths = {
        "ssl_certfile": before / "cert.pem",
        "ssl_keyfile": before / "key.pem",
        "http3_only": False,
    }

    async def answers(server: Server, ca: Path) -> bool:
        async with h3_client(server.port, ca):
            return (await http1(server.port, ca))[0] == 200

    async def run() -> None:
        async with serve_app(echo, **paths) as server:
            async with h3_client(server.port, pki) as client:
                for name in ("cert.pem", "key.pem"):
                    shutil.copy(after / name, before / name)
                server.reload_certificate()
                assert await answers(server, after)
                # The connection from before goes on.
                await client.ping()
            (before / "cert.pem").write_text("half a file")
            with pytest.raises(ConfigError, match="no certificate"):
                server.reload_certificate()
            assert await answers(server, after)
            # Whole, and yet OpenSSL does not take it, having taken half of it already.
            for name in ("cert.pem", "key.pem"):
                shutil.copy(pki / name, before / name)
            with (before / "cert.pem").open("ab") as file:
                file.write(weak_certificate())
            with pytest.raises(ConfigError, match="OpenSSL does not take"):
                server.reload_certificate()
            assert await answers(server, after)

    asyncio.run(run())
