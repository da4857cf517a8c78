"""The server of `quicxdp bench`: `quicxdp serve --bench-endpoint` as a child process.

It answers lines on standard input: "totals" with its counters; the end of the input ends
it.  Its session tickets are good for one connection each, so that resumption and 0-RTT
can be measured as a careful server offers them.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import json
import logging
import sys
from collections import OrderedDict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration

import quicxdp
from quicxdp.errors import QuicxdpError

from .exits import sentence
from .h3_server import STREAM_WINDOW_BYTES, H3ServerProtocol
from .h3_state import ServerState
from .options import (
    LOOPS,
    add_engine_option,
    add_io_options,
    new_event_loop,
    xdp_options,
)
from .responder import Responder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aioquic.tls import SessionTicket

    from quicxdp.server import QuicServer

# Of sessions that may be resumed; the oldest make room.
_TICKET_CNT_MAX: Final = 10_000
_IDLE_TIMEOUT_S: Final = 60.0


class Tickets:
    """Sessions that may be resumed, once each (RFC 8446 section 8.1)."""

    def __init__(self, cnt_max: int = _TICKET_CNT_MAX) -> None:
        self._cnt_max = cnt_max
        self._by_label: OrderedDict[bytes, SessionTicket] = OrderedDict()

    def add(self, ticket: SessionTicket) -> None:
        """Remember a session."""
        self._by_label[ticket.ticket] = ticket
        if len(self._by_label) > self._cnt_max:
            self._by_label.popitem(last=False)

    def take(self, label: bytes) -> SessionTicket | None:
        """Return the session of a ticket, and forget it."""
        return self._by_label.pop(label, None)


def parser() -> argparse.ArgumentParser:
    """Return the options, which `bench` gives."""
    out = argparse.ArgumentParser(prog="quicxdp bench (its server)")
    out.add_argument("--host", required=True)
    out.add_argument("--port", type=int, default=0)
    out.add_argument("--certfile", required=True)
    out.add_argument("--keyfile", required=True)
    add_io_options(out)
    add_engine_option(out)
    out.add_argument("--congestion-control", default="reno")
    out.add_argument("--loop", choices=LOOPS, default="auto")
    return out


async def serve(options: argparse.Namespace) -> None:
    """Serve until the input ends."""
    configuration = QuicConfiguration(
        is_client=False,
        alpn_protocols=list(H3_ALPN),
        idle_timeout=_IDLE_TIMEOUT_S,
        max_stream_data=STREAM_WINDOW_BYTES,
        congestion_control_algorithm=options.congestion_control,
    )
    configuration.load_cert_chain(options.certfile, options.keyfile)
    tickets = Tickets()
    state = ServerState(Responder(None, with_bench=True), open_files_max=1)
    server = await quicxdp.serve(
        options.host,
        options.port,
        configuration=configuration,
        create_protocol=functools.partial(H3ServerProtocol, state=state),
        session_ticket_fetcher=tickets.take,
        session_ticket_handler=tickets.add,
        io=options.io,
        interface=options.interface,
        xdp=xdp_options(options),
        spin_us=options.spin,
        engine=options.engine,
        # All clients come from one address, and what is measured is not that limit.
        new_per_prefix=0,
    )
    gc.collect()
    gc.freeze()
    say({**_about(server), "loop": type(asyncio.get_running_loop()).__module__})
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    while await lines.readline():
        say(_totals(server, state))
    server.close()
    await server.wait_closed()


def say(told: dict[str, Any]) -> None:
    """Print a line of JSON."""
    print(json.dumps(told), flush=True)


def _about(server: QuicServer) -> dict[str, Any]:
    info = server.transport.get_extra_info("quicxdp")
    return {
        "port": server.transport.get_extra_info("sockname")[1],
        "io": info.io.value,
        "io_reason": info.reason,
        "engine": info.engine.value,
        "engine_reason": info.engine_reason,
    }


def _totals(server: QuicServer, state: ServerState) -> dict[str, Any]:
    stats = server.transport.get_extra_info("quicxdp").stats()
    return {
        "lanes": {name: asdict(lane) for name, lane in stats.lanes.items()},
        "requests": state.request_cnt,
        "connections": len(state.connections),
    }


def main(words: Sequence[str] | None = None) -> int:
    """Serve, or say in one line of JSON why not."""
    options = parser().parse_args(words)
    logging.disable(logging.CRITICAL)
    try:
        with asyncio.Runner(loop_factory=new_event_loop(options.loop)) as runner:
            runner.run(serve(options))
    except (QuicxdpError, OSError) as error:
        say({"error": sentence(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
