"""Extended CONNECT, HTTP datagrams and WebTransport sessions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qxwires import GET, Pair

from quicxdp.errors import LocalProtocolError
from quicxdp.h3 import (
    ConnectionFailed,
    DatagramReceived,
    DataReceived,
    ErrorCode,
    H3Config,
    RequestReceived,
    ResponseReceived,
    SessionStreamReceived,
    StreamReset,
    StreamType,
    from_error_code,
    to_error_code,
    varint,
)

OFFER = H3Config(connect_protocol=True, datagrams=True, webtransport=True)


def connect(protocol: bytes) -> list[tuple[bytes, bytes]]:
    """Return an extended CONNECT."""
    return [(b":method", b"CONNECT"), *GET[1:], (b":protocol", protocol)]


@pytest.fixture
def session() -> tuple[Pair, int]:
    """Return a pair with a session that was accepted, and its ID."""
    pair = Pair(OFFER, OFFER)
    session_id = pair.client.send_request(connect(b"webtransport"), end=False)
    pair.run()
    pair.server.send_response(session_id, 200, [], end=False)
    pair.run()
    (request,), (response,) = reversed(pair.take())
    assert isinstance(request, RequestReceived)
    assert request.protocol == b"webtransport"
    assert response == ResponseReceived(session_id, 200, [], ended=False)
    return pair, session_id


def test_a_websocket_is_a_tunnel_both_ways() -> None:
    """RFC 9220: after 2xx, DATA is all there is, and each half ends by itself."""
    pair = Pair(H3Config(connect_protocol=True))
    stream_id = pair.client.send_request(connect(b"websocket"), end=False)
    pair.client.send_data(stream_id, b"from the client")
    pair.run()
    pair.server.send_response(stream_id, 200, [], end=False)
    pair.server.send_data(stream_id, b"from the server", end=True)
    pair.run()
    pair.client.send_data(stream_id, b"", end=True)
    pair.run()

    response, data = pair.client.take_events()
    assert response == ResponseReceived(stream_id, 200, [], ended=False)
    assert data == DataReceived(stream_id, b"from the server", ended=True)
    assert pair.server.take_events()[1:] == [
        DataReceived(stream_id, b"from the client", ended=False),
        DataReceived(stream_id, b"", ended=True),
    ]
    assert pair.server.open_cnt == 0


def test_datagrams_go_to_their_request(session: tuple[Pair, int]) -> None:
    """RFC 9297; one for a request that is over is dropped, as on any way."""
    pair, session_id = session
    pair.client.send_datagram(session_id, b"ping")
    pair.server.send_datagram(session_id, b"pong")
    pair.run()

    assert pair.take() == (
        [DatagramReceived(session_id, b"pong")],
        [DatagramReceived(session_id, b"ping")],
    )
    pair.server.receive_datagram(varint.encode(1000) + b"late")
    assert pair.server.take_events() == []
    with pytest.raises(LocalProtocolError, match="no request"):
        pair.server.send_datagram(session_id + 4, b"x")


def test_datagrams_end_with_the_half_that_they_go_with() -> None:
    """RFC 9297 section 2.1: behind an end, none is sent and none is told."""
    pair = Pair(OFFER, OFFER)
    asked = pair.client.send_request(connect(b"own"), end=False)
    whole = pair.client.send_request(GET)
    pair.run()
    pair.take()

    for stream_id in (asked, whole):
        pair.server.receive_datagram(varint.encode(stream_id // 4) + b"x")
    assert pair.server.take_events() == [DatagramReceived(asked, b"x")]

    assert pair.server.send_datagram(whole, b"x")
    pair.server.send_response(asked, 200, [])
    with pytest.raises(LocalProtocolError, match="has ended"):
        pair.server.send_datagram(asked, b"x")


def test_a_datagram_for_a_request_that_was_given_up_goes_nowhere() -> None:
    """The peer's timing must not raise in an application that does as it was told."""
    pair = Pair(OFFER, OFFER)
    stream_id = pair.client.send_request(connect(b"own"), end=False)
    pair.run()

    pair.server.receive_stop(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
    assert not pair.server.send_datagram(stream_id, b"x")
    pair.server.receive_reset(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
    assert not pair.server.send_datagram(stream_id, b"x")

    assert pair.server_wire.datagrams == []


@pytest.mark.parametrize("by_client", [True, False])
@pytest.mark.parametrize("unidirectional", [True, False])
@pytest.mark.parametrize("piece_bytes", [None, 1])
def test_streams_of_a_session_carry_bytes(
    session: tuple[Pair, int],
    *,
    by_client: bool,
    unidirectional: bool,
    piece_bytes: int | None,
) -> None:
    """Both ends open both kinds, and what is sent arrives there."""
    pair, session_id = session
    mine, theirs = (pair.client, pair.server) if by_client else (pair.server, pair.client)
    stream_id = mine.open_session_stream(session_id, unidirectional=unidirectional)
    mine.send_session_data(stream_id, b"hello")
    mine.send_session_data(stream_id, b", world", end=True)
    pair.run(piece_bytes)
    events = theirs.take_events()

    assert all(isinstance(event, SessionStreamReceived) for event in events)
    assert b"".join(event.data for event in events) == b"hello, world"  # type: ignore[union-attr]
    assert events[-1][0:2] == (session_id, stream_id)
    assert events[-1].ended  # type: ignore[union-attr]
    assert not mine.send_session_data(stream_id, b"x")
    assert theirs.send_session_data(stream_id, b"back", end=True) is not unidirectional
    pair.run(piece_bytes)
    back = b"".join(event.data for event in mine.take_events())  # type: ignore[union-attr]
    assert back == (b"" if unidirectional else b"back")
    assert len(pair.server._streams) == len(pair.client._streams) == 1


def test_the_end_of_a_session_is_the_end_of_its_streams(
    session: tuple[Pair, int],
) -> None:
    """Nothing of it is kept, on either side (WEBTRANSPORT_SESSION_GONE)."""
    pair, session_id = session
    both = pair.client.open_session_stream(session_id)
    one = pair.client.open_session_stream(session_id, unidirectional=True)
    for stream_id in (both, one):
        pair.client.send_session_data(stream_id, b"x")
    pair.run()
    pair.take()

    pair.server.send_data(session_id, b"", end=True)

    gone = ErrorCode.WT_SESSION_GONE
    assert pair.server_wire.resets == {both: gone}
    assert pair.server_wire.stops == {both: gone, one: gone}
    assert set(pair.server._streams) == {session_id}
    assert len(pair.server._incoming) == 3
    with pytest.raises(LocalProtocolError, match="has ended"):
        pair.server.open_session_stream(session_id)


def test_a_stream_that_is_reset_tells_so_and_is_forgotten(
    session: tuple[Pair, int],
) -> None:
    """Its session goes on."""
    pair, session_id = session
    one = pair.client.open_session_stream(session_id, unidirectional=True)
    pair.client.send_session_data(one, b"x")
    pair.run()
    pair.take()

    pair.server.receive_reset(one, to_error_code(7))

    (reset,) = pair.server.take_events()
    assert isinstance(reset, StreamReset)
    assert from_error_code(reset.error_code) == 7
    assert set(pair.server._streams) == {session_id}


@pytest.mark.parametrize("unidirectional", [True, False])
def test_a_stream_of_no_session_is_refused(*, unidirectional: bool) -> None:
    """Nobody is asked to keep it."""
    pair = Pair(OFFER, OFFER)
    stream_id = 14 if unidirectional else 0
    head = varint.encode(StreamType.WEBTRANSPORT if unidirectional else 0x41) + b"\x04"

    assert pair.to_server(stream_id, head + b"data") == []

    rejected = ErrorCode.WT_BUFFERED_STREAM_REJECTED
    assert pair.server_wire.stops == {stream_id: rejected}
    assert pair.server_wire.resets == ({} if unidirectional else {stream_id: rejected})
    assert len(pair.server._incoming) == 3
    assert pair.server._streams == {}


def test_a_session_that_is_no_request_ends_the_connection() -> None:
    """Session IDs are those of requests."""
    pair = Pair(OFFER, OFFER)

    (failed,) = pair.to_server(0, varint.encode(0x41) + b"\x03")

    assert isinstance(failed, ConnectionFailed)
    assert failed.error_code == ErrorCode.H3_ID_ERROR


def test_the_frame_of_a_session_elsewhere_ends_the_connection() -> None:
    """It begins a stream or is none."""
    pair = Pair(OFFER, OFFER)
    pair.client.send_request(GET, end=False)
    pair.run()
    pair.server.take_events()

    (failed,) = pair.to_server(0, varint.encode(0x41) + b"\x00")

    assert isinstance(failed, ConnectionFailed)


def test_a_refused_session_is_an_ordinary_answer() -> None:
    """The page learns why, and no session is kept."""
    pair = Pair(OFFER, OFFER)
    session_id = pair.client.send_request(connect(b"webtransport"), end=False)
    pair.run()
    pair.server.send_response(session_id, 404, [], b"no")
    pair.run()

    events = pair.client.take_events()
    assert events == [
        ResponseReceived(session_id, 404, [], ended=False),
        DataReceived(session_id, b"no", ended=True),
    ]
    assert pair.client._sessions == pair.server._sessions == {}


def test_without_the_offer_the_frame_and_the_stream_type_are_unknown() -> None:
    """Their bytes mean what they mean to everybody else: nothing."""
    pair = Pair()
    pair.client.send_request(GET, end=False)
    pair.run()
    pair.server.take_events()

    assert pair.to_server(0, varint.encode(0x41) + b"\x02xy") == []
    assert pair.to_server(14, varint.encode(StreamType.WEBTRANSPORT) + b"\x00xy") == []
    assert pair.server_wire.stops == {14: ErrorCode.H3_STREAM_CREATION_ERROR}


@given(st.integers(0, 2**32 - 1))
def test_codes_of_applications_survive_the_way_there_and_back(code: int) -> None:
    """And none is one of the codes that mean nothing (0x1f * N + 0x21)."""
    error_code = to_error_code(code)

    assert from_error_code(error_code) == code
    assert (error_code - 0x21) % 0x1F


@pytest.mark.parametrize("error_code", [0, 0x100, 0x52E4A40FA8DA, 0x52E5AC983163])
def test_other_codes_are_no_applications(error_code: int) -> None:
    """What QUIC or HTTP/3 says is not handed to a page as its own."""
    assert from_error_code(error_code) is None
