# ruff: noqa: ANN401  (protocols and transports of any kind are the point here)
from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import quicxdp
from quicxdp.config import Io, SendLimits
from quicxdp.errors import ConfigError
from tests.unit.inbox import Batches, Inbox, counters, endpoint, pair, sockname

if TYPE_CHECKING:
    from tests.unit.conftest import Run


def test_a_protocol_that_takes_batches_gets_them_whole(run: Run) -> None:
    """The hook is where a protocol saves work per datagram."""

    async def main() -> None:
        server, client = await pair(Batches)
        for number in range(100):
            client.transport.sendto(b"%d" % number)
        await server.until(lambda: len(server.got) == 100)
        assert [data for data, _ in server.got] == [b"%d" % n for n in range(100)]
        assert len(server.batches) < 100
        await client.close()
        await server.close()

    run(main())


def test_a_batch_belongs_to_the_protocol_that_got_it(run: Run) -> None:
    """It may keep the list; closing in the middle must not empty it."""

    class Closing(Batches):
        def datagrams_received(self, batch: list[tuple[bytes, Any]]) -> None:
            super().datagrams_received(batch)
            self.transport.close()

    async def main() -> None:
        server, client = await pair(Closing)
        for _ in range(10):
            client.transport.sendto(b"x")
        await server.lost
        assert sum(len(batch) for batch in server.batches) == len(server.got) > 0
        await client.close()

    run(main())


def test_all_that_a_turn_sends_leaves_in_one_system_call(run: Run) -> None:
    """This is where the speed comes from."""

    class Echo(Inbox):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            self.transport.sendto(data, addr)

    async def main() -> None:
        server, client = await pair(Echo)
        for _ in range(64):
            client.transport.sendto(b"x" * 1000)
        await client.until(lambda: len(client.got) == 64)
        assert counters(client).tx_syscalls == 1
        assert counters(server).tx_syscalls == counters(server).rx_syscalls
        assert counters(server).tx_syscalls < 8
        await client.close()
        await server.close()

    run(main())


def test_a_turn_that_sends_very_much_is_flushed_in_the_middle(run: Run) -> None:
    """What has been sent must not wait for the end of a long loop."""

    async def main() -> None:
        server, client = await pair()
        for _ in range(256):
            client.transport.sendto(b"x")
        assert counters(client).tx_packets == 256
        client.transport.sendto(b"x")
        assert counters(client).tx_packets == 256
        await server.until(lambda: len(server.got) == 257)
        await client.close()
        await server.close()

    run(main())


def test_empty_datagrams_travel(run: Run) -> None:
    """They are legal, and asyncio has sent them since Python 3.13."""

    async def main() -> None:
        server, client = await pair()
        for data in (b"", b"a", b"", b""):
            client.transport.sendto(data)
        await server.until(lambda: len(server.got) == 4)
        assert [data for data, _ in server.got] == [b"", b"a", b"", b""]
        await client.close()
        await server.close()

    run(main())


def test_sending_to_a_name_is_refused_where_it_happens(run: Run) -> None:
    """A DNS query per datagram would stop the loop."""

    async def main() -> None:
        server = await endpoint()
        with pytest.raises(ValueError, match="getaddrinfo"):
            server.transport.sendto(b"x", ("localhost", 9))
        with pytest.raises(TypeError, match="not connected"):
            server.transport.sendto(b"x")
        with pytest.raises(TypeError, match="tuple"):
            server.transport.sendto(b"x", "127.0.0.1")
        assert not server.transport.is_closing()
        await server.close()

    run(main())


def test_an_answer_leaves_from_the_address_that_was_asked(run: Run) -> None:
    """A client drops answers from elsewhere; a server has many addresses."""

    async def main() -> None:
        server = await endpoint(host="0.0.0.0")  # noqa: S104
        port = sockname(server)[1]
        clients = [
            await endpoint(remote_addr=(f"127.0.0.{number}", port))
            for number in (1, 2, 3)
        ]
        for client in clients:
            client.transport.sendto(b"question")
        await server.until(lambda: len(server.got) == 3)
        for data, addr in server.got:
            server.transport.sendto(data, addr)
        for client in clients:
            await client.until(lambda client=client: bool(client.got))
            await client.close()
        await server.close()

    run(main())


