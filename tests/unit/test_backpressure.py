"""What happens when the kernel has no room: on the simulated NIC, whose rings fill up."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from quicxdp.config import DatapathConfig, Io, SendLimits
from quicxdp.ownership import Owner
from quicxdp.simulation import Link, LinkConfig
from quicxdp.transport import DatagramTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quicxdp.datapath import Datapath
    from tests.unit.conftest import Run

HERE = ("192.0.2.1", 1000)
THERE = ("192.0.2.2", 2000)
TX_FRAMES = 64
SENDER_STALLED = LinkConfig(tx_stalled=1)


class Writer(asyncio.DatagramProtocol):
    """Writes down when it must pause and may go on."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.resumed = asyncio.Event()

    def pause_writing(self) -> None:
        """Note it."""
        self.log.append("pause")

    def resume_writing(self) -> None:
        """Note it."""
        self.log.append("resume")
        self.resumed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note it."""
        self.log.append("lost" if exc is None else repr(exc))
        self.lost.set_result(None)


class Stage:
    """A transport on one end of a link, whose kernel completes nothing at first."""

    def __init__(self) -> None:
        self.link = Link(SENDER_STALLED)
        self.peer: Datapath = self.link.open(1, THERE)
        self.got: list[bytes] = []
        self.now_ns = 0

    def transport(self, limits: SendLimits | None = None) -> tuple[Any, Writer]:
        """Make the transport; its socket only stands in for the face."""
        owner = Owner()
        datapath = self.link.open(0, HERE, config=DatapathConfig(tx_frame_cnt=TX_FRAMES))
        datapath._owner = owner
        writer = Writer()
        transport = DatagramTransport(
            asyncio.get_running_loop(),
            datapath,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            writer,
            owner=owner,
            io=Io.XDP,
            reason="a test",
            limits=limits,
        )
        return transport, writer

    def run_link(self, *, stalled: bool) -> None:
        """Let time pass on the link, and take what arrives."""
        self.link.configure(replace(SENDER_STALLED, tx_stalled=int(stalled)))
        self.now_ns += 1000
        self.link.advance(self.now_ns)
        while batch := self.peer.recv(self.now_ns):
            self.got += [data for data, _ in batch]

    async def run_link_until(self, event: asyncio.Future[Any] | asyncio.Event) -> None:
        """Let link and loop run by turns; bounded, since neither ever waits for long."""
        for _ in range(10_000):
            if event.done() if isinstance(event, asyncio.Future) else event.is_set():
                return
            self.run_link(stalled=False)
            await asyncio.sleep(0)
        raise AssertionError("nothing moves any more")

    def close(self) -> None:
        """Close the far end and the link."""
        self.peer.close()
        self.link.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Build the stage, and take it down after the transport on it is closed."""
    built = Stage()
    yield built
    built.close()


def payloads(cnt: int) -> list[bytes]:
    """Return *cnt* distinct payloads of 1000 bytes."""
    return [b"%06d" % number + bytes(994) for number in range(cnt)]


def test_the_protocol_is_paused_when_the_rings_are_full_and_resumed_later(
    run: Run, stage: Stage
) -> None:
    """A protocol that obeys never loses a datagram, and all arrive in order."""

    async def main() -> None:
        transport, writer = stage.transport()
        await asyncio.sleep(0)
        for data in payloads(400):
            transport.sendto(data, THERE)
        assert writer.log == ["pause"]
        assert transport.get_write_buffer_size() > 64 * 1024

        await stage.run_link_until(writer.resumed)
        assert transport.get_write_buffer_size() <= 16 * 1024
        transport.close()
        await stage.run_link_until(writer.lost)
        assert writer.log == ["pause", "resume", "lost"]
        stage.run_link(stalled=False)

    run(main())
    assert stage.got == payloads(400)


def test_close_waits_until_everything_has_left(run: Run, stage: Stage) -> None:
    """connection_lost means that the last datagram is on its way."""

    async def main() -> None:
        transport, writer = stage.transport()
        await asyncio.sleep(0)
        for data in payloads(300):
            transport.sendto(data, THERE)
        transport.close()
        assert transport.is_closing()
        transport.sendto(b"too late", THERE)
        for _ in range(100):
            await asyncio.sleep(0)
        assert "lost" not in writer.log
        await stage.run_link_until(writer.lost)
        stage.run_link(stalled=False)

    run(main())
    assert stage.got == payloads(300)


def test_abort_does_not_wait(run: Run, stage: Stage) -> None:
    """It is for when nobody cares any more."""

    async def main() -> None:
        transport, writer = stage.transport()
        await asyncio.sleep(0)
        for data in payloads(300):
            transport.sendto(data, THERE)
        transport.abort()
        await writer.lost
        assert writer.log == ["pause", "lost"]

    run(main())


def test_limits_decide_when(run: Run, stage: Stage) -> None:
    """set_write_buffer_limits is obeyed, at once too."""

    async def main() -> None:
        transport, writer = stage.transport()
        await asyncio.sleep(0)
        transport.set_write_buffer_limits(high=10**9)
        for data in payloads(300):
            transport.sendto(data, THERE)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert writer.log == []
        transport.set_write_buffer_limits(high=0)
        assert writer.log == ["pause"]
        await stage.run_link_until(writer.resumed)
        assert transport.get_write_buffer_size() == 0
        transport.abort()
        await writer.lost

    run(main())


def test_a_protocol_that_ignores_the_pause_loses_datagrams_and_not_the_process(
    run: Run, stage: Stage
) -> None:
    """The backlog is bounded, and what is dropped is counted."""

    async def main() -> None:
        transport, writer = stage.transport(SendLimits(backlog_bytes=100_000))
        await asyncio.sleep(0)
        for data in payloads(2000):
            transport.sendto(data, THERE)
        # The rest of the batch that met the full rings is never dropped.
        assert transport.get_write_buffer_size() <= max(100_000, 256 * 1008)
        dropped = transport.get_extra_info("quicxdp").stats().backlog_dropped
        assert dropped > 1000
        transport.close()
        await stage.run_link_until(writer.lost)
        stage.run_link(stalled=False)
        assert len(stage.got) + dropped == 2000

    run(main())


def test_an_exception_in_pause_writing_is_reported_only(run: Run, stage: Stage) -> None:
    """Backpressure goes on working."""

    async def main() -> None:
        transport, writer = stage.transport()
        await asyncio.sleep(0)
        writer.pause_writing = [].pop  # type: ignore[method-assign]
        for data in payloads(400):
            transport.sendto(data, THERE)
        await stage.run_link_until(writer.resumed)
        transport.abort()
        await writer.lost

    run(main())
    (context,) = run.take_reported()
    assert isinstance(context["exception"], IndexError)
