"""What a peer may do wrong, and that it costs the peer and nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pylsqpack
import pytest
from qxwires import GET, Pair, Wire

from quicxdp.h3 import (
    Connection,
    ConnectionFailed,
    DataReceived,
    ErrorCode,
    FrameType,
    H3Config,
    MessageFailed,
    RequestReceived,
    RequestRefused,
    Setting,
    StreamType,
    varint,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

CLIENT_CONTROL, CLIENT_ENCODER, CLIENT_DECODER, CLIENT_NEW = 2, 6, 10, 14
SERVER_CONTROL, SERVER_ENCODER, SERVER_DECODER, SERVER_NEW = 3, 7, 11, 15

frame = varint.frame


def section(fields: list[tuple[bytes, bytes]]) -> bytes:
    """Return a header section as a frame."""
    return frame(FrameType.HEADERS, pylsqpack.Encoder().encode(0, fields)[1])


def data_frame(data: bytes) -> bytes:
    """Return a DATA frame."""
    return frame(FrameType.DATA, data)


def settings(*pairs: tuple[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(
        FrameType.SETTINGS, b"".join(varint.encode(n) for pair in pairs for n in pair)
    )


POST = [(b":method", b"POST"), *GET[1:]]
HTTP2 = (0x2, 0x6, 0x8, 0x9)
ON_CONTROL_ONLY = (
    FrameType.CANCEL_PUSH,
    FrameType.SETTINGS,
    FrameType.GOAWAY,
    FrameType.MAX_PUSH_ID,
    FrameType.PRIORITY_UPDATE,
    FrameType.PRIORITY_UPDATE_PUSH,
)


def check_closed(
    pair: Pair, events: Sequence[object], code: ErrorCode, *, by: str
) -> None:
    """Check that an end has closed the connection, and takes nothing more."""
    wire, end = (
        (pair.server_wire, pair.server)
        if by == "server"
        else (pair.client_wire, pair.client)
    )
    failed = events[-1]
    assert isinstance(failed, ConnectionFailed)
    assert ErrorCode(failed.error_code) is code
    assert wire.closed == (code, failed.reason)
    assert end.is_failed
    end.receive(0, b"\x00", True)
    assert end.take_events() == []


# ---- Request streams -------------------------------------------------------------------


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


BAD_SECTIONS = [
    GET[1:],
    GET[:1] + GET[2:],
    GET[:2] + GET[3:],
    GET[:3],
    [*GET, GET[0]],
    [*GET, (b":status", b"200")],
    [*GET, (b":other", b"x")],
    [(b"x", b"y"), *GET],
    [*GET[:3], (b"x", b"y"), GET[3]],
    [*GET[:3], (b":path", b"")],
    [*GET[:3], (b":path", b"no-slash")],
    [*GET[:3], (b":path", b"/a b")],
    [*GET[:3], (b":path", b"/a\x00")],
    [*GET[:3], (b":path", b"/a#b")],
    [(b":method", b"GE T"), *GET[1:]],
    [(b":method", b""), *GET[1:]],
    [GET[0], (b":scheme", b"ht/tp"), *GET[2:]],
    [*GET[:2], (b":authority", b"user@host"), GET[3]],
    [*GET[:2], (b":authority", b""), GET[3]],
    [*GET[:2], (b":authority", b"a/b"), GET[3]],
    [*GET, (b":protocol", b"websocket")],
    [*GET, (b"host", b"elsewhere")],
    [*GET[:2], GET[3], (b"host", b"a"), (b"host", b"b")],
    [*GET, (b"Upper", b"x")],
    [*GET, (b"a b", b"x")],
    [*GET, (b"a:b", b"x")],
    [*GET, (b"a\n", b"x")],
    [*GET, (b"x", b"a\nb")],
    [*GET, (b"x", b"a\rb")],
    [*GET, (b"x", b"a\x00b")],
    [*GET, (b"x", b" a")],
    [*GET, (b"x", b"a\t")],
    [*GET, (b"connection", b"close")],
    [*GET, (b"transfer-encoding", b"chunked")],
    [*GET, (b"upgrade", b"h2c")],
    [*GET, (b"te", b"gzip")],
    [*GET, (b"content-length", b"-1")],
    [*GET, (b"content-length", b"+1")],
    [*GET, (b"content-length", b"1_0")],
    [*GET, (b"content-length", b"0x1")],
    [*GET, (b"content-length", b"")],
    [*GET, (b"content-length", b"1"), (b"content-length", b"1")],
    [*GET, (b"content-length", b"1" * 19)],
    [(b":method", b"CONNECT"), *GET[1:]],
    [(b":method", b"CONNECT")],
    [(b":method", b"CONNECT"), *GET[1:], (b":protocol", b"websocket")],
]


@pytest.mark.parametrize("fields", BAD_SECTIONS, ids=repr)
@pytest.mark.parametrize("ended", [True, False])
def test_a_malformed_request_is_reset_and_the_next_one_answered(
    pair: Pair, fields: list[tuple[bytes, bytes]], *, ended: bool
) -> None:
    """RFC 9114 section 4.1.2: it is an error of its stream, not of the connection."""
    events = pair.to_server(0, section(fields), ended=ended)

    (refused,) = events
    assert isinstance(refused, RequestRefused)
    assert refused.error_code == ErrorCode.H3_MESSAGE_ERROR
    assert pair.server_wire.resets == {0: ErrorCode.H3_MESSAGE_ERROR}
    assert (0 in pair.server_wire.stops) is not ended
    assert pair.server.open_cnt == 0
    assert pair.to_server(0, b"\x00\x01x") == []
    assert [type(event) for event in pair.to_server(4, section(GET))] == [RequestReceived]


@pytest.mark.parametrize(
    "fields",
    [
        [GET[0], GET[1], GET[3], (b"host", b"localhost")],
        [*GET, (b"host", b"localhost")],
        [*GET, (b"te", b"Trailers")],
        [*GET[:3], (b":path", b"/\xc3\xa4?x=%20&y={}")],
        [(b":method", b"OPTIONS"), *GET[1:3], (b":path", b"*")],
        [(b":method", b"X-OWN"), *GET[1:]],
        [GET[0], (b":scheme", b"urn"), GET[2], (b":path", b"x:y")],
        [(b":method", b"CONNECT"), GET[2]],
        [*GET, (b"x", b"")],
        [*GET, (b"x", b"\xff\x01")],
        [*GET, (b"cookie", b"a=b"), (b"cookie", b"c=d")],
    ],
    ids=repr,
)
def test_an_unusual_request_is_told(
    pair: Pair, fields: list[tuple[bytes, bytes]]
) -> None:
    """What RFCs allow is not refused for being rare."""
    (request,) = pair.to_server(0, section(fields), ended=True)

    assert isinstance(request, RequestReceived)
    assert request.authority == b"localhost"


@pytest.mark.parametrize(
    ("told", "body", "ended"),
    [(5, b"abcdef", False), (5, b"abcd", True), (1, b"", True), (0, b"a", False)],
)
def test_a_body_that_is_not_as_long_as_it_says_breaks_its_request_only(
    pair: Pair, told: int, body: bytes, *, ended: bool
) -> None:
    """What one server takes for a body, another would take for a second request."""
    head = section([*POST, (b"content-length", b"%d" % told)])
    pair.to_server(0, head)

    events = pair.to_server(0, data_frame(body), ended=ended)

    assert isinstance(events[-1], MessageFailed)
    assert events[-1].error_code == ErrorCode.H3_MESSAGE_ERROR
    assert pair.server_wire.resets == {0: ErrorCode.H3_MESSAGE_ERROR}
    assert pair.server.open_cnt == 0
    assert pair.server_wire.closed is None
    assert not pair.server.send_response(0, 200, [])


@pytest.mark.parametrize(
    "trailers",
    [
        [(b":path", b"/")],
        [(b"content-length", b"1")],
        [(b"te", b"trailers")],
        [(b"connection", b"close")],
        [(b"X", b"y")],
    ],
)
def test_malformed_trailers_break_their_request_only(
    pair: Pair, trailers: list[tuple[bytes, bytes]]
) -> None:
    """They are as much part of the message as the rest (RFC 9114 section 4.3)."""
    pair.to_server(0, section(POST))

    (failed,) = pair.to_server(0, section(trailers), ended=True)

    assert failed == MessageFailed(0, ErrorCode.H3_MESSAGE_ERROR, failed.reason)
    assert pair.server_wire.closed is None


BAD_RESPONSES = [
    [(b"x", b"y")],
    [(b":status", b"20")],
    [(b":status", b"0200")],
    [(b":status", b"2x0")],
    [(b":status", b"099")],
    [(b":status", b"101")],
    [(b":status", b"200"), (b":status", b"200")],
    [(b":status", b"200"), (b":path", b"/")],
    [(b"x", b"y"), (b":status", b"200")],
    [(b":status", b"200"), (b"te", b"trailers")],
    [(b":status", b"200"), (b"keep-alive", b"1")],
    [(b":status", b"200"), (b"content-length", b"1"), (b"content-length", b"2")],
    GET,
]


@pytest.mark.parametrize("fields", BAD_RESPONSES, ids=repr)
def test_a_malformed_response_fails_its_request_only(
    pair: Pair, fields: list[tuple[bytes, bytes]]
) -> None:
    """A client of many resources loses one of them."""
    pair.client.send_request(GET)
    pair.client.send_request(GET)

    (failed,) = pair.to_client(0, section(fields))

    assert failed == MessageFailed(0, ErrorCode.H3_MESSAGE_ERROR, failed.reason)
    assert pair.client_wire.closed is None
    assert pair.client.open_cnt == 1


def test_an_interim_response_is_no_answer(pair: Pair) -> None:
    """RFC 9114 section 4.1: a final one must follow."""
    pair.client.send_request(GET)

    events = pair.to_client(0, section([(b":status", b"103")]), ended=True)

    assert isinstance(events[-1], MessageFailed)


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
    "payload",
    [
        b"",
        b"\x00",
        b"\x00\x00\xff\xff\xff",  # of a static table that has no such entry
        b"\x05\x00\x80",  # of a dynamic table that was not offered
        b"\x00\x00\x27\x7f\xff",  # a name longer than the section
    ],
)
def test_qpack_that_cannot_be_decoded_ends_the_connection(
    pair: Pair, payload: bytes
) -> None:
    """RFC 9204 section 2.2: both ends' tables may differ from here on."""
    events = pair.to_server(0, frame(FrameType.HEADERS, payload))

    check_closed(pair, events, ErrorCode.QPACK_DECOMPRESSION_FAILED, by="server")


