"""The two ends of the soak: a server that echoes streams, a client that checks the echo.

    soak_ends.py server INTERFACE CERTIFICATE KEY
    soak_ends.py client INTERFACE SEED HOST...

Either says "ready" once it is; SIGTERM ends it, and it then prints one JSON object.  The
client opens no more streams from then on, and waits for those that are under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import signal
import ssl
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from aioquic.quic.configuration import QuicConfiguration

import quicxdp

if TYPE_CHECKING:
    from aioquic.asyncio.protocol import QuicConnectionProtocol

PORT: Final = 4433
ALPN: Final = ["soak"]
# Longer than any trouble, with all the back-off that it may leave behind.
IDLE_TIMEOUT_S: Final = 120.0
STREAMS_PER_CONNECTION: Final = 2
STREAM_BYTES_MAX: Final = 400_000
CHUNK_BYTES: Final = 16_384
# Both ends and the kernel share what cores there are; packets matter here, not bytes.
CHUNK_PAUSE_S: Final = 0.01
FINISH_TIMEOUT_S: Final = 60.0


def main() -> int:
    """Be the end that the command line names."""
    # What goes and comes is counted; only what goes wrong is worth a line.
    logging.disable(logging.WARNING)
    role, interface, *rest = sys.argv[1:]
    end = _serve(interface, *rest) if role == "server" else _load(interface, *rest)
    asyncio.run(end)
    return 0


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return stop


def _say(text: str) -> None:
    print(text, flush=True)


# The server


async def _serve(interface: str, certificate: str, key: str) -> None:
    stop = _stop_event()
    configuration = QuicConfiguration(
        is_client=False, alpn_protocols=ALPN, idle_timeout=IDLE_TIMEOUT_S
    )
    configuration.load_cert_chain(Path(certificate), Path(key))
    tasks: set[asyncio.Task[None]] = set()

    def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(_echo(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await quicxdp.serve(
        "::",
        PORT,
        configuration=configuration,
        stream_handler=echo,
        io="xdp",
        interface=interface,
    )
    _say("ready")
    await stop.wait()
    stats = server.transport.get_extra_info("quicxdp").stats()
    frames_missing = stats.frame_cnt - sum(stats.frames.values())
    _say(
        json.dumps(
            {
                "xdp_packets": stats.lanes["xdp"].rx_packets,
                "socket_packets": stats.lanes["socket"].rx_packets,
                "lanes_lost": stats.lanes_lost,
                "lanes_back": stats.lanes_back,
                "frames_missing": frames_missing,
            }
        )
    )
    server.close()
    for task in tasks:
        task.cancel()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


# The client


@dataclass(slots=True)
class Totals:
    """What streams took, and what came back as it was sent."""

    accepted_bytes: int = 0
    echoed_bytes: int = 0
    streams: int = 0
    problems: list[str] = field(default_factory=list)


async def _load(interface: str, seed: str, *hosts: str) -> None:
    stop = _stop_event()
    totals = Totals()
    connected = asyncio.Semaphore(0)
    flows = []
    for host in hosts:
        dice = random.Random(f"{seed} {host}")  # noqa: S311  # the same in each run
        flow = _flow(host, interface, dice, totals, connected, stop)
        flows.append(asyncio.create_task(flow))
    for _ in hosts:
        await connected.acquire()
    _say("ready")
    await stop.wait()
    try:
        async with asyncio.timeout(FINISH_TIMEOUT_S):
            await asyncio.gather(*flows)
    except TimeoutError:
        totals.problems.append(f"streams were not over {FINISH_TIMEOUT_S:.0f} s later")
    _say(json.dumps(asdict(totals)))


async def _flow(  # noqa: PLR0917  # what a flow is made of
    host: str,
    interface: str,
    dice: random.Random,
    totals: Totals,
    connected: asyncio.Semaphore,
    stop: asyncio.Event,
) -> None:
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=ALPN,
        idle_timeout=IDLE_TIMEOUT_S,
        verify_mode=ssl.CERT_NONE,
    )
    try:
        async with quicxdp.connect(
            host, PORT, configuration=configuration, io="xdp", interface=interface
        ) as connection:
            connected.release()
            async with asyncio.TaskGroup() as group:
                for _ in range(STREAMS_PER_CONNECTION):
                    group.create_task(_streams(connection, dice, totals, stop))
    except* (OSError, ValueError) as problems:
        totals.problems += [f"{host}: {problem!r}" for problem in problems.exceptions]
        connected.release()


async def _streams(
    connection: QuicConnectionProtocol,
    dice: random.Random,
    totals: Totals,
    stop: asyncio.Event,
) -> None:
    while not stop.is_set():
        size = dice.randrange(1, STREAM_BYTES_MAX)
        block = dice.randbytes(CHUNK_BYTES)
        # The ID is taken by the first write, which must come before anybody else's.
        reader, writer = await connection.create_stream()
        _write_chunk(writer, block, size, totals)
        async with asyncio.TaskGroup() as group:
            group.create_task(_write(writer, block, size, totals))
            group.create_task(_check(reader, block, size, totals))
        totals.streams += 1


def _write_chunk(
    writer: asyncio.StreamWriter, block: bytes, left: int, totals: Totals
) -> None:
    chunk = block[:left]
    writer.write(chunk)
    totals.accepted_bytes += len(chunk)


async def _write(
    writer: asyncio.StreamWriter, block: bytes, size: int, totals: Totals
) -> None:
    for begin in range(CHUNK_BYTES, size, CHUNK_BYTES):
        _write_chunk(writer, block, size - begin, totals)
        await writer.drain()
        await asyncio.sleep(CHUNK_PAUSE_S)
    writer.write_eof()


async def _check(
    reader: asyncio.StreamReader, block: bytes, size: int, totals: Totals
) -> None:
    got = 0
    twice = block + block
    while data := await reader.read(CHUNK_BYTES):
        at = got % CHUNK_BYTES
        if data != twice[at : at + len(data)]:
            raise ValueError(f"the bytes from {got} on are not those that were sent")
        got += len(data)
        totals.echoed_bytes += len(data)
    if got != size:
        raise ConnectionError(f"{got} of {size} bytes came back")


if __name__ == "__main__":
    sys.exit(main())
