from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from quicxdp.alarm import LoopAlarm
from quicxdp.clock import NEVER_NS, Clock, Timer

if TYPE_CHECKING:
    import pytest

    from tests.unit.conftest import Run


class Watched:
    """A clock, how often it hurried, and what fired."""

    def __init__(self) -> None:
        self.hurried = 0
        self.clock = Clock(self.hurry)
        self.fired: list[float] = []

    def hurry(self) -> None:
        """Do what a reactor does at the end of its turn."""
        self.hurried += 1
        self.clock.alarm_ns = self.clock.next_ns()

    def at(self, when_s: float) -> Timer:
        """Set a timer that notes its deadline."""
        return self.clock.call_at(when_s, self.fired.append, when_s)

    def run(self, now_s: float) -> None:
        """Fire what is due."""
        for timer in self.clock.due(round(now_s * 1e9) + 1):
            timer.fire()


@given(st.lists(st.tuples(st.integers(1, 1000), st.booleans()), max_size=300))
def test_timers_fire_in_order_of_deadline_and_cancelled_ones_never(
    timers: list[tuple[int, bool]],
) -> None:
    """QUIC cancels nearly every timer that it sets."""
    watched = Watched()
    made = [(watched.at(float(when)), cancel) for when, cancel in timers]
    for timer, cancel in made:
        if cancel:
            timer.cancel()
            timer.cancel()
    kept = sorted(float(when) for when, cancel in timers if not cancel)
    assert len(watched.clock) == len(kept)

    for now in range(0, 1001, 100):
        watched.run(now)
        assert watched.fired == [when for when in kept if when <= now]
    assert watched.clock.next_ns() == NEVER_NS


def test_putting_a_deadline_off_hurries_nobody() -> None:
    """Each packet does that; moving the kernel's timer every time would cost a call."""
    watched = Watched()
    timer = watched.at(1.0)
    assert watched.hurried == 1

    for step in range(1000):
        timer.cancel()
        timer = watched.at(1.0 + step)

    assert watched.hurried == 1


def test_an_earlier_deadline_hurries() -> None:
    """Or it would fire late."""
    watched = Watched()
    watched.at(2.0)
    watched.at(1.0)
    watched.at(3.0)

    assert watched.hurried == 2
    assert watched.clock.alarm_ns == 1_000_000_001


def test_cancelled_timers_do_not_pile_up() -> None:
    """A connection sets and cancels thousands a second, each idle for a minute."""
    watched = Watched()
    for _ in range(10_000):
        watched.at(60.0).cancel()

    assert len(watched.clock.heap) <= 65


@given(st.floats(0, 8_000_000))
def test_a_callback_never_runs_before_its_deadline(when_s: float) -> None:
    """aioquic compares the clock with the deadline again, and would spin."""
    watched = Watched()
    watched.at(when_s)

    assert watched.clock.next_ns() >= Fraction(when_s) * 10**9
    assert watched.clock.next_ns() * 1e-9 >= when_s


def test_one_timer_may_cancel_another_that_is_due_too() -> None:
    """Closing a connection cancels its timer, in whatever order they came up."""
    watched = Watched()
    second: list[Timer] = []

    def cancel_second() -> None:
        second[0].cancel()

    watched.clock.call_at(1.0, cancel_second)
    second.append(watched.at(1.0))
    third = watched.at(5.0)

    watched.run(2.0)

    assert watched.fired == []
    assert len(watched.clock) == 1
    assert not third.cancelled()


def test_a_timer_set_while_firing_waits_for_the_next_look() -> None:
    """A timer that sets itself to now must not hold the turn for ever."""
    watched = Watched()

    def again() -> None:
        watched.fired.append(0.0)
        watched.clock.call_at(0.0, again)

    watched.clock.call_at(0.0, again)
    watched.run(1.0)

    assert watched.fired == [0.0]


def test_timers_have_the_face_of_asyncios() -> None:
    """QuicConnectionProtocol keeps them as TimerHandles."""
    watched = Watched()
    timer = watched.at(1.5)

    assert timer.when() == 1.5
    assert not timer.cancelled()
    timer.cancel()
    assert timer.cancelled()


def test_without_a_datapath_one_loop_timer_serves_the_whole_clock(
    run_asyncio: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand connections on asyncio's transport must not be a thousand timers."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        clock = LoopAlarm(loop).clock
        calls = 0
        call_later = loop.call_later

        def count(*args: object) -> asyncio.TimerHandle:
            nonlocal calls
            calls += 1
            return call_later(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(loop, "call_later", count)
        done = asyncio.Event()
        now = clock.time()
        for number in range(1000):
            clock.call_at(now + 60 + number, done.set)
        clock.call_later(0.0, done.set)
        await done.wait()
        return calls

    assert run_asyncio(main()) <= 4
