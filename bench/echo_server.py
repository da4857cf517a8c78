"""The echo server of bench_transport.py: one protocol class, four transports.

Says "ready" on stdout and echoes until it is killed.
"""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, cast

import servers

if TYPE_CHECKING:
    import argparse

    from servers import Address


class Echo(asyncio.DatagramProtocol):
    """Send every datagram back to where it came from."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Answer one datagram."""
        self.transport.sendto(data, addr)


async def serve(options: argparse.Namespace) -> None:
    """Open the endpoint that the options describe and leave it open."""
    await servers.open_endpoint(Echo, options)
    # What start-up left behind is not what we measure.
    gc.collect()
    gc.freeze()
    servers.say_ready()
    await asyncio.Event().wait()


if __name__ == "__main__":
    servers.run(serve, servers.parser(__doc__).parse_args())
