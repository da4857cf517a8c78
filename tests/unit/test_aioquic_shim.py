from __future__ import annotations

import ast
import asyncio
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

import aioquic
import pytest
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

import quicxdp
from quicxdp import aioquic_shim, client, server
from quicxdp.clock import Clock
from quicxdp.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from tests.unit.conftest import Run


@pytest.mark.parametrize("version", [aioquic.__version__, "1.7", "1.7.0", "1.7.99"])
def test_the_versions_that_it_was_written_for_pass(version: str) -> None:
    """The installed one among them."""
    aioquic_shim.check_version(version)


@pytest.mark.parametrize("version", ["1.6.1", "1.8.0", "2.0", "0.9.25", "unknown"])
def test_another_version_is_refused_with_what_to_install(version: str) -> None:
    """Or a user meets an AttributeError deep inside a connection."""
    with pytest.raises(UnavailableError, match=r"pip install 'aioquic>=1.7,<1.8'"):
        aioquic_shim.check_version(version)


def private_names_of_others(module: ModuleType) -> set[str]:
    """Return the private attributes that *module* uses and does not make itself."""
    path = Path(inspect.getsourcefile(module) or "")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    used: set[str] = set()
    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            used.add(node.attr)
        elif isinstance(node, ast.FunctionDef):
            own.add(node.name)
    own |= {name for name in used if name in OURS[module]}
    return {name for name in used - own if not name.startswith("__")}


OURS: dict[ModuleType, set[str]] = {
    aioquic_shim: {"_clock"},
    client: set(),
    server: {
        *("_all_ended", "_cids", "_collected", "_draining", "_in_batch", "_kind"),
        *("_lost", "_receive", "_table", "_turn"),
    },
}


def test_no_private_name_of_aioquic_is_used_beyond_the_list() -> None:
    """The list is what is looked at when a new aioquic comes out."""
    listed = set().union(*aioquic_shim.PRIVATE_NAMES.values())

    for module in OURS:
        assert private_names_of_others(module) - listed == set(), module


@pytest.mark.parametrize("cls", aioquic_shim.PRIVATE_NAMES)
def test_every_name_on_the_list_exists_and_is_used(cls: type) -> None:
    """A stale entry hides that a name went away."""
    names = aioquic_shim.PRIVATE_NAMES[cls]
    source = inspect.getsource(cls)
    used = "".join(inspect.getsource(module) for module in OURS)

    for name in names:
        assert f"self.{name}" in source or f"def {name}" in source, name
        assert f".{name}" in used or f"def {name}" in used, name


def test_feeding_does_what_aioquic_does_for_one_datagram() -> None:
    """`feed` repeats three lines of aioquic; if they change, this must be looked at."""
    lines = inspect.getsource(QuicConnectionProtocol.datagram_received).splitlines()

    assert [line.strip() for line in lines[2:]] == [
        "self._quic.receive_datagram(cast(bytes, data), addr, now=self._loop.time())",
        "self._process_events()",
        "self.transmit()",
    ]


def test_the_server_still_calls_what_we_override() -> None:
    """Our server hooks in by overriding; a renamed hook would silently do nothing."""
    source = inspect.getsource(QuicServer)

    assert "QuicConnection" in QuicServer.datagram_received.__code__.co_names
    assert not QuicServer.datagram_received.__closure__
    assert "self._create_protocol(" in source
    assert "self._connection_terminated, protocol=protocol" in source
    assert "self._protocols[header.destination_cid] = protocol" in source
    assert "protocol.datagram_received(data, addr)" in source


def test_protocols_are_told_apart(run_asyncio: Run) -> None:
    """Whoever overrides datagram_received gets each datagram himself."""

    class Plain(QuicConnectionProtocol):
        pass

    class Own(QuicConnectionProtocol):
        def datagram_received(self, data: bytes | str, addr: object) -> None:
            super().datagram_received(data, addr)

    def make(cls: Callable[[QuicConnection], QuicConnectionProtocol]) -> object:
        return cls(QuicConnection(configuration=QuicConfiguration(is_client=True)))

    async def main() -> None:
        assert aioquic_shim.may_feed(make(QuicConnectionProtocol))
        assert aioquic_shim.may_feed(make(Plain))
        assert not aioquic_shim.may_feed(make(Own))
        assert not aioquic_shim.may_feed(object())

        own, plain = make(Own), make(Plain)
        aioquic_shim.take_batches(own)
        aioquic_shim.take_batches(plain)
        assert not hasattr(own, "datagrams_received")
        assert hasattr(plain, "datagrams_received")

    run_asyncio(main())


def test_the_clocked_loop_is_the_loop_but_for_time_and_call_at(run: Run) -> None:
    """User protocols use self._loop for all kinds of things."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        clock = Clock(lambda: None)
        clocked = aioquic_shim.with_clock(loop, clock)

        assert await asyncio.ensure_future(asyncio.sleep(0, 5), loop=clocked) == 5
        future = clocked.create_future()
        clocked.call_soon(future.set_result, 7)
        assert await future == 7
        assert await clocked.create_task(asyncio.sleep(0, 8)) == 8
        assert await clocked.run_in_executor(None, lambda: 9) == 9
        assert clocked.is_running()
        assert clocked.time() <= clock.time()

        timer = clocked.call_at(clocked.time(), future.cancel)
        assert len(clock) == 1
        timer.cancel()
        assert len(clock) == 0
        await loop.shutdown_default_executor()

    run(main())


def test_the_public_names_are_there() -> None:
    """serve and connect load aioquic only when asked for."""
    for name in quicxdp.__all__:
        assert getattr(quicxdp, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = quicxdp.nothing
