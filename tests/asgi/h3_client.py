"""A client on the HTTP/3 layer itself, for what `quicxdp fetch` has no use for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic import events as quic_events

import quicxdp
from quicxdp import h3
from tests.cli.conftest import client_configuration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CONFIG = h3.H3Config(connect_protocol=True, datagrams=True, webtransport=True)


class H3Client(QuicConnectionProtocol):
    """Collects events by stream."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.h3: h3.Connection | None = None
        self.settings: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.events: dict[int, asyncio.Queue[Any]] = {}

    def queue(self, stream_id: int) -> asyncio.Queue[Any]:
        """Return where events of a stream go."""
        return self.events.setdefault(stream_id, asyncio.Queue())

    def open_tunnel(self, protocol: bytes, path: bytes = b"/", *fields: Any) -> int:  # noqa: ANN401
        """Send an extended CONNECT; return its stream."""
        assert self.h3 is not None
        head = [
            (b":method", b"CONNECT"),
            (b":protocol", protocol),
            (b":scheme", b"https"),
            (b":authority", b"localhost"),
            (b":path", path),
        ]
        stream_id = self.h3.send_request([*head, *fields], end=False)
        self.transmit()
        return stream_id

    def transmit(self) -> None:
        """Sort events, then send."""
        if self.h3 is not None:
            for event in self.h3.take_events():
                if isinstance(event, h3.SettingsReceived):
                    self.settings.set_result(event.settings)
                elif isinstance(event, h3.SendingStopped):
                    pass  # of a request that is answered already
                elif (stream_id := getattr(event, "stream_id", None)) is not None:
                    self.queue(stream_id).put_nowait(event)
        super().transmit()

    def quic_event_received(self, event: quic_events.QuicEvent) -> None:
        """Hand an event to HTTP/3."""
        if isinstance(event, quic_events.ProtocolNegotiated):
            self.h3 = h3.Connection(self._quic, is_client=True, config=CONFIG)
        elif self.h3 is None:
            return
        elif isinstance(event, quic_events.StreamDataReceived):
            self.h3.receive(event.stream_id, event.data, event.end_stream)
        elif isinstance(event, quic_events.StreamReset):
            self.h3.receive_reset(event.stream_id, event.error_code)
        elif isinstance(event, quic_events.StopSendingReceived):
            self.h3.receive_stop(event.stream_id, event.error_code)
        elif isinstance(event, quic_events.DatagramFrameReceived):
            self.h3.receive_datagram(event.data)


@asynccontextmanager
async def h3_client(port: int, pki: Path) -> AsyncIterator[H3Client]:
    """Connect to a port of 127.0.0.1, and wait for the server's settings."""
    configuration = client_configuration(pki)
    configuration.max_datagram_frame_size = 65536
    async with quicxdp.connect(
        "127.0.0.1", port, configuration=configuration, create_protocol=H3Client
    ) as client:
        assert isinstance(client, H3Client)
        await client.settings
        yield client
