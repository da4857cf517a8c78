"""The least HTTP/3 server on a library with aioquic's API: aioquic, qh3, aiopquic.

Their example servers do this with more around it.  GET /N answers with N bytes; a body is
read to its end.  Logging is off.

    python peer_handler.py LIBRARY LOOP HOST PORT CERTIFICATE KEY
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from typing import Any


def protocol_of(library: str) -> type:
    """Return the protocol, on the library's classes."""
    base = importlib.import_module(f"{library}.asyncio").QuicConnectionProtocol
    quic_events = importlib.import_module(f"{library}.quic.events")
    connection = importlib.import_module(f"{library}.h3.connection").H3Connection
    h3_events = importlib.import_module(f"{library}.h3.events")

    class Handler(base):  # type: ignore[misc, valid-type]  # whichever it is
        """One connection."""

        def __init__(self, *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401
            super().__init__(*arguments, **keywords)
            self._http: Any = None
            self._sizes: dict[int, int] = {}

        def quic_event_received(self, event: object) -> None:
            """Feed HTTP/3."""
            if isinstance(event, quic_events.ProtocolNegotiated):
                self._http = connection(self._quic)
            if self._http is None:
                return
            for got in self._http.handle_event(event):
                if isinstance(got, h3_events.HeadersReceived):
                    digits = dict(got.headers).get(b":path", b"/0")[1:]
                    size = int(digits) if digits.isdigit() else 0
                    self._sizes[got.stream_id] = size
                elif not isinstance(got, h3_events.DataReceived):
                    continue
                if got.stream_ended:
                    self._answer(got.stream_id, self._sizes.pop(got.stream_id, 0))

        def _answer(self, stream_id: int, size: int) -> None:
            length = str(size).encode("ascii")
            headers = [(b":status", b"200"), (b"content-length", length)]
            self._http.send_headers(stream_id, headers)
            self._http.send_data(stream_id, bytes(size), end_stream=True)
            self.transmit()

    return Handler


async def serve(library: str, host: str, port: int, certificate: str, key: str) -> None:
    """Serve until the process is ended."""
    configuration = importlib.import_module(f"{library}.quic.configuration")
    h3 = importlib.import_module(f"{library}.h3.connection")
    of = configuration.QuicConfiguration(alpn_protocols=h3.H3_ALPN, is_client=False)
    of.load_cert_chain(certificate, key)
    await importlib.import_module(f"{library}.asyncio").serve(
        host, port, configuration=of, create_protocol=protocol_of(library)
    )
    await asyncio.Event().wait()


def main() -> None:
    """Do what the command line says."""
    library, loop, host, port, certificate, key = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    factory = None
    if loop == "uvloop":
        factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(library, host, int(port), certificate, key))


if __name__ == "__main__":
    main()
