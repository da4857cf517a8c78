"""When an endpoint tries to get its XDP lane back, and when it stops trying."""

from __future__ import annotations

import errno
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from quicxdp.errors import DatapathError
from quicxdp.rejoin import Rejoin

if TYPE_CHECKING:
    from collections.abc import Callable


class Scene:
    """A loop whose time is ours, and a datapath that answers what the test says."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.waiting: list[tuple[float, Callable[[], object], SimpleNamespace]] = []
        self.told: list[str] = []
        self.config = SimpleNamespace(interfaces=("eth1",))
        self.there: dict[str, object] = {}
        self.subject = Rejoin(
            cast("Any", self),
            cast("Any", self),
            name="('192.0.2.1', 443)",
            changed=self.told.append,
        )

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Any:  # noqa: ANN401
        """As an event loop's; the timer only knows whether it was cancelled."""
        timer = SimpleNamespace(cancelled=False)
        timer.cancel = lambda: setattr(timer, "cancelled", True)
        self.waiting.append((delay_s, callback, timer))
        return timer

    def interfaces(self) -> dict[str, object]:
        """As `Datapath.interfaces`: those that carry."""
        return self.there

    def rejoin(self) -> None:
        """As `Datapath.rejoin`."""
        code = self.answers.pop(0)
        if code:
            raise DatapathError(code, f"joining the interface: answer {code}")

    def pass_time(self) -> list[float]:
        """Run timers until none is left or no answer is; return their delays."""
        delays = []
        while self.waiting and self.answers:
            delay_s, callback, timer = self.waiting.pop(0)
            if not timer.cancelled:
                delays.append(delay_s)
                callback()
        return delays


def test_it_tries_more_and_more_seldom_until_the_interface_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Soon enough for a flap, and no load on a machine whose card is gone for good."""
    scene = Scene()
    scene.answers = [errno.ENODEV] * 8 + [errno.EADDRNOTAVAIL, errno.EBUSY, 0]
    with caplog.at_level(logging.INFO):
        scene.subject.lost()
        delays = scene.pass_time()

    assert len(delays) == 11
    assert delays == sorted(delays)
    assert delays[0] < 0.1
    assert delays[-1] == 1.0
    assert scene.waiting == []
    assert scene.told[0] == "eth1 is gone; AF_XDP goes on when it is back"
    assert scene.told[-1] == "eth1 was opened again"
    counts = scene.subject.counts
    assert (counts.lost, counts.back, counts.given_up) == (1, 1, 0)
    # However long it took: one line when it went, one when it was back.
    assert len(caplog.records) == 2


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES])
def test_rights_that_were_given_up_end_it_with_one_line(
    caplog: pytest.LogCaptureFixture, code: int
) -> None:
    """They do not come back; trying for ever would hide that."""
    scene = Scene()
    scene.answers = [errno.ENODEV, code, 0]
    scene.subject.lost()
    scene.pass_time()

    assert scene.answers == [0]
    assert scene.waiting == []
    assert scene.subject.counts.given_up == 1
    assert "was not opened again" in scene.told[-1]
    assert f"answer {code}" in scene.told[-1]
    assert caplog.text.count("stays on the kernel's socket") == 1


def test_a_changed_interface_counts_as_back_and_not_as_lost() -> None:
    """Alarms on lost interfaces must not ring for `ethtool -L`."""
    scene = Scene()
    scene.answers = [errno.EAGAIN, 0]
    scene.subject.outgrown()
    scene.pass_time()

    counts = scene.subject.counts
    assert (counts.lost, counts.back, counts.given_up) == (0, 1, 0)


def test_only_the_interface_that_went_is_named() -> None:
    """Who reads the log of a host with two cards pulls the right cable."""
    scene = Scene()
    scene.config.interfaces = ("eth1", "eth2")
    scene.there = {"eth1": None}
    scene.answers = [errno.ENODEV, 0]
    scene.subject.lost()
    scene.pass_time()

    assert scene.told == [
        "eth2 is gone; AF_XDP goes on when it is back",
        f"eth2 was not opened again: joining the interface: answer {errno.ENODEV}",
        "eth2 was opened again",
    ]


def test_news_while_trying_begin_anew_with_one_timer() -> None:
    """An interface that flaps leaves one chain of tries, not one per flap."""
    scene = Scene()
    scene.answers = [errno.ENODEV, errno.ENODEV]
    scene.subject.lost()
    scene.pass_time()
    scene.subject.lost()
    scene.answers = [0]
    scene.pass_time()

    assert scene.subject.counts.back == 1
    assert not [timer for _, _, timer in scene.waiting if not timer.cancelled]


def test_a_closed_endpoint_tries_no_more() -> None:
    """Its datapath is gone."""
    scene = Scene()
    scene.answers = [0]
    scene.subject.lost()
    scene.subject.stop()
    scene.subject.stop()
    scene.pass_time()

    assert scene.answers == [0]
