"""A random application on both ends of a simulated connection, and what must come of it.

`Play` carries actions out, keeps what was promised on either side, and says what is still
missing.  What arrives is compared byte by byte, as it arrives.
"""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from aioquic.quic import events
from aioquic.quic.connection import stream_is_unidirectional
from qxsim import SERVER, Kind

from quicxdp.connection import FastConnection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aioquic.quic.events import QuicEvent
    from qxsim import Host, World

__all__ = ["Action", "Do", "Play"]

STREAM_BYTES_MAX: Final = 1 << 18
CLOSE_CODE: Final = 0x1234
# Of IP packets.  The last is less than QUIC needs (RFC 9000 section 14.1): only small
# packets get through, until it changes again.
MTUS: Final = (1500, 1280, 700)


class Do(enum.Enum):
    """What an application may do."""

    OPEN = "open"
    OPEN_UNI = "open_uni"
    WRITE = "write"
    END = "end"
    RESET = "reset"
    STOP = "stop"
    DATAGRAM = "datagram"
    PING = "ping"
    UPDATE_KEY = "update_key"
    CHANGE_CID = "change_cid"
    REBIND_PORT = "rebind_port"
    REBIND_HOST = "rebind_host"
    READ_LATER = "read_later"  # keep what arrives, and give no credit; or read it again
    MTU = "mtu"  # of the path: enough for all packets, for small ones, for tiny ones


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that one side does, a while after the one before.

    `number` chooses a stream among those that it may be done with, and is the error code.
    """

    do: Do
    side: int
    after_ms: int
    size: int
    number: int


@cache
def content(stream_id: int, side: int) -> bytes:
    """Return what *side* writes to a stream, if it writes that much."""
    numbers = random.Random(stream_id * 2 + side)  # noqa: S311  # the same in each run
    return numbers.randbytes(STREAM_BYTES_MAX)


@dataclass(slots=True)
class Out:
    """Our half of a stream, as promised."""

    sent_bytes: int = 0
    ended: bool = False
    reset: int | None = None
    stopped: int | None = None  # the peer's code

    @property
    def may_write(self) -> bool:
        """Whether the application may still do something with it."""
        return not self.ended and self.reset is None and self.stopped is None


@dataclass(slots=True)
class In:
    """The peer's half, as it has arrived."""

    got_bytes: int = 0
    ended: bool = False
    reset: int | None = None
    stop: int | None = None  # our code

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come."""
        return self.ended or self.reset is not None


@dataclass(slots=True)
class Side:
    """One application."""

    number: int
    host: Host
    outs: dict[int, Out] = field(default_factory=dict)
    ins: dict[int, In] = field(default_factory=dict)
    reads_late: bool = False  # credit is given by hand
    is_reading: bool = True
    unread_bytes: dict[int, int] = field(default_factory=dict)
    datagrams_sent: set[bytes] = field(default_factory=set)
    datagrams_got: list[bytes] = field(default_factory=list)
    pings: set[int] = field(default_factory=set)
    is_complete: bool = False
    terminated: events.ConnectionTerminated | None = None

    @property
    def quic(self) -> Any:  # noqa: ANN401  # private names are looked at
        """The connection."""
        assert self.host.quic is not None
        return self.host.quic

    def take(self, event: QuicEvent) -> None:
        """Take an event, and check it against nothing but itself."""
        match event:
            case events.HandshakeCompleted():
                self.is_complete = True
                if self.reads_late:
                    self.quic.set_manual_consumption(manual=True)
            case events.StreamDataReceived():
                half = self._incoming(event.stream_id)
                end = half.got_bytes + len(event.data)
                assert not half.is_over, f"data behind the end of {event.stream_id}"
                expected = content(event.stream_id, 1 - self.number)
                assert event.data == expected[half.got_bytes : end]
                half.got_bytes, half.ended = end, event.end_stream
                unread_bytes = self.unread_bytes.get(event.stream_id, 0)
                self.unread_bytes[event.stream_id] = unread_bytes + len(event.data)
                if self.is_reading:
                    self.read()
            case events.StreamReset():
                half = self._incoming(event.stream_id)
                assert not half.is_over
                half.reset = event.error_code
            case events.StopSendingReceived():
                self.outs.setdefault(event.stream_id, Out()).stopped = event.error_code
            case events.DatagramFrameReceived():
                self.datagrams_got.append(event.data)
            case events.PingAcknowledged():
                self.pings.discard(event.uid)
            case events.ConnectionTerminated():
                assert self.terminated is None
                self.terminated = event

    def read(self) -> None:
        """Use up what has arrived."""
        if self.reads_late:
            for stream_id, size_bytes in self.unread_bytes.items():
                self.quic.consumed(stream_id, size_bytes)
        self.unread_bytes.clear()

    def _incoming(self, stream_id: int) -> In:
        if stream_id not in self.ins:
            self.ins[stream_id] = In()
            if not stream_is_unidirectional(stream_id):
                self.outs.setdefault(stream_id, Out())
        return self.ins[stream_id]


class Play:
    """Two applications on a world."""

    def __init__(self, world: World, *, read_late: bool = False) -> None:
        """Put them there; *read_late*: reading may stop for a while, where it can."""
        self.world = world
        self.sides = (Side(0, world.client), Side(1, world.server))
        for side in self.sides:
            side.host.on_event = side.take
            side.reads_late = read_late and side.host.kind is not Kind.AIOQUIC
        self._pings = iter(range(1, 1 << 30))
        self._settling: set[int] = set()  # pings behind key updates and new addresses
        self._is_patient = any(side.host.kind is Kind.AIOQUIC for side in self.sides)

    def handshake(self, *, at_most_s: float) -> bool:
        """Connect; tell whether that was possible."""
        self.world.client.connect(SERVER, self.world.now_ns)
        return self.world.run(
            lambda: all(side.is_complete for side in self.sides), at_most_s=at_most_s
        )

    # Actions

    def act(self, action: Action) -> None:
        """Do something, if it makes sense now, after its while."""
        self.world.run(lambda: False, at_most_s=action.after_ms / 1000)
        side = self.sides[action.side]
        if side.terminated is not None:
            return
        match action.do:
            case Do.OPEN | Do.OPEN_UNI:
                self._open(side, action)
            case Do.WRITE | Do.END | Do.RESET:
                self._on_writable(side, action)
            case Do.STOP:
                self._stop(side, action)
            case Do.READ_LATER:
                side.is_reading = not side.is_reading
                if side.is_reading:
                    side.read()
            case _:
                self._on_connection(side, action)

    def _on_connection(self, side: Side, action: Action) -> None:
        match action.do:
            case Do.DATAGRAM:
                self._datagram(side, action.size)
            case Do.PING:
                self._ping(side)
            case Do.CHANGE_CID:
                side.quic.change_connection_id()
            case Do.MTU:
                self._set_mtu(MTUS[action.number % len(MTUS)])
            case Do.UPDATE_KEY | Do.REBIND_PORT | Do.REBIND_HOST:
                self._unsettle(side, action)

    def _on_writable(self, side: Side, action: Action) -> None:
        stream_id = _choose(action.number, _writable(side))
        if stream_id is None:
            return
        if action.do is Do.RESET:
            side.quic.reset_stream(stream_id, action.number)
            side.outs[stream_id].reset = action.number
        else:
            self._write(side, stream_id, action.size, end=action.do is Do.END)

    def _stop(self, side: Side, action: Action) -> None:
        stream_id = _choose(action.number, _stoppable(side))
        if stream_id is not None:
            side.quic.stop_stream(stream_id, action.number)
            side.ins[stream_id].stop = action.number

    def _unsettle(self, side: Side, action: Action) -> None:
        # aioquic does not wait until its last key update was answered (RFC 9001 section
        # 6.1), and keeps no old keys for packets that are late (section 6.5); so it never
        # hears of a new address from packets that crossed its update.
        if self._is_patient and any(self._settling & each.pings for each in self.sides):
            return
        if action.do is Do.UPDATE_KEY:
            side.quic.request_key_update()
        else:
            self.world.rebind(other_host=action.do is Do.REBIND_HOST)
            # Nobody learns of it before the client sends something.
            side = self.sides[0]
        self._settling.add(self._ping(side))

    def _open(self, side: Side, action: Action) -> None:
        is_uni = action.do is Do.OPEN_UNI
        stream_id = side.quic.get_next_available_stream_id(is_unidirectional=is_uni)
        assert stream_id not in side.outs
        side.outs[stream_id] = Out()
        if not is_uni:
            side.ins[stream_id] = In()
        self._write(side, stream_id, max(1, action.size), end=bool(action.number % 2))

    def _write(self, side: Side, stream_id: int, size: int, *, end: bool) -> None:
        half = side.outs[stream_id]
        data = content(stream_id, side.number)[half.sent_bytes : half.sent_bytes + size]
        side.quic.send_stream_data(stream_id, data, end)
        half.sent_bytes += len(data)
        half.ended = end

    def _datagram(self, side: Side, size: int) -> None:
        data = len(side.datagrams_sent).to_bytes(4, "big") + bytes(size % 1000)
        side.datagrams_sent.add(data)
        side.quic.send_datagram_frame(data)

    def _set_mtu(self, mtu_bytes: int) -> None:
        link = self.world.link
        # Another seed: the same one would begin its dice anew.
        self.world.configure(replace(link, seed=link.seed + 1, mtu_bytes=mtu_bytes))

    def _ping(self, side: Side) -> int:
        uid = next(self._pings)
        side.pings.add(uid)
        side.quic.send_ping(uid)
        return uid

    # What must come of it

    def finish(self, *, at_most_s: float) -> list[str]:
        """End all streams and let the network deliver; return what did not arrive."""
        self._set_mtu(MTUS[0])
        for side in self.sides:
            side.is_reading = True
            side.read()
        for _ in range(int(at_most_s)):
            for side in self.sides:
                for stream_id in _writable(side):
                    self._write(side, stream_id, 0, end=True)
            if self.world.run(lambda: not any(self._missing()), at_most_s=1):
                break
            # A client that only listens would never tell of its new address.
            self._ping(self.sides[0])
        return list(self._missing())

    def _missing(self) -> Iterator[str]:
        for side, peer in (self.sides, self.sides[::-1]):
            if side.terminated is not None:
                yield f"side {side.number} has ended: {side.terminated}"
            for stream_id, out in side.outs.items():
                came = peer.ins.get(stream_id, In())
                if problem := _missing_of_stream(out, came):
                    yield f"stream {stream_id} of side {side.number}: {problem}"
            if side.pings:
                yield f"pings of side {side.number}: {side.pings}"

    def check_datagrams(self, *, all_of_them: bool) -> None:
        """Nothing arrives that was not sent, and without loss all of it does."""
        for side, peer in (self.sides, self.sides[::-1]):
            got = set(peer.datagrams_got)
            assert len(got) == len(peer.datagrams_got)
            assert got <= side.datagrams_sent
            if all_of_them:
                assert got == side.datagrams_sent

    def streams_left(self, *, after_s: int) -> list[int]:
        """Return how many streams each engine remembers when all is acknowledged."""
        left: list[int] = []
        for _ in range(after_s):
            self.world.run(lambda: False, at_most_s=1)
            left = [
                side.quic.get_stats().streams
                for side in self.sides
                if isinstance(side.quic, FastConnection)
            ]
            if not any(left):
                break
            # As in `finish`: the server may have gone back to the client's old address.
            self._ping(self.sides[0])
        return left

    def close(self, number: int, *, at_most_s: float) -> None:
        """Let one side close; both must end, with that code or by their idle timeout."""
        side, peer = self.sides[number], self.sides[1 - number]
        side.quic.close(error_code=CLOSE_CODE, reason_phrase="enough")
        assert self.world.run(
            lambda: all(each.terminated for each in self.sides), at_most_s=at_most_s
        )
        assert side.terminated is not None
        assert side.terminated.error_code == CLOSE_CODE
        assert peer.terminated is not None
        assert (
            peer.terminated.error_code == CLOSE_CODE
            or peer.terminated.reason_phrase == "Idle timeout"
        ), peer.terminated


def _choose(number: int, of: list[int]) -> int | None:
    return of[number % len(of)] if of else None


def _writable(side: Side) -> list[int]:
    return [stream_id for stream_id, out in side.outs.items() if out.may_write]


def _stoppable(side: Side) -> list[int]:
    return [
        stream_id
        for stream_id, half in side.ins.items()
        if half.stop is None and not half.is_over
    ]


def _missing_of_stream(out: Out, came: In) -> str:
    if came.stop is not None:
        # The peer wants no more, and must say so while there could be more.
        if out.stopped == came.stop or out.ended or out.reset is not None:
            return ""
        return f"STOP_SENDING {came.stop} did not arrive"
    if out.reset is not None and came.reset is not None:
        return "" if came.reset == out.reset else f"{out.reset} became {came.reset}"
    if came.reset is not None:
        return f"reset with {came.reset}, and nobody did"
    if out.ended and came.ended and came.got_bytes == out.sent_bytes:
        return ""
    return f"{came.got_bytes} of {out.sent_bytes} bytes, {out}, {came}"
