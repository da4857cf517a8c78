"""What servers can do to `quicxdp fetch`: end it, with a sentence and a status."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import ErrorCode, FrameType, encode_frame
from aioquic.quic import events

import quicxdp
from quicxdp.cli.dial import DialOptions, dial
from quicxdp.cli.exits import CommandError, FetchExit
from quicxdp.cli.h3_client import FIELD_SECTION_BYTES_MAX, WINDOW_BYTES
from quicxdp.config import Io

from .conftest import client_configuration, server_configuration

if TYPE_CHECKING:
    from pathlib import Path

    from quicxdp.config import EngineKind

    from .conftest import Answer, Connect

# QPACK (RFC 9204), static table only: ":status: 200", ":status: 103",
# ":status: 200" with "content-length: 0", and with "content-length: 9" (literal).
OK = b"\x00\x00\xd9"
EARLY_HINTS = b"\x00\x00\xd8"
OK_EMPTY = b"\x00\x00\xd9\xc4"
OK_NINE = b"\x00\x00\xd9\x54\x019"

Script = Callable[["ScriptedServer", int], None]


class ScriptedServer(QuicConnectionProtocol):
    """A server that does to every request what its script says."""

    script: Script = staticmethod(lambda _server, _stream_id: None)

    def quic_event_received(self, event: events.QuicEvent) -> None:
        """Run the script when a request begins."""
        if isinstance(event, events.StreamDataReceived) and event.stream_id % 4 == 0:
            type(self).script(self, event.stream_id)

    def send(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Write to a stream."""
        self._quic.send_stream_data(stream_id, data, end)

    def open_uni(self, data: bytes) -> None:
        """Open a unidirectional stream."""
        self.send(self._quic.get_next_available_stream_id(is_unidirectional=True), data)


Fetch = Callable[[Script], "Answer"]


@pytest.fixture
def fetch(pki: Path, connect: Connect) -> Fetch:
    """Return what fetches "/" from a server with a script."""

    def run(script: Script) -> Answer:
        scripted = type("Server", (ScriptedServer,), {"script": staticmethod(script)})

        async def main() -> Answer:
            server = await quicxdp.serve(
                "127.0.0.1",
                0,
                configuration=server_configuration(pki),
                create_protocol=scripted,
                engine="aioquic",
            )
            try:
                port = server.transport.get_extra_info("sockname")[1]
                async with connect(port) as client, asyncio.timeout(20):
                    return await client.get("/")
            finally:
                server.close()
                await server.wait_closed()

        return asyncio.run(main())

    return run


def head(block: bytes) -> bytes:
    """Frame a header block."""
    return encode_frame(FrameType.HEADERS, block)


def data(content: bytes) -> bytes:
    """Frame a piece of a body."""
    return encode_frame(FrameType.DATA, content)


def failure(fetch: Fetch, script: Script) -> CommandError:
    """Return with what a fetch ends."""
    with pytest.raises(CommandError) as caught:
        fetch(script)
    return caught.value


def test_a_good_server_is_understood(fetch: Fetch) -> None:
    """Interim responses, unknown frames and trailers are part of the protocol."""

    def script(server: ScriptedServer, stream_id: int) -> None:
        server.open_uni(b"\x00" + encode_frame(FrameType.SETTINGS, b""))
        server.open_uni(b"\x21" + bytes(100))
        server.send(
            stream_id, head(EARLY_HINTS) + encode_frame(0x21, b"grease") + head(OK)
        )
        server.send(stream_id, data(b"hello ") + data(b"world"))
        server.send(stream_id, head(b"\x00\x00\x22xt\x01y"), end=True)

    answer = fetch(script)

    assert (answer.status, answer.body) == (200, b"hello world")


def test_a_header_section_without_end_ends_the_fetch(fetch: Fetch) -> None:
    """A HEADERS frame may claim any length; we keep 64 KiB of it."""

    def script(server: ScriptedServer, stream_id: int) -> None:
        server.send(
            stream_id, encode_uint_var(FrameType.HEADERS) + encode_uint_var(1 << 40)
        )
        server.send(stream_id, bytes(2 * FIELD_SECTION_BYTES_MAX))

    error = failure(fetch, script)

    assert error.exit_code == FetchExit.HTTP3_ERROR
    assert "header section" in str(error)


def test_trailers_without_end_end_the_fetch(fetch: Fetch) -> None:
    """The same after the body."""

    def script(server: ScriptedServer, stream_id: int) -> None:
        server.send(stream_id, head(OK) + data(b"x"))
        server.send(
            stream_id, encode_uint_var(FrameType.HEADERS) + encode_uint_var(1 << 40)
        )
        server.send(stream_id, bytes(2 * FIELD_SECTION_BYTES_MAX))

    assert failure(fetch, script).exit_code == FetchExit.PARTIAL


