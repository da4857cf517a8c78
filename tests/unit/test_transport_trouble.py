# ruff: noqa: ANN401  (protocols and transports of any kind are the point here)
"""What goes wrong in, under and around a transport, and where it is told."""

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

from quicxdp.errors import DatapathError
from tests.unit.inbox import Batches, Inbox, endpoint, pair, sockname

if TYPE_CHECKING:
    from tests.unit.conftest import Run


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


def test_a_receive_that_fails_is_an_error_and_not_the_end(
    run: Run, caplog: pytest.LogCaptureFixture
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
        stats = server.transport.get_extra_info("quicxdp").stats()
        assert stats.lanes_lost == 1
        assert caplog.text.count("goes on over the kernel's socket") == 1
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
