"""Fetch one URL over HTTP/3 with aioquic's own client on asyncio's own sockets.

    aioquic_fetch.py URL CA_FILE OUTPUT [BODY_FILE]

Nothing of quicxdp runs in this process, so it speaks for clients that know nothing of
it.  Writes the body to OUTPUT, prints the status; exit status 0 means a 200.
FETCH_TIMEOUT_S in the environment says when to give up.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent

TIMEOUT_S = float(os.environ["FETCH_TIMEOUT_S"])


class OneRequest(QuicConnectionProtocol):
    """A connection that makes one request and collects the answer."""

    status = ""
    body = b""

    def start(self, url: str, body: bytes | None) -> asyncio.Future[None]:
        """Send the request; the future is done when the response has ended."""
        self._h3 = H3Connection(self._quic)
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parts: list[bytes] = []
        split = urlsplit(url)
        stream_id = self._quic.get_next_available_stream_id()
        self._h3.send_headers(
            stream_id,
            [
                (b":method", b"GET" if body is None else b"POST"),
                (b":scheme", b"https"),
                (b":authority", split.netloc.encode()),
                (b":path", (split.path or "/").encode()),
                (b"user-agent", b"aioquic"),
            ],
            end_stream=body is None,
        )
        if body is not None:
            self._h3.send_data(stream_id, body, end_stream=True)
        self.transmit()
        return self._done

    def quic_event_received(self, event: QuicEvent) -> None:
        """Collect what HTTP/3 makes of QUIC's events."""
        if not hasattr(self, "_h3"):
            return
        if isinstance(event, ConnectionTerminated) and not self._done.done():
            self._done.set_exception(ConnectionError(event.reason_phrase))
            return
        for http_event in self._h3.handle_event(event):
            if isinstance(http_event, HeadersReceived):
                headers = dict(http_event.headers)
                self.status = headers.get(b":status", b"").decode() or self.status
            elif isinstance(http_event, DataReceived):
                self._parts.append(http_event.data)
            else:
                continue
            if http_event.stream_ended and not self._done.done():
                self.body = b"".join(self._parts)
                self._done.set_result(None)


async def fetch(url: str, ca_file: str, body: bytes | None) -> OneRequest:
    """Make one connection and one request; the answer stays in the protocol."""
    split = urlsplit(url)
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN)
    configuration.load_verify_locations(ca_file)
    async with (
        asyncio.timeout(TIMEOUT_S),
        connect(
            split.hostname or "",
            split.port or 443,
            configuration=configuration,
            create_protocol=OneRequest,
        ) as protocol,
    ):
        if not isinstance(protocol, OneRequest):
            raise TypeError(protocol)
        await protocol.start(url, body)
    return protocol


def main() -> int:
    """Run `fetch` with the arguments that the module's docstring names."""
    url, ca_file, output, *body_file = sys.argv[1:]
    body = Path(body_file[0]).read_bytes() if body_file else None
    answer = asyncio.run(fetch(url, ca_file, body))
    Path(output).write_bytes(answer.body)
    print(f"{answer.status} HTTP/3")
    return 0 if answer.status == "200" else 1


if __name__ == "__main__":
    sys.exit(main())
