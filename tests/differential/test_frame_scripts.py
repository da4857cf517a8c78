"""The same frames, in the same packets, for a server of either kind.

The peer has keys and obeys nothing.  Either server must give the application the same, in
the same order on every stream, and close the connection for the same reason.  What is not
compared: acknowledgments, padding, and when credit is announced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
from aioquic import tls
from aioquic.buffer import encode_uint_var
from aioquic.quic import events
from aioquic.quic.packet import QuicErrorCode

from quicxdp.connection import FastConnection
from quicxdp.seam.control import FRAME_CNT_MAX
from tests.differential.conftest import CLIENT_ADDR, Network, World

if TYPE_CHECKING:
    from pathlib import Path

v = encode_uint_var
MAX_DATA: Final = 1000
MAX_STREAM_DATA: Final = 600
STREAM_CNT: Final = 128
VARINT_MAX: Final = 2**62 - 1


def stream(
    stream_id: int,
    data: bytes = b"",
    *,
    off: int = 0,
    fin: bool = False,
    raw: bool = False,
) -> bytes:
    """Return a STREAM frame; *raw*: one that goes on to the end of the packet."""
    kind = 0x08 | (4 if off else 0) | (0 if raw else 2) | fin
    length = b"" if raw else v(len(data))
    return v(kind) + v(stream_id) + (v(off) if off else b"") + length + data


def reset(stream_id: int, code: int, size: int) -> bytes:
    """Return a RESET_STREAM frame."""
    return v(4) + v(stream_id) + v(code) + v(size)


def stop(stream_id: int, code: int) -> bytes:
    """Return a STOP_SENDING frame."""
    return v(5) + v(stream_id) + v(code)


def datagram(data: bytes) -> bytes:
    """Return a DATAGRAM frame with a length."""
    return v(0x31) + v(len(data)) + data


# A client's streams are 0, 4 (both ways) and 2, 6 (one way); a server's 1 and 3.
SCRIPTS: Final[dict[str, list[bytes]]] = {
    "data in order": [stream(0, b"abc"), stream(0, b"def", off=3, fin=True)],
    "data out of order": [stream(0, b"def", off=3, fin=True), stream(0, b"abc")],
    "many frames in a packet": [
        stream(0, b"a") + stream(2, b"x", fin=True) + stream(0, b"b", off=1) + b"\x01\x00"
    ],
    "to the end of the packet": [
        stream(0, b"a", fin=True) + stream(4, b"rest", raw=True)
    ],
    "twice the same": [stream(0, b"abc"), stream(0, b"abc"), stream(0, b"abc", fin=True)],
    "overlapping": [
        stream(0, b"abcd"),
        stream(0, b"cdef", off=2),
        stream(0, b"bcdefg", off=1),
    ],
    "tiny pieces backwards": [stream(0, bytes([n]), off=n) for n in range(30, -1, -1)],
    "every second byte, then all": [
        *(stream(0, bytes([n]), off=n) for n in range(1, 40, 2)),
        stream(0, bytes(range(40)), fin=True),
    ],
    "an empty end": [stream(0, b"abc"), stream(0, off=3, fin=True)],
    "nothing but the end": [stream(0, fin=True)],
    "no data at all": [stream(0)],
    "an end that moves back": [stream(0, b"abc", fin=True), stream(0, b"a", fin=True)],
    "an end that moves on": [stream(0, b"ab", fin=True), stream(0, b"abc", fin=True)],
    "data beyond the end": [stream(0, b"ab", fin=True), stream(0, b"c", off=2)],
    "an end before what came": [stream(0, b"abc", off=5), stream(0, b"abc", fin=True)],
    "data after all was delivered": [
        stream(2, b"ab", fin=True),
        stream(2, b"ab", fin=True),
    ],
    "offset beyond all numbers": [stream(0, b"ab", off=VARINT_MAX - 1)],
    "as much as a stream may": [stream(0, bytes(MAX_STREAM_DATA))],
    "more than a stream may": [stream(0, b"a", off=MAX_STREAM_DATA)],
    "as much as all may": [stream(0, bytes(600)), stream(4, bytes(400))],
    "more than all may": [
        stream(0, b"a", off=599) + stream(4, b"a", off=399) + stream(8, b"a")
    ],
    "the last stream": [stream(4 * (STREAM_CNT - 1), b"a")],
    "one stream too many": [stream(4 * STREAM_CNT, b"a")],
    "one direction too many": [stream(4 * STREAM_CNT + 2, b"a")],
    "a stream of ours": [stream(1, b"a")],
    "a stream we only send on": [stream(3, b"a")],
    "reset": [reset(0, 7, 0)],
    "reset after data": [stream(0, b"abc"), reset(0, 7, 3)],
    "reset with a gap": [stream(0, b"abc"), reset(0, 7, 100)],
    "reset twice": [reset(0, 7, 3), reset(0, 8, 3)],
    "reset of another size": [reset(0, 7, 3), reset(0, 7, 4)],
    "reset below what came": [stream(0, b"abc"), reset(0, 7, 2)],
    "reset with another end": [stream(0, b"abc", off=1, fin=True), reset(0, 7, 5)],
    "reset after the end": [stream(0, b"abc", fin=True), reset(0, 7, 3)],
    "data after a reset": [reset(0, 7, 3), stream(0, b"abc")],
    "reset beyond a stream's limit": [reset(0, 7, MAX_STREAM_DATA + 1)],
    "resets beyond the limit of all": [reset(0, 7, 600), reset(4, 7, 401)],
    "reset of a stream we only send on": [reset(3, 7, 0)],
    "reset of a stream of ours": [reset(1, 7, 0)],
    "stop": [stream(0, b"abc") + stop(0, 9)],
    "stop of a new stream": [stop(0, 9)],
    "stop twice, of another code": [stop(0, 9), stop(0, 10) + stop(0, 11)],
    "stop, data and the end": [stop(0, 9), stream(0, b"abc", fin=True), stop(0, 9)],
    "stop of a stream we only receive on": [stop(2, 9)],
    "stop of a stream of ours that is not": [stop(1, 9)],
    "credit": [v(0x10) + v(5000), v(0x10) + v(1), v(0x12) + v(500), v(0x13) + v(1)],
    "credit for a stream": [stream(0) + v(0x11) + v(0) + v(9999)],
    "credit for a stream we only receive on": [v(0x11) + v(2) + v(9)],
    "credit for a stream of ours that is not": [v(0x11) + v(1) + v(9)],
    "as many streams as there can be": [v(0x12) + v(2**60) + v(0x13) + v(2**60)],
    "more streams than there can be": [v(0x12) + v(2**60 + 1)],
    "more one-way streams than there can be": [v(0x13) + v(2**60 + 1)],
    "blocked": [v(0x14) + v(9) + v(0x15) + v(0) + v(9) + v(0x16) + v(9) + v(0x17) + v(9)],
    "blocked by an impossible limit": [v(0x16) + v(2**60 + 1)],
    "blocked on a stream we only send on": [v(0x15) + v(3) + v(9)],
    "datagrams": [datagram(b"one") + datagram(b"") + v(0x30) + b"rest"],
    "a datagram that is too large": [datagram(bytes(500))],
    "a datagram that is just not": [datagram(bytes(495))],
    "pings and padding": [b"\x01\x00\x00\x00\x01"],
    "nothing": [b""],
    "half a frame type": [b"\x40"],
    "an unknown frame type": [v(0x21) + b"abc"],
    "an unknown large frame type": [v(2**40) + b"abc"],
    "a negative acknowledgment": [v(2) + v(1) + v(0) + v(0) + v(2)],
    "the end of the handshake": [v(0x1E)],
    "a token": [v(7) + v(3) + b"abc"],
    "a connection ID that is none": [v(0x18) + v(9) + v(0) + b"\x00" + bytes(16)],
    "a connection ID retired too soon": [
        v(0x18) + v(1) + v(2) + b"\x08" + bytes(8) + bytes(16)
    ],
    "retiring what is not": [v(0x19) + v(100)],
    "path frames": [v(0x1A) + bytes(8) + v(0x1B) + bytes(8)],
    "data, then an error": [stream(0, b"abc") + v(0x1E)],
    "ours and aioquic's": [
        v(0x1A) + b"12345678" + stream(0, b"a") + v(0x19) + v(1) + stream(0, b"b", off=1)
    ],
    "closed by the transport": [v(0x1C) + v(5) + v(6) + v(3) + b"bye"],
    "closed by the application": [stream(0, b"a"), v(0x1D) + v(5) + v(3) + b"bye"],
    **{
        f"half of frame {frame[0]:#04x}": [frame[:-1]]
        for frame in (
            *(reset(0, 7, 9), stop(0, 9), stream(0, b"abc"), datagram(b"abc")),
            *(v(0x10) + v(9), v(0x11) + v(0) + v(9), v(0x12) + v(9), v(0x13) + v(9)),
            *(v(0x14) + v(9), v(0x15) + v(0) + v(9), v(0x16) + v(9), v(0x17) + v(9)),
            *(v(2) + v(0) + v(0) + v(0) + v(0), v(6) + v(0) + v(3) + b"abc"),
            *(v(0x1A) + bytes(8), v(0x1B) + bytes(8), v(0x1D) + v(5) + v(3) + b"bye"),
            *(v(7) + v(3) + b"abc", v(0x18) + v(1) + v(0) + b"\x08" + bytes(24)),
        )
    },
}

# aioquic tells of a truncated ACK frame in its parser's words.
IN_OTHER_WORDS: Final = {"half of frame 0x02"}

# RFC 9000 section 13.1 has an error for it, which aioquic does not report.
ONLY_THE_ENGINE_OBJECTS: Final = {
    "an acknowledgment of what was never sent": [v(2) + v(1000) + v(0) + v(0) + v(0)],
}

# The engine handles its frames of a packet first, aioquic then those that are left.
DATA_BEHIND_AN_ERROR: Final = [v(0x1E) + stream(0, b"abc")]


@dataclass
class Outcome:
    """What an application has seen, and how it ended."""

    streams: dict[int, list[Any]] = field(default_factory=dict)
    datagrams: list[bytes] = field(default_factory=list)
    close: tuple[int, int | None, str] | None = None

    def add(self, event: events.QuicEvent) -> None:
        """Note an event; neighbouring data of a stream is one."""
        if isinstance(event, events.StreamDataReceived):
            seen = self.streams.setdefault(event.stream_id, [])
            if seen and isinstance(seen[-1], bytes):
                seen[-1] += event.data
            else:
                seen.append(event.data)
            if event.end_stream:
                seen.append("end")
        elif isinstance(event, (events.StreamReset, events.StopSendingReceived)):
            seen = self.streams.setdefault(event.stream_id, [])
            seen.append((type(event).__name__, event.error_code))
        elif isinstance(event, events.DatagramFrameReceived):
            self.datagrams.append(event.data)


class Peer:
    """A client that sends any frames at all, and a server that takes them."""

    def __init__(self, kind: str, certificate: tuple[Path, Path]) -> None:
        self._world = World(
            ("aioquic", kind),
            certificate,
            Network(),
            client={},
            server={
                "max_data": MAX_DATA,
                "max_stream_data": MAX_STREAM_DATA,
                "max_datagram_frame_size": 500,
            },
        )
        self._world.handshake()
        self._world.run(seconds=1)
        self._number = self._world.client._packet_number
        self.outcome = Outcome()
        self._take_events()
        self.outcome = Outcome()

    def send(self, frames: bytes) -> None:
        """Send one packet with *frames*."""
        client, server = self._world.client, self._world.server
        self._number += 1
        # A packet number of four bytes: a packet without frames can be sealed too.
        header = b"\x43" + client._peer_cid.cid + self._number.to_bytes(4, "big")
        crypto = client._cryptos[tls.Epoch.ONE_RTT]
        data = crypto.encrypt_packet(header, frames, self._number)
        server.receive_datagram(data, CLIENT_ADDR, self._world.now)
        self._take_events()

    @property
    def server(self) -> FastConnection:
        """The server, if it is the engine's."""
        assert isinstance(self._world.server, FastConnection)
        return self._world.server

    def transmit(self) -> None:
        """Let the server send; nobody receives it."""
        self._world.server.datagrams_to_send(self._world.now)

    def _take_events(self) -> None:
        while (event := self._world.server.next_event()) is not None:
            self.outcome.add(event)
        closed = self._world.server._close_event
        if closed is not None:
            self.outcome.close = (
                int(closed.error_code),
                closed.frame_type,
                closed.reason_phrase,
            )


