"""Control streams, and the others that have one direction, in a hostile peer's hands."""

from __future__ import annotations

import pytest
from qxwires import Pair, Wire

from quicxdp.h3 import (
    Connection,
    ConnectionFailed,
    ErrorCode,
    FrameType,
    Setting,
    StreamType,
    varint,
)
from tests.h3.hostile_peer import (
    CLIENT_CONTROL,
    CLIENT_DECODER,
    CLIENT_ENCODER,
    CLIENT_NEW,
    HTTP2,
    SERVER_CONTROL,
    SERVER_NEW,
    check_closed,
    frame,
    opened,
    section,
    settings,
)


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


def test_a_server_opens_no_bidirectional_streams(pair: Pair) -> None:
    """RFC 9114 section 6.1."""
    events = pair.to_client(1, section([(b":status", b"200")]))

    check_closed(pair, events, ErrorCode.H3_STREAM_CREATION_ERROR, by="client")