# ---- Floods ----------------------------------------------------------------------------


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


def test_streams_may_come_in_any_order_and_old_ones_never_again(pair: Pair) -> None:
    """A packet that was overtaken is a request; a late copy of one is not."""
    for stream_id in (8, 0, 4):
        assert len(pair.to_server(stream_id, section(GET), ended=True)) == 1
        pair.server.send_response(stream_id, 200, [])
    for stream_id in (8, 0, 4):
        assert pair.to_server(stream_id, section(GET), ended=True) == []

    assert pair.server.open_cnt == 0


# ---- Control and QPACK streams ---------------------------------------------------------


def opened(kind: int, *parts: bytes) -> bytes:
    """Return a unidirectional stream."""
    return varint.encode(kind) + b"".join(parts)


@pytest.mark.parametrize(
    "kind",
    [
        FrameType.DATA,
        FrameType.HEADERS,
        FrameType.PUSH_PROMISE,
        FrameType.SETTINGS,
        *HTTP2,
    ],
)
def test_frames_that_a_control_stream_cannot_have_end_the_connection(
    pair: Pair, kind: int
) -> None:
    """RFC 9114 sections 7.2.1 to 7.2.8."""
    head = varint.encode(kind) + varint.encode(1000)

    events = pair.to_server(CLIENT_CONTROL, head)

    check_closed(pair, events, ErrorCode.H3_FRAME_UNEXPECTED, by="server")


