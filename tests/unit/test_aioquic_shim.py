from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import aioquic
import pytest
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

import quicxdp
from quicxdp import aioquic_shim, client, connection, retry_tokens, server, streams
from quicxdp.clock import Clock
from quicxdp.errors import UnavailableError
from quicxdp.seam import (
    collector,
    control,
    core,
    crypto,
    receiving,
    recovery,
    sending,
    space,
)

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
        elif isinstance(node, ast.FunctionDef) and module not in SEAM:
            own.add(node.name)
    own |= {name for name in used if name in OURS[module]}
    return {name for name in used - own if not name.startswith("__")}


# The modules that share a connection with aioquic, and what they have added to it.
SEAM = (
    *(connection, core, receiving, sending, crypto, space, recovery, control, collector),
    streams,
)
ADDED_TO_THE_CONNECTION = {
    *(
        "_aioquic_timer",
        "_collect",
        "_coalesce",
        "_control",
        "_dirty",
        "_drained_handler",
        "_draining",
    ),
    *("_end", "_engine", "_engine_datagrams", "_enter", "_found", "_good_host"),
    "_is_sans_io",
    *("_has_drained", "_held", "_held_token", "_idle_base_ns", "_is_for_engine"),
    *("_is_opening", "_log_collected", "_manual_consumption", "_may_aioquic_send"),
    *("_next_ids", "_now_ns", "_open", "_open_conn", "_opened", "_path_first_pn"),
    *("_push", "_receive_short_header", "_receive_up", "_refusal", "_remembered"),
    *("_sink", "_skipped"),
    *("_stash", "_sync", "_sync_cids", "_sync_idle", "_sync_path", "_told_budget"),
    *("_told_cids", "_told_cids_mark", "_told_complete", "_told_host_cid"),
    *("_told_path", "_told_peer_cid", "_write"),
}
# Attributes of their own small classes.
ADDED_TO_OTHERS = {
    *("_buffer", "_connection", "_epoch", "_flow", "_handlers", "_index"),
    *("_is_reading_paused", "_next", "_original", "_paused", "_sending", "_start"),
    "_unread_bytes",
}


OURS: dict[ModuleType, set[str]] = {
    aioquic_shim: {"_clock"},
    client: set(),
    server: {
        *("_all_ended", "_announced", "_cids", "_collected", "_in_batch"),
        *("_kind", "_lost", "_receive", "_reception", "_table", "_turn", "_why"),
    },
    retry_tokens: {"_used"},
    **dict.fromkeys(SEAM, ADDED_TO_THE_CONNECTION | ADDED_TO_OTHERS),
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
        has = rf"self\.{name}\b|def {name}\b|^    {name}:"
        assert re.search(has, source, re.MULTILINE), name
        assert re.search(rf"\.{name}\b|def {name}\b|\b{name} ?=", used), name


def test_what_is_added_to_the_connection_is_not_aioquics() -> None:
    """A new aioquic could use one of the names, and then both would."""
    theirs = inspect.getsource(QuicConnection)

    for name in ADDED_TO_THE_CONNECTION:
        assert not re.search(rf"self\.{name}\b|def {name}\b", theirs), name


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
