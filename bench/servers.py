"""What the server programs of the benchmarks share: options, loops, endpoints."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

__all__ = ["Address", "open_endpoint", "parser", "run", "say_ready", "stdin_lines"]

Address = tuple[Any, ...]

# The keys of the results: the loop and the transport on it.  quicxdp's own run on
# asyncio's loop, whose transport they replace.
LOOPS = {"asyncio": "asyncio", "uvloop": "uvloop", "xdp": "asyncio", "socket": "asyncio"}


def parser(doc: str | None, *, need_address: bool = True) -> argparse.ArgumentParser:
    """Return a parser of the options that all servers have."""
    out = argparse.ArgumentParser(description=(doc or "").split("\n", 1)[0])
    out.add_argument("--transport", choices=sorted(LOOPS), required=need_address)
    out.add_argument("--loop", choices=["asyncio", "uvloop"], help="not the usual one")
    out.add_argument("--host", required=need_address)
    out.add_argument("--port", type=int, required=need_address)
    out.add_argument("--interface", help="for the XDP transport")
    out.add_argument("--spin", type=int, default=0, help="spin_us of quicxdp's")
    out.add_argument("--busy-poll", type=int, default=0, help="busy_poll_us of XDP's")
    return out


def run(
    main: Callable[[argparse.Namespace], Coroutine[Any, Any, None]],
    options: argparse.Namespace,
) -> None:
    """Run *main* on the loop that the transport's key stands for, without logging."""
    logging.disable(logging.CRITICAL)
    factory = None
    if (options.loop or LOOPS[options.transport]) == "uvloop":
        import uvloop  # noqa: PLC0415  (only where it is asked for)

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(options))


def quicxdp_options(options: argparse.Namespace) -> dict[str, Any] | None:
    """Return quicxdp's keywords, or None for a transport that is the loop's own."""
    from quicxdp import XdpOptions  # noqa: PLC0415  (only for quicxdp's own)

    if options.transport == "xdp":
        return {
            "io": "xdp",
            "interface": options.interface,
            "xdp": XdpOptions(busy_poll_us=options.busy_poll),
            "spin_us": options.spin,
        }
    if options.transport == "socket":
        return {"io": "socket", "spin_us": options.spin}
    return None


async def open_endpoint(
    factory: Callable[[], asyncio.DatagramProtocol], options: argparse.Namespace
) -> tuple[asyncio.DatagramTransport, asyncio.DatagramProtocol]:
    """Open a UDP endpoint by the transport that the options name."""
    local = (options.host, options.port)
    ours = quicxdp_options(options)
    if ours is None:
        loop = asyncio.get_running_loop()
        return await loop.create_datagram_endpoint(factory, local_addr=local)
    import quicxdp  # noqa: PLC0415  (the loops' own transports are measured without it)

    return await quicxdp.create_datagram_endpoint(factory, local_addr=local, **ours)


async def stdin_lines() -> AsyncIterator[bytes]:
    """Give the lines that come on stdin, until its end."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    while line := await lines.readline():
        yield line


def say_ready() -> None:
    """Tell the script that started us that traffic may come."""
    print("ready", flush=True)
