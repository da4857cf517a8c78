"""One HTTP/3 server on either engine and any lane, for bench_fastpath.py.

As aioquic_server.py, but a large body goes into one DATA frame and is handed over in
pieces of one immutable object: the copies of H3Connection.send_data would be most of what
an engine in C costs.  Small answers and all that arrives pass through H3Connection.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import sys
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import servers
import turns
import uvloop
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import H3_ALPN, FrameType
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, QuicEvent
from aioquic_server import TOTALS, BenchProtocol

import quicxdp
from quicxdp.bench.machine import openssl_version

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = bytes(1 << 20)

# What handles the packets of the connections so far.
CONNECTION_TYPES: set[str] = set()


class FastpathProtocol(BenchProtocol):
    """The same server with a cheaper way out for a large body."""

    def quic_event_received(self, event: QuicEvent) -> None:
        """Feed HTTP/3."""
        if isinstance(event, ProtocolNegotiated):
            CONNECTION_TYPES.add(type(self._quic).__name__)
        super().quic_event_received(event)

    def _answer(self, stream_id: int, body_bytes: int) -> None:
        if body_bytes <= len(PIECE):
            super()._answer(stream_id, body_bytes)
            return
        assert self._http is not None
        length = str(body_bytes).encode("ascii")
        headers = [(b":status", b"200"), (b"content-length", length)]
        self._http.send_headers(stream_id, headers)
        frame = encode_uint_var(FrameType.DATA) + encode_uint_var(body_bytes)
        self._quic.send_stream_data(stream_id, frame)
        for left in range(body_bytes, 0, -len(PIECE)):
            piece = PIECE if left >= len(PIECE) else PIECE[:left]
            self._quic.send_stream_data(stream_id, piece, left <= len(PIECE))
        TOTALS.requests += 1
        TOTALS.body_bytes_out += body_bytes


async def serve(options: argparse.Namespace, selector: turns.MeteredSelector) -> None:
    """Serve until stdin ends."""
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=False)
    configuration.load_cert_chain(options.certificate, options.private_key)
    server = await quicxdp.serve(
        options.host,
        options.port,
        configuration=configuration,
        create_protocol=FastpathProtocol,
        engine=options.engine,
        io=options.io,
        interface=options.interface,
        retry=options.retry,
    )
    gc.collect()
    gc.freeze()
    if options.busy_thread:
        turns.start_busy_thread()
    servers.say_ready()
    async for line in servers.stdin_lines():
        said = {
            **asdict(TOTALS),
            "connection_types": sorted(CONNECTION_TYPES),
            "openssl": openssl_version(),
            "switch_interval_s": sys.getswitchinterval(),
            "turns": selector.turns,
            "long_waits": selector.long_waits,
            "waited_max_ns": selector.waited_max_ns,
            "admission": server.admission_stats.as_dict(),
        }
        if line.strip() == b"reset":
            selector.reset()
        print(json.dumps(said), flush=True)


def loop_factory(
    options: argparse.Namespace, selector: turns.MeteredSelector
) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop; None for asyncio's default.

    As `quicxdp serve` has it for the engine in C, as aioquic's users have it for aioquic.
    """
    if options.meter_turns:
        return partial(turns.loop_with, selector)
    return uvloop.new_event_loop if options.engine == "native" else None


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--engine", choices=["native", "aioquic"], required=True)
    parser.add_argument("--io", choices=["socket", "xdp", "asyncio"], required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--interface", help="for AF_XDP")
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--private-key", required=True)
    parser.add_argument("--retry", choices=["auto", "always", "never"], default="auto")
    parser.add_argument(
        "--meter-turns", action="store_true", help="report how long they wait"
    )
    parser.add_argument(
        "--busy-thread", action="store_true", help="compute in another thread meanwhile"
    )
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    selector = turns.MeteredSelector(sys.getswitchinterval())
    with asyncio.Runner(loop_factory=loop_factory(options, selector)) as runner:
        runner.run(serve(options, selector))


if __name__ == "__main__":
    main()
