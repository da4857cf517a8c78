from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quicxdp.config import SendLimits
from quicxdp.errors import DatapathError
from quicxdp.outbox import NOWHERE, Outbox

if TYPE_CHECKING:
    from array import array


class FakeSend:
    """Takes apart what `Datapath.send` gets; room says how much it takes per call."""

    def __init__(self, *room: int) -> None:
        self.room = list(room)
        self.calls = 0
        self.sent: list[tuple[bytes, bytes]] = []
        self.error: DatapathError | None = None

    def __call__(self, payload: bytes, items: array[int], paths: list[bytes]) -> int:
        """Take apart, keep, and return how many."""
        self.calls += 1
        if self.error:
            raise self.error
        taken = min(self.room.pop(0) if self.room else len(items), len(items))
        start = 0
        for item in items[:taken]:
            size = item & 0xFFFFFFFF
            self.sent.append((payload[start : start + size], paths[item >> 32]))
            start += size
        return taken


def put(outbox: Outbox, payload: bytes, path: bytes) -> None:
    """Do what the transport does."""
    if outbox.stalled:
        outbox.defer(payload, path)
        return
    outbox.aim(path, path)
    if not outbox.add(payload):
        outbox.flush()


datagrams = st.lists(
    st.tuples(st.binary(max_size=3000), st.sampled_from([b"a", b"b", b"c", b"d"])),
    max_size=60,
)


@given(datagrams, st.lists(st.integers(0, 9), max_size=30), st.integers(1, 20))
def test_whatever_room_there_is_all_leave_once_in_order_and_to_their_peers(
    datagrams: list[tuple[bytes, bytes]], room: list[int], batch_cnt: int
) -> None:
    """Reordering and mixing up peers would be bugs nobody finds in an application."""
    send = FakeSend(*room)
    outbox = Outbox(send, SendLimits(batch_datagram_cnt=batch_cnt))

    for payload, path in datagrams:
        put(outbox, payload, path)
    outbox.flush()
    for _ in range(len(room) + 1):
        outbox.resume()

    assert send.sent == datagrams
    assert not outbox
    assert outbox.backlog_bytes == 0


@given(datagrams, st.integers(0, 60))
def test_the_backlog_counts_what_waits(
    datagrams: list[tuple[bytes, bytes]], room: int
) -> None:
    """pause_writing() is decided by this number."""
    send = FakeSend(room, 0)
    outbox = Outbox(send)

    for payload, path in datagrams:
        put(outbox, payload, path)
    outbox.flush()

    waiting = datagrams[room:]
    assert outbox.backlog_bytes == sum(len(payload) + 8 for payload, _ in waiting)
    assert outbox.stalled == bool(waiting)


def test_a_turn_is_one_call_and_an_empty_one_is_none() -> None:
    """A call costs a microsecond, a system call more."""
    send = FakeSend()
    outbox = Outbox(send)
    for number in range(200):
        put(outbox, b"x", b"%d" % (number % 7))

    assert outbox.flush()
    assert not outbox.flush()
    assert send.calls == 1


@pytest.mark.parametrize(
    ("payload", "cnt"), [(b"x", 256), (b"x" * 65507, 9), (b"x" * 4096, 128)]
)
def test_a_full_batch_is_sent_at_once(payload: bytes, cnt: int) -> None:
    """A turn that sends for ever must not collect for ever."""
    send = FakeSend()
    outbox = Outbox(send)

    for number in range(cnt):
        assert send.calls == 0, number
        put(outbox, payload, b"path")

    assert send.calls == 1


def test_the_backlog_is_bounded_and_what_is_dropped_is_counted() -> None:
    """A protocol that ignores pause_writing() loses datagrams, not the process."""
    send = FakeSend(0)
    outbox = Outbox(send, SendLimits(backlog_bytes=1000))
    put(outbox, b"x" * 92, b"path")
    outbox.flush()

    for _ in range(100):
        put(outbox, b"x" * 92, b"path")

    assert outbox.backlog_bytes == 1000
    assert outbox.dropped_cnt == 91


def test_empty_datagrams_cannot_pile_up_without_end() -> None:
    """They have no bytes, but they need memory."""
    outbox = Outbox(FakeSend(0), SendLimits(backlog_bytes=80))
    put(outbox, b"", b"path")
    outbox.flush()

    for _ in range(100):
        put(outbox, b"", b"path")

    assert outbox.backlog_bytes == 80


def test_a_failing_send_loses_its_batch_only() -> None:
    """A batch that cannot be sent must not be tried for ever."""
    send = FakeSend()
    send.error = DatapathError(1, "sending: not permitted")
    outbox = Outbox(send)
    put(outbox, b"lost", b"path")

    with pytest.raises(DatapathError):
        outbox.flush()
    send.error = None
    put(outbox, b"sent", b"path")
    outbox.flush()

    assert send.sent == [(b"sent", b"path")]


def test_flushing_forgets_the_aim() -> None:
    """The paths of a batch are gone with it, so the next datagram must aim again."""
    outbox = Outbox(FakeSend())
    outbox.aim(b"path", "somewhere")
    assert outbox.aimed_at == "somewhere"

    outbox.add(b"x")
    outbox.flush()

    assert outbox.aimed_at is NOWHERE


def test_clearing_drops_everything() -> None:
    """abort() means now."""
    send = FakeSend(0)
    outbox = Outbox(send)
    put(outbox, b"waits", b"path")
    outbox.flush()
    put(outbox, b"waits too", b"path")

    outbox.clear()
    outbox.resume()

    assert not outbox
    assert send.sent == []
