"""Does a blocked event loop lose datagrams?

A paced sender sends RATE packets a second; the server's loop is blocked for BLOCK_MS
every EVERY_MS, as a slow handler would.  What the transport has room for is there
afterwards; the rest is lost.  Prints how many, per transport, and one JSON object on the
last line.

    block_loop.py                    all four transports
    block_loop.py --transport xdp --block-ms 40
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import harness
import servers
from harness import BUILD, CLIENT_CORE, SERVER_CORE, BenchError

if TYPE_CHECKING:
    from qxnet import Link
    from servers import Address

TRANSPORTS = ("socket", "xdp", "asyncio", "uvloop")
OURS = ("socket", "xdp")
RATE = 100_000
PACKETS = 100_000
BLOCK_MS = 20
EVERY_MS = 100
SERVER_PORT = 5100
CLIENT_PORT = 6100
SETTLE_S = 0.2


class Counter(asyncio.DatagramProtocol):
    """Count datagrams, one at a time, and keep what shows a gap."""

    def __init__(self) -> None:
        self.packets = 0
        self.greatest = -1
        self.out_of_order = 0
        self.blocked = 0
        self.longest_block_ns = 0

    def datagram_received(self, data: bytes, addr: Address) -> None:  # noqa: ARG002
        """Take the sequence number at the start of every payload."""
        sequence = int.from_bytes(data[:8], sys.byteorder)
        self.packets += 1
        if sequence > self.greatest:
            self.greatest = sequence
        else:
            self.out_of_order += 1

    def block(self, block_s: float) -> None:
        """Keep the loop from running, and run again later."""
        if self.packets:
            before = time.monotonic_ns()
            time.sleep(block_s)
            self.longest_block_ns = max(
                self.longest_block_ns, time.monotonic_ns() - before
            )
            self.blocked += 1
        loop = asyncio.get_running_loop()
        loop.call_later(EVERY_MS / 1e3, self.block, block_s)


async def serve(options: argparse.Namespace) -> None:
    """Count, block, and answer each line on stdin with the counts."""
    transport, counter = await servers.open_endpoint(Counter, options)
    assert isinstance(counter, Counter)
    counter.block(options.block_ms / 1e3)
    servers.say_ready()
    async for _ in servers.stdin_lines():
        info = transport.get_extra_info("quicxdp")
        drops = {} if info is None else dict(info.stats().drops)
        said: dict[str, Any] = {
            "received": counter.packets,
            "out_of_order": counter.out_of_order,
            "blocked": counter.blocked,
            "longest_block_ms": round(counter.longest_block_ns / 1e6, 2),
            "drops": {name: cnt for name, cnt in drops.items() if cnt},
        }
        print(json.dumps(said), flush=True)


def measure(link: Link, transport: str, block_ms: int) -> dict[str, Any]:
    """Send PACKETS packets to a server that blocks, and count what came."""
    server = [sys.executable, __file__, "--serve", "--transport", transport]
    server += ["--host", link.server.address4, "--port", str(SERVER_PORT)]
    server += ["--interface", link.server.interface, "--block-ms", str(block_ms)]
    sender = [str(BUILD / "bare_gso"), "tx", "mode=mmsg", f"rate={RATE}"]
    sender += [f"packets={PACKETS}", "ms=60000", "warmup_ms=0"]
    sender += [f"local={link.client.address4}:{CLIENT_PORT}"]
    sender += [f"peer={link.server.address4}:{SERVER_PORT}"]
    with harness.start(link.server, SERVER_CORE, server) as counter:
        with harness.start(link.client, CLIENT_CORE, sender) as load:
            since = time.monotonic()
            sent = load.read_json()["total"]
            elapsed_s = time.monotonic() - since
        time.sleep(SETTLE_S)
        said = counter.ask("report")
    if said["blocked"] < PACKETS / RATE * 1000 / EVERY_MS / 2:
        raise BenchError(f"{transport}: the loop was hardly ever blocked: {said}")
    return {
        "sent": sent,
        "lost": sent - said["received"],
        "sent_per_s": round(sent / elapsed_s),
        **said,
    }


def main() -> int:
    """Run the server, or all of it."""
    parser = servers.parser(__doc__, need_address=False)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--block-ms", type=int, default=BLOCK_MS)
    options = parser.parse_args()
    if options.serve:
        servers.run(serve, options)
        return 0
    result: dict[str, Any] = {}
    try:
        harness.build("bare_gso")
        machine = harness.machine()
        with harness.link_of_rules() as link:
            for transport in [options.transport] if options.transport else TRANSPORTS:
                result[transport] = found = measure(link, transport, options.block_ms)
                print(
                    f"{transport:8} lost {found['lost']} of {found['sent']} packets at"
                    f" {found['sent_per_s']}/s; the loop stood still {found['blocked']}"
                    f" times for up to {found['longest_block_ms']} ms",
                    flush=True,
                )
    except BenchError as error:
        print(f"block_loop: {error}", file=sys.stderr)
        return 1
    for transport in OURS:
        if transport in result:
            met = "met" if result[transport]["lost"] == 0 else "MISSED"
            print(f"{met:6}  {transport}: lost {result[transport]['lost']}, wanted 0")
    harness.finish({**result, "machine": machine, "block_ms": options.block_ms})
    return 0


if __name__ == "__main__":
    sys.exit(main())
