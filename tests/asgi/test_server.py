from __future__ import annotations

import asyncio
import contextlib
import contextvars
from typing import TYPE_CHECKING

import pytest

import quicxdp
from quicxdp.aioquic_shim_streams import unsent_bytes
from quicxdp.asgi.exchange import AHEAD_BYTES
from quicxdp.asgi.lifespan import LifespanMode
from quicxdp.cli.body import Body
from quicxdp.cli.exits import CommandError
from tests.asgi.apps import echo
from tests.asgi.conftest import http1

if TYPE_CHECKING:
    from pathlib import Path

    from quicxdp.asgi.types import Receive, Scope, Send
    from tests.asgi.conftest import Connect, ServeApp


_OFF = LifespanMode.OFF


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
