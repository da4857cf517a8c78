"""The thread that waits where an event loop cannot watch a datapath."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import threading
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

import quicxdp
from quicxdp.datapath import Datapath
from quicxdp.errors import DatapathError
from quicxdp.transport import DatagramTransport
from tests.unit.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from quicxdp.addresses import Address

LOCALHOST = "127.0.0.1"
PATIENCE_S = 10


class ProactorLike(asyncio.SelectorEventLoop):
    """A loop that cannot watch descriptors, as Windows' default one."""

    def add_reader(self, fd: object, callback: object, *args: object) -> NoReturn:
        """Refuse, as ProactorEventLoop does."""
        raise NotImplementedError


# How a loop is made, and how long its transports spin.
KINDS: dict[str, tuple[Callable[[], asyncio.AbstractEventLoop], int]] = {
    "proactor-like": (ProactorLike, 0),
    "proactor-like, spinning": (ProactorLike, 50),
}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on each kind; no thread may be left."""
    yield request.param
    assert waiters() == []


def waiters() -> list[threading.Thread]:
    """List the threads that wait for datapaths."""
    return [t for t in threading.enumerate() if t.name == "quicxdp waiter"]


def run(kind: str, main: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    """Run *main*, given how long to spin, to its end."""
    make, spin_us = KINDS[kind]
    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(asyncio.wait_for(main(spin_us), PATIENCE_S))


async def open_pair(spin_us: int) -> tuple[Inbox, Inbox]:
    """Open two endpoints whose datagrams come through a waiter."""
    inboxes = []
    for _ in range(2):
        _, inbox = await quicxdp.create_datagram_endpoint(
            Inbox, (LOCALHOST, 0), io="socket", spin_us=spin_us
        )
        inboxes.append(inbox)
    return inboxes[0], inboxes[1]


async def close(*inboxes: Inbox) -> None:
    """Close, and wait until it is over."""
    for inbox in inboxes:
        inbox.transport.close()
        await inbox.lost


def test_datagrams_go_both_ways(kind: str) -> None:
    """The lane does not depend on what the loop can watch."""

    async def main(spin_us: int) -> None:
        a, b = await open_pair(spin_us)
        to_b = b.transport.get_extra_info("sockname")
        to_a = a.transport.get_extra_info("sockname")
        for i in range(300):
            a.transport.sendto(b"%d" % i, to_b)
            b.transport.sendto(b"%d" % i, to_a)
            await b.until(lambda: len(b.got) > i)  # noqa: B023  (awaited in the loop)
            await a.until(lambda: len(a.got) > i)  # noqa: B023
        assert [data for data, _ in b.got] == [b"%d" % i for i in range(300)]
        await close(a, b)

    run(kind, main)


def test_deadlines_fire(kind: str) -> None:
    """QUIC's timers stand on the same wake-ups."""

    async def main(spin_us: int) -> None:
        a, b = await open_pair(spin_us)
        clock = a.transport.clock
        fired = asyncio.Event()
        at_s = clock.time() + 0.01
        clock.call_at(at_s, fired.set)
        await fired.wait()
        assert clock.time() >= at_s
        await close(a, b)

    run(kind, main)


