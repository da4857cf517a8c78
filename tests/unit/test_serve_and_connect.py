# ruff: noqa: ANN401  (protocols of any kind)
"""serve() and connect() over real sockets: streams, timers, closing, draining."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import QuicEvent, StreamDataReceived

import quicxdp
from tests.unit.conftest import client_configuration

if TYPE_CHECKING:
    from aioquic.quic.configuration import QuicConfiguration

    from quicxdp.clock import Clock
    from quicxdp.server import QuicServer
    from tests.unit.conftest import Run


def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with what came."""

    async def answer() -> None:
        writer.write(await reader.read())
        writer.write_eof()

    tasks.add(task := asyncio.ensure_future(answer()))
    task.add_done_callback(tasks.discard)


tasks: set[asyncio.Future[None]] = set()


async def ask(client: Any, data: bytes) -> bytes:
    """Send *data* on a new stream and return the answer."""
    reader, writer = await client.create_stream()
    writer.write(data)
    writer.write_eof()
    answer: bytes = await reader.read()
    return answer


async def serve(
    configuration: QuicConfiguration, **kwargs: Any
) -> tuple[QuicServer, int]:
    """Start a server on loopback; return it and its port."""
    kwargs.setdefault("stream_handler", echo)
    server = await quicxdp.serve("::1", 0, configuration=configuration, **kwargs)
    return server, server.transport.get_extra_info("sockname")[1]


def connect(port: int, **kwargs: Any) -> Any:
    """Connect to a server on loopback."""
    return quicxdp.connect("::1", port, configuration=client_configuration(), **kwargs)


