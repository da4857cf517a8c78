# ruff: noqa: ANN401  (protocols and transports of any kind are the point here)
"""The same script over asyncio's transport and over ours must give the same callbacks.

asyncio (and uvloop) is the oracle here: where we differ on purpose, transport.py says so
and the difference has its own test in test_transport.py.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

import quicxdp

if TYPE_CHECKING:
    from tests.unit.conftest import Run

Create = Callable[..., Awaitable[tuple[Any, Any]]]


def creators() -> dict[str, Create]:
    """Return the ways to make an endpoint, of which the first is the oracle."""

    def ours(io: str) -> Create:
        def create(*args: Any, **kwargs: Any) -> Awaitable[tuple[Any, Any]]:
            return quicxdp.create_datagram_endpoint(*args, io=io, **kwargs)

        return create

    return {
        "oracle": asyncio.get_running_loop().create_datagram_endpoint,
        "socket": ours("socket"),
        "asyncio": ours("asyncio"),
    }


class Recorder(asyncio.DatagramProtocol):
    """Writes down every callback, without ports and objects, which differ by run."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.transport: Any = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()

    def note(self, *what: Any) -> None:
        """Append to the log."""
        self.log.append(what)
        self.changed.set()

    async def until(self, cnt: int) -> None:
        """Wait until the log has *cnt* entries."""
        while len(self.log) < cnt:
            self.changed.clear()
            await self.changed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note it."""
        self.transport = transport
        self.note("made")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Note it, with the form of the address but not the port."""
        self.note("received", type(data).__name__, data, addr[0], len(addr), addr[2:])

    def error_received(self, exc: Exception) -> None:
        """Note it."""
        number = exc.errno if isinstance(exc, OSError) else None
        self.note("error", type(exc).__name__, number)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note it."""
        self.note("lost", exc)
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        """Note it."""
        self.note("pause")

    def resume_writing(self) -> None:
        """Note it."""
        self.note("resume")


def raised(function: Callable[..., object], *args: Any) -> tuple[str, str]:
    """Return what calling *function* raises, in comparable form."""
    try:
        function(*args)
    except Exception as error:  # noqa: BLE001
        return type(error).__name__, str(error)
    return "nothing", ""


async def pair(create: Create, host: str) -> tuple[Any, Recorder, Any, Recorder]:
    """Make a listening endpoint and one that is connected to it."""
    server, server_log = await create(Recorder, local_addr=(host, 0))
    client, client_log = await create(
        Recorder, remote_addr=server.get_extra_info("sockname")[:2]
    )
    return server, server_log, client, client_log


async def closed(*recorders: Recorder) -> list[Any]:
    """Close, wait for connection_lost, and return all logs."""
    for recorder in recorders:
        recorder.transport.close()
    for recorder in recorders:
        await recorder.lost
    return [recorder.log for recorder in recorders]


async def conversation(create: Create, host: str) -> Any:
    """Question and answer, one after another."""
    server, server_log, client, client_log = await pair(create, host)
    for number in range(3):
        client.sendto(b"question %d" % number)
        await server_log.until(2 + number)
        server.sendto(b"answer %d" % number, client.get_extra_info("sockname"))
        await client_log.until(2 + number)
    return await closed(server_log, client_log)


async def burst(create: Create, host: str) -> Any:
    """Datagrams of many sizes and every type at once; the buffer holds about 250."""
    _, server_log, client, client_log = await pair(create, host)
    payloads: list[Any] = [b"x" * size for size in range(1, 100)]
    payloads += [bytearray(b"array"), memoryview(b"a view")[2:]]
    for payload in payloads:
        client.sendto(payload)
    await server_log.until(1 + len(payloads))
    return await closed(server_log, client_log)


async def changed_after_sending(create: Create, host: str) -> Any:
    """A buffer that the caller reuses at once."""
    _, server_log, client, client_log = await pair(create, host)
    data = bytearray(b"before")
    client.sendto(data)
    data[:] = b"after!"
    await server_log.until(2)
    return await closed(server_log, client_log)


async def nobody_listens(create: Create, host: str) -> Any:
    """A connected endpoint whose peer is gone hears of it."""
    with socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM
    ) as sock:
        sock.bind((host, 0))
        address = sock.getsockname()[:2]
    client, log = await create(Recorder, remote_addr=address)
    client.sendto(b"hello?")
    await log.until(2)
    return await closed(log)


async def wrong_arguments(create: Create, host: str) -> Any:
    """What sendto() and the limits refuse."""
    server, server_log, client, client_log = await pair(create, host)
    answers = [
        raised(client.sendto, "text"),
        raised(client.sendto, None),
        raised(client.sendto, 5),
        raised(client.sendto, b"x", ("203.0.113.1", 9))[0],
        raised(server.set_write_buffer_limits, 1, 2)[0],
        raised(server.set_write_buffer_limits, -1)[0],
    ]
    return answers, await closed(server_log, client_log)


async def explicit_remote(create: Create, host: str) -> Any:
    """A connected endpoint may be told its own remote address."""
    _, server_log, client, client_log = await pair(create, host)
    client.sendto(b"x", client.get_extra_info("peername"))
    await server_log.until(2)
    return await closed(server_log, client_log)


async def information(create: Create, host: str) -> Any:
    """What get_extra_info and the rest of the face say."""
    server, server_log, client, client_log = await pair(create, host)
    view = server.get_extra_info("socket")
    before = (
        server.get_extra_info("peername"),
        server.get_extra_info("sockname") == client.get_extra_info("peername"),
        len(server.get_extra_info("sockname")),
        view.family,
        view.getsockname() == server.get_extra_info("sockname"),
        server.get_extra_info("nothing", "default"),
        server.get_write_buffer_limits(),
        server.get_write_buffer_size(),
        server.is_closing(),
    )
    server.set_write_buffer_limits(high=100)
    limits = [server.get_write_buffer_limits()]
    server.set_write_buffer_limits(low=100)
    limits.append(server.get_write_buffer_limits())
    server.set_write_buffer_limits(high=0)
    limits.append(server.get_write_buffer_limits())
    server.close()
    return before, limits, server.is_closing(), await closed(server_log, client_log)


async def closing_after_sending(create: Create, host: str) -> Any:
    """What was sent before close() arrives; closing again changes nothing."""
    _, server_log, client, client_log = await pair(create, host)
    for number in range(5):
        client.sendto(b"%d" % number)
    client.close()
    client.close()
    client.abort()
    await server_log.until(6)
    return await closed(server_log, client_log)


async def closing_while_receiving(create: Create, host: str) -> Any:
    """Nothing is delivered after close(), though more had arrived."""
    _, server_log, client, client_log = await pair(create, host)
    received = server_log.datagram_received

    def first_only(data: bytes, addr: Any) -> None:
        received(data, addr)
        server_log.transport.close()

    server_log.datagram_received = first_only  # type: ignore[method-assign]
    for number in range(5):
        client.sendto(b"%d" % number)
    await server_log.lost
    return await closed(server_log, client_log)


async def failing_protocol(create: Create, host: str) -> Any:
    """An exception in a callback is reported, and the next datagram still comes."""
    _, server_log, client, client_log = await pair(create, host)
    loop = asyncio.get_running_loop()
    reported: list[str] = []
    loop.set_exception_handler(lambda _, c: reported.append(repr(c["exception"])))
    received = server_log.datagram_received

    def fail(data: bytes, addr: Any) -> None:
        received(data, addr)
        raise LookupError(data)

    server_log.datagram_received = fail  # type: ignore[method-assign]
    for number in range(3):
        client.sendto(b"%d" % number)
    await server_log.until(4)
    return reported, await closed(server_log, client_log)


async def another_protocol(create: Create, host: str) -> Any:
    """set_protocol takes effect with the next datagram."""
    server, server_log, client, client_log = await pair(create, host)
    second = Recorder()
    second.transport = server
    client.sendto(b"to the first")
    await server_log.until(2)
    server.set_protocol(second)
    same = server.get_protocol() is second
    client.sendto(b"to the second")
    await second.until(1)
    server.close()
    await second.lost
    return same, server_log.log, second.log, await closed(client_log)


async def too_long(create: Create, host: str) -> Any:
    """What UDP cannot carry at all is an error of that datagram."""
    _, server_log, client, client_log = await pair(create, host)
    client.sendto(b"x" * 65536)
    await client_log.until(2)
    client.sendto(b"fits")
    await server_log.until(2)
    assert client_log.log[1][2] == errno.EMSGSIZE
    return await closed(server_log, client_log)


SCRIPTS = [
    conversation,
    burst,
    changed_after_sending,
    nobody_listens,
    explicit_remote,
    closing_after_sending,
    closing_while_receiving,
    failing_protocol,
    too_long,
]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.__name__)
def test_a_protocol_sees_what_it_sees_on_asyncio(
    run: Run, script: Callable[[Create, str], Awaitable[Any]], host: str
) -> None:
    """Any DatagramProtocol must run unchanged."""

    async def main() -> dict[str, Any]:
        return {name: await script(create, host) for name, create in creators().items()}

    seen = run(main())

    assert seen["socket"] == seen["oracle"]
    assert seen["asyncio"] == seen["oracle"]


@pytest.mark.parametrize("script", [wrong_arguments, information, another_protocol])
def test_the_finer_points_are_asyncios(
    run_asyncio: Run, script: Callable[[Create, str], Awaitable[Any]]
) -> None:
    """On asyncio only: uvloop's messages, water marks and set_protocol are its own."""

    async def main() -> dict[str, Any]:
        return {
            name: await script(create, "127.0.0.1") for name, create in creators().items()
        }

    seen = run_asyncio(main())

    assert seen["socket"] == seen["oracle"]
    assert seen["asyncio"] == seen["oracle"]