def test_interim_responses_without_end_end_the_fetch(fetch: Fetch) -> None:
    """A server may send some 1xx, not thousands."""

    def script(server: ScriptedServer, stream_id: int) -> None:
        server.send(stream_id, head(EARLY_HINTS) * 1000)

    error = failure(fetch, script)

    assert "interim responses" in str(error)


@pytest.mark.parametrize(
    ("response", "exit_code", "said"),
    [
        (head(OK_NINE) + data(b"abc"), FetchExit.HTTP3_ERROR, "content-length"),
        (head(OK_EMPTY) + data(b"abc"), FetchExit.HTTP3_ERROR, "content-length"),
        (head(OK) + data(b"abcdef")[:-3], FetchExit.HTTP3_ERROR, "truncated"),
        (head(OK)[:-1], FetchExit.HTTP3_ERROR, "truncated"),
        (b"", FetchExit.HTTP3_ERROR, "before it had begun"),
        (head(EARLY_HINTS), FetchExit.HTTP3_ERROR, "H3_MESSAGE_ERROR"),
        (data(b"x"), FetchExit.HTTP3_ERROR, "H3_FRAME_UNEXPECTED"),
        (head(b"\xff\xff\xff"), FetchExit.HTTP3_ERROR, "QPACK_DECOMPRESSION_FAILED"),
        (head(b"\x00\x00"), FetchExit.HTTP3_ERROR, "QPACK"),
        (head(b"\x00\x00\xd1"), FetchExit.HTTP3_ERROR, "H3_MESSAGE_ERROR"),
        (encode_frame(7, b"\x00"), FetchExit.HTTP3_ERROR, "H3_FRAME_UNEXPECTED"),
        (encode_frame(5, b"\x00" + OK), FetchExit.HTTP3_ERROR, "H3_ID_ERROR"),
    ],
)  # fmt: skip
def test_broken_responses_are_told_apart(
    fetch: Fetch, response: bytes, exit_code: FetchExit, said: str
) -> None:
    """Nothing at all, half a body, or not even HTTP/3."""

    def script(server: ScriptedServer, stream_id: int) -> None:
        server.send(stream_id, response, end=True)

    error = failure(fetch, script)

    assert error.exit_code == exit_code
    assert said in str(error)


@pytest.mark.parametrize("sent", [b"", head(OK), head(OK) + data(b"abc")])
def test_a_stream_reset_is_told(fetch: Fetch, sent: bytes) -> None:
    """With the server's reason."""

    def script(server: ScriptedServer, stream_id: int) -> None:
        if sent:
            server.send(stream_id, sent)
            server.transmit()
        server._quic.reset_stream(stream_id, ErrorCode.H3_INTERNAL_ERROR)

    error = failure(fetch, script)

    assert "reset the stream with H3_INTERNAL_ERROR" in str(error)


def test_a_closed_connection_is_told(fetch: Fetch) -> None:
    """With the server's words, made harmless for the terminal."""

    def script(server: ScriptedServer, stream_id: int) -> None:
        server.send(stream_id, head(OK) + data(b"abc"))
        server.transmit()
        server._quic.close(
            error_code=ErrorCode.H3_EXCESSIVE_LOAD, reason_phrase="go \x1b[2J"
        )

    error = failure(fetch, script)

    assert "H3_EXCESSIVE_LOAD: go \\x1b[2J" in str(error)


def test_critical_streams_closed_or_flooded_end_the_fetch(fetch: Fetch) -> None:
    """A control stream must not end, and SETTINGS must."""

    def closes(server: ScriptedServer, _stream_id: int) -> None:
        control = server._quic.get_next_available_stream_id(is_unidirectional=True)
        server.send(control, b"\x00" + encode_frame(FrameType.SETTINGS, b""), end=True)

    def floods(server: ScriptedServer, _stream_id: int) -> None:
        server.open_uni(b"\x00\x04" + encode_uint_var(1 << 40) + bytes(100_000))

    assert "H3_CLOSED_CRITICAL_STREAM" in str(failure(fetch, closes))
    assert failure(fetch, floods).exit_code == FetchExit.HTTP3_ERROR


