"""Where bodies go: pipes that stand still, files, disks that are full."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from quicxdp.cli import sink as sink_module
from quicxdp.cli.exits import CommandError, FetchExit
from quicxdp.cli.sink import Sink

from .conftest import until

if TYPE_CHECKING:
    from pathlib import Path


def nobody_stalls() -> None:
    """Fail: this writer should never have had to wait."""
    raise AssertionError


def test_a_pipe_that_stands_still_does_not_hold_up_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its reader may be a pager: meanwhile the connection is kept alive."""
    monkeypatch.setattr(sink_module, "_STALL_S", 0.01)
    data = os.urandom(1_000_000)

    async def run() -> bytes:
        reader, writer = os.pipe()
        stalls: list[None] = []
        sink = Sink(writer, "pipe", owned=True)
        task = asyncio.create_task(sink.write(data, lambda: stalls.append(None)))
        # The loop goes on although nobody reads: it gets to hear of the stall twice.
        await until(lambda: len(stalls) >= 2)
        assert not task.done()
        assert os.get_blocking(writer)
        received = b""
        os.set_blocking(reader, False)
        while len(received) < len(data):
            with contextlib.suppress(BlockingIOError):
                received += os.read(reader, 65536)
            await asyncio.sleep(0)
        await task
        sink.close()
        os.close(reader)
        return received

    assert asyncio.run(run()) == data


def test_a_file_is_emptied_and_written(tmp_path: Path) -> None:
    """As -o promises."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 2_000_000)

    async def run() -> None:
        sink = Sink.create(path)
        await sink.write(b"hello ", nobody_stalls)
        await sink.write(b"world", nobody_stalls)
        sink.close()

    asyncio.run(run())

    assert path.read_bytes() == b"hello world"


def test_a_full_disk_and_a_reader_that_has_gone_are_told_apart() -> None:
    """Both are curl's 23, with different words."""

    async def run() -> None:
        full = Sink(os.open("/dev/full", os.O_WRONLY), "/dev/full", owned=True)
        with pytest.raises(CommandError, match="No space left on device") as caught:
            await full.write(b"x", nobody_stalls)
        assert caught.value.exit_code == FetchExit.WRITE_ERROR
        full.close()
        reader, writer = os.pipe()
        os.close(reader)
        broken = Sink(writer, "standard output", owned=True)
        with pytest.raises(CommandError, match="its reader has gone"):
            await broken.write(b"x", nobody_stalls)
        broken.close()

    asyncio.run(run())


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """Before anything is fetched into nowhere."""
    with pytest.raises(CommandError, match="No such file"):
        Sink.create(tmp_path / "nope" / "file")
