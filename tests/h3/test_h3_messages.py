"""Requests and answers between two ends of the layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from qxwires import GET, Pair

from quicxdp.errors import ConfigError, LocalProtocolError
from quicxdp.h3 import (
    DataReceived,
    Drained,
    ErrorCode,
    GoawayReceived,
    H3Config,
    InterimReceived,
    MessageFailed,
    Priority,
    PriorityUpdated,
    RequestReceived,
    RequestRefused,
    ResponseReceived,
    SendingStopped,
    StreamReset,
    TrailersReceived,
    varint,
)
from quicxdp.h3.codes import FrameType

if TYPE_CHECKING:
    from collections.abc import Callable

CONTROL = 2  # the client's control stream
FIELDS = [(b"server", b"test")]


def with_method(method: bytes, *more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """Return the fields of a request."""
    return [(b":method", method), *GET[1:], *more]


@pytest.mark.parametrize("piece_bytes", [None, 1, 7])
def test_a_request_and_its_answer_arrive_as_they_were_sent(
    pair: Pair, piece_bytes: int | None
) -> None:
    """However QUIC cuts them, the application sees the same message."""
    body = bytes(range(256)) * 40
    stream_id = pair.client.send_request(
        with_method(b"POST", (b"content-length", b"%d" % len(body))), body
    )
    pair.run(piece_bytes)
    request, *data = pair.server.take_events()

    assert request == RequestReceived(
        stream_id,
        b"POST",
        b"https",
        b"localhost",
        b"/",
        b"",
        [(b"content-length", b"10240")],
        ended=False,
    )
    assert b"".join(event.data for event in data) == body  # type: ignore[union-attr]
    assert data[-1].ended  # type: ignore[union-attr]
    pair.server.send_interim(stream_id, 103, [(b"link", b"</a>")])
    pair.server.send_response(stream_id, 200, FIELDS, body[:100], end=False)
    pair.server.send_data(stream_id, body[100:])
    pair.server.send_trailers(stream_id, [(b"digest", b"x")])
    pair.run(piece_bytes)
    interim, response, *data, trailers = pair.client.take_events()

    assert interim == InterimReceived(stream_id, 103, [(b"link", b"</a>")])
    assert response == ResponseReceived(stream_id, 200, FIELDS, ended=False)
    data = [event for event in data if event != DataReceived(stream_id, b"", ended=True)]
    assert b"".join(event.data for event in data) == body  # type: ignore[union-attr]
    if trailers == DataReceived(stream_id, b"", ended=True):
        trailers = data.pop()
    assert trailers == TrailersReceived(stream_id, [(b"digest", b"x")], ended=True)
    assert pair.client.open_cnt == pair.server.open_cnt == 0


def test_a_small_answer_is_one_write(pair: Pair) -> None:
    """Each write costs a call into C, which is most of what a small answer costs."""
    stream_id = pair.client.send_request(GET)
    pair.run()

    pair.server.send_response(stream_id, 200, FIELDS, b"x" * 1024)

    assert len(pair.server_wire.sent) == 1


def test_many_frames_of_one_turn_are_one_event(pair: Pair) -> None:
    """A peer that cuts its body into crumbs does not make us pay for each."""
    stream_id = pair.client.send_request(with_method(b"POST"), end=False)
    for _ in range(20):
        pair.client.send_data(stream_id, b"crumb")
    sent, pair.client_wire.sent = pair.client_wire.sent, []

    events = pair.to_server(stream_id, b"".join(data for _, data, _ in sent))

    assert len(events) == 2
    assert events[1] == DataReceived(stream_id, b"crumb" * 20, ended=False)


def test_a_large_body_is_not_copied(pair: Pair) -> None:
    """A file's bytes go from the page cache to the packet with no copy between."""
    stream_id = pair.client.send_request(GET)
    pair.run()
    body = bytes(100_000)

    pair.server.send_response(stream_id, 200, [], body)

    assert pair.server_wire.sent[-1][1] is body


def test_credit_is_given_for_everything_but_bodies(pair: Pair) -> None:
    """Back-pressure means that the application's bytes, and only those, wait for it."""
    stream_id = pair.client.send_request(with_method(b"POST"), bytes(5000))
    sent = sum(len(data) for at, data, _ in pair.client_wire.sent if at == stream_id)
    pair.run(100)

    assert pair.credit[stream_id] == sent - 5000


