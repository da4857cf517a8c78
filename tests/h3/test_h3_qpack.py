"""QPACK: what cannot be decoded, and what waits for the table."""

from __future__ import annotations

import pytest
from qxwires import Pair

from quicxdp.h3 import (
    DataReceived,
    ErrorCode,
    FrameType,
    H3Config,
    RequestReceived,
    RequestRefused,
)
from tests.h3.hostile_peer import (
    CLIENT_DECODER,
    CLIENT_ENCODER,
    check_closed,
    data_frame,
    frame,
)

WITH_TABLE = H3Config(qpack_table_bytes=256, qpack_blocked_streams=2)


# RFC 9204 section 4.5: what refers to the first entry of the table (required insert
# count, base), GET https://localhost/ of the static table, and that entry.
SECTION = frame(FrameType.HEADERS, b"\x02\x00" + b"\xd1\xd7\x50\x09localhost\xc1\x80")


def entry(name: bytes, value: bytes) -> bytes:
    """Return the instructions that make a first entry (RFC 9204 section 4.3)."""
    capacity = b"\x3f\xe1\x01"  # 256
    return capacity + bytes([0x40 | len(name)]) + name + bytes([len(value)]) + value


def test_what_comes_behind_a_section_that_waits_is_kept_and_credited() -> None:
    """RFC 9204 section 2.1.2; credit is given once, as it is used."""
    pair = Pair(WITH_TABLE)
    assert pair.to_server(0, SECTION) == []
    assert pair.to_server(0, data_frame(b"body"), ended=True) == []

    request, data = pair.to_server(CLIENT_ENCODER, entry(b"x-late", b"a"))

    assert isinstance(request, RequestReceived)
    assert request.fields == [(b"x-late", b"a")]
    assert data == DataReceived(0, b"body", ended=True)
    assert pair.credit[0] == len(SECTION) + len(data_frame(b""))


@pytest.mark.parametrize("ended", [True, False])
def test_a_malformed_section_that_has_waited_is_reset(*, ended: bool) -> None:
    """As if it had not waited: a stream that has ended is not told to stop."""
    pair = Pair(WITH_TABLE)
    assert pair.to_server(0, SECTION, ended=ended) == []

    (refused,) = pair.to_server(CLIENT_ENCODER, entry(b"connection", b"x"))

    assert isinstance(refused, RequestRefused)
    assert pair.server_wire.resets == {0: ErrorCode.H3_MESSAGE_ERROR}
    assert (0 in pair.server_wire.stops) is not ended
    assert pair.server.open_cnt == 0


def test_more_streams_that_wait_than_were_allowed_end_the_connection() -> None:
    """RFC 9204 section 2.1.2: what waits is memory, and its number was told."""
    pair = Pair(WITH_TABLE)
    for stream_id in (0, 4):
        assert pair.to_server(stream_id, SECTION) == []

    events = pair.to_server(8, SECTION)

    check_closed(pair, events, ErrorCode.QPACK_DECOMPRESSION_FAILED, by="server")


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