def test_a_turn_is_one_wake_up(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst must not become a burst of wake-ups: the loop has other work."""
    waits = 0
    wait = Datapath.wait

    def counted(self: Datapath, spin_ns: int, timeout_ns: int) -> bool:
        nonlocal waits
        waits += 1
        return wait(self, spin_ns, timeout_ns)

    monkeypatch.setattr(Datapath, "wait", counted)

    async def main(spin_us: int) -> None:
        nonlocal waits
        a, b = await open_pair(spin_us)
        a.transport.sendto(b"first", b.transport.get_extra_info("sockname"))
        await b.until(lambda: len(b.got) == 1)
        waits = 0
        for _ in range(200):
            a.transport.sendto(b"x" * 100, b.transport.get_extra_info("sockname"))
        await b.until(lambda: len(b.got) == 201)
        assert waits <= 20  # of two endpoints
        await close(a, b)

    run(kind, main)


def test_an_engine_that_comes_later_has_the_only_thread(kind: str) -> None:
    """A client opens its engine when the endpoint runs already.

    With the first thread still there, every second datagram would pass the engine by.
    """

    async def main(spin_us: int) -> None:
        transport, inbox = await quicxdp.create_datagram_endpoint(
            Inbox, (LOCALHOST, 0), io="socket", spin_us=spin_us
        )
        assert isinstance(transport, DatagramTransport)
        turn = transport.open_engine(8)
        taken: list[bytes] = []
        on_datagram = turn.engine.on_datagram
        assert on_datagram is not None

        def take(path: bytes, data: bytes, time_ns: int) -> None:
            taken.append(data)
            on_datagram(path, data, time_ns)

        turn.engine.on_datagram = take
        assert len(waiters()) == 1
        sent = [b"\xc0 %d" % i for i in range(20)]
        for i, data in enumerate(sent):
            transport.sendto(data, transport.get_extra_info("sockname"))
            await inbox.until(lambda: len(inbox.got) > i)  # noqa: B023
        assert [data for data, _ in inbox.got] == taken == sent
        await close(inbox)

    run(kind, main)


def test_a_wait_that_fails_is_told(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transport that hears nothing more, and nobody knows, is a hang."""

    def fail(_: Datapath, _spin_ns: int, _timeout_ns: int) -> NoReturn:
        raise DatapathError(errno.EBADF, "waiting")

    async def main(spin_us: int) -> None:
        told: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: None if told.done() else told.set_result(context)
        )
        monkeypatch.setattr(Datapath, "wait", fail)
        a, b = await open_pair(spin_us)
        context = await told
        assert isinstance(context["exception"], DatapathError)
        assert context["message"].startswith("Waiting failed")
        await close(a, b)

    run(kind, main)


def test_a_thread_that_cannot_be_woken_is_waited_for(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing a datapath under its waiting thread would free what that thread reads."""

    def fail(_: Datapath, _deadline_ns: int) -> NoReturn:
        raise DatapathError(errno.ENOBUFS, "arming a timer")

    async def main(spin_us: int) -> None:
        transport, inbox = await quicxdp.create_datagram_endpoint(
            Inbox, (LOCALHOST, 0), io="socket", spin_us=spin_us
        )
        with monkeypatch.context() as patched:
            patched.setattr(Datapath, "arm", fail)
            transport.abort()
            await inbox.lost
            assert waiters() == []

    run(kind, main)


def test_closing_in_a_turn_ends_the_thread(kind: str) -> None:
    """A protocol may close its transport in whatever callback it likes."""

    async def main(spin_us: int) -> None:
        class Closing(Inbox):
            def datagram_received(self, data: bytes, addr: Address) -> None:
                super().datagram_received(data, addr)
                self.transport.abort()

        transport, inbox = await quicxdp.create_datagram_endpoint(
            Closing, (LOCALHOST, 0), io="socket", spin_us=spin_us
        )
        transport.sendto(b"bye", transport.get_extra_info("sockname"))
        await inbox.lost

    run(kind, main)


def test_a_loop_closed_first_ends_the_thread_and_warns(kind: str) -> None:
    """Forgetting to close is told as for any transport; nothing waits for ever."""
    make, spin_us = KINDS[kind]
    loop = make()
    transport, _ = loop.run_until_complete(
        quicxdp.create_datagram_endpoint(
            asyncio.DatagramProtocol, (LOCALHOST, 0), io="socket", spin_us=spin_us
        )
    )
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    for thread in waiters():
        thread.join(PATIENCE_S)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del transport
        gc.collect()
    assert any("unclosed transport" in str(w.message) for w in caught)


def test_a_thread_that_may_not_wait_only_asks(kind: str) -> None:
    """A loop that goes on in another thread is an error, told once, without a hang."""
    make, spin_us = KINDS[kind]
    loop = make()
    told: list[str] = []
    transport, inbox = loop.run_until_complete(
        quicxdp.create_datagram_endpoint(
            Inbox, (LOCALHOST, 0), io="socket", spin_us=spin_us
        )
    )
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.sendto(b"x", transport.get_extra_info("sockname"))

    stopped = asyncio.Event()

    def hear(_: object, context: dict[str, Any]) -> None:
        told.append(context["message"])
        if told[-1] == "Receiving stopped":
            stopped.set()

    loop.set_exception_handler(hear)

    elsewhere = threading.Thread(target=loop.run_until_complete, args=(stopped.wait(),))
    elsewhere.start()
    elsewhere.join(PATIENCE_S)
    assert not elsewhere.is_alive()
    assert told.count("Receiving stopped") == 1

    async def end() -> None:
        transport.abort()
        await inbox.lost

    loop.run_until_complete(end())
    loop.close()
