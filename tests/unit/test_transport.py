# ruff: noqa: ANN401  (protocols and transports of any kind are the point here)
from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest

import quicxdp
from quicxdp.config import Io, SendLimits
from quicxdp.errors import ConfigError, DatapathError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.conftest import Run


class Inbox(asyncio.DatagramProtocol):
    """Keeps what arrives, and lets a test wait for it."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.got: list[tuple[bytes, Any]] = []
        self.errors: list[Exception] = []
        self.lost: asyncio.Future[Exception | None] = (
            asyncio.get_running_loop().create_future()
        )
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Keep the datagram."""
        self.got.append((data, addr))
        self._changed.set()

    def error_received(self, exc: Exception) -> None:
        """Keep the error."""
        self.errors.append(exc)
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that it is over."""
        self.lost.set_result(exc)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition*, looked at after each datagram and error."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """Close and wait for the end."""
        self.transport.close()
        await self.lost


async def endpoint(
    factory: Callable[[], Any] = Inbox, host: str = "127.0.0.1", **kwargs: Any
) -> Any:
    """Make an endpoint over the socket lane; return its protocol."""
    if "remote_addr" not in kwargs:
        kwargs["local_addr"] = (host, 0)
    _, protocol = await quicxdp.create_datagram_endpoint(factory, io="socket", **kwargs)
    return protocol


async def pair(factory: Callable[[], Any] = Inbox, host: str = "127.0.0.1") -> Any:
    """Make a listening endpoint of *factory* and a client connected to it."""
    server = await endpoint(factory, host)
    client = await endpoint(remote_addr=sockname(server)[:2])
    return server, client


def sockname(protocol: Any) -> Any:
    """Return the address that a protocol's endpoint is bound to."""
    return protocol.transport.get_extra_info("sockname")


def counters(protocol: Any) -> Any:
    """Return the counters of the socket lane of a protocol's endpoint."""
    return protocol.transport.get_extra_info("quicxdp").stats().lanes["socket"]


class Batches(Inbox):
    """Takes whole batches."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[tuple[bytes, Any]]] = []

    def datagrams_received(self, batch: list[tuple[bytes, Any]]) -> None:
        """Keep the batch, and its datagrams."""
        self.batches.append(batch)
        for data, addr in batch:
            self.datagram_received(data, addr)


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


@pytest.mark.parametrize("method", ["datagrams_received", "error_received"])
def test_an_exception_in_any_callback_is_reported_and_reading_goes_on(
    run: Run, method: str
) -> None:
    """One bad datagram must not make a server deaf."""

    async def main() -> None:
        server, client = await pair(Batches)
        calls = 0

        def fail(*_: object) -> None:
            nonlocal calls
            calls += 1
            server._changed.set()
            raise LookupError

        setattr(server, method, fail)
        server.transport.set_protocol(server)
        if method == "error_received":
            server.transport.sendto(b"x" * 65536, sockname(client))
        else:
            client.transport.sendto(b"x")
        await server.until(lambda: calls == 1)
        delattr(server, method)
        server.transport.set_protocol(server)
        client.transport.sendto(b"next")
        await server.until(lambda: bool(server.got))
        await client.close()
        await server.close()

    run(main())
    (context,) = run.take_reported()
    assert isinstance(context["exception"], LookupError)
    assert method in context["message"]


def test_an_interrupt_in_a_callback_loses_no_datagram(run_asyncio: Run) -> None:
    """Ctrl-C may come anywhere; what had arrived is delivered when the loop goes on."""

    class Interrupted(Inbox):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            if data == b"2":
                raise KeyboardInterrupt

    loop = asyncio.new_event_loop()
    server, client = loop.run_until_complete(pair(Interrupted))
    for number in range(6):
        client.transport.sendto(b"%d" % number)
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(server.until(lambda: len(server.got) == 6))
    assert len(server.got) == 3

    loop.run_until_complete(server.until(lambda: len(server.got) == 6))
    loop.run_until_complete(client.close())
    loop.run_until_complete(server.close())
    loop.close()


def test_an_error_names_the_peer_that_it_is_about(run: Run) -> None:
    """An endpoint with many peers can tell which datagram it was."""

    async def main() -> None:
        server, client = await pair()
        server.transport.sendto(b"x" * 65536, sockname(client))
        await server.until(lambda: bool(server.errors))
        (error,) = server.errors
        assert error.errno == errno.EMSGSIZE
        assert error.__notes__ == [f"peer: {sockname(client)!r}"]
        await client.close()
        await server.close()

    run(main())


def test_an_error_of_a_flush_in_the_middle_of_a_turn_is_heard_too(run: Run) -> None:
    """Nothing else may happen on that endpoint for a long time."""

    async def main() -> None:
        server, client = await pair()
        server.transport.sendto(bytes(600_000), sockname(client))
        await server.until(lambda: bool(server.errors))
        assert server.errors[0].errno == errno.EMSGSIZE
        await client.close()
        await server.close()

    run(main())


def test_a_server_does_not_hear_of_clients_that_are_gone(run: Run) -> None:
    """As on asyncio: only a connected endpoint gets ECONNREFUSED."""

    async def main() -> None:
        server, client = await pair()
        gone = sockname(client)
        await client.close()
        server.transport.sendto(b"anybody?", gone)
        second = await endpoint(remote_addr=sockname(server))
        second.transport.sendto(b"yes")
        await server.until(lambda: bool(server.got))
        assert server.errors == []
        await second.close()
        await server.close()

    run(main())


def test_another_thread_is_refused(run: Run) -> None:
    """sendto() from a thread looks as if it worked, and corrupts the outbox."""

    async def main() -> None:
        server, client = await pair()
        errors: list[Exception] = []

        def use() -> None:
            for call in (
                lambda: client.transport.sendto(b"x"),
                client.transport.close,
                client.transport.abort,
                client.transport.get_extra_info("quicxdp").stats,
            ):
                try:
                    call()
                except RuntimeError as error:
                    errors.append(error)

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        assert len(errors) == 4
        assert all("call_soon_threadsafe" in str(error) for error in errors)
        await client.close()
        await server.close()

    run(main())


def test_a_forked_child_is_refused_and_may_close(run: Run) -> None:
    """It shares the parent's epoll set: touching the loop would deafen the parent."""

    async def main() -> None:
        server, client = await pair()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                client.transport.sendto(b"from the child")
            except RuntimeError as error:
                status = 0 if "parent" in str(error) else 2
            finally:
                server.transport.close()
                client.transport.abort()
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0  # noqa: ASYNC222  # the child ends at once
        client.transport.sendto(b"from the parent")
        await server.until(lambda: bool(server.got))
        assert server.got[0][0] == b"from the parent"
        await client.close()
        await server.close()

    run(main())


