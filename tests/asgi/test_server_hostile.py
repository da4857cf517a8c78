"""What a hostile client may do to a whole server, and that others are served on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from quicxdp.aioquic_shim_streams import ending
from quicxdp.asgi.connection import H3_CONFIG
from quicxdp.asgi.lifespan import LifespanMode
from quicxdp.h3 import ErrorCode, ResponseReceived
from tests.asgi.h3_client import h3_client

if TYPE_CHECKING:
    from pathlib import Path

    from quicxdp.asgi.types import Receive, Scope, Send
    from quicxdp.h3 import Fields
    from tests.asgi.conftest import Connect, ServeApp

GET: Fields = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"localhost"),
    (b":path", b"/slow"),
]


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once, or, at /slow, wait until the client has gone."""
    if scope["path"] == "/slow":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body"})


def test_a_client_that_cancels_and_cancels_is_closed_and_costs_nobody_else(
    serve_app: ServeApp, connect: Connect, pki: Path
) -> None:
    """CVE-2023-44487: a request that is reset at once is work all the same."""
    most = H3_CONFIG.cancelled_max

    async def run() -> None:
        async with (
            serve_app(slow, lifespan=LifespanMode.OFF) as server,
            connect(server.port) as other,
        ):
            async with h3_client(server.port, pki) as client:
                assert client.h3 is not None
                for _ in range(most + 1):
                    stream_id = client.h3.send_request(GET)
                    client.transmit()
                    client.h3.reset(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
                    client.h3.stop(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
                    client.transmit()
                await client.wait_closed()
                over = ending(client._quic)
                assert over is not None
                assert over.event.error_code == ErrorCode.H3_EXCESSIVE_LOAD
            assert (await other.get("/")).status == 200
            assert server.hub.active_cnt == 0
            assert server.hub.counts.requests <= most + 2

    asyncio.run(run())


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param([(b"x", b"y" * 17_000)], id="one-long"),
        # A byte each on the way, by QPACK's static table.
        pytest.param([(b"accept", b"*/*")] * 500, id="many-of-a-byte"),
    ],
)
def test_more_header_than_allowed_is_answered_without_asking_the_application(
    serve_app: ServeApp, pki: Path, bomb: Fields
) -> None:
    """431 by the server, and the connection goes on with what is of a decent size."""

    async def run() -> None:
        async with (
            serve_app(slow, lifespan=LifespanMode.OFF) as server,
            h3_client(server.port, pki) as client,
        ):
            assert client.h3 is not None
            statuses = []
            for fields in ([*GET, *bomb], [*GET[:3], (b":path", b"/")]):
                stream_id = client.h3.send_request(fields)
                client.transmit()
                head = await client.queue(stream_id).get()
                assert isinstance(head, ResponseReceived)
                statuses.append(head.status)
            assert statuses == [431, 200]
            assert server.hub.counts.responses == {("3", 4): 1, ("3", 2): 1}

    asyncio.run(run())