def outcome(kind: str, certificate: tuple[Path, Path], script: list[bytes]) -> Outcome:
    """Return what became of a script at a server of a kind."""
    peer = Peer(kind, certificate)
    for frames in script:
        peer.send(frames)
    return peer.outcome


@pytest.mark.parametrize("name", SCRIPTS)
def test_both_kinds_of_server_make_the_same_of_it(
    certificate: tuple[Path, Path], name: str
) -> None:
    """Data, its order on every stream, and the reason for closing."""
    native = outcome("native", certificate, SCRIPTS[name])
    aioquic = outcome("aioquic", certificate, SCRIPTS[name])

    if name in IN_OTHER_WORDS:
        assert native.close is not None
        assert aioquic.close is not None
        native.close = (*native.close[:2], aioquic.close[2])
    assert native == aioquic


def test_data_behind_an_error_of_the_same_packet_may_still_be_told(
    certificate: tuple[Path, Path],
) -> None:
    """Either way the connection is closed for the same reason."""
    native = outcome("native", certificate, DATA_BEHIND_AN_ERROR)
    aioquic = outcome("aioquic", certificate, DATA_BEHIND_AN_ERROR)

    assert native.close == aioquic.close
    assert (native.streams, aioquic.streams) == ({0: [b"abc"]}, {})