@pytest.mark.parametrize("io", ["socket", "asyncio"])
@pytest.mark.parametrize("retry", [False, True])
def test_streams_carry_data_both_ways(
    run: Run, server_configuration: QuicConfiguration, io: str, *, retry: bool
) -> None:
    """The whole path, with and without address validation, on every lane and loop."""

    async def main() -> None:
        server, port = await serve(server_configuration, io=io, retry=retry)
        async with connect(port, io=io) as client:
            questions = [b"%d" % number * 3000 for number in range(8)]
            answers = await asyncio.gather(*(ask(client, data) for data in questions))
            assert answers == questions
            assert server.connection_cnt == 1
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("io", ["socket", "asyncio"])
def test_no_connection_uses_the_loops_timers(
    run_asyncio: Run,
    server_configuration: QuicConfiguration,
    monkeypatch: pytest.MonkeyPatch,
    io: str,
) -> None:
    """aioquic sets one with nearly every packet: 275,319 on a 50 MB download."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        calls: list[str] = []
        call_at = loop.call_at

        def note(when: float, callback: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append(callback.__qualname__)
            return call_at(when, callback, *args, **kwargs)

        server, port = await serve(server_configuration, io=io)
        transport: Any = server.transport
        async with connect(port, io=io) as client:
            monkeypatch.setattr(loop, "call_at", note)
            assert await ask(client, bytes(300_000)) == bytes(300_000)
            clocks: list[Clock] = [client._transport.clock, transport.clock]
            # The idle timeout and the like: the timers are there.
            assert all(len(clock) >= 1 for clock in clocks)
        monkeypatch.undo()
        server.close()
        await server.wait_closed()
        assert [call for call in calls if "QuicConnectionProtocol" in call] == []
        if io == "socket":
            assert calls == []

    run_asyncio(main())


def test_many_clients_at_once(run: Run, server_configuration: QuicConfiguration) -> None:
    """Each gets its own answer."""

    async def one(port: int, number: int) -> bytes:
        async with connect(port) as client:
            return await ask(client, b"client %d" % number)

    async def main() -> None:
        server, port = await serve(server_configuration)
        answers = await asyncio.gather(*(one(port, number) for number in range(20)))
        assert answers == [b"client %d" % number for number in range(20)]
        server.close()
        await server.wait_closed()

    run(main())


def test_closing_tells_the_clients(
    run: Run, server_configuration: QuicConfiguration
) -> None:
    """They need not wait for their idle timeout; and the port is free at once."""

    async def main() -> None:
        server, port = await serve(server_configuration)
        async with connect(port) as client:
            server.close()
            await client.wait_closed()
            await server.wait_closed()
            again, _ = await serve(server_configuration)
            again.close()
            await again.wait_closed()

    run(main())


def test_connections_of_a_closed_server_still_come_to_their_end(
    run: Run, server_configuration: QuicConfiguration
) -> None:
    """Whoever waits for a connection's end must not wait for ever."""
    made: list[QuicConnectionProtocol] = []

    class Kept(QuicConnectionProtocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    async def main() -> None:
        server, port = await serve(server_configuration, create_protocol=Kept)
        async with connect(port):
            server.close()
            await server.wait_closed()
            await made[0].wait_closed()

    run(main())


def test_draining_waits_for_connections_and_takes_no_new_ones(
    run: Run, server_configuration: QuicConfiguration
) -> None:
    """A restart without cutting anybody off."""

    async def main() -> None:
        server, port = await serve(server_configuration)
        async with connect(port) as client:
            draining = asyncio.ensure_future(server.drain(60.0))
            await asyncio.sleep(0)
            assert await ask(client, b"still here") == b"still here"
            late = QuicConnection(configuration=client_configuration())
            late.connect(("::1", port, 0, 0), now=0.0)
            hello = [data for data, _ in late.datagrams_to_send(now=0.0)]
            before = server.connection_cnt
            server.datagrams_received([(data, ("::1", 4000, 0, 0)) for data in hello])
            assert server.connection_cnt == before
            assert not draining.done()
        assert await draining == 0

    run(main())


def test_draining_ends_when_its_time_is_over(
    run: Run, server_configuration: QuicConfiguration
) -> None:
    """Who does not leave is closed, and counted."""

    async def main() -> None:
        server, port = await serve(server_configuration)
        async with connect(port) as client:
            assert await server.drain(0.0) == 1
            await client.wait_closed()

    run(main())


def test_draining_an_idle_server_is_closing_it(
    run: Run, server_configuration: QuicConfiguration
) -> None:
    """Nothing to wait for."""

    async def main() -> None:
        server, _ = await serve(server_configuration)
        assert await server.drain(60.0) == 0

    run(main())


@pytest.mark.parametrize("engine", ["native", "aioquic"])
def test_a_client_protocol_may_override_everything(
    run: Run, server_configuration: QuicConfiguration, engine: str
) -> None:
    """Subclasses see each datagram, in and out, also with the engine in C."""

    class Sender:
        def __init__(self, transport: asyncio.BaseTransport) -> None:
            self.transport: Any = transport
            self.sent = 0

        def sendto(self, data: bytes, addr: Any) -> None:
            self.sent += 1
            self.transport.sendto(data, addr)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.transport, name)

    class Own(QuicConnectionProtocol):
        datagrams = 0
        transport_seen: Any = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            Own.transport_seen = Sender(transport)
            super().connection_made(Own.transport_seen)

        def datagram_received(self, data: Any, addr: Any) -> None:
            Own.datagrams += 1
            super().datagram_received(data, addr)

    async def main() -> None:
        server, port = await serve(server_configuration)
        async with connect(port, create_protocol=Own, engine=engine) as client:
            before, sent_before = Own.datagrams, Own.transport_seen.sent
            assert await ask(client, b"h" * 50_000) == b"h" * 50_000
            assert client._transport is Own.transport_seen
            assert Own.datagrams >= before + 50_000 / 1452
            assert Own.transport_seen.sent >= sent_before + 50_000 / 1452
            info = client._transport.get_extra_info("quicxdp")
            assert info.engine.value == engine
            assert (engine == "native") == ("Own takes each" in info.engine_reason)
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("engine", ["native", "aioquic"])
def test_a_server_protocol_may_take_its_datagrams_itself(
    run: Run, server_configuration: QuicConfiguration, engine: str
) -> None:
    """And others beside it on the same port still take the fast way."""

    class Own(QuicConnectionProtocol):
        datagrams = 0

        def datagram_received(self, data: Any, addr: Any) -> None:
            Own.datagrams += 1
            super().datagram_received(data, addr)

    kinds = iter([Own, QuicConnectionProtocol])

    def make(*args: Any, **kwargs: Any) -> QuicConnectionProtocol:
        return next(kinds)(*args, **kwargs)

    async def main() -> None:
        server, port = await serve(
            server_configuration, create_protocol=make, engine=engine
        )
        async with connect(port) as first, connect(port) as second:
            before = Own.datagrams
            assert await ask(first, b"1" * 50_000) == b"1" * 50_000
            after = Own.datagrams
            assert after >= before + 50_000 / 1452
            assert await ask(second, b"2" * 50_000) == b"2" * 50_000
            # Acknowledgements of the first one may still be on their way.
            assert Own.datagrams < after + 50_000 / 1452
            # Its connection IDs change, and it goes on.
            first.change_connection_id()
            assert await ask(first, b"3" * 5000) == b"3" * 5000
        info = server.transport.get_extra_info("quicxdp")
        assert (engine == "native") == ("Own takes each" in info.engine_reason)
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("engine", ["native", "aioquic"])
def test_a_client_is_told_of_what_it_failed_to_handle(
    run: Run, server_configuration: QuicConfiguration, engine: str
) -> None:
    """It can give up at once, with the reason, instead of waiting for an answer."""

    class Own(QuicConnectionProtocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.failed = asyncio.get_running_loop().create_future()

        def quic_event_received(self, event: QuicEvent) -> None:
            if type(event) is StreamDataReceived:
                raise LookupError("what is this?")

        def connection_failed(self, exc: Exception) -> None:
            self.failed.set_result(exc)

    async def main() -> None:
        server, port = await serve(server_configuration)
        async with connect(port, create_protocol=Own, engine=engine) as client:
            client._quic.send_stream_data(0, b"?", end_stream=True)
            client.transmit()
            assert isinstance(await client.failed, LookupError)
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("io", ["socket", "asyncio"])
def test_the_engine_in_use_is_said_with_its_reason(
    run: Run,
    server_configuration: QuicConfiguration,
    caplog: pytest.LogCaptureFixture,
    io: str,
) -> None:
    """In the log once per endpoint, and for programs."""

    async def main() -> None:
        with caplog.at_level(logging.INFO, "quicxdp.engine_choice"):
            server, port = await serve(server_configuration, engine="auto", io=io)
            async with connect(port, engine="aioquic", io=io) as client:
                info = client._transport.get_extra_info("quicxdp")
                assert info.engine is quicxdp.EngineKind.AIOQUIC
                assert "was asked for" in info.engine_reason
        info = server.transport.get_extra_info("quicxdp")
        assert info.engine is quicxdp.EngineKind.NATIVE
        said = [record.message for record in caplog.records]
        assert said == [
            f"engine=native on ('::1', {port}): {info.engine_reason}",
            *[message for message in said if message.startswith("engine=aioquic on ")],
        ]
        assert len(said) == 2
        server.close()
        await server.wait_closed()

    run(main())


def test_a_client_may_choose_its_port_and_learn_its_lane(
    run: Run, server_configuration: QuicConfiguration
) -> None:
    """Firewalls want the first, people the second."""

    async def main() -> None:
        server, port = await serve(server_configuration)
        async with connect(port) as client:
            first = client._transport.get_extra_info("sockname")[1]
        await asyncio.sleep(0)
        async with connect(port, local_port=first) as client:
            assert client._transport.get_extra_info("sockname")[1] == first
            assert client._transport.get_extra_info("quicxdp").io is quicxdp.Io.SOCKET
        server.close()
        await server.wait_closed()

    run(main())


def test_a_client_of_a_silent_port_times_out_and_leaves_nothing(run: Run) -> None:
    """The idle timeout is the connection's, on our clock."""

    async def main() -> None:
        configuration = client_configuration()
        configuration.idle_timeout = 0.05
        with pytest.raises(ConnectionError):
            async with quicxdp.connect("::1", 9, configuration=configuration):
                raise AssertionError("nobody is there")

    run(main())
