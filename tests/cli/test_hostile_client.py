"""What clients can do to `quicxdp serve`: nothing that outlives their connection."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pylsqpack
import pytest
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import ErrorCode, FrameType, Setting, encode_frame
from aioquic.quic import events

import quicxdp
from quicxdp import aioquic_shim_streams as shim
from quicxdp.cli.h3_server import FIELD_SECTION_BYTES_MAX, STREAM_WINDOW_BYTES

from .conftest import client_configuration

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Connect, Serve, Served

# QPACK (RFC 9204): no dynamic table; GET, https, "/", and ":authority: localhost".
HEAD = b"\x00\x00\xd1\xd7\xc1\x50\x09localhost"
ACCEPT_ANY = b"\xdd"  # "accept: */*" of the static table, in one byte
CONTROL_STREAM = b"\x00"


class RawClient(QuicConnectionProtocol):
    """A client that writes streams as bytes and collects what happens."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.received: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.stopped: dict[int, int] = {}
        self.reset: dict[int, int] = {}
        self.changed = asyncio.Event()

    def quic_event_received(self, event: events.QuicEvent) -> None:
        """Collect."""
        if isinstance(event, events.StreamDataReceived):
            before = self.received.get(event.stream_id, b"")
            self.received[event.stream_id] = before + event.data
            if event.end_stream:
                self.ended.add(event.stream_id)
        elif isinstance(event, events.StopSendingReceived):
            self.stopped[event.stream_id] = event.error_code
        elif isinstance(event, events.StreamReset):
            self.reset[event.stream_id] = event.error_code
        self.changed.set()

    def transmit(self) -> None:
        """Notice that the connection is closing, too."""
        super().transmit()
        self.changed.set()

    def send(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Write to a stream."""
        self._quic.send_stream_data(stream_id, data, end)
        self.transmit()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    @property
    def close_code(self) -> int | None:
        """With what the connection was closed."""
        ending = shim.ending(self._quic)
        return None if ending is None else ending.event.error_code

    async def wait_closed(self) -> None:
        """Tests do not wait for the closing period."""


@pytest.fixture
def raw(pki: Path) -> Callable[[Served], object]:
    """Return what connects a `RawClient`."""

    @asynccontextmanager
    async def start(server: Served) -> AsyncIterator[RawClient]:
        async with quicxdp.connect(
            "127.0.0.1",
            server.port,
            configuration=client_configuration(pki),
            create_protocol=RawClient,
            # Whatever our own engine would not do.
            engine="aioquic",
        ) as protocol:
            assert isinstance(protocol, RawClient)
            yield protocol

    return start


async def still_serves(server: Served, connect: Connect) -> None:
    """Check that somebody else is served as ever."""
    async with connect(server.port) as client:
        assert (await client.get("/")).status == 200


@pytest.fixture
def attack(
    serve: Serve, connect: Connect, site: Path, raw: Callable[[Served], object]
) -> Callable[[Callable[[RawClient, Served], object]], None]:
    """Return what runs an attack and checks that everybody else is still served."""

    def run(attacker: Callable[[RawClient, Served], object]) -> None:
        async def main() -> None:
            async with serve(site, bench=True) as server:
                async with raw(server) as client:  # type: ignore[attr-defined]
                    await attacker(client, server)  # type: ignore[misc]
                await still_serves(server, connect)

        asyncio.run(main())

    return run


Attack = Callable[[Callable[[RawClient, "Served"], object]], None]


def head_frame(block: bytes) -> bytes:
    """Frame a header block."""
    return encode_frame(FrameType.HEADERS, block)


def status_of(data: bytes) -> bytes:
    """Return the status of a response that is a short HEADERS frame alone."""
    (kind, length), section = data[:2], data[2:]
    if length & 0x40:
        section = section[1:]
    assert kind == FrameType.HEADERS
    fields = pylsqpack.Decoder(0, 0).feed_header(0, section)[1]
    return dict(fields)[b":status"]


def test_a_header_section_without_end_is_answered_with_431(attack: Attack) -> None:
    """A HEADERS frame may claim any length; we keep 16 KiB of it and then say so."""

    async def attacker(client: RawClient, server: Served) -> None:
        client.send(0, encode_uint_var(FrameType.HEADERS) + encode_uint_var(1 << 40))
        for _ in range(40):
            client.send(0, bytes(1000))
        await client.until(lambda: 0 in client.stopped)
        await client.until(lambda: 0 in client.ended)
        assert status_of(client.received[0]) == b"431"
        (connection,) = server.state.connections
        assert connection._h3 is not None
        assert connection._h3.open_cnt == 0
        # The connection lives, and other requests are answered.
        client.send(4, head_frame(HEAD), end=True)
        await client.until(lambda: 4 in client.ended)

    attack(attacker)


def test_small_blocks_that_unpack_to_large_headers_are_answered_with_431(
    attack: Attack,
) -> None:
    """One byte names a whole field of the static table."""

    async def attacker(client: RawClient, server: Served) -> None:
        client.send(0, head_frame(HEAD + ACCEPT_ANY * 2000), end=True)
        await client.until(lambda: 0 in client.ended)
        assert status_of(client.received[0]) == b"431"

    attack(attacker)


def test_no_dynamic_table_is_offered_and_none_accepted(attack: Attack) -> None:
    """With one, two bytes could stand for four kilobytes (RFC 9204 section 7.3)."""

    async def attacker(client: RawClient, server: Served) -> None:
        (connection,) = server.state.connections
        assert connection._h3 is not None
        sent = connection._h3.settings
        assert sent[Setting.QPACK_MAX_TABLE_CAPACITY] == 0
        assert sent[Setting.MAX_FIELD_SECTION_SIZE] == FIELD_SECTION_BYTES_MAX
        # "Set Dynamic Table Capacity" 4096 on the encoder stream.
        client.send(2, b"\x02" + b"\x3f\xe1\x1f")
        await client.until(lambda: client.close_code is not None)
        assert client.close_code == ErrorCode.QPACK_ENCODER_STREAM_ERROR

    attack(attacker)


def test_settings_without_end_close_the_connection(attack: Attack) -> None:
    """They are kept until complete, so they must not be endless."""

    async def attacker(client: RawClient, server: Served) -> None:
        client.send(2, CONTROL_STREAM + encode_uint_var(FrameType.SETTINGS))
        client.send(2, encode_uint_var(1 << 40) + bytes(30_000))
        await client.until(lambda: client.close_code is not None)
        assert client.close_code == ErrorCode.H3_EXCESSIVE_LOAD

    attack(attacker)


def test_one_byte_at_the_far_end_does_not_widen_the_window(attack: Attack) -> None:
    """aioquic alone would double its limit, and set memory aside for the gap."""

    async def attacker(client: RawClient, server: Served) -> None:
        client.send(0, encode_uint_var(FrameType.DATA))
        sender = client._quic._streams[0].sender
        client._quic.send_stream_data(0, bytes(STREAM_WINDOW_BYTES - 2))
        # Of all that, only the last byte goes out.
        sender._pending.subtract(1, STREAM_WINDOW_BYTES - 2)
        client.transmit()
        await client.ping()
        assert sender.highest_offset == STREAM_WINDOW_BYTES - 1
        # What the server has granted; it would have done so before it answered the ping.
        assert client._quic._streams[0].max_stream_data_remote == STREAM_WINDOW_BYTES

    attack(attacker)


def test_a_body_as_long_as_it_likes_moves_the_window_along(attack: Attack) -> None:
    """What is read is credited again: uploads do not stall, and are not kept."""

    async def attacker(client: RawClient, server: Served) -> None:
        post = b"\x00\x00\xd4\xd7\xc1\x50\x09localhost"
        client.send(0, head_frame(post))
        body = encode_uint_var(FrameType.DATA) + encode_uint_var(5 * STREAM_WINDOW_BYTES)
        client.send(0, body + bytes(5 * STREAM_WINDOW_BYTES), end=True)
        await client.until(lambda: 0 in client.ended)
        assert b"%d" % (5 * STREAM_WINDOW_BYTES) in client.received[0]

    attack(attacker)


@pytest.mark.parametrize(
    ("stream", "data", "code"),
    [
        (0, head_frame(b""), ErrorCode.QPACK_DECOMPRESSION_FAILED),
        (0, head_frame(b"\xff" * 50), ErrorCode.QPACK_DECOMPRESSION_FAILED),
        (0, encode_frame(FrameType.DATA, b"x"), ErrorCode.H3_FRAME_UNEXPECTED),
        (0, encode_frame(FrameType.SETTINGS, b""), ErrorCode.H3_FRAME_UNEXPECTED),
        (0, head_frame(HEAD)[:-3], ErrorCode.H3_FRAME_ERROR),
        (2, b"\x00" + encode_frame(FrameType.DATA, b""), ErrorCode.H3_MISSING_SETTINGS),
        (2, b"\x01", ErrorCode.H3_STREAM_CREATION_ERROR),
    ],
)  # fmt: skip
def test_broken_frames_close_the_connection_with_their_code(
    attack: Attack, stream: int, data: bytes, code: int
) -> None:
    """And only that connection."""

    async def attacker(client: RawClient, server: Served) -> None:
        client.send(stream, data, end=stream == 0)
        await client.until(lambda: client.close_code is not None)
        assert client.close_code == code

    attack(attacker)


def test_requests_reset_at_every_stage_leave_nothing(attack: Attack) -> None:
    """Browsers do this with every page that is left early."""

    async def attacker(client: RawClient, server: Served) -> None:
        get_big = b"\x00\x00\xd1\xd7\x51\x08/big.bin\x50\x09localhost"
        for number, data in enumerate(
            [b"", head_frame(HEAD)[:5], head_frame(get_big)] * 5
        ):
            stream_id = client._quic.get_next_available_stream_id()
            client.send(stream_id, data or b"\x21")
            if number % 2:
                await client.ping()
            client._quic.reset_stream(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
            client._quic.stop_stream(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
            client.transmit()
        await client.ping()
        (connection,) = server.state.connections
        assert not connection._exchanges
        assert not len(connection._pump)
        assert server.state.open_file_cnt == 0

    attack(attacker)


def test_noise_on_the_port_disturbs_nobody(
    serve: Serve, connect: Connect, site: Path
) -> None:
    """Anybody can send anything to a UDP port."""

    async def run() -> None:
        async with serve(site) as server:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(("127.0.0.1", server.port))
                for size in (0, 1, 5, 20, 1200, 1500, 9000):
                    for first in (b"\x00", b"\x40", b"\xc0", b"\xff"):
                        sock.send((first + os.urandom(size))[:size])
            await still_serves(server, connect)

    asyncio.run(run())