def test_a_dual_stack_endpoint_serves_both_families(run: Run) -> None:
    """With the IPv4 peer in the one form that asyncio gives it."""

    async def main() -> None:
        server = await endpoint(host="::")
        port = sockname(server)[1]
        for host, shown in (("127.0.0.1", "::ffff:127.0.0.1"), ("::1", "::1")):
            client = await endpoint(remote_addr=(host, port))
            client.transport.sendto(b"question")
            await server.until(lambda: bool(server.got))
            data, addr = server.got.pop()
            assert addr == (shown, sockname(client)[1], 0, 0)
            server.transport.sendto(data, addr)
            server.transport.sendto(data, tuple(addr))
            server.transport.sendto(data, (host, sockname(client)[1]))
            await client.until(lambda client=client: len(client.got) == 3)
            await client.close()
        await server.close()

    run(main())


def test_a_busy_endpoint_lets_others_run_between_batches(run: Run) -> None:
    """A flood must not starve the rest of the loop."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server, client = await pair(Batches)
        between: list[int] = []

        def tick() -> None:
            between.append(len(server.got))
            if len(server.got) < 600:
                loop.call_soon(tick)

        # All in one callback, so that they wait in the socket together.
        for _ in range(600):
            client.transport.sendto(b"x" * 1200)
        loop.call_soon(tick)
        await server.until(lambda: len(server.got) == 600)
        assert max(len(batch) for batch in server.batches) <= 256
        assert len(set(between)) > 1
        await client.close()
        await server.close()

    run(main())


def test_timers_use_the_kernels_and_not_the_loops(
    run_asyncio: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop's timers are a millisecond coarse, and one each per connection."""

    async def main() -> None:
        server = await endpoint()
        clock = server.transport.clock
        loop = asyncio.get_running_loop()
        fired: list[str] = []
        done = asyncio.Event()

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("a loop timer was used")

        with monkeypatch.context() as patch:
            patch.setattr(loop, "call_at", refuse)
            patch.setattr(loop, "call_later", refuse)
            now = clock.time()
            clock.call_at(now + 0.0002, fired.append, "second")
            clock.call_at(now + 0.0001, fired.append, "first")
            clock.call_at(now + 0.00015, fired.append, "never").cancel()
            clock.call_at(now + 0.0003, done.set)
            while not done.is_set():
                await done.wait()
        assert fired == ["first", "second"]
        await server.close()

    run_asyncio(main())


def test_timers_outlive_the_endpoint(run: Run) -> None:
    """aioquic's closing period ends by a timer after the transport is closed."""

    async def main() -> None:
        server = await endpoint()
        done, later = asyncio.Event(), asyncio.Event()
        clock = server.transport.clock
        clock.call_later(0.001, done.set)
        await server.close()
        clock.call_later(0.0, later.set)
        await done.wait()
        await later.wait()

    run(main())


def test_a_timer_that_sends_is_flushed_in_its_turn(run: Run) -> None:
    """A retransmission must not wait for the next packet."""

    async def main() -> None:
        server, client = await pair()
        client.transport.clock.call_later(0.0, client.transport.sendto, b"timed")
        await server.until(lambda: bool(server.got))
        await client.close()
        await server.close()

    run(main())


def test_what_is_in_use_and_why_can_be_asked(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """Users must be able to see which lane carries their packets, in one line."""
    caplog.set_level("INFO", logger="quicxdp")

    async def main() -> None:
        _, protocol = await quicxdp.create_datagram_endpoint(
            Inbox, local_addr=("127.0.0.1", 0)
        )
        info = protocol.transport.get_extra_info("quicxdp")
        assert (info.io, info.interface) == (Io.SOCKET, "")
        assert "interface=" in info.reason
        assert info.stats().total.rx_packets == 0
        await protocol.close()
        with pytest.raises(RuntimeError, match="closed"):
            info.stats()

    run(main())
    (record,) = caplog.records
    assert record.message.startswith("io=socket on ('127.0.0.1', ")


def test_a_broadcast_endpoint_is_not_connected(run: Run) -> None:
    """Answers come from the hosts' own addresses, as on asyncio."""

    async def main() -> None:
        server = await endpoint()
        _, client = await quicxdp.create_datagram_endpoint(
            Inbox, remote_addr=sockname(server), allow_broadcast=True, io="socket"
        )
        assert client.transport.get_extra_info("peername") is None
        client.transport.sendto(b"question")
        await server.until(lambda: bool(server.got))
        with pytest.raises(ValueError, match="Invalid address"):
            client.transport.sendto(b"x", ("127.0.0.1", 1))
        await client.close()
        await server.close()

    run(main())


def test_limits_of_sending_are_checked() -> None:
    """A batch has to fit one call."""
    with pytest.raises(ConfigError):
        SendLimits(batch_datagram_cnt=1000)