@pytest.mark.parametrize(
    "kind",
    [
        FrameType.MAX_PUSH_ID,
        FrameType.PRIORITY_UPDATE,
        FrameType.PRIORITY_UPDATE_PUSH,
    ],
)
def test_what_only_clients_say_is_not_taken_from_a_server(pair: Pair, kind: int) -> None:
    """RFC 9114 section 7.2.7, RFC 9218 section 7.2."""
    events = pair.to_client(SERVER_CONTROL, frame(kind, b"\x00"))

    check_closed(pair, events, ErrorCode.H3_FRAME_UNEXPECTED, by="client")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(FrameType.GOAWAY, b""), ErrorCode.H3_FRAME_ERROR),
        (frame(FrameType.GOAWAY, b"\x00\x00"), ErrorCode.H3_FRAME_ERROR),
        (frame(FrameType.MAX_PUSH_ID, b""), ErrorCode.H3_FRAME_ERROR),
        (
            frame(FrameType.MAX_PUSH_ID, b"\x05") + frame(FrameType.MAX_PUSH_ID, b"\x04"),
            ErrorCode.H3_ID_ERROR,
        ),
        (frame(FrameType.CANCEL_PUSH, b"\x00"), ErrorCode.H3_ID_ERROR),
        (frame(FrameType.CANCEL_PUSH, b"\x40"), ErrorCode.H3_FRAME_ERROR),
        (frame(FrameType.PRIORITY_UPDATE, b""), ErrorCode.H3_FRAME_ERROR),
        (frame(FrameType.PRIORITY_UPDATE, b"\x01u=1"), ErrorCode.H3_ID_ERROR),
        (frame(FrameType.PRIORITY_UPDATE_PUSH, b""), ErrorCode.H3_FRAME_ERROR),
        (frame(FrameType.PRIORITY_UPDATE_PUSH, b"\x00"), ErrorCode.H3_ID_ERROR),
        (
            varint.encode(FrameType.GOAWAY) + varint.encode(1 << 30),
            ErrorCode.H3_EXCESSIVE_LOAD,
        ),
    ],
)
def test_malformed_control_frames_end_the_connection(
    pair: Pair, data: bytes, code: ErrorCode
) -> None:
    """Each with the code that its section asks for."""
    events = pair.to_server(CLIENT_CONTROL, data)

    check_closed(pair, events, code, by="server")


