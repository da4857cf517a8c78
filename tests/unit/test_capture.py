"""Capture: its file, its thread, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

import quicxdp
from quicxdp.capture import Capture
from quicxdp.errors import ConfigError, DatapathError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PACKET = b"\x06\0\0\0"  # the type of an enhanced packet block, on little-endian machines


class Answer(asyncio.DatagramProtocol):
    """Sends everything back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer."""
        self.transport.sendto(data, addr)


class Wait(asyncio.DatagramProtocol):
    """Waits for one datagram."""

    def __init__(self) -> None:
        self.heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        """Take it."""
        self.heard.set_result(data)


@contextlib.asynccontextmanager
async def one_exchange(capture: Capture) -> AsyncIterator[None]:
    """Let a datagram travel to an endpoint with the capture and back."""
    transport, _ = await quicxdp.create_datagram_endpoint(
        Answer, local_addr=("127.0.0.1", 0), capture=capture
    )
    client, waiting = await quicxdp.create_datagram_endpoint(
        Wait, remote_addr=transport.get_extra_info("sockname")
    )
    client.sendto(b"there and back")
    assert await waiting.heard == b"there and back"
    yield
    client.close()
    transport.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize("end_first", [True, False])
def test_packets_both_ways_are_in_the_file_whoever_ends_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, end_first: bool
) -> None:
    """The capture may end before its endpoints, or after them."""
    threads = threading.active_count()

    async def run() -> None:
        capture = Capture(tmp_path / "a.pcapng")
        with capture:
            async with one_exchange(capture):
                assert capture.stats().packets == 2
                if end_first:
                    capture.close()

    asyncio.run(run())
    data = (tmp_path / "a.pcapng").read_bytes()
    assert data.count(b"there and back") == 2
    assert threading.active_count() == threads
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(tmp_path / "a.pcapng") in caplog.text


def test_the_file_is_for_its_owner_and_never_somebody_elses(tmp_path: Path) -> None:
    """What an attacker has put at its place is neither used nor destroyed."""
    before = os.umask(0)
    try:
        Capture(tmp_path / "mine").close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("mine", "link"):
        with pytest.raises(FileExistsError):
            Capture(tmp_path / name)
    assert not (tmp_path / "elsewhere").exists()


def test_secrets_are_embedded_only_on_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Their room is bounded, and what finds none is told at the end."""
    with Capture(tmp_path / "without") as capture:
        assert capture.secrets_log is None
    with Capture(tmp_path / "with", with_secrets=True, max_bytes=1 << 20) as capture:
        log = capture.secrets_log
        assert log is not None
        log.write("CLIENT_RANDOM 1 2\n")
        log.flush()
        for _ in range(70):
            log.write("x" * 1023 + "\n")
        lost = capture.stats().secrets_lost
        assert 5 < lost < 10
    log.write("after the end\n")
    data = (tmp_path / "with").read_bytes()
    assert b"CLIENT_RANDOM 1 2\nxxx" in data
    assert b"after" not in data
    assert "whoever reads it" in caplog.text
    assert f"{lost} secrets are not" in caplog.text
    assert b"CLIENT_RANDOM" not in (tmp_path / "without").read_bytes()


def test_a_disk_that_fails_is_told_once_and_the_endpoint_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Serving matters more than watching."""
    monkeypatch.setattr("quicxdp.capture._INTERVAL_S", 0.001)

    async def run() -> None:
        capture = Capture(tmp_path / "a")
        # From here on the descriptor is one for reading.
        reading = os.open(capture.path, os.O_RDONLY | os.O_CLOEXEC)
        os.dup2(reading, capture._fd, inheritable=False)
        os.close(reading)
        async with one_exchange(capture):
            capture.start()
            thread = capture._thread
            assert thread is not None
            thread.join(10)
            assert not thread.is_alive()
        capture.close()

    asyncio.run(run())
    assert "Bad file descriptor; nothing more is captured" in caplog.text
    assert "is incomplete" in caplog.text


def test_a_disk_that_fails_at_the_very_end_is_told_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A short run is written down when it ends; whoever opens the file must know."""

    async def run() -> None:
        capture = Capture(tmp_path / "a")
        async with one_exchange(capture):
            pass
        reading = os.open(capture.path, os.O_RDONLY | os.O_CLOEXEC)
        os.dup2(reading, capture._fd, inheritable=False)
        os.close(reading)
        capture.close()

    asyncio.run(run())
    assert caplog.text.count("Bad file descriptor; nothing more is captured") == 1
    assert "is incomplete" in caplog.text


def test_a_forked_child_leaves_the_file_to_its_parent(tmp_path: Path) -> None:
    """Two writers would spoil it."""
    capture = Capture(tmp_path / "a")
    before = (tmp_path / "a").stat().st_size
    if (pid := os.fork()) == 0:
        capture.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert (tmp_path / "a").stat().st_size == before
    capture.close()


def test_what_is_impossible_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A capture that captures nothing would be worse than none."""
    with pytest.raises(ConfigError, match="too small"):
        Capture(tmp_path / "small", max_bytes=1000)
    monkeypatch.setattr(
        "quicxdp.capture.private_file.create",
        lambda _: os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC),
    )
    with pytest.raises(DatapathError, match="No space left"):
        Capture(tmp_path / "full")
    monkeypatch.undo()

    async def plain() -> None:
        with (
            Capture(tmp_path / "plain") as capture,
            pytest.raises(UnavailableError, match="C does them"),
        ):
            await quicxdp.create_datagram_endpoint(
                Answer, local_addr=("127.0.0.1", 0), io="asyncio", capture=capture
            )
        with pytest.raises(RuntimeError, match="is closed"):
            await quicxdp.create_datagram_endpoint(
                Answer, local_addr=("127.0.0.1", 0), capture=capture
            )

    asyncio.run(plain())