def test_a_server_faster_than_its_reader_is_held_back(
    engine: EngineKind, pki: Path
) -> None:
    """The body waits at the server: QUIC flow control follows what was used."""
    sent_bytes = 16 << 20

    def script(server: ScriptedServer, stream_id: int) -> None:
        server.send(
            stream_id, head(OK) + encode_uint_var(0) + encode_uint_var(sent_bytes)
        )
        server.send(stream_id, bytes(sent_bytes), end=True)

    scripted = type("Server", (ScriptedServer,), {"script": staticmethod(script)})

    async def main() -> None:
        server = await quicxdp.serve(
            "127.0.0.1",
            0,
            configuration=server_configuration(pki),
            create_protocol=scripted,
            engine="aioquic",
        )
        port = server.transport.get_extra_info("sockname")[1]
        options = DialOptions(Io.AUTO, None, socket.AF_UNSPEC, 5.0, engine)
        connection = await dial("127.0.0.1", port, client_configuration(pki), options)
        protocol = connection.protocol
        try:
            request = [
                (b":method", b"GET"),
                (b":scheme", b"https"),
                (b":authority", b"localhost"),
                (b":path", b"/"),
            ]
            response = protocol.send_request(request, None, may_be_empty=False)
            await response.head
            while response.held_bytes < WINDOW_BYTES - 4096:
                response.changed.clear()
                await response.changed.wait()
            # Blocked: nothing more comes, however long we wait for round trips.
            for _ in range(5):
                await protocol.ping()
            assert response.held_bytes <= WINDOW_BYTES
            total = 0
            while got := await protocol.read(response):
                assert response.held_bytes <= WINDOW_BYTES
                total += len(got)
                protocol.used(response, len(got))
            assert total == sent_bytes
        finally:
            await connection.close()
            server.close()
            await server.wait_closed()

    asyncio.run(main())


@asynccontextmanager
async def noise(answer: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    """Answer datagrams with others."""

    class Noise(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(answer(data), addr)  # type: ignore[attr-defined]

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Noise, local_addr=("127.0.0.1", 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@pytest.mark.parametrize(
    "answer",
    [
        lambda _data: b"",
        lambda data: data,
        lambda data: bytes(len(data)),
        lambda data: data[:50] + bytes(len(data) - 50),
        lambda _data: b"\xc0" + bytes(range(200)),
    ],
)
def test_garbage_instead_of_quic_ends_in_a_timeout(
    pki: Path, answer: Callable[[bytes], bytes]
) -> None:
    """Anybody could send it, so it cannot be believed; only time tells."""

    async def main() -> None:
        async with noise(answer) as port:
            options = DialOptions(Io.AUTO, None, socket.AF_UNSPEC, 0.3)
            with pytest.raises(CommandError) as caught:
                await dial("127.0.0.1", port, client_configuration(pki), options)
            assert caught.value.exit_code == FetchExit.TIMEOUT
            assert "no answer from 127.0.0.1" in str(caught.value)

    asyncio.run(main())


def test_an_untrusted_certificate_is_told_at_once(pki: Path) -> None:
    """Not after the closing period, and with what to do."""

    async def main() -> None:
        server = await quicxdp.serve(
            "127.0.0.1",
            0,
            configuration=server_configuration(pki),
            create_protocol=ScriptedServer,
        )
        port = server.transport.get_extra_info("sockname")[1]
        options = DialOptions(Io.AUTO, None, socket.AF_UNSPEC, 5.0)
        configuration = client_configuration(pki)
        wrong_name = client_configuration(pki)
        wrong_name.server_name = "other.test"
        configuration.cafile = None
        try:
            for broken, said in (
                (configuration, "local issuer"),
                (wrong_name, "other.test"),
            ):
                with pytest.raises(CommandError, match=said) as caught:
                    await dial("127.0.0.1", port, broken, options)
                assert caught.value.exit_code == FetchExit.CERTIFICATE
        finally:
            server.close()
            await server.wait_closed()

    asyncio.run(main())


def test_a_name_without_an_address_is_told(pki: Path) -> None:
    """RFC 6761 reserves "invalid" for this."""

    async def main() -> None:
        options = DialOptions(Io.AUTO, None, socket.AF_UNSPEC, 5.0)
        with pytest.raises(CommandError, match=r"nowhere\.invalid") as caught:
            await dial("nowhere.invalid", 443, client_configuration(pki), options)
        assert caught.value.exit_code == FetchExit.NO_ADDRESS

    asyncio.run(main())


def test_the_address_that_answers_wins(
    pki: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """localhost has two addresses, and the server may listen on the second only."""

    async def main() -> None:
        server = await quicxdp.serve(
            "127.0.0.1",
            0,
            configuration=server_configuration(pki),
            create_protocol=ScriptedServer,
        )
        port = server.transport.get_extra_info("sockname")[1]
        loop = asyncio.get_running_loop()

        async def both(host: str, number: int, **_: object) -> list[object]:
            literal = "127.0.0.1" if host == "localhost" else host
            v4 = (socket.AF_INET, socket.SOCK_DGRAM, 17, "", (literal, number))
            v6 = (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", number, 0, 0))
            return [v6, v4] if host == "localhost" else [v6 if ":" in host else v4]

        monkeypatch.setattr(loop, "getaddrinfo", both)
        options = DialOptions(Io.AUTO, None, socket.AF_UNSPEC, 5.0)
        try:
            connection = await dial("localhost", port, client_configuration(pki), options)
            assert connection.address == "127.0.0.1"
            await connection.close()
        finally:
            server.close()
            await server.wait_closed()

    asyncio.run(main())
