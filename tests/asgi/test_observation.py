from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import pytest

from quicxdp.asgi.access import AccessFormat
from tests.asgi.apps import echo
from tests.asgi.conftest import http1

if TYPE_CHECKING:
    from pathlib import Path

    from tests.asgi.conftest import Connect, ServeApp


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
            await http1(server.port, pki, "/", "POST", b"body")
        # After the stop: TCP's is accounted for when its client has it already.
        assert server.hub.counts.request_bytes == 4

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
        told = json.loads(over_tcp)
        assert told["protocol"] == "HTTP/1.1"
        assert (told["received_bytes"], told["sent_bytes"]) == (4, 4)
    else:
        assert '"GET /a' in over_quic
        assert 'HTTP/3" 200 0 bytes' in over_quic
        assert "lane=socket rtt=" in over_quic
        assert 'HTTP/1.1" 200' in over_tcp


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
