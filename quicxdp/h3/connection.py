"""Connection: HTTP/3 over one QUIC connection, without I/O, tasks or clocks.

    quic ──receive, receive_reset, receive_stop, receive_datagram──▶ Connection
    application ◀──take_events── Connection ──send_stream_data, reset_stream, ...──▶ quic

Whoever has news of the QUIC connection calls the four `receive` methods, in order;
`FastConnection.set_stream_sink` does so without an event object in between.  Once a
turn, `take_events` returns what came of all that: many requests of a turn cost one pass.

    connection = Connection(quic, is_client=False)
    ...
    for event in connection.take_events():
        if type(event) is RequestReceived:
            connection.send_response(event.stream_id, 200, [], b"hello")

What a peer does wrong never raises: it ends in an event.  What the application does wrong
raises `LocalProtocolError`, and nothing is sent.  What is sent on a stream that
the peer has given up goes nowhere, and the method returns False.

The parts, each on top of the one before: core (streams, ends), unidirectional
(control, QPACK), sessions (WebTransport), messages (what sections mean), frames (of
request streams), receiving (what QUIC tells), and this file, sending.  The states and
what may follow what are tables in states.py.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from quicxdp.errors import LocalProtocolError

from . import fields as sections
from . import varint
from .codes import ErrorCode, FrameType, Setting
from .fields import NO_LENGTH
from .receiving import Receiving
from .states import SEND_ROWS, Put, Recv, Send
from .stream import Kind, Stream
from .unidirectional import REQUEST_ID_MAX

if TYPE_CHECKING:
    from .events import Fields

_HEADERS: Final = int(FrameType.HEADERS)
# A frame's header with a length of two bytes, which fits most and is as good as shorter
# ones (RFC 9000 section 16 wants the shortest for frame types of QUIC only).
_head = struct.Struct(">BH").pack
_TWO_BYTES: Final = 0x4000
# Bodies from this size on are not copied behind their head; below, one call costs more
# than the copy.
_COPY_BYTES_MAX: Final = 4096
_STATUS: Final = tuple((b":status", b"%d" % status) for status in range(1000))
_INTERIM: Final = range(100, 200)
_FINAL: Final = 200
_SUCCESS: Final = range(200, 300)
# Python 3.11 takes longer to find an enum's member than to do anything with it.
_ENDED, _GONE, _HEAD, _PLAIN = Send.ENDED, Send.GONE, Put.HEAD, Kind.PLAIN
_UNWANTED: Final = Recv.UNWANTED
_SWITCHING: Final = 101
_NO_CONTENT: Final = (204, 205, 304)


def _frame_head(kind: int, length: int) -> bytes:
    if length < _TWO_BYTES:
        return _head(kind, length | _TWO_BYTES)
    return varint.encode(kind) + varint.encode(length)


class Connection(Receiving):
    """HTTP/3 over *quic*; see `Core` for the arguments."""

    # ---- Messages ----------------------------------------------------------------------

    def send_request(self, fields: Fields, body: bytes = b"", *, end: bool = True) -> int:
        """Begin a request and return its stream (clients only).

        Args:
            fields: pseudo-header fields first, names in lower case.
            body: all of it, or its beginning.
            end: whether that is all.

        Raises:
            LocalProtocolError: *fields* are no request, or the server takes no more.
        """
        if not self._is_client:
            raise LocalProtocolError("a server sends no requests; send_response answers")
        stream_id = self._quic.get_next_available_stream_id()
        if self.is_failed or stream_id >= self._goaway_id:
            raise LocalProtocolError(
                "the server takes no more requests on this connection; open another one"
            )
        stream = Stream(stream_id)
        stream.is_told = True
        method, protocol, stream.unsent_bytes = _checked_request(fields)
        if method == b"CONNECT":
            is_session = self.config.webtransport and protocol == b"webtransport"
            stream.kind = Kind.SESSION if is_session else Kind.CONNECT
            stream.unsent_bytes = NO_LENGTH
        elif method == b"HEAD":
            stream.kind = Kind.HEAD
        self._streams[stream_id] = stream
        self.request_cnt += 1
        try:
            self._send_message(stream, fields, body, end=end)
        except LocalProtocolError:
            del self._streams[stream_id]
            self.request_cnt -= 1
            raise
        return stream_id

    def send_response(
        self,
        stream_id: int,
        status: int,
        fields: Fields,
        body: bytes = b"",
        *,
        end: bool = True,
    ) -> bool:
        """Answer a request: head, body and end in one write.

        The body of an answer to HEAD is not sent, whatever is passed.

        Args:
            stream_id: of the request.
            status: 200 to 999; `send_interim` is for those before.
            fields: without pseudo-header fields, names in lower case.
            body: all of it, or its beginning; *bytes* that are kept until acknowledged.
            end: whether that is all; otherwise `send_data` goes on.

        Returns:
            Whether it goes anywhere; the client may have given the request up.

        Raises:
            LocalProtocolError: it was answered already, a field is none, or the body is
                not as long as its content-length.
        """
        if not _FINAL <= status < len(_STATUS):
            raise LocalProtocolError(f"{status} is not the status of a final response")
        stream = self._streams.get(stream_id)
        if stream is None:
            return self._is_over(stream_id)
        stream.unsent_bytes = _checked_fields(fields)
        if stream.kind is not _PLAIN or status in _NO_CONTENT:
            body = self._special_response(stream, status, body)
        return self._send_message(stream, [_STATUS[status], *fields], body, end=end)

    def _special_response(self, stream: Stream, status: int, body: bytes) -> bytes:
        """Return what there is to send of a body that may have no place."""
        stream.unsent_bytes = NO_LENGTH
        if stream.kind >= Kind.CONNECT:
            if (
                stream.kind is Kind.SESSION
                and status in _SUCCESS
                and stream.send is Send.WAIT
            ):
                self._begin_session(stream)
            return body
        if stream.kind is Kind.PLAIN:
            if body:
                raise LocalProtocolError(f"a response {status} has no content; send none")
            stream.kind = Kind.HEAD
        return b""

    def _send_message(
        self, stream: Stream, fields: Fields, body: bytes, *, end: bool
    ) -> bool:
        send = SEND_ROWS[stream.send][_HEAD]
        if send is None:
            raise _misused(stream, Put.HEAD)
        if stream.unsent_bytes != NO_LENGTH:
            _count(stream, len(body), end=end)
        section = self._encoder.encode(stream.id, fields)[1]
        if body and len(section) < _TWO_BYTES and len(body) < _COPY_BYTES_MAX:
            data = (
                _head(_HEADERS, len(section) | _TWO_BYTES)
                + section
                + _head(0, len(body) | _TWO_BYTES)
                + body
            )
        else:
            data = _frame_head(_HEADERS, len(section)) + section
            if body:
                self._write(stream, data + _frame_head(0, len(body)), end=False)
                data = body
        if not self._write(stream, data, end=end):
            self._settle(stream)
            return False
        if not end:
            stream.send = send
            return True
        stream.send = _ENDED
        self._answered_cnt += 1
        if stream.recv >= _UNWANTED or stream.kind is not _PLAIN:
            self._settle(stream)
        return True

    def send_interim(self, stream_id: int, status: int, fields: Fields) -> bool:
        """Send a 1xx response, such as 103 Early Hints; as `send_response` otherwise."""
        if status not in _INTERIM or status == _SWITCHING:
            raise LocalProtocolError(
                f"{status} is not the status of an interim response of HTTP/3"
            )
        _checked_fields(fields)
        stream = self._streams.get(stream_id)
        if stream is None:
            return self._is_over(stream_id)
        self._put(stream, Put.INTERIM)
        section = self._encode(stream_id, [_STATUS[status], *fields])
        return self._write(
            stream, _frame_head(_HEADERS, len(section)) + section, end=False
        )

    def send_data(self, stream_id: int, data: bytes, *, end: bool = False) -> bool:
        """Send more of a body; with *end*, that was all.  Else as `send_response`."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return self._is_over(stream_id)
        if stream.session_id >= 0:
            raise LocalProtocolError("a stream of a session has no DATA frames")
        if SEND_ROWS[stream.send][Put.DATA] is None:
            raise _misused(stream, Put.DATA)
        if stream.kind is Kind.HEAD and not self._is_client:
            data = b""
        elif stream.unsent_bytes != NO_LENGTH:
            _count(stream, len(data), end=end)
        if end:
            self._put(stream, Put.END)
            self._answered_cnt += stream.send is _ENDED
        if not data:
            sent = self._write(stream, b"", end=True) if end else stream.send < Send.GONE
        else:
            head = _frame_head(0, len(data))
            if len(data) < _COPY_BYTES_MAX:
                sent = self._write(stream, head + data, end=end)
            else:
                self._write(stream, head, end=False)
                sent = self._write(stream, data, end=end)
        if end:
            self._settle(stream)
        return sent

    def send_trailers(self, stream_id: int, fields: Fields) -> bool:
        """Send the fields behind a body, and the end.  As `send_response` otherwise."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return self._is_over(stream_id)
        _checked_fields(fields)
        if SEND_ROWS[stream.send][Put.TRAILERS] is None:
            raise _misused(stream, Put.TRAILERS)
        if stream.unsent_bytes != NO_LENGTH:
            _count(stream, 0, end=True)
        self._put(stream, Put.TRAILERS)
        self._put(stream, Put.END)
        self._answered_cnt += stream.send is _ENDED
        section = self._encode(stream_id, fields)
        sent = self._write(
            stream, _frame_head(_HEADERS, len(section)) + section, end=True
        )
        self._settle(stream)
        return sent

    def send_datagram(self, stream_id: int, data: bytes) -> bool:
        """Send an HTTP datagram that belongs to a request.

        Returns:
            Whether it goes anywhere; the peer may have given the request up.

        Raises:
            LocalProtocolError: the peer does not take datagrams, it is no request, or our
                half of it has ended (RFC 9297 section 2.1).
            ValueError: it is too large for a packet.
        """
        if not self.peer_settings.get(Setting.H3_DATAGRAM) or not self.config.datagrams:
            raise LocalProtocolError(
                "HTTP datagrams were not agreed on; both ends must set H3_DATAGRAM"
            )
        stream = self._streams.get(stream_id)
        if stream is None:
            return self._is_over(stream_id)
        if stream.session_id >= 0 or stream.send is _ENDED:
            raise LocalProtocolError(
                f"stream {stream_id} is no request, or our half has ended; datagrams "
                f"come before its end"
            )
        if stream.send is _GONE:
            return False
        self._quic.send_datagram_frame(varint.encode(stream_id // 4) + data)
        return True

    # ---- Ends --------------------------------------------------------------------------

    def reset(self, stream_id: int, error_code: int) -> None:
        """Break our half off; of no effect on one that has ended."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._break_off(stream, error_code)
            self._settle(stream)

    def stop(self, stream_id: int, error_code: int = ErrorCode.H3_NO_ERROR) -> None:
        """Want no more of the peer's half: no event comes of it any more.

        H3_NO_ERROR, with the complete answer, says that the rest does not matter (RFC
        9114 section 4.1).
        """
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._want_no_more(stream, error_code)
            self._settle(stream)

    def send_goaway(self, *, final: bool = True) -> None:
        """Say that we are going away (RFC 9114 section 5.2).

        `Drained` tells when all requests that still count are through.

        Args:
            final: refuse requests that have not arrived by now.  Otherwise the peer is
                only asked to send no more; call again, after a round trip.
        """
        if self.is_failed:
            return
        goaway_id = 0
        if not self._is_client:
            goaway_id = self._opened.next_id if final else REQUEST_ID_MAX
        if goaway_id >= self._refused_from:
            return
        self._refused_from = goaway_id
        self._quic.send_stream_data(
            self._control_id, varint.frame(FrameType.GOAWAY, varint.encode(goaway_id))
        )
        if final:
            self.is_draining = True
            self._check_drained()

    # ---- Below -------------------------------------------------------------------------

    def _put(self, stream: Stream, put: Put) -> None:
        send = SEND_ROWS[stream.send][put]
        if send is None:
            raise _misused(stream, put)
        stream.send = send

    def _encode(self, stream_id: int, fields: Fields) -> bytes:
        # Without a dynamic table the encoder has nothing to say on its own stream.
        return self._encoder.encode(stream_id, fields)[1]

    def _write(self, stream: Stream, data: bytes, *, end: bool) -> bool:
        if stream.send is _GONE:
            return False
        try:
            self._quic.send_stream_data(stream.id, data, end)
        except (ValueError, RuntimeError):
            # The peer has stopped it, and we have not been told yet: StreamEndedError,
            # and what aioquic raises for the same.
            stream.send = Send.GONE
            return False
        return True

    def _is_over(self, stream_id: int) -> bool:
        """Return False for a stream that is forgotten; raise for one that never was."""
        known = 0 <= stream_id < self._opened.next_id or self._is_client
        if not self.is_failed and (stream_id % 4 or not known):
            raise LocalProtocolError(f"stream {stream_id} has no request")
        return False