def test_an_answer_to_head_has_no_body(pair: Pair) -> None:
    """An application that answers HEAD as GET must not break the connection."""
    stream_id = pair.client.send_request(with_method(b"HEAD"))
    pair.run()

    pair.server.send_response(stream_id, 200, [(b"content-length", b"5")], b"hello")
    pair.run()

    (response,) = pair.client.take_events()
    assert response.ended  # type: ignore[union-attr]


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_content_may_tell_a_length(pair: Pair, status: int) -> None:
    """304 tells the length of what a 200 would have had (RFC 9110 section 8.6)."""
    stream_id = pair.client.send_request(GET)
    pair.run()

    pair.server.send_response(stream_id, status, [(b"content-length", b"5")])
    pair.run()

    (response,) = pair.client.take_events()
    assert response == ResponseReceived(
        stream_id, status, [(b"content-length", b"5")], ended=True
    )


def test_wrong_use_is_refused_and_nothing_is_sent(pair: Pair) -> None:
    """A mistake of the application is its to know, not the peer's to suffer."""
    server = pair.server
    stream_id = pair.client.send_request(GET)
    pair.run()
    calls: list[Callable[[], object]] = [
        lambda: server.send_data(stream_id, b"x"),
        lambda: server.send_trailers(stream_id, FIELDS),
        lambda: server.send_response(stream_id, 103, []),
        lambda: server.send_interim(stream_id, 101, []),
        lambda: server.send_response(stream_id, 204, [], b"x"),
        lambda: server.send_response(stream_id, 200, [(b"a", b"1\r\nb: 2")]),
        lambda: server.send_response(stream_id, 200, [(b"A", b"1")]),
        lambda: server.send_response(stream_id, 200, [(b"connection", b"close")]),
        lambda: server.send_response(stream_id, 200, [(b":status", b"500")]),
        lambda: server.send_response(stream_id, 200, [(b"content-length", b"2")], b"x"),
        lambda: server.send_response(stream_id, 200, [(b"content-length", b"0")], b"x"),
        lambda: server.send_response(stream_id + 4, 200, []),
        lambda: server.send_request(GET),
        lambda: server.send_datagram(stream_id, b"x"),
        lambda: server.open_session_stream(stream_id),
    ]
    for call in calls:
        with pytest.raises(LocalProtocolError):
            call()
        assert pair.server_wire.sent == []

    assert server.send_response(stream_id, 200, FIELDS)
    assert not server.send_response(stream_id, 200, FIELDS)


def test_a_length_that_was_announced_is_kept_over_several_writes(pair: Pair) -> None:
    """Too much or too little would be the peer's to find, as a broken message."""
    stream_id = pair.client.send_request(GET)
    pair.run()
    pair.server.send_response(
        stream_id, 200, [(b"content-length", b"4")], b"ab", end=False
    )

    with pytest.raises(LocalProtocolError, match="longer"):
        pair.server.send_data(stream_id, b"cde")
    with pytest.raises(LocalProtocolError, match="shorter"):
        pair.server.send_trailers(stream_id, [])
    pair.server.send_data(stream_id, b"cd", end=True)
    pair.run()

    assert pair.client.take_events()[-1].ended  # type: ignore[union-attr]


