from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from quicxdp.admission import Admission, Retry
from quicxdp.asgi.lifespan import LifespanMode
from tests.asgi.apps import echo
from tests.asgi.conftest import http1

if TYPE_CHECKING:
    from pathlib import Path

    from quicxdp.asgi.types import Receive, Scope, Send
    from tests.asgi.conftest import Connect, ServeApp


_OFF = LifespanMode.OFF


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
