"""Servers and clients on loopback, in this process, for the command line's tests."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import pytest
from aioquic.quic.configuration import QuicConfiguration

import quicxdp
from quicxdp import certificate
from quicxdp.cli import cert
from quicxdp.cli.dial import DialOptions, dial
from quicxdp.cli.h3_client import WINDOW_BYTES, H3ClientProtocol, Response
from quicxdp.cli.h3_server import STREAM_WINDOW_BYTES, H3ServerProtocol
from quicxdp.cli.h3_state import ServerState
from quicxdp.cli.responder import Responder
from quicxdp.cli.static_files import FileRoot
from quicxdp.config import EngineKind, Io
from tests.cli.processes import Running, options, running

if TYPE_CHECKING:
    from pathlib import Path

    from quicxdp.cli.body import Body


@pytest.fixture(autouse=True)
def logging_as_before() -> Generator[None]:
    """Undo what commands do to logging, which would stay for all tests after them."""
    loggers = [logging.getLogger(), *map(logging.getLogger, ("quic", "quicxdp.endpoint"))]
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with ca.pem, cert.pem and key.pem for localhost."""
    folder = tmp_path_factory.mktemp("pki")
    names = [cert._name(name) for name in cert.DEFAULT_NAMES]
    cert.write(cert.issue(names, datetime.now(UTC)), folder, force=False)
    return folder


def server_configuration(pki: Path) -> QuicConfiguration:
    """Configure a server as `quicxdp serve` does."""
    loaded = certificate.load(pki / "cert.pem", pki / "key.pem", certificate.utc_now())
    return QuicConfiguration(
        is_client=False,
        alpn_protocols=["h3"],
        certificate=loaded.leaf,
        private_key=loaded.key,
        max_stream_data=STREAM_WINDOW_BYTES,
    )


def client_configuration(pki: Path) -> QuicConfiguration:
    """Configure a client as `quicxdp fetch` does."""
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=["h3"],
        max_data=WINDOW_BYTES,
        max_stream_data=WINDOW_BYTES,
        server_name="localhost",
        verify_mode=ssl.CERT_REQUIRED,
    )
    configuration.load_verify_locations(cafile=str(pki / "ca.pem"))
    return configuration


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop go round until something has happened."""
    while not condition():  # noqa: ASYNC110  (nobody tells; pytest-timeout ends it)
        await asyncio.sleep(0)


@dataclass
class Served:
    """A running server."""

    port: int
    state: ServerState


class Serve(Protocol):
    """What the fixture `serve` returns."""

    def __call__(
        self,
        root: Path | None,
        *,
        listing: bool = False,
        bench: bool = False,
        open_files_max: int = 100,
    ) -> AbstractAsyncContextManager[Served]:
        """Serve a folder."""


@pytest.fixture(params=[EngineKind.NATIVE, EngineKind.AIOQUIC], ids=lambda e: e.value)
def engine(request: pytest.FixtureRequest) -> EngineKind:
    """Return who handles the packets of our side's connections."""
    kind: EngineKind = request.param
    return kind


@pytest.fixture
def serve(pki: Path, engine: EngineKind) -> Serve:
    """Return what starts a server on 127.0.0.1, on either engine."""

    @asynccontextmanager
    async def start(
        root: Path | None,
        *,
        listing: bool = False,
        bench: bool = False,
        open_files_max: int = 100,
    ) -> AsyncIterator[Served]:
        async with AsyncExitStack() as stack:
            held = None if root is None else stack.enter_context(FileRoot(root))
            responder = Responder(held, with_listing=listing, with_bench=bench)
            state = ServerState(responder, open_files_max=open_files_max)
            server = await quicxdp.serve(
                "127.0.0.1",
                0,
                configuration=server_configuration(pki),
                create_protocol=functools.partial(H3ServerProtocol, state=state),
                engine=engine,
            )
            try:
                yield Served(server.transport.get_extra_info("sockname")[1], state)
            finally:
                server.close()
                await server.wait_closed()
            assert state.open_file_cnt == 0

    return start


@dataclass
class Answer:
    """A whole response."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes


@dataclass
class Client:
    """A connection to a server, with the calls that tests want."""

    protocol: H3ClientProtocol

    def send(
        self,
        path: str,
        method: str = "GET",
        *,
        body: Body | None = None,
        pseudo: dict[bytes, bytes | None] | None = None,
        **fields: str,
    ) -> Response:
        """Send a request, fields named with underscores."""
        sent: dict[bytes, bytes | None] = {
            b":method": method.encode(),
            b":scheme": b"https",
            b":authority": b"localhost",
            b":path": path.encode(),
            **(pseudo or {}),
        }
        headers = [(name, value) for name, value in sent.items() if value is not None]
        headers += [
            (name.replace("_", "-").encode(), value.encode())
            for name, value in fields.items()
        ]
        may_be_empty = method == "HEAD" or any(name.startswith("if_") for name in fields)
        return self.protocol.send_request(headers, body, may_be_empty=may_be_empty)

    async def answer(self, response: Response) -> Answer:
        """Read a response to its end."""
        head = dict(await response.head)
        body = b""
        while data := await self.protocol.read(response):
            body += data
            self.protocol.used(response, len(data))
        self.protocol.finish(response)
        return Answer(int(head[b":status"]), head, body)

    async def get(self, path: str, method: str = "GET", **fields: str) -> Answer:
        """Send a request and read its answer."""
        return await self.answer(
            self.send(path, method, body=None, pseudo=None, **fields)
        )


Connect = Callable[[int], AbstractAsyncContextManager[Client]]


@pytest.fixture
def connect(pki: Path, engine: EngineKind) -> Connect:
    """Return what connects to a port of 127.0.0.1, on either engine."""

    @asynccontextmanager
    async def start(port: int) -> AsyncIterator[Client]:
        options = DialOptions(Io.AUTO, None, socket.AF_UNSPEC, 5.0, engine)
        connection = await dial("127.0.0.1", port, client_configuration(pki), options)
        try:
            yield Client(connection.protocol)
        finally:
            await connection.close()

    return start


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Make a folder with files of all sizes."""
    root = tmp_path / "www"
    (root / "sub").mkdir(parents=True)
    (root / "folder & co").mkdir()
    (root / "index.html").write_text("<h1>start</h1>")
    (root / "sub" / "file.txt").write_text("0123456789" * 10)
    (root / "big.bin").write_bytes(bytes(range(256)) * 8192)
    (root / "empty").write_bytes(b"")
    (root / ".hidden").write_text("hidden")
    (root / "out").symlink_to("/etc/passwd")
    return root


@pytest.fixture(scope="module")
def module_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder for the server that all tests of this module share."""
    root = tmp_path_factory.mktemp("www")
    (root / "index.html").write_text("<h1>start</h1>\n")
    (root / "data.bin").write_bytes(os.urandom(3_000_000))
    return root


@pytest.fixture(scope="module")
def server(pki: Path, module_site: Path) -> Generator[Running]:
    """Run one server for all tests that only fetch."""
    with running(str(module_site), "--bench-endpoint", *options(pki)) as started:
        yield started