def test_a_goaway_of_a_server_never_goes_back(pair: Pair) -> None:
    """RFC 9114 section 5.2: what was refused stays so."""
    pair.to_client(SERVER_CONTROL, frame(FrameType.GOAWAY, b"\x08"))

    events = pair.to_client(SERVER_CONTROL, frame(FrameType.GOAWAY, b"\x0c"))

    check_closed(pair, events, ErrorCode.H3_ID_ERROR, by="client")


def test_a_goaway_of_a_server_names_a_request(pair: Pair) -> None:
    """RFC 9114 section 7.2.6."""
    events = pair.to_client(SERVER_CONTROL, frame(FrameType.GOAWAY, b"\x01"))

    check_closed(pair, events, ErrorCode.H3_ID_ERROR, by="client")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(FrameType.GOAWAY, b"\x00"), ErrorCode.H3_MISSING_SETTINGS),
        (frame(0x21, b""), ErrorCode.H3_MISSING_SETTINGS),
        (settings((0x2, 1)), ErrorCode.H3_SETTINGS_ERROR),
        (settings((0x6, 1), (0x6, 1)), ErrorCode.H3_SETTINGS_ERROR),
        (settings((Setting.H3_DATAGRAM, 2)), ErrorCode.H3_SETTINGS_ERROR),
        (settings((Setting.ENABLE_CONNECT_PROTOCOL, 2)), ErrorCode.H3_SETTINGS_ERROR),
        (settings((Setting.ENABLE_WEBTRANSPORT, 1)), ErrorCode.H3_SETTINGS_ERROR),
        (settings(*((0x21 + n, 0) for n in range(65))), ErrorCode.H3_EXCESSIVE_LOAD),
        (frame(FrameType.SETTINGS, b"\x06"), ErrorCode.H3_FRAME_ERROR),
        (frame(FrameType.SETTINGS, b"\x06\x40"), ErrorCode.H3_FRAME_ERROR),
    ],
)
def test_bad_settings_end_the_connection(data: bytes, code: ErrorCode) -> None:
    """RFC 9114 sections 6.2.1 and 7.2.4."""
    wire = Wire(is_client=False)
    server = Connection(wire, is_client=False)

    server.receive(CLIENT_CONTROL, opened(StreamType.CONTROL, data), False)

    assert wire.closed is not None
    assert wire.closed[0] == code
    assert isinstance(server.take_events()[-1], ConnectionFailed)


def test_settings_that_nobody_knows_are_no_error() -> None:
    """RFC 9114 section 7.2.4.1: peers send some so that nobody gets used to none."""
    server = Connection(Wire(is_client=False), is_client=False)
    told = {0x21 + 0x1F * number: number for number in range(64)}

    server.receive(
        CLIENT_CONTROL, opened(StreamType.CONTROL, settings(*told.items())), False
    )

    assert server.peer_settings == told