@pytest.mark.parametrize("name", ONLY_THE_ENGINE_OBJECTS)
def test_the_engine_objects_where_aioquic_does_not(
    certificate: tuple[Path, Path], name: str
) -> None:
    """To what RFC 9000 calls an error."""
    script = ONLY_THE_ENGINE_OBJECTS[name]

    closed = outcome("native", certificate, script).close
    assert closed is not None
    assert closed[0] == QuicErrorCode.PROTOCOL_VIOLATION
    assert outcome("aioquic", certificate, script).close is None


def test_a_peer_that_acknowledges_nothing_cannot_make_us_keep_much(
    certificate: tuple[Path, Path],
) -> None:
    """Each of its frames makes aioquic answer, and the answers wait for their fate."""
    peer = Peer("native", certificate)

    for number in range(1000):
        peer.send(b"".join(v(0x1A) + bytes([number & 0xFF, n] * 4) for n in range(20)))
        peer.transmit()
    stats = peer.server.get_stats()

    # It is full before the last collection, which has at most 32 answers and few others.
    assert len(peer.server._control) <= FRAME_CNT_MAX + 64
    assert stats.memory_bytes < 200_000
    assert peer.outcome.close is None


def test_a_peer_that_retires_connection_ids_for_ever_is_sent_away(
    certificate: tuple[Path, Path],
) -> None:
    """aioquic counts what it could not send; the engine must not hide it."""
    peer = Peer("native", certificate)

    for number in range(8, 2000):
        cid = number.to_bytes(8, "big")
        peer.send(v(0x18) + v(number) + v(number) + b"\x08" + cid + bytes(16))
        peer.transmit()
        if peer.outcome.close is not None:
            break

    assert peer.outcome.close is not None
    assert peer.outcome.close[0] == QuicErrorCode.CONNECTION_ID_LIMIT_ERROR
    assert len(peer.server._control) <= FRAME_CNT_MAX
