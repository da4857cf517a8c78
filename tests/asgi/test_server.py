from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import logging
import shutil
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

import quicxdp
from quicxdp.admission import Admission, Retry
from quicxdp.aioquic_shim_streams import unsent_bytes
from quicxdp.asgi.access import AccessFormat
from quicxdp.asgi.config import ServerConfig
from quicxdp.asgi.exchange import AHEAD_BYTES
from quicxdp.asgi.lifespan import LifespanMode
from quicxdp.asgi.server import Server
from quicxdp.cli import cert
from quicxdp.cli.body import Body
from quicxdp.cli.exits import CommandError
from quicxdp.errors import ApplicationError, ConfigError, DatapathError
from tests.asgi.conftest import ServeApp, http1
from tests.asgi.h3_client import h3_client

if TYPE_CHECKING:
    from pathlib import Path

    from quicxdp.asgi.types import Receive, Scope, Send
    from tests.asgi.conftest import Connect


_OFF = LifespanMode.OFF


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what was sent, and what the scope says."""
    if scope["type"] != "http":
        raise NotImplementedError
    content = b""
    more = True
    while more:
        message = await receive()
        content += message["body"]
        more = message["more_body"]
    said = f"{scope['http_version']} {scope['path']} {scope['state']}"
    headers = [
        (b"content-length", b"%d" % len(content)),
        (b"x-scope", said.encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def test_a_server_is_made_of_names_of_the_package(pki: Path) -> None:
    """As the documentation has it, in a program of somebody else."""

    async def run() -> None:
        config = quicxdp.ServerConfig(
            app=echo,
            port=0,
            ssl_certfile=pki / "cert.pem",
            ssl_keyfile=pki / "key.pem",
        )
        async with quicxdp.Server(config) as server:
            assert (await http1(server.port, pki))[0] == 200

    asyncio.run(run())


def test_requests_are_answered_on_either_engine(
    serve_app: ServeApp, connect: Connect
) -> None:
    """The first thing that everybody tries."""

    async def run() -> None:
        async with serve_app(echo) as server, connect(server.port) as client:
            answer = await client.get("/path?query")
            assert (answer.status, answer.body) == (200, b"")
            assert answer.fields[b"x-scope"] == b"3 /path {}"
            assert b"date" in answer.fields
            sent = bytes(range(256)) * 4096
            answers = await asyncio.gather(
                *(
                    client.answer(client.send(f"/{n}", "POST", body=Body((sent,))))
                    for n in range(4)
                )
            )
            assert all(answer.body == sent for answer in answers)
            assert server.hub.counts.responses == {("3", 2): 5}

    asyncio.run(run())


def test_an_applications_server_has_the_limits_that_were_asked_for(
    serve_app: ServeApp, connect: Connect
) -> None:
    """Whoever serves an application is flooded like anybody else."""

    async def run() -> None:
        limits = Admission(max_handshakes=3, retry=Retry.ALWAYS)
        async with (
            serve_app(echo, admission=limits) as server,
            connect(server.port) as client,
        ):
            assert (await client.get("/")).status == 200
            stats = server.quic[0].admission_stats
            assert (stats.retries_sent, stats.tokens_valid) == (1, 1)

    asyncio.run(run())


async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
    """Count lifespans, and answer as `echo`."""
    if scope["type"] == "lifespan":
        scope["state"]["started"] = scope["state"].get("started", 0) + 1
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await echo(scope, receive, send)


def test_tcp_serves_the_same_application_and_leads_to_http3(
    serve_app: ServeApp, connect: Connect, pki: Path
) -> None:
    """A browser finds HTTP/3 only so; and a pool is opened once, not once a protocol."""

    async def run() -> None:
        async with serve_app(with_state, http3_only=False, root_path="/r/") as server:
            status, fields, content = await http1(server.port, pki, "/a", "POST", b"body")
            assert (status, content) == (200, b"body")
            assert fields["alt-svc"] == f'h3=":{server.port}"; ma=86400'
            assert fields["x-scope"] == "1.1 /r/a {'started': 1}"
            async with connect(server.port) as client:
                answer = await client.get("/a")
                assert answer.fields[b"x-scope"] == b"3 /r/a {'started': 1}"
            assert server.hub.counts.responses == {("1.1", 2): 1, ("3", 2): 1}

    asyncio.run(run())


def test_an_application_runs_in_a_task_of_its_own(
    serve_app: ServeApp, connect: Connect
) -> None:
    """Timeouts, cancellation and context variables are as under uvicorn."""
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        variable.set(variable.get() + 1)
        task = asyncio.current_task()
        assert task is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        assert asyncio.current_task() is task
        await send({"type": "http.response.start", "status": 200})
        content = b"%d" % variable.get()
        await send({"type": "http.response.body", "body": content})

    async def run() -> None:
        async with (
            serve_app(app, lifespan=_OFF) as server,
            connect(server.port) as client,
        ):
            assert [(await client.get("/")).body for _ in range(2)] == [b"1", b"1"]

    asyncio.run(run())


def test_a_busy_server_says_so_and_serves_those_it_has(
    serve_app: ServeApp, connect: Connect, pki: Path
) -> None:
    """--limit-concurrency: 503 instead of a queue without end."""

    async def run() -> None:
        go_on = asyncio.Event()

        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            await go_on.wait()
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})

        async with (
            serve_app(
                app, limit_concurrency=1, lifespan=_OFF, http3_only=False
            ) as server,
            connect(server.port) as client,
        ):
            first = client.send("/")
            refused = await client.get("/")
            assert refused.status == 503
            assert refused.fields[b"retry-after"] == b"1"
            assert (await http1(server.port, pki))[0] == 503
            go_on.set()
            assert (await client.answer(first)).status == 200
            assert server.hub.counts.refused_busy == 2

    asyncio.run(run())


def test_answers_under_way_are_finished_when_the_server_stops(
    serve_app: ServeApp, connect: Connect
) -> None:
    """A deployment loses no request."""

    async def run() -> None:
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            arrived.set()
            await go_on.wait()
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"late"})

        async with (
            serve_app(app, lifespan=_OFF) as server,
            connect(server.port) as client,
        ):
            response = client.send("/")
            await arrived.wait()
            stopping = asyncio.ensure_future(server.stop())
            await asyncio.sleep(0)
            go_on.set()
            answer = await client.answer(response)
            assert (answer.status, answer.body) == (200, b"late")
            await stopping

    asyncio.run(run())


def test_an_application_that_never_returns_is_cut_off(
    serve_app: ServeApp, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """The server ends when it is told to, whatever the application does."""

    async def run() -> None:
        arrived, cancelled = asyncio.Event(), asyncio.Event()

        async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
            arrived.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async with (
            serve_app(app, lifespan=_OFF, timeout_graceful_shutdown=0.0) as server,
            connect(server.port) as client,
        ):
            client.send("/")
            await arrived.wait()
            await server.stop()
            assert cancelled.is_set()

    asyncio.run(run())
    assert "cut off" in caplog.text


def test_an_application_is_told_that_its_client_has_gone(
    serve_app: ServeApp, connect: Connect
) -> None:
    """A query for nobody can be cancelled."""

    async def run() -> None:
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
            await receive()
            arrived.set_result(None)
            told.set_result((await receive())["type"])

        async with serve_app(app, lifespan=_OFF) as server:
            async with connect(server.port) as client:
                client.send("/")
                await arrived
            assert await told == "http.disconnect"
            assert server.hub.counts.disconnects == 1

    asyncio.run(run())


def test_a_big_answer_is_asked_for_as_it_is_sent(
    serve_app: ServeApp, connect: Connect
) -> None:
    """Back-pressure reaches the application; memory does not grow with the answer."""

    async def run() -> None:
        waiting_bytes: list[int] = []
        piece = bytes(64 * 1024)

        async def app(_scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "http.response.start", "status": 200})
            (connection,) = server.hub.connections
            for _ in range(200):
                await send(
                    {"type": "http.response.body", "body": piece, "more_body": True}
                )
                waiting_bytes.append(unsent_bytes(connection._quic, 0))
            await send({"type": "http.response.body"})

        async with (
            serve_app(app, lifespan=_OFF) as server,
            connect(server.port) as client,
        ):
            answer = await client.get("/")
            assert len(answer.body) == 200 * len(piece)
            assert max(waiting_bytes) <= 2 * AHEAD_BYTES + len(piece)

    asyncio.run(run())


@pytest.mark.parametrize("form", AccessFormat)
def test_the_access_log_tells_protocol_lane_and_rtt(
    serve_app: ServeApp,
    connect: Connect,
    pki: Path,
    caplog: pytest.LogCaptureFixture,
    form: AccessFormat,
) -> None:
    """Which requests came by which way is what one wants to know at first."""

    async def run() -> None:
        options = {"access_log": True, "access_log_format": form, "http3_only": False}
        async with serve_app(echo, **options) as server, connect(server.port) as client:
            await client.get("/a?b")
            await http1(server.port, pki)

    with caplog.at_level(logging.INFO, "quicxdp.access"):
        asyncio.run(run())
    over_quic, over_tcp = (
        r.message for r in caplog.records if r.name == "quicxdp.access"
    )
    if form is AccessFormat.JSON:
        told = json.loads(over_quic)
        assert (told["protocol"], told["status"], told["lane"]) == (
            "HTTP/3",
            200,
            "socket",
        )
        assert told["rtt_ms"] > 0
        assert json.loads(over_tcp)["protocol"] == "HTTP/1.1"
    else:
        assert '"GET /a' in over_quic
        assert 'HTTP/3" 200 0 bytes' in over_quic
        assert "lane=socket rtt=" in over_quic
        assert 'HTTP/1.1" 200' in over_tcp


@pytest.mark.parametrize(
    ("announced", "pieces", "status"),
    [(10, (b"half",), 500), (1, (b"half",), 500), (10, (b"half", b""), None)],
)
def test_an_answer_of_another_length_than_announced_does_not_look_complete(
    serve_app: ServeApp,
    connect: Connect,
    announced: int,
    pieces: tuple[bytes, ...],
    status: int | None,
) -> None:
    """A cache must not keep half a file."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"%d" % announced)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for left, piece in zip(reversed(range(len(pieces))), pieces, strict=True):
            await send(
                {"type": "http.response.body", "body": piece, "more_body": left > 0}
            )

    async def run() -> None:
        async with (
            serve_app(app, lifespan=_OFF) as server,
            connect(server.port) as client,
        ):
            if status is None:
                with pytest.raises(CommandError, match="reset"):
                    await client.get("/")
            else:
                assert (await client.get("/")).status == status

    asyncio.run(run())


async def fails_to_start(_scope: Scope, receive: Receive, send: Send) -> None:
    """Have no database."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


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

    asyncio.run(run())


def test_prometheus_reads_what_was_counted(serve_app: ServeApp, connect: Connect) -> None:
    """Requests by version and status, and what each lane has moved."""

    async def run() -> None:
        async with (
            serve_app(echo, metrics_port=0) as server,
            connect(server.port) as client,
        ):
            await client.get("/")
            assert server.metrics_address is not None
            reader, writer = await asyncio.open_connection(*server.metrics_address)
            writer.write(
                b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            answer = (await reader.read()).decode()
            writer.close()
            await writer.wait_closed()
            assert answer.startswith("HTTP/1.1 200")
            assert 'quicxdp_responses_total{http_version="3",status="2xx"} 1.0' in answer
            assert "quicxdp_open_connections 1.0" in answer
            where = f'address="127.0.0.1:{server.port}"'
            assert f'quicxdp_lane_total{{{where},counter="rx_packets"' in answer

    asyncio.run(run())


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
