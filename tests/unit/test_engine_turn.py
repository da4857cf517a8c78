from __future__ import annotations

import threading
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from quicxdp import engine_turn
from quicxdp._native_engine import NEVER_NS, TURN_EVENTS, TURN_MORE
from quicxdp.config import BATCH_MAX, DatapathConfig
from quicxdp.engine_turn import EngineTurn
from quicxdp.simulation import Link, LinkConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = ("192.0.2.1", 1000)
THERE = ("192.0.2.2", 2000)
CID_LEN_BYTES = 8


class Stage:
    """A turn at one end of a link, and a plain datapath at the other."""

    def __init__(self) -> None:
        self.link = Link(LinkConfig())
        frames = DatapathConfig(rx_frame_cnt=1024, tx_frame_cnt=1024)
        self.peer = self.link.open(1, THERE, config=frames)
        self.datapath = self.link.open(0, HERE, config=frames)
        self.soon_cnt = 0
        self.turn = EngineTurn(
            self.datapath,
            self.datapath._owner,
            cid_len_bytes=CID_LEN_BYTES,
            soon=self.soon,
        )

    def soon(self) -> None:
        """Count."""
        self.soon_cnt += 1

    def send(self, *payloads: bytes) -> None:
        """Let datagrams arrive at the turn's end."""
        path = self.peer.book.path(HERE)
        for payload in payloads:
            # The length, and above it the index of the path, 0.
            assert self.peer.send(payload, array("Q", [len(payload)]), [path]) == 1
        self.peer.flush()
        self.link.advance(1)

    def close(self) -> None:
        """Close all, as a transport does: the engine before its datapath."""
        self.turn.close()
        self.datapath.close()
        self.peer.close()
        self.link.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Build the stage."""
    built = Stage()
    yield built
    built.close()


class Someone:
    """Owns a connection, as far as a turn can tell."""

    def engine_event(self, event: object, /) -> None:
        """Nothing comes here: the engine is a scripted one."""


class ScriptedEngine:
    """Has news of whom the script says, one list for each time it is asked."""

    def __init__(self, **_: Any) -> None:  # noqa: ANN401
        self.news: list[list[Someone]] = []
        self.closed = False

    def turn(self, _now_ns: int, _alarm_ns: int) -> int:
        """Take nothing from the datapath."""
        return TURN_EVENTS if self.news else 0

    def pump(self) -> list[Someone]:
        """Return who had news since."""
        return self.news.pop(0) if self.news else []

    def close(self) -> None:
        """Note it."""
        self.closed = True


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Stage, Any]]:
    """Build the stage with a scripted engine in its turn."""
    monkeypatch.setattr(engine_turn, "Engine", ScriptedEngine)
    built = Stage()
    yield built, built.turn.engine
    built.close()


def never(exc: BaseException) -> None:
    """Fail: no listener was to raise anything."""
    raise AssertionError(exc)


# ---- Datagrams -------------------------------------------------------------------------


def test_what_belongs_to_no_connection_comes_back_in_order(stage: Stage) -> None:
    """aioquic's server decides about it, whatever it is."""
    initial = b"\xc0\x00\x00\x00\x01\x08" + bytes(1194)
    strange = [b"", b"\x40", initial, b"\x40" + bytes(30), b"\xff" * 1400]
    stage.send(*strange)

    flags = stage.turn.run(1, NEVER_NS)

    assert flags & TURN_EVENTS
    assert stage.turn.take() == [(data, THERE) for data in strange]
    assert stage.turn.take() == []


def test_a_full_batch_says_that_more_may_wait(stage: Stage) -> None:
    """The reactor then comes again, after others had their chance."""
    stage.send(*(b"%d" % number for number in range(BATCH_MAX + 3)))

    first = stage.turn.run(1, NEVER_NS), stage.turn.take()
    second = stage.turn.run(1, NEVER_NS), stage.turn.take()

    assert [bool(flags & TURN_MORE) for flags, _ in (first, second)] == [True, False]
    got = [data for data, _ in first[1] + second[1]]
    assert got == [b"%d" % number for number in range(BATCH_MAX + 3)]


def test_a_turn_without_news_is_over_with_one_call(stage: Stage) -> None:
    """Nothing to take, nobody to tell, nothing due: an idle endpoint costs nothing."""
    assert stage.turn.run(1, NEVER_NS) == 0
    assert stage.turn.engine.deadline_ns() == NEVER_NS
    assert stage.turn.finish(1, NEVER_NS) == 0
    assert stage.soon_cnt == 0