@pytest.mark.parametrize("kind", [0, 2, 3])
def test_critical_streams_come_once_and_stay(kind: int) -> None:
    """RFC 9114 section 6.2.1, RFC 9204 section 4.2."""
    stream_id = {0: CLIENT_CONTROL, 2: CLIENT_ENCODER, 3: CLIENT_DECODER}[kind]
    pair = Pair()
    events = pair.to_server(CLIENT_NEW, opened(kind))
    check_closed(pair, events, ErrorCode.H3_STREAM_CREATION_ERROR, by="server")

    pair = Pair()
    events = pair.to_server(stream_id, b"", ended=True)
    check_closed(pair, events, ErrorCode.H3_CLOSED_CRITICAL_STREAM, by="server")

    pair = Pair()
    pair.server.receive_reset(stream_id, 0)
    events = pair.server.take_events()
    check_closed(pair, events, ErrorCode.H3_CLOSED_CRITICAL_STREAM, by="server")

    pair = Pair()
    pair.server.receive_stop(stream_id + 1, 0)
    events = pair.server.take_events()
    check_closed(pair, events, ErrorCode.H3_CLOSED_CRITICAL_STREAM, by="server")


def test_push_streams_are_refused_by_both(pair: Pair) -> None:
    """RFC 9114 sections 6.2.2 and 4.6."""
    events = pair.to_server(CLIENT_NEW, opened(StreamType.PUSH))
    check_closed(pair, events, ErrorCode.H3_STREAM_CREATION_ERROR, by="server")

    events = pair.to_client(SERVER_NEW, opened(StreamType.PUSH, b"\x00"))
    check_closed(pair, events, ErrorCode.H3_ID_ERROR, by="client")


def test_streams_of_unknown_types_are_stopped_and_keep_nothing(pair: Pair) -> None:
    """RFC 9114 section 6.2: they are no error, and may come without end."""
    for number in range(100):
        stream_id = CLIENT_NEW + 4 * number
        assert pair.to_server(stream_id, opened(0x21 + 0x1F * number, b"x" * 9)) == []
        assert pair.to_server(stream_id, b"more") == []

    assert len(pair.server_wire.stops) == 100
    assert len(pair.server._incoming) == 3


def test_a_server_opens_no_bidirectional_streams(pair: Pair) -> None:
    """RFC 9114 section 6.1."""
    events = pair.to_client(1, section([(b":status", b"200")]))

    check_closed(pair, events, ErrorCode.H3_STREAM_CREATION_ERROR, by="client")


@pytest.mark.parametrize(
    ("stream_id", "data", "code"),
    [
        (CLIENT_ENCODER, b"\xc0\x01x", ErrorCode.QPACK_ENCODER_STREAM_ERROR),
        (CLIENT_ENCODER, b"\x3f\xff\xff", ErrorCode.QPACK_ENCODER_STREAM_ERROR),
        (CLIENT_DECODER, b"\x01", ErrorCode.QPACK_DECODER_STREAM_ERROR),
        (CLIENT_DECODER, b"\x00", ErrorCode.QPACK_DECODER_STREAM_ERROR),
    ],
)
def test_bad_instructions_of_qpack_end_the_connection(
    pair: Pair, stream_id: int, data: bytes, code: ErrorCode
) -> None:
    """RFC 9204 section 6."""
    events = pair.to_server(stream_id, data + b"\xff" * 20)

    check_closed(pair, events, code, by="server")


def test_a_datagram_without_a_stream_ends_the_connection(pair: Pair) -> None:
    """RFC 9297 section 2.1."""
    pair.server.receive_datagram(b"")

    check_closed(
        pair, pair.server.take_events(), ErrorCode.H3_DATAGRAM_ERROR, by="server"
    )


def test_what_came_before_a_fault_is_told(pair: Pair) -> None:
    """A request of the same turn is not lost with the peer's next mistake."""
    events = pair.to_server(0, section(POST) + data_frame(b"x"))
    assert events[1] == DataReceived(0, b"x", ended=False)

    events = pair.to_server(0, data_frame(b"y") + frame(0x2, b""))

    check_closed(pair, events, ErrorCode.H3_FRAME_UNEXPECTED, by="server")
