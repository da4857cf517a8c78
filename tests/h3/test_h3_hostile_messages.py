"""Malformed requests, responses and trailers: they cost their stream and nothing else."""

from __future__ import annotations

import pytest
from qxwires import GET, Pair

from quicxdp.h3 import (
    ErrorCode,
    MessageFailed,
    RequestReceived,
    RequestRefused,
)
from tests.h3.hostile_peer import (
    POST,
    data_frame,
    section,
)

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
