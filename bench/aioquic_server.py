"""Unmodified aioquic behind four transports, for bench_transport.py.

GET /N answers with N bytes, anything with a body is read to its end and answered 200.
Says "ready" on stdout; a line on stdin is answered with a JSON object of the totals.
"""

from __future__ import annotations

import gc
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import servers
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve as aioquic_serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, QuicEvent

if TYPE_CHECKING:
    import argparse


@dataclass(slots=True)
class Totals:
    """What all connections of this process have moved."""

    connections: int = 0
    requests: int = 0
    body_bytes_in: int = 0
    body_bytes_out: int = 0


TOTALS = Totals()


class BenchProtocol(QuicConnectionProtocol):
    """The least HTTP/3 server that moves one large body either way."""

    def __init__(self, *args: Any, **keywords: Any) -> None:  # noqa: ANN401  (aioquic's)
        super().__init__(*args, **keywords)
        self._http: H3Connection | None = None
        self._answer_bytes: dict[int, int] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        """Feed HTTP/3."""
        if isinstance(event, ProtocolNegotiated):
            TOTALS.connections += 1
            self._http = H3Connection(self._quic)
        if self._http is not None:
            for http_event in self._http.handle_event(event):
                self._http_event_received(http_event)

    def _http_event_received(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            path = dict(event.headers).get(b":path", b"/").decode("ascii")
            digits = path.rpartition("/")[2]
            self._answer_bytes[event.stream_id] = int(digits) if digits.isdigit() else 0
        if isinstance(event, DataReceived):
            TOTALS.body_bytes_in += len(event.data)
        if isinstance(event, HeadersReceived | DataReceived) and event.stream_ended:
            self._answer(event.stream_id, self._answer_bytes.pop(event.stream_id, 0))

    def _answer(self, stream_id: int, body_bytes: int) -> None:
        assert self._http is not None
        length = str(body_bytes).encode("ascii")
        headers = [(b":status", b"200"), (b"content-length", length)]
        self._http.send_headers(stream_id, headers)
        self._http.send_data(stream_id, bytes(body_bytes), end_stream=True)
        TOTALS.requests += 1
        TOTALS.body_bytes_out += body_bytes


async def serve(options: argparse.Namespace) -> None:
    """Serve until stdin ends."""
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=False)
    configuration.load_cert_chain(options.certificate, options.private_key)
    ours = servers.quicxdp_options(options)
    if ours is None:
        await aioquic_serve(
            options.host,
            options.port,
            configuration=configuration,
            create_protocol=BenchProtocol,
        )
    else:
        import quicxdp  # noqa: PLC0415  (aioquic's own transport is measured without it)

        await quicxdp.serve(
            options.host,
            options.port,
            configuration=configuration,
            create_protocol=BenchProtocol,
            engine="aioquic",  # what carries its datagrams is compared
            **ours,
        )
    gc.collect()
    gc.freeze()
    servers.say_ready()
    async for _ in servers.stdin_lines():
        print(json.dumps(asdict(TOTALS)), flush=True)


def main() -> None:
    """Parse the command line and serve."""
    parser = servers.parser(__doc__)
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--private-key", required=True)
    servers.run(serve, parser.parse_args())


if __name__ == "__main__":
    main()
