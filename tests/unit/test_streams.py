from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

import quicxdp
from quicxdp.connection import FastConnection
from quicxdp.streams import HIGH_BYTES, use_backpressure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.conftest import Run

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]

SIZE_BYTES = 8_000_000
WINDOW_BYTES = 100_000


def configurations(
    certificate: tuple[Path, Path], window_bytes: int
) -> tuple[QuicConfiguration, QuicConfiguration]:
    """Return those of a client and a server."""
    client = QuicConfiguration(
        is_client=True, verify_mode=ssl.CERT_NONE, max_stream_data=window_bytes
    )
    server = QuicConfiguration(is_client=False, max_stream_data=window_bytes)
    server.load_cert_chain(*certificate)
    return client, server


async def with_streams(
    certificate: tuple[Path, Path],
    handler: Handler,
    use: Callable[[asyncio.StreamReader, asyncio.StreamWriter, Any], Any],
) -> None:
    """Let *use* work on a stream of a client, and *handler* on its other end."""
    client, server = configurations(certificate, WINDOW_BYTES)
    running = await quicxdp.serve(
        "127.0.0.1", 0, configuration=server, stream_handler=handler, engine="native"
    )
    port = running.transport.get_extra_info("sockname")[1]
    try:
        async with quicxdp.connect(
            "127.0.0.1", port, configuration=client, engine="native"
        ) as protocol:
            reader, writer = await protocol.create_stream()
            await use(reader, writer, protocol)
            writer.close()
    finally:
        running.close()
        await running.wait_closed()


def test_drain_waits_until_the_peer_reads(
    run_asyncio: Run, certificate: tuple[Path, Path]
) -> None:
    """A server that writes a large file does not keep it in memory."""
    readers: asyncio.Queue[asyncio.StreamReader] = asyncio.Queue()

    async def use(
        _: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        protocol: QuicConnectionProtocol,
    ) -> None:
        written = 0
        piece = bytes(100_000)
        connection: Any = protocol._quic
        stream_id = writer.get_extra_info("stream_id")

        async def write() -> None:
            nonlocal written
            while written < SIZE_BYTES:
                writer.write(piece)
                written += len(piece)
                await writer.drain()
                assert connection.stream_send_buffered(stream_id) <= (
                    HIGH_BYTES + connection.get_stats().cwnd_bytes + len(piece)
                )
            writer.write_eof()

        task = asyncio.create_task(write())
        reader = await readers.get()
        # Nobody reads, so it comes to a stop, far from the end.
        stopped_at = -1
        while written != stopped_at:
            stopped_at = written
            await asyncio.sleep(0.2)
        assert 0 < written < SIZE_BYTES / 2
        assert not task.done()

        assert len(await reader.read()) == SIZE_BYTES
        await task

    def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        readers.put_nowait(reader)

    run_asyncio(with_streams(certificate, handler, use))


@pytest.mark.parametrize("end", ["stop", "close"])
def test_drain_does_not_wait_for_what_never_comes(
    run_asyncio: Run, certificate: tuple[Path, Path], end: str
) -> None:
    """The peer wants no more, or the connection ends."""
    writers: asyncio.Queue[Any] = asyncio.Queue()

    async def use(
        _: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        protocol: QuicConnectionProtocol,
    ) -> None:
        writer.write(bytes(SIZE_BYTES))
        drained = asyncio.create_task(writer.drain())
        other = await writers.get()
        assert not drained.done()

        if end == "stop":
            other.protocol._quic.stop_stream(other.stream_id, 7)
            other.protocol.transmit()
        else:
            protocol.close()
        await drained

    def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        writers.put_nowait(writer.transport)

    run_asyncio(with_streams(certificate, handler, use))


def test_small_writes_never_wait(
    run_asyncio: Run, certificate: tuple[Path, Path]
) -> None:
    """And what they bring arrives."""

    async def use(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: object
    ) -> None:
        for number in range(100):
            writer.write(b"%d\n" % number)
            await writer.drain()
            assert await reader.readline() == b"%d\n" % number
        writer.write_eof()
        assert await reader.read() == b""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    tasks = set()

    def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(echo(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    run_asyncio(with_streams(certificate, handler, use))


def test_who_handles_stream_data_himself_is_left_alone(run_asyncio: Run) -> None:
    """HTTP/3 takes data as it comes; manual consumption would stop its peer."""

    class Own(QuicConnectionProtocol):
        def quic_event_received(self, event: object) -> None:
            pass

    async def main() -> None:
        configuration = QuicConfiguration(is_client=True)
        assert not use_backpressure(Own(FastConnection(configuration=configuration)))
        assert use_backpressure(
            QuicConnectionProtocol(FastConnection(configuration=configuration))
        )
        assert not use_backpressure(
            QuicConnectionProtocol(QuicConnection(configuration=configuration))
        )

    run_asyncio(main())
