"""Feeding streams a bounded way ahead, on a connection made of counters."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from quicxdp.cli.body import Body, BodyError
from quicxdp.cli.static import FileSlice, Zeros
from quicxdp.cli.stream_pump import (
    CONNECTION_AHEAD_BYTES,
    STREAM_AHEAD_BYTES,
    STREAM_UNACKNOWLEDGED_BYTES_MAX,
    StreamPump,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHUNK_SLACK = 64 * 1024


@dataclass
class FakeSender:
    """A connection that sends only what `drain` says."""

    unsent: dict[int, int] = field(default_factory=dict)
    unacknowledged: dict[int, int] = field(default_factory=dict)
    sent: list[int] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)
    failed: dict[int, BodyError] = field(default_factory=dict)
    transmitted_cnt: int = 0

    def send(self, stream_id: int, data: bytes, *, end: bool) -> None:
        """Take data."""
        assert stream_id not in self.ended
        self.sent.append(stream_id)
        self.unsent[stream_id] = self.unsent.get(stream_id, 0) + len(data)
        self.unacknowledged[stream_id] = self.unacknowledged.get(stream_id, 0) + len(data)
        if end:
            self.ended.add(stream_id)

    def unsent_bytes(self, stream_id: int) -> int:
        """Count."""
        return self.unsent.get(stream_id, 0)

    def unacknowledged_bytes(self, stream_id: int) -> int:
        """Count."""
        return self.unacknowledged.get(stream_id, 0)

    def transmit(self) -> None:
        """Count."""
        self.transmitted_cnt += 1

    def body_sent(self, stream_id: int) -> None:
        """Check the order of calls."""
        assert stream_id in self.ended

    def body_failed(self, stream_id: int, error: BodyError) -> None:
        """Remember."""
        self.failed[stream_id] = error

    def drain(self, stream_id: int) -> None:
        """Send everything of a stream, without acknowledgement."""
        self.unsent[stream_id] = 0


def not_in_threads(function: Callable[[], bytes]) -> asyncio.Future[bytes]:
    """Fail: these tests read memory only."""
    raise AssertionError(function)


def make() -> tuple[FakeSender, StreamPump]:
    """Make a pump over counters."""
    sender = FakeSender()
    return sender, StreamPump(sender, not_in_threads)


def test_a_huge_body_to_a_slow_reader_waits_on_the_disk_and_not_in_memory() -> None:
    """10 GB for a client that reads nothing cost a quarter of a megabyte."""
    sender, pump = make()
    pump.add(0, Body([Zeros(10 << 30)]))

    for _ in range(5):
        pump.fill()

    assert STREAM_AHEAD_BYTES <= sender.unsent[0] < STREAM_AHEAD_BYTES + CHUNK_SLACK
    assert not pump.wants_turn()


def test_what_was_sent_is_topped_up() -> None:
    """A fast reader never finds the buffer empty."""
    sender, pump = make()
    pump.add(0, Body([Zeros(10 << 30)]))
    pump.fill()
    sender.drain(0)

    assert pump.wants_turn()
    pump.fill()

    assert sender.unsent[0] >= STREAM_AHEAD_BYTES


def test_many_streams_share_one_budget_and_take_turns() -> None:
    """A client that opens a hundred streams gets no hundredfold memory, and all go on."""
    sender, pump = make()
    for stream_id in range(0, 400, 4):
        pump.add(stream_id, Body([Zeros(1 << 30)]))

    pump.fill()
    assert sum(sender.unsent.values()) < CONNECTION_AHEAD_BYTES + CHUNK_SLACK
    for _ in range(30):
        for stream_id in tuple(sender.unsent):
            sender.drain(stream_id)
        pump.fill()

    assert len(set(sender.sent)) == 100


def test_a_peer_that_acknowledges_nothing_is_not_fed_for_ever() -> None:
    """What is sent but not acknowledged is memory too."""
    sender, pump = make()
    pump.add(0, Body([Zeros(10 << 30)]))

    for _ in range(1000):
        sender.drain(0)
        pump.fill()

    assert sender.unacknowledged[0] < STREAM_UNACKNOWLEDGED_BYTES_MAX + STREAM_AHEAD_BYTES
    assert not pump.wants_turn()


def test_a_small_body_goes_at_once_with_the_end_of_the_stream() -> None:
    """One turn for a small file."""
    sender, pump = make()
    pump.add(0, Body([b"hello"]))

    pump.fill()

    assert sender.ended == {0}
    assert len(pump) == 0


def test_a_file_that_becomes_shorter_fails_its_stream_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go on."""
    # Not every file system (tmpfs before Linux 6.6) can tell what is in memory.
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, into, at, _: preadv(fd, into, at))
    path = tmp_path / "file"
    path.write_bytes(bytes(10))
    sender, pump = make()
    pump.add(0, Body([FileSlice(0, 20)], os.open(path, os.O_RDONLY)))
    pump.add(4, Body([Zeros(1000)]))

    pump.fill()

    assert "shorter" in str(sender.failed[0])
    assert sender.ended == {4}
    assert len(pump) == 0


def test_what_is_not_in_memory_is_read_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk stalls one stream, not the event loop; and the stream then goes on."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(200_000))

    async def run() -> FakeSender:
        sender = FakeSender()
        loop = asyncio.get_running_loop()
        loads: list[asyncio.Future[bytes]] = []

        def in_thread(function: Callable[[], bytes]) -> asyncio.Future[bytes]:
            loads.append(loop.run_in_executor(None, function))
            return loads[-1]

        pump = StreamPump(sender, in_thread)
        body = Body([FileSlice(0, 200_000)], os.open(path, os.O_RDONLY))
        monkeypatch.setattr(body, "_read_cached", lambda _part: b"")
        pump.add(0, body)
        pump.fill()
        assert not sender.sent
        assert not pump.wants_turn()
        while not sender.ended:
            await asyncio.wait(loads)
            await asyncio.sleep(0)
            pump.fill()
        assert sender.transmitted_cnt == len(loads)
        return sender

    assert asyncio.run(run()).unsent[0] == 200_000


def test_a_stream_dropped_while_its_file_is_read_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has gone: the thread's result goes nowhere, and the file is closed."""
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))

    async def run() -> None:
        sender = FakeSender()
        load: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        pump = StreamPump(sender, lambda _function: load)
        fd = os.open(path, os.O_RDONLY)
        body = Body([FileSlice(0, 1000)], fd)
        monkeypatch.setattr(body, "_read_cached", lambda _part: b"")
        pump.add(0, body)
        pump.fill()
        pump.drop(0)
        os.fstat(fd)
        load.set_result(bytes(1000))
        await asyncio.sleep(0)
        assert not sender.sent
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)

    asyncio.run(run())
