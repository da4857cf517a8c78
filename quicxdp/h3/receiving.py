"""What arrives: QUIC's news of streams and datagrams.

A request stream's bytes go on to `Frames`, a unidirectional one's to `Unidirectional`; a
request that came in one piece is taken here.
"""

from __future__ import annotations

from typing import Final

import pylsqpack

from . import varint
from .codes import ErrorCode
from .core import SERVER_OPENED, UNIDIRECTIONAL, ConnectionFault
from .events import (
    DatagramReceived,
    RequestReceived,
    RequestRefused,
    SendingStopped,
    StreamReset,
)
from .fields import Malformed, TooLarge
from .frames import Frames, decompression_failed
from .messages import MessageFault
from .priority import DEFAULT, Priority, priority_of
from .states import Recv, Send
from .stream import Stream

_HEADERS_BYTE: Final = b"\x01"
# Of the lengths of RFC 9000 section 16: below these, one and two bytes.
_ONE_BYTE: Final = 0x40
_TWO_BYTES_END: Final = 0x80
_SHORT_HEAD_BYTES: Final = 3
_STREAM_KIND: Final = SERVER_OPENED | UNIDIRECTIONAL


class Receiving(Frames):
    """The receiving half."""

    # ---- From QUIC ---------------------------------------------------------------------

    def receive(self, stream_id: int, data: bytes, ended: bool, /) -> None:  # noqa: FBT001
        """Take data of a stream, in order, and perhaps its end."""
        if self.is_failed:
            return
        try:
            if (
                ended
                and data[:1] == _HEADERS_BYTE
                and stream_id not in self._streams
                and self._whole_request(stream_id, data)
            ):
                used_bytes = 0
            elif stream_id & UNIDIRECTIONAL:
                used_bytes = self._receive_uni(stream_id, data, ended=ended)
            else:
                stream = self._streams.get(stream_id) or self._peer_opens(stream_id)
                used_bytes = 0
                if stream is not None:
                    used_bytes = self._receive_request(stream, data, ended=ended)
        except ConnectionFault as fault:
            self._fail(fault)
            return
        if self._credit is not None and len(data) > used_bytes:
            self._credit(stream_id, len(data) - used_bytes)

    def receive_reset(self, stream_id: int, error_code: int, /) -> None:
        """Take note that the peer has broken its half of a stream off."""
        if self.is_failed:
            return
        try:
            if stream_id & UNIDIRECTIONAL:
                self._reset_uni(stream_id, error_code)
            else:
                stream = self._streams.get(stream_id) or self._peer_opens(stream_id)
                if stream is not None:
                    self._reset(stream, error_code)
        except ConnectionFault as fault:
            self._fail(fault)

    def receive_stop(self, stream_id: int, error_code: int, /) -> None:
        """Take note that the peer wants no more of our half; QUIC has reset it."""
        if self.is_failed:
            return
        try:
            self._check_own_critical(stream_id)
            stream = self._streams.get(stream_id)
            if stream is None and not stream_id & UNIDIRECTIONAL:
                stream = self._peer_opens(stream_id)
            if stream is not None and stream.send < Send.ENDED:
                self._cancelled(stream)
                stream.send = Send.GONE
                if stream.is_told:
                    self._events.append(SendingStopped(stream_id, error_code))
                self._settle(stream)
        except ConnectionFault as fault:
            self._fail(fault)

    def receive_datagram(self, data: bytes, /) -> None:
        """Take the payload of a DATAGRAM frame."""
        if self.is_failed:
            return
        quarter_id, at = varint.decode(data, 0)
        if quarter_id < 0 or quarter_id > varint.MAX // 4:
            self._fail(
                ConnectionFault(
                    ErrorCode.H3_DATAGRAM_ERROR, "a datagram without a stream"
                )
            )
            return
        # For a request whose half is over, or that is not known yet, it is dropped, as on
        # any way (RFC 9297 section 2.1).
        stream = self._streams.get(quarter_id * 4)
        if (
            stream is not None
            and stream.is_told
            and stream.recv < Recv.SESSION
            and self.config.datagrams
        ):
            self._events.append(DatagramReceived(stream.id, data[at:]))

    def priority(self, request: RequestReceived) -> Priority:
        """Return the priority that a client wants for a request, by either way."""
        if self._priorities:
            # Overtakes the field, being newer or meant to be (RFC 9218 section 7).
            update = self._priorities.pop(request.stream_id, None)
            if update is not None:
                return update
        return priority_of(request.fields) if request.fields else DEFAULT

    # ---- Streams -----------------------------------------------------------------------

    def _peer_opens(self, stream_id: int) -> Stream | None:
        """Return the stream that arrives here first; None if it is not wanted."""
        if stream_id & SERVER_OPENED != self._peer_bit:
            return None  # one of ours, which is over
        opened = self._opened
        if stream_id == opened.next_id:
            opened.next_id = stream_id + 4
        elif not opened.take(stream_id):
            return None
        if self._is_client and not self.config.webtransport:
            raise ConnectionFault(
                ErrorCode.H3_STREAM_CREATION_ERROR, "servers open no request streams"
            )
        stream = Stream(stream_id)
        if stream_id >= self._refused_from:
            # Sent before the client saw GOAWAY: it may repeat it (RFC 9114 section 5.2).
            self._fail_message(
                stream, ErrorCode.H3_REQUEST_REJECTED, "the server is going away"
            )
            return None
        self._streams[stream_id] = stream
        return stream

    def _whole_request(self, stream_id: int, data: bytes) -> bool:
        """Take a request that came in one piece, without a body; False if it is not one.

        Most requests are.  The same as the long way, with fewer steps.
        """
        size = len(data)
        if stream_id & _STREAM_KIND or self._is_long_way or size < _SHORT_HEAD_BYTES:
            return False
        length, start = data[1], 2
        if length >= _ONE_BYTE:
            if length >= _TWO_BYTES_END:
                return False
            length, start = (length & 0x3F) << 8 | data[2], 3
        if start + length != size or length > self.config.field_section_bytes_max:
            return False
        if (stream := self._peer_opens(stream_id)) is None:
            return True
        try:
            fields = self._decoder.feed_header(stream_id, data[start:])[1]
            self._request_received(stream, fields, ended=True)
        except pylsqpack.DecompressionFailed as error:
            raise decompression_failed() from error
        except (Malformed, MessageFault, TooLarge) as fault:
            self._give_up(stream, fault, ended=True)
        return True

    def _reset(self, stream: Stream, error_code: int) -> None:
        if stream.recv >= Recv.UNWANTED:
            return
        self._cancelled(stream)
        stream.recv = Recv.DONE
        self._drop_input(stream)
        if stream.is_told:
            self._events.append(StreamReset(stream.id, error_code))
        else:
            # Nobody will answer it.
            self._break_off(stream, ErrorCode.H3_REQUEST_INCOMPLETE)
            self._events.append(
                RequestRefused(
                    stream.id, 0, ErrorCode.H3_REQUEST_INCOMPLETE, "reset by the client"
                )
            )
        self._settle(stream)
