from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from quicxdp import h3
from quicxdp.asgi.lifespan import LifespanMode
from tests.asgi.h3_client import h3_client

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from quicxdp.asgi.types import Receive, Scope, Send
    from tests.asgi.conftest import Connect, ServeApp


_OFF = LifespanMode.OFF


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


def test_who_connects_while_the_server_stops_is_sent_elsewhere(
    serve_app: ServeApp, connect: Connect, pki: Path
) -> None:
    """By GOAWAY, so that a request is repeated at once and not lost with the server."""

    async def run() -> None:
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            arrived.set()
            await go_on.wait()
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})

        async with (
            serve_app(app, lifespan=_OFF, timeout_graceful_shutdown=60.0) as server,
            connect(server.port) as client,
        ):
            response = client.send("/")
            await arrived.wait()
            stopping = asyncio.ensure_future(server.stop())
            async with h3_client(server.port, pki) as late:
                assert await late.queue(0).get() == h3.GoawayReceived(0)
            go_on.set()
            assert (await client.answer(response)).status == 200
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