def test_an_endpoint_that_nobody_closed_is_closed_with_a_warning(run: Run) -> None:
    """asyncio warns too; and the port must be free again."""

    async def main() -> int:
        server = await endpoint()
        port: int = sockname(server)[1]
        return port

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        port = run(main())
        gc.collect()

    assert any("unclosed transport" in str(warning.message) for warning in caught)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))


def test_sending_on_a_closed_endpoint_drops_and_says_so_after_a_while(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """A protocol often sends once more before it learns of the end."""

    async def main() -> None:
        server, client = await pair()
        await client.close()
        for _ in range(10):
            client.transport.sendto(b"too late")
        assert client.transport.get_write_buffer_size() == 0
        await server.close()

    run(main())
    assert len(caplog.records) > 0
    assert "closed transport" in caplog.records[0].message


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


def test_a_failing_timer_is_reported_and_the_others_fire(run: Run) -> None:
    """One connection's bug must not stop the deadlines of the rest."""

    async def main() -> None:
        server = await endpoint()
        done = asyncio.Event()
        now = server.transport.clock.time()
        server.transport.clock.call_at(now, [].pop)
        server.transport.clock.call_at(now, done.set)
        await done.wait()
        await server.close()

    run(main())
    (context,) = run.take_reported()
    assert isinstance(context["exception"], IndexError)


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


def test_a_receive_that_fails_is_an_error_and_not_the_end(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interface goes away: the socket lane goes on."""

    async def main() -> None:
        server, client = await pair()
        reactor = server.transport._reactor
        recv = reactor._recv

        def fail_once(_: int) -> None:
            reactor._recv = recv
            raise DatapathError(errno.ENETDOWN, "receiving: veth1 is gone")

        reactor._recv = fail_once
        client.transport.sendto(b"x")
        await server.until(lambda: bool(server.got) and bool(server.errors))
        assert server.errors[0].errno == errno.ENETDOWN
        await client.close()
        await server.close()

    run(main())


def test_a_receive_that_cannot_work_again_ends_the_endpoint(run: Run) -> None:
    """Rather than fail again and again, at the full speed of the loop."""

    async def main() -> None:
        server, client = await pair()

        def fail(_: int) -> None:
            raise DatapathError(errno.EPERM, "receiving: not permitted")

        server.transport._reactor._recv = fail
        client.transport.sendto(b"x")
        error = await server.lost
        assert error is server.errors[0]
        assert error.errno == errno.EPERM
        await client.close()

    run(main())


def test_a_loop_that_goes_on_in_another_thread_is_told_once(run_asyncio: Run) -> None:
    """asyncio's own transports would work there; ours cannot, and must not spin."""
    loop = asyncio.new_event_loop()
    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    server, client = loop.run_until_complete(pair())
    client.transport.sendto(b"x")
    client.transport._reactor.flush()
    iterations = 0

    def count() -> None:
        nonlocal iterations
        iterations += 1
        if iterations < 50:
            loop.call_soon(count)
        else:
            loop.stop()

    loop.call_soon(count)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    thread.join()
    messages = [str(context["exception"]) for context in reported]
    loop.run_until_complete(client.close())
    loop.run_until_complete(server.close())
    loop.close()

    assert len(messages) <= 2
    assert all("call_soon_threadsafe" in message for message in messages)


def test_a_loop_in_debug_mode_finds_nothing_to_complain_about(run: Run) -> None:
    """It checks threads, slow callbacks and what is never awaited."""

    async def main() -> None:
        server, client = await pair()
        client.transport.sendto(b"x")
        await server.until(lambda: bool(server.got))
        await client.close()
        await server.close()

    run(main(), debug=True)


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