def _misused(stream: Stream, put: Put) -> LocalProtocolError:
    return LocalProtocolError(
        f"{put.name} cannot be sent on stream {stream.id} now: our half is in the state "
        f"{stream.send.name}"
    )


def _count(stream: Stream, size_bytes: int, *, end: bool) -> None:
    """Keep to the content-length that was announced."""
    left = stream.unsent_bytes - size_bytes
    if left < 0 or (end and left):
        raise LocalProtocolError(
            f"the body on stream {stream.id} is {'longer' if left < 0 else 'shorter'} "
            f"than its content-length by {abs(left)} bytes"
        )
    stream.unsent_bytes = left


def _checked_fields(fields: Fields) -> int:
    """Return the content-length that *fields* announce.

    Raises:
        LocalProtocolError: they could be taken for something else.
    """
    try:
        return sections.outgoing(fields)
    except sections.Malformed as malformed:
        raise LocalProtocolError(f"these fields cannot be sent: {malformed}") from None


def _checked_request(fields: Fields) -> tuple[bytes, bytes, int]:
    """Return method, protocol and content-length of a request of our own."""
    try:
        method, _, _, _, protocol, _, length = sections.request_untrusted(
            fields, sections.SECTION_BYTES_MAX, with_protocol=True
        )
    except (sections.Malformed, sections.TooLarge) as error:
        raise LocalProtocolError(f"this is no request: {error}") from None
    return method, protocol, length