def test_a_peer_that_wants_no_answer_gets_none(pair: Pair) -> None:
    """What is sent to somebody who has gone goes nowhere, without an error."""
    stream_id = pair.client.send_request(GET)
    pair.run()
    pair.server.take_events()
    pair.server.receive_stop(stream_id, ErrorCode.H3_REQUEST_CANCELLED)

    assert pair.server.take_events() == [
        SendingStopped(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
    ]
    assert not pair.server.send_response(stream_id, 200, FIELDS, b"x")
    assert pair.server_wire.sent == []
    assert pair.server.open_cnt == 0


def test_a_stop_that_we_have_not_heard_of_yet_is_no_error(pair: Pair) -> None:
    """QUIC resets our half as soon as the frame arrives; the news comes after."""
    stream_id = pair.client.send_request(GET)
    pair.run()
    pair.server_wire.resets[stream_id] = 0

    assert not pair.server.send_response(stream_id, 200, [], b"x")
    assert pair.server.open_cnt == 0


def test_a_request_that_is_reset_half_way_tells_so(pair: Pair) -> None:
    """An upload that breaks off is not taken for a complete one."""
    stream_id = pair.client.send_request(with_method(b"POST"), b"half", end=False)
    pair.run()
    pair.server.take_events()

    pair.server.receive_reset(stream_id, ErrorCode.H3_REQUEST_CANCELLED)

    assert pair.server.take_events() == [
        StreamReset(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
    ]
    assert pair.server.send_response(stream_id, 400, [])
    assert pair.server.open_cnt == 0


def test_an_early_answer_stops_the_rest_of_a_body(pair: Pair) -> None:
    """A refused upload does not have to be read to its end (RFC 9114 section 4.1)."""
    stream_id = pair.client.send_request(with_method(b"POST"), b"start", end=False)
    pair.run()
    pair.server.take_events()

    pair.server.send_response(stream_id, 413, [])
    pair.server.stop(stream_id)

    assert pair.server_wire.stops == {stream_id: ErrorCode.H3_NO_ERROR}
    assert pair.to_server(stream_id, b"\x00\x04more") == []
    assert pair.server.open_cnt == 0


# ---- Going away ------------------------------------------------------------------------


def test_goaway_lets_requests_under_way_end_and_refuses_later_ones(pair: Pair) -> None:
    """A restart loses no request: each is answered, or known not to have been begun."""
    first = pair.client.send_request(GET)
    pair.run()
    pair.server.take_events()
    pair.server.send_goaway(final=False)
    second = pair.client.send_request(GET)
    pair.run()
    pair.server.take_events()
    pair.server.send_goaway()
    late = pair.client.send_request(GET)
    pair.run()

    assert pair.server.take_events() == [
        RequestRefused(late, 0, ErrorCode.H3_REQUEST_REJECTED, "the server is going away")
    ]
    assert pair.server_wire.resets == {late: ErrorCode.H3_REQUEST_REJECTED}
    events = pair.client.take_events()
    assert [e for e in events if isinstance(e, GoawayReceived)][1:] == [
        GoawayReceived(late)
    ]
    assert [e.stream_id for e in events if isinstance(e, MessageFailed)] == [late]
    with pytest.raises(LocalProtocolError, match="no more requests"):
        pair.client.send_request(GET)
    pair.server.send_response(first, 200, [])
    assert pair.server.take_events() == []
    pair.server.send_response(second, 200, [])
    assert pair.server.take_events() == [Drained()]


def test_an_idle_server_has_drained_at_once(pair: Pair) -> None:
    """Nobody waits for a request that never comes."""
    pair.server.send_goaway()

    assert pair.server.take_events() == [Drained()]


def test_the_last_request_that_is_allowed_sends_goaway() -> None:
    """A connection that has served its share goes, so that memory of it does too."""
    pair = Pair(H3Config(requests_max=2))
    for _ in range(2):
        stream_id = pair.client.send_request(GET)
        pair.run()
        pair.server.send_response(stream_id, 200, [])

    assert pair.server.take_events()[-1] == Drained()
    pair.run()
    with pytest.raises(LocalProtocolError):
        pair.client.send_request(GET)


# ---- Priorities ------------------------------------------------------------------------


def test_priority_comes_with_the_request_and_may_be_updated(pair: Pair) -> None:
    """What a browser needs first can be sent first (RFC 9218)."""
    stream_id = pair.client.send_request(
        with_method(b"GET", (b"priority", b"u=1, i")), end=False
    )
    pair.run()
    (request,) = pair.server.take_events()
    assert isinstance(request, RequestReceived)

    assert pair.server.priority(request) == Priority(1, incremental=True)
    update = varint.frame(FrameType.PRIORITY_UPDATE, varint.encode(stream_id) + b"u=5")
    assert pair.to_server(CONTROL, update) == [PriorityUpdated(stream_id, Priority(5))]


def test_an_update_that_overtakes_its_request_counts(pair: Pair) -> None:
    """The control stream and the request race; either order means the same."""
    pair.to_server(
        CONTROL, varint.frame(FrameType.PRIORITY_UPDATE, varint.encode(0) + b"u=6, i")
    )
    pair.client.send_request(with_method(b"GET", (b"priority", b"u=1")))
    pair.run()
    (request,) = pair.server.take_events()
    assert isinstance(request, RequestReceived)

    assert pair.server.priority(request) == Priority(6, incremental=True)


def test_webtransport_without_its_parts_is_refused() -> None:
    """An offer that no client could take up is a mistake in the configuration."""
    with pytest.raises(ConfigError, match="connect_protocol"):
        H3Config(webtransport=True)
