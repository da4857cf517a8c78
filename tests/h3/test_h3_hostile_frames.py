"""Frames that must not come, or not there, or not yet, on a request stream."""

from __future__ import annotations

import pytest
from qxwires import GET, Pair

from quicxdp.h3 import (
    DataReceived,
    ErrorCode,
    FrameType,
    RequestRefused,
    varint,
)
from tests.h3.hostile_peer import (
    HTTP2,
    ON_CONTROL_ONLY,
    POST,
    check_closed,
    data_frame,
    frame,
    section,
)


@pytest.mark.parametrize("kind", [*ON_CONTROL_ONLY, FrameType.PUSH_PROMISE, *HTTP2])
@pytest.mark.parametrize("is_head_only", [True, False])
def test_frames_that_a_request_cannot_have_end_the_connection(
    pair: Pair, kind: int, *, is_head_only: bool
) -> None:
    """RFC 9114 section 7.2; at once, and not when all of a long one has come."""
    data = varint.encode(kind) + varint.encode(64) if is_head_only else frame(kind, b"x")

    events = pair.to_server(0, section(POST) + data)

    check_closed(pair, events, ErrorCode.H3_FRAME_UNEXPECTED, by="server")


def test_a_server_pushes_nothing_to_us(pair: Pair) -> None:
    """Nobody allowed it to (RFC 9114 section 4.6)."""
    pair.client.send_request(GET)

    events = pair.to_client(0, frame(FrameType.PUSH_PROMISE, b"\x00"))

    check_closed(pair, events, ErrorCode.H3_ID_ERROR, by="client")


@pytest.mark.parametrize(
    ("data", "ended"),
    [
        (data_frame(b"x"), False),
        (section(POST) + section([(b"x", b"y")]) + section([(b"x", b"y")]), False),
        (section(POST) + section([(b"x", b"y")]) + data_frame(b"x"), False),
        (section([(b":method", b"CONNECT"), GET[2]]) + section([(b"x", b"y")]), False),
    ],
)
def test_frames_out_of_order_end_the_connection(
    pair: Pair, data: bytes, *, ended: bool
) -> None:
    """RFC 9114 section 4.1."""
    events = pair.to_server(0, data, ended=ended)

    check_closed(pair, events, ErrorCode.H3_FRAME_UNEXPECTED, by="server")


@pytest.mark.parametrize(
    "data", [section(POST)[:-1], section(POST) + b"\x00\x05abc", section(POST) + b"\x00"]
)
def test_a_frame_that_ends_too_early_ends_the_connection(pair: Pair, data: bytes) -> None:
    """RFC 9114 section 7.1."""
    events = pair.to_server(0, data, ended=True)

    check_closed(pair, events, ErrorCode.H3_FRAME_ERROR, by="server")


@pytest.mark.parametrize("piece", [b"", frame(0x21, b"grease"), frame(0xF0, b"")])
def test_a_request_that_never_came_is_reset(pair: Pair, piece: bytes) -> None:
    """H3_REQUEST_INCOMPLETE, and the stream is forgotten."""
    events = pair.to_server(0, piece, ended=True)

    assert [type(event) for event in events] == [RequestRefused]
    assert pair.server_wire.resets == {0: ErrorCode.H3_REQUEST_INCOMPLETE}
    assert pair.server_wire.closed is None
    assert pair.server.open_cnt == 0


def test_streams_may_come_in_any_order_and_old_ones_never_again(pair: Pair) -> None:
    """A packet that was overtaken is a request; a late copy of one is not."""
    for stream_id in (8, 0, 4):
        assert len(pair.to_server(stream_id, section(GET), ended=True)) == 1
        pair.server.send_response(stream_id, 200, [])
    for stream_id in (8, 0, 4):
        assert pair.to_server(stream_id, section(GET), ended=True) == []

    assert pair.server.open_cnt == 0


def test_what_came_before_a_fault_is_told(pair: Pair) -> None:
    """A request of the same turn is not lost with the peer's next mistake."""
    events = pair.to_server(0, section(POST) + data_frame(b"x"))
    assert events[1] == DataReceived(0, b"x", ended=False)

    events = pair.to_server(0, data_frame(b"y") + frame(0x2, b""))

    check_closed(pair, events, ErrorCode.H3_FRAME_UNEXPECTED, by="server")


def test_a_datagram_without_a_stream_ends_the_connection(pair: Pair) -> None:
    """RFC 9297 section 2.1."""
    pair.server.receive_datagram(b"")

    check_closed(
        pair, pair.server.take_events(), ErrorCode.H3_DATAGRAM_ERROR, by="server"
    )
