"""Whatever arrives: no exception, no event after the end, nothing kept for what is over.

Beside that, what aioquic sends is understood, its QPACK with a dynamic table included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pylsqpack
from aioquic.h3.connection import H3Connection
from aioquic.quic.events import StreamDataReceived
from hypothesis import given, settings
from hypothesis import strategies as st
from qxwires import GET, Pair, Wire, feed

from quicxdp.h3 import (
    Connection,
    ConnectionFailed,
    DataReceived,
    Event,
    FrameType,
    H3Config,
    RequestReceived,
    StreamReset,
    TrailersReceived,
    varint,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL = H3Config(
    connect_protocol=True,
    datagrams=True,
    webtransport=True,
    qpack_table_bytes=256,
    qpack_blocked_streams=2,
)
SESSION = [(b":method", b"CONNECT"), *GET[1:], (b":protocol", b"webtransport")]
_encode = pylsqpack.Encoder().encode


def _section(fields: list[tuple[bytes, bytes]]) -> bytes:
    return varint.frame(FrameType.HEADERS, _encode(0, fields)[1])


PAYLOADS = st.binary(max_size=40) | st.sampled_from(
    [_encode(0, GET)[1], _encode(0, SESSION)[1], _encode(0, [(b":status", b"200")])[1]]
)
FRAMES = st.builds(
    varint.frame,
    st.sampled_from([*FrameType, 0x2, 0x21]) | st.integers(0, varint.MAX),
    PAYLOADS,
)
BYTES = st.one_of(
    st.binary(max_size=60),
    FRAMES,
    st.lists(FRAMES, max_size=4).map(b"".join),
    st.sampled_from([_section(GET), _section(SESSION), b"\x54\x00", b"\x40\x41\x00abc"]),
)
STREAMS = st.sampled_from([0, 4, 8, 1, 5, 2, 6, 10, 14, 18, 3, 7, 11, 15, 19])
STEPS = st.one_of(
    st.tuples(st.just("data"), STREAMS, BYTES, st.booleans()),
    st.tuples(st.just("reset"), STREAMS, st.just(b""), st.just(value=False)),
    st.tuples(st.just("stop"), STREAMS, st.just(b""), st.just(value=False)),
    st.tuples(st.just("datagram"), STREAMS, BYTES, st.just(value=False)),
    st.tuples(st.just("answer"), STREAMS, st.binary(max_size=9), st.booleans()),
)


def play(end: Connection, steps: Sequence[tuple[str, int, bytes, bool]]) -> list[Event]:
    """Do *steps*, as a peer and an application."""
    for what, stream_id, data, ended in steps:
        if what == "data":
            end.receive(stream_id, data, ended)
        elif what == "reset":
            end.receive_reset(stream_id, 7)
        elif what == "stop":
            end.receive_stop(stream_id, 7)
        elif what == "datagram":
            end.receive_datagram(data)
        elif stream_id in end._streams and end._streams[stream_id].is_told:
            stream = end._streams[stream_id]
            if stream.send == 0 and stream.session_id < 0:
                end.send_response(stream_id, 200, [], data, end=ended)
            else:
                end.stop(stream_id)
                end.reset(stream_id, 0)
    return end.take_events()


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=12), st.booleans())
def test_nothing_that_arrives_raises_or_is_told_twice(
    steps: list[tuple[str, int, bytes, bool]],
    is_client: bool,  # noqa: FBT001
) -> None:
    """The peer is a stranger; an exception would be ours to explain."""
    pair = Pair(ALL, ALL)
    if is_client:
        pair.client.send_request(GET, end=False)
        pair.client.send_request(SESSION, end=False)
        pair.client_wire.sent.clear()
    end, wire = (
        (pair.client, pair.client_wire) if is_client else (pair.server, pair.server_wire)
    )

    events = play(end, steps)

    ended: set[int] = set()
    for index, event in enumerate(events):
        if isinstance(event, ConnectionFailed):
            assert index == len(events) - 1
            assert wire.closed is not None
        stream_id = getattr(event, "stream_id", -1)
        if isinstance(event, RequestReceived | DataReceived | TrailersReceived):
            assert stream_id not in ended
        if getattr(event, "ended", False) or isinstance(event, StreamReset):
            assert stream_id not in ended
            ended.add(stream_id)
    for stream in end._streams.values():
        assert stream.recv < 6 or stream.send < 3
        assert stream.session_id < 0 or stream.id in end._sessions[stream.session_id]
    assert all(session in end._streams for session in end._sessions)


HEADER_VALUES = st.text("abc", min_size=1, max_size=3).map(str.encode)
MESSAGES = st.lists(
    st.tuples(st.lists(HEADER_VALUES, max_size=3), st.binary(max_size=50)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=100, deadline=None)
@given(MESSAGES, st.integers(1, 60), st.booleans())
def test_aioquics_requests_arrive_even_when_qpack_blocks_them(
    messages: list[tuple[list[bytes], bytes]],
    piece_bytes: int,
    is_late: bool,  # noqa: FBT001
) -> None:
    """Its encoder uses the table that we offer; sections overtake what they refer to."""
    server_wire, client_wire = Wire(is_client=False), Wire(is_client=True)
    server = Connection(server_wire, is_client=False, config=ALL)
    client = H3Connection(client_wire)  # type: ignore[arg-type]
    settings_frame = server_wire.take(3)
    client.handle_event(StreamDataReceived(settings_frame, False, 3))
    for number, (values, body) in enumerate(messages):
        fields = [(b"x-%d" % i, value) for i, value in enumerate(values)]
        client.send_headers(4 * number, GET + fields)
        client.send_data(4 * number, body, end_stream=True)
    # Unidirectional streams last: sections wait for the encoder's.
    sent = client_wire.sent
    if is_late:
        sent = sorted(sent, key=lambda item: item[0] & 2)
    feed(server, sent, piece_bytes)

    events = server.take_events()
    told = {e.stream_id: e.fields for e in events if isinstance(e, RequestReceived)}
    bodies = dict.fromkeys(told, b"")
    for event in events:
        if isinstance(event, DataReceived):
            bodies[event.stream_id] += event.data
    assert told == {
        4 * number: [(b"x-%d" % i, value) for i, value in enumerate(values)]
        for number, (values, _) in enumerate(messages)
    }
    assert bodies == {4 * number: body for number, (_, body) in enumerate(messages)}
