"""What a peer may do without end, and where its end is."""

from __future__ import annotations

import pytest
from qxwires import GET, Pair

from quicxdp.h3 import (
    ErrorCode,
    FrameType,
    H3Config,
    varint,
)
from tests.h3.hostile_peer import (
    CLIENT_CONTROL,
    CLIENT_NEW,
    POST,
    check_closed,
    data_frame,
    frame,
    opened,
    section,
)


def test_a_section_beyond_the_limit_is_answered_with_431(pair: Pair) -> None:
    """RFC 9114 section 4.2.2; by its decoded size, which is what it costs."""
    many = [(b"a", b"")] * 600

    (refused,) = pair.to_server(0, section([*GET, *many]))

    assert (refused.status, refused.error_code) == (431, ErrorCode.H3_NO_ERROR)
    assert pair.server_wire.stops == {0: ErrorCode.H3_NO_ERROR}
    pair.client.send_request(GET)
    pair.server_wire.sent = [item for item in pair.server_wire.sent if item[0] == 0]
    ((_, answer, ended),) = pair.server_wire.sent
    assert ended
    (response,) = pair.to_client(0, answer, ended=True)
    assert response.status == 431
    assert pair.server.open_cnt == 0


@pytest.mark.parametrize("told", [16 * 1024 + 1, 1 << 40, varint.MAX])
def test_a_section_that_says_it_is_huge_is_refused_before_it_comes(
    pair: Pair, told: int
) -> None:
    """Its length is enough to know; nothing is kept for it."""
    (refused,) = pair.to_server(0, b"\x01" + varint.encode(told) + b"x" * 1000)

    assert refused.status == 431
    assert pair.server.open_cnt == 0


def test_a_section_of_zeros_expands_no_memory(pair: Pair) -> None:
    """One byte of the static table becomes tens: the limit counts what comes out."""
    bomb = frame(FrameType.HEADERS, b"\x00\x00" + b"\xd1" * 16000)

    (refused,) = pair.to_server(0, bomb)

    assert refused.status == 431


@pytest.mark.parametrize(
    "crumb", [b"\x00\x00", frame(0x21, b""), b"\x00\x01x", frame(0x21, b"xyz")]
)
def test_a_flood_of_frames_for_nothing_ends(pair: Pair, crumb: bytes) -> None:
    """As HTTP/2's floods of empty frames: each byte would cost us a loop."""
    pair.to_server(0, section(POST))

    for _ in range(100):
        events = pair.to_server(0, crumb * 400)
        if pair.server.is_failed:
            break

    check_closed(pair, events, ErrorCode.H3_EXCESSIVE_LOAD, by="server")


def test_small_frames_that_a_person_types_are_no_flood(pair: Pair) -> None:
    """A WebSocket of single characters goes on for hours."""
    pair.to_server(0, section(POST))

    for _ in range(20_000):
        pair.server.receive(0, b"\x00\x07typing.", False)

    assert len(pair.server.take_events()) == 20_000


def test_a_flood_on_the_control_stream_ends(pair: Pair) -> None:
    """Nothing there is asked for."""
    for _ in range(100):
        events = pair.to_server(CLIENT_CONTROL, frame(0x21, b"") * 400)
        if pair.server.is_failed:
            break

    check_closed(pair, events, ErrorCode.H3_EXCESSIVE_LOAD, by="server")


def test_requests_that_are_cancelled_at_once_end_the_connection() -> None:
    """Rapid reset, CVE-2023-44487: MAX_STREAMS does not bound what costs no stream."""
    pair = Pair(H3Config(cancelled_max=20))
    request = section(GET)
    for number in range(100):
        pair.server.receive(4 * number, request, True)
        pair.server.receive_stop(4 * number, ErrorCode.H3_REQUEST_CANCELLED)
        pair.server.send_response(4 * number, 200, [])
        if pair.server.is_failed:
            break

    check_closed(
        pair, pair.server.take_events(), ErrorCode.H3_EXCESSIVE_LOAD, by="server"
    )
    assert number == 20


@pytest.mark.parametrize(
    "broken",
    [
        data_frame(b"longer than it says"),
        section([(b":path", b"/")]),
        section([(b"x", bytes(17_000))]),
    ],
    ids=["body", "trailers", "size"],
)
def test_requests_that_are_broken_on_purpose_end_the_connection(broken: bytes) -> None:
    """CVE-2025-8671: who makes us reset a request has its work done for nothing, too."""
    pair = Pair(H3Config(cancelled_max=20))
    head = section([*POST, (b"content-length", b"3")])
    for number in range(100):
        pair.server.receive(4 * number, head, False)
        pair.server.receive(4 * number, broken, False)
        if pair.server.is_failed:
            break

    check_closed(
        pair, pair.server.take_events(), ErrorCode.H3_EXCESSIVE_LOAD, by="server"
    )
    assert number == 20


def test_answers_that_go_nowhere_earn_nothing() -> None:
    """An upload that is kept open, and whose answer is stopped, is cancelled too."""
    pair = Pair(H3Config(cancelled_max=20))
    for number in range(100):
        pair.server.receive(4 * number, section(POST), False)
        pair.server.receive_stop(4 * number, ErrorCode.H3_REQUEST_CANCELLED)
        pair.server.send_response(4 * number, 200, [])
        if pair.server.is_failed:
            break

    assert number == 20


def test_a_client_that_cancels_now_and_then_may(pair: Pair) -> None:
    """Who scrolls past an image has done nothing wrong."""
    request = section(GET)
    for number in range(2000):
        pair.server.receive(4 * number, request, True)
        if number % 2:
            pair.server.receive_stop(4 * number, ErrorCode.H3_REQUEST_CANCELLED)
        pair.server.send_response(4 * number, 200, [])

    assert not pair.server.is_failed
    assert pair.server.open_cnt == 0


def test_updates_of_priorities_of_nothing_are_bounded(pair: Pair) -> None:
    """A stream that never comes keeps no memory (RFC 9218 section 7)."""
    for number in range(1000):
        stream_id = 4 * (number + 1000)
        pair.server.receive(
            CLIENT_CONTROL,
            frame(FrameType.PRIORITY_UPDATE, varint.encode(stream_id) + b"u=1"),
            False,
        )

    assert len(pair.server._priorities) == 128


def test_streams_of_unknown_types_are_stopped_and_keep_nothing(pair: Pair) -> None:
    """RFC 9114 section 6.2: they are no error, and may come without end."""
    for number in range(100):
        stream_id = CLIENT_NEW + 4 * number
        assert pair.to_server(stream_id, opened(0x21 + 0x1F * number, b"x" * 9)) == []
        assert pair.to_server(stream_id, b"more") == []

    assert len(pair.server_wire.stops) == 100
    assert len(pair.server._incoming) == 3
