"""What a section means: requests, responses and trailers become events.

Of what has been decoded; how it came in frames is frames.py's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import fields as sections
from . import varint
from .codes import ErrorCode, FrameType
from .core import SERVER_OPENED, ConnectionFault
from .events import (
    InterimReceived,
    RequestReceived,
    RequestRefused,
    ResponseReceived,
    TrailersReceived,
)
from .fields import NO_LENGTH, Malformed, TooLarge
from .sessions import Sessions
from .states import RECV_ROWS, RECV_WHOLE, STREAM_ERRORS, Got, Recv, Send
from .stream import Input, Kind, Stream

if TYPE_CHECKING:
    from .events import Fields

_HEADERS: Final = int(FrameType.HEADERS)
_WAIT: Final = Recv.WAIT
# A third of the time that the class itself takes.
_new = tuple.__new__
_SUCCESS: Final = range(200, 300)
_NO_CONTENT: Final = (204, 304)
_FINAL: Final = 200
_TOO_LARGE: Final = 431


class MessageFault(Exception):  # noqa: N818  (of the peer, and it ends a message)
    """A message is malformed or incomplete; other streams go on."""

    def __init__(self, error_code: int, reason: str) -> None:
        super().__init__(reason)
        self.error_code = error_code
        self.reason = reason


class Messages(Sessions):
    """The half of receiving that knows what messages are."""

    # ---- Steps -------------------------------------------------------------------------

    def _step(self, stream: Stream, got: Got) -> None:
        """Move on in the table, or fail as it says."""
        state = RECV_ROWS[stream.recv][got]
        if isinstance(state, Recv):
            stream.recv = state
            return
        reason = f"{got.name} in the state {stream.recv.name}"
        if state in STREAM_ERRORS:
            raise MessageFault(state, reason)
        raise ConnectionFault(state, reason)

    def _give_up(
        self, stream: Stream, fault: Malformed | MessageFault | TooLarge, *, ended: bool
    ) -> None:
        """End a message for what is wrong with it; *ended*: all of it has come."""
        if ended:
            stream.recv = Recv.DONE  # there is nothing left to be stopped
            self._drop_input(stream)
        if isinstance(fault, TooLarge):
            self._refuse_size(stream)
        elif isinstance(fault, Malformed):
            self._fail_message(stream, ErrorCode.H3_MESSAGE_ERROR, str(fault))
        else:
            self._fail_message(stream, fault.error_code, fault.reason)

    def _input_ended(self, stream: Stream) -> None:
        stream.input = None
        if stream.send >= Send.ENDED or stream.kind is Kind.SESSION:
            self._settle(stream)

    # ---- Sections ----------------------------------------------------------------------

    def _check_section(self, stream: Stream, length: int) -> None:
        """Check, before it is kept or decoded, that a section may come, so long."""
        if stream.recv >= Recv.BODY:
            state = RECV_ROWS[stream.recv][Got.TRAILERS]
            if not isinstance(state, Recv):
                raise ConnectionFault(state, f"HEADERS in the state {stream.recv.name}")
        if stream.id & SERVER_OPENED:
            raise ConnectionFault(
                ErrorCode.H3_STREAM_CREATION_ERROR, "servers open no request streams"
            )
        if length > self.config.field_section_bytes_max:
            raise TooLarge

    def _section_received(
        self,
        stream: Stream,
        state: Input,
        decoded: tuple[bytes, Fields],
        *,
        ended: bool,
    ) -> None:
        decoder, fields = decoded
        if decoder and self._blocks:
            self._quic.send_stream_data(self._decoder_id, decoder)
        if stream.recv >= Recv.BODY:
            self._trailers_received(stream, state, fields, ended=ended)
        elif self._is_client:
            self._response_received(stream, state, fields, ended=ended)
        else:
            state.expected_bytes = self._request_received(stream, fields, ended=ended)

    def _request_received(self, stream: Stream, fields: Fields, *, ended: bool) -> int:
        """Tell of a request; return its content-length, or NO_LENGTH."""
        config = self.config
        request = sections.request_untrusted(
            fields,
            config.field_section_bytes_max,
            with_protocol=config.connect_protocol,
        )
        method, scheme, authority, path, protocol, rest, length = request
        if method == b"CONNECT":
            is_session = config.webtransport and protocol == b"webtransport"
            stream.kind = Kind.SESSION if is_session else Kind.CONNECT
            length = NO_LENGTH
        elif method == b"HEAD":
            stream.kind = Kind.HEAD
        if ended and length > 0:
            raise MessageFault(
                ErrorCode.H3_MESSAGE_ERROR, "a content-length, and no body"
            )
        if ended and stream.recv is _WAIT:
            stream.recv = RECV_WHOLE
            stream.input = None
        else:
            self._step(stream, Got.CONNECT if method == b"CONNECT" else Got.HEAD)
        stream.is_told = True
        self.request_cnt += 1
        self._events.append(
            _new(
                RequestReceived,
                (stream.id, method, scheme, authority, path, protocol, rest, ended),
            )
        )
        if self.request_cnt >= config.requests_max and not self.is_draining:
            self.send_goaway()
        return length

    def _response_received(
        self, stream: Stream, state: Input, fields: Fields, *, ended: bool
    ) -> None:
        status, rest, length = sections.response_untrusted(
            fields, self.config.field_section_bytes_max
        )
        if status < _FINAL:
            self._step(stream, Got.INTERIM)
            self._events.append(InterimReceived(stream.id, status, rest))
            if ended:
                self._step(stream, Got.END)
            return
        if stream.kind >= Kind.CONNECT and status in _SUCCESS:
            self._step(stream, Got.CONNECT)
            if stream.kind is Kind.SESSION:
                self._begin_session(stream)
        else:
            self._step(stream, Got.HEAD)
            # RFC 9110 section 8.6: the length of what another request would have got.
            without_body = stream.kind is Kind.HEAD or status in _NO_CONTENT
            state.expected_bytes = 0 if without_body else length
        if ended:
            check_length(state)
            self._step(stream, Got.END)
        self._events.append(ResponseReceived(stream.id, status, rest, ended))
        if ended:
            self._input_ended(stream)

    def _trailers_received(
        self, stream: Stream, state: Input, fields: Fields, *, ended: bool
    ) -> None:
        fields = sections.trailers_untrusted(fields, self.config.field_section_bytes_max)
        self._step(stream, Got.TRAILERS)
        check_length(state)
        if ended:
            self._step(stream, Got.END)
        self._events.append(TrailersReceived(stream.id, fields, ended))
        if ended:
            self._input_ended(stream)

    def _refuse_size(self, stream: Stream) -> None:
        """Answer a section that is larger than was allowed (RFC 9114 section 4.2.2)."""
        if self._is_client or stream.is_told:
            self._fail_message(
                stream, ErrorCode.H3_EXCESSIVE_LOAD, "a section is larger than allowed"
            )
            return
        self._want_no_more(stream, ErrorCode.H3_NO_ERROR)
        section = self._encode(stream.id, [(b":status", b"%d" % _TOO_LARGE)])
        stream.send = Send.ENDED
        self._write(stream, varint.frame(_HEADERS, section), end=True)
        self._events.append(
            RequestRefused(
                stream.id,
                _TOO_LARGE,
                ErrorCode.H3_NO_ERROR,
                f"the fields are larger than {self.config.field_section_bytes_max} bytes",
            )
        )
        self._settle(stream)

    # ---- What the sending half has -----------------------------------------------------

    def _encode(self, stream_id: int, fields: Fields) -> bytes:
        raise NotImplementedError

    def send_goaway(self, *, final: bool = True) -> None:
        """Send GOAWAY."""
        raise NotImplementedError


def check_length(state: Input) -> None:
    """Check that a body that is over was as long as it was to be."""
    if state.expected_bytes not in (NO_LENGTH, state.body_bytes):
        raise MessageFault(
            ErrorCode.H3_MESSAGE_ERROR, "the body is shorter than its content-length"
        )