def test_who_has_something_to_send_asks_for_a_turn(stage: Stage) -> None:
    """Written outside of one, it would wait for the next packet otherwise."""
    stage.turn.engine.wake()
    assert stage.soon_cnt == 1


def test_another_thread_is_refused(stage: Stage) -> None:
    """The engine has no locks, since it has one thread."""
    raised: list[BaseException] = []

    def receive() -> None:
        try:
            stage.turn.run(1, NEVER_NS)
        except RuntimeError as exc:
            raised.append(exc)

    thread = threading.Thread(target=receive)
    thread.start()
    thread.join()

    (exc,) = raised
    assert "this engine" in str(exc)


# ---- Listeners -------------------------------------------------------------------------


def test_who_has_news_is_told_once_a_turn(scripted: tuple[Stage, Any]) -> None:
    """However much of it there is, and whenever in the turn it came up."""
    stage, engine = scripted
    one, other, silent, unknown = (Someone() for _ in range(4))
    told: list[str] = []
    stage.turn.listen(one, lambda: told.append("one"))
    stage.turn.listen(other, lambda: told.append("other"))
    stage.turn.listen(silent, lambda: told.append("silent"))
    engine.news = [[one, unknown, other], [other, one]]

    stage.turn.run(1, NEVER_NS)
    assert stage.turn.take() == []
    assert told == []
    stage.turn.tell(never)

    assert told == ["one", "other"]
    stage.turn.tell(never)
    assert told == ["one", "other"]


def test_news_that_a_listener_makes_is_told_in_the_same_turn(
    scripted: tuple[Stage, Any],
) -> None:
    """It would wait for the next packet otherwise."""
    stage, engine = scripted
    one, other = Someone(), Someone()
    told: list[str] = []

    def first() -> None:
        told.append("one")
        if len(told) == 1:
            # As when a connection takes a packet that makes another one heard.
            engine.news = [[other]]
            stage.turn.take()

    stage.turn.listen(one, first)
    stage.turn.listen(other, lambda: told.append("other"))
    engine.news = [[one]]

    stage.turn.tell(never)

    assert told == ["one", "other"]


def test_a_listener_that_raises_keeps_nobody_from_being_told(
    scripted: tuple[Stage, Any],
) -> None:
    """One connection's fault is its own."""
    stage, engine = scripted
    bad, good = Someone(), Someone()
    told: list[str] = []
    failures: list[BaseException] = []
    stage.turn.listen(bad, [].pop)
    stage.turn.listen(good, lambda: told.append("good"))
    engine.news = [[bad, good]]

    stage.turn.tell(failures.append)

    assert told == ["good"]
    (failure,) = failures
    assert isinstance(failure, IndexError)


@pytest.mark.parametrize("leave", [SystemExit, KeyboardInterrupt])
def test_leaving_the_process_is_no_failure_of_a_connection(
    scripted: tuple[Stage, Any], leave: type[BaseException]
) -> None:
    """asyncio's rule for callbacks."""
    stage, engine = scripted
    someone = Someone()

    def listener() -> None:
        raise leave

    stage.turn.listen(someone, listener)
    engine.news = [[someone]]

    with pytest.raises(leave):
        stage.turn.tell(never)


def test_who_has_left_is_not_told(scripted: tuple[Stage, Any]) -> None:
    """Also if it leaves, or is made to, between its news and the telling."""
    stage, engine = scripted
    gone, other = Someone(), Someone()
    told: list[str] = []

    def first() -> None:
        told.append("other")
        stage.turn.unlisten(gone)

    stage.turn.listen(gone, lambda: told.append("gone"))
    stage.turn.listen(other, first)
    engine.news = [[other, gone]]

    stage.turn.tell(never)

    assert told == ["other"]
    stage.turn.unlisten(gone)


def test_after_closing_nobody_is_told(scripted: tuple[Stage, Any]) -> None:
    """Protocols may be gone by then."""
    stage, engine = scripted
    someone = Someone()
    stage.turn.listen(someone, [].pop)
    engine.news = [[someone]]
    stage.turn.take()

    stage.turn.close()
    stage.turn.tell(never)

    assert engine.closed
