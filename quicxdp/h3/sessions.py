"""WebTransport sessions: the streams that belong to an extended CONNECT.

draft-ietf-webtrans-http3-02, which is what browsers speak and SETTINGS tell.  A session
begins with the 2xx response to its request and ends with either half of that stream;
what is left of its streams is reset then.
"""

from __future__ import annotations

from typing import Final

from quicxdp.errors import LocalProtocolError

from . import varint
from .codes import ErrorCode, FrameType, StreamType
from .core import ConnectionFault
from .states import Recv, Send
from .stream import Stream
from .unidirectional import Unidirectional

# Section 4.3: applications' codes, 32 bits, in a range of HTTP/3's.
_FIRST_CODE: Final = 0x52E4A40FA8DB
_LAST_CODE: Final = 0x52E5AC983162
_RESERVED_EACH: Final = 0x1F
_RESERVED_AT: Final = 0x21


def to_error_code(code: int) -> int:
    """Return the code of QUIC for an application's *code*, 0 to 2**32 - 1."""
    return _FIRST_CODE + code + code // (_RESERVED_EACH - 1)


def from_error_code(error_code: int) -> int | None:
    """Return the application's code for one of QUIC's; None if it is none of them."""
    if (
        not _FIRST_CODE <= error_code <= _LAST_CODE
        or (error_code - _RESERVED_AT) % _RESERVED_EACH == 0
    ):
        return None
    shifted = error_code - _FIRST_CODE
    return shifted - shifted // _RESERVED_EACH


class Sessions(Unidirectional):
    """Streams of sessions."""

    def open_session_stream(
        self, session_id: int, *, unidirectional: bool = False
    ) -> int:
        """Open a stream of a session; send on it with `send_session_data`.

        Raises:
            LocalProtocolError: there is no such session.
        """
        if session_id not in self._sessions:
            raise LocalProtocolError(
                f"stream {session_id} is no WebTransport session, or has ended; accept "
                f"it with a 2xx response first"
            )
        if unidirectional:
            stream_id = self._open_uni(StreamType.WEBTRANSPORT)
            head = varint.encode(session_id)
        else:
            stream_id = self._quic.get_next_available_stream_id()
            head = varint.encode(FrameType.WEBTRANSPORT_STREAM)
            head += varint.encode(session_id)
        self._quic.send_stream_data(stream_id, head)
        stream = self._streams[stream_id] = Stream(stream_id)
        stream.recv = Recv.DONE if unidirectional else Recv.SESSION
        stream.send = Send.BODY
        stream.session_id = session_id
        stream.is_told = True
        self._sessions[session_id].add(stream_id)
        return stream_id

    def send_session_data(
        self, stream_id: int, data: bytes, *, end: bool = False
    ) -> bool:
        """Send on a stream of a session; returns whether it still goes anywhere."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.send is not Send.BODY or stream.session_id < 0:
            return False
        if end:
            stream.send = Send.ENDED
        sent = self._write(stream, data, end=end)
        if end:
            self._settle(stream)
        return sent

    def _write(self, stream: Stream, data: bytes, *, end: bool) -> bool:
        raise NotImplementedError

    def _begin_session(self, stream: Stream) -> None:
        self._sessions[stream.id] = set()

    def _join_session(self, stream: Stream, session_id: int) -> bool:
        """Make a stream of the peer one of a session; False: it was refused."""
        if session_id % 4:
            raise ConnectionFault(ErrorCode.H3_ID_ERROR, "a session is a request")
        stream.session_id = session_id
        stream.recv = Recv.SESSION
        stream.is_told = True
        members = self._sessions.get(session_id)
        if members is None:
            # The session is over, or not accepted yet, which peers are to wait for.
            code = ErrorCode.WT_BUFFERED_STREAM_REJECTED
            self._want_no_more(stream, code)
            self._break_off(stream, code)
            self._settle(stream)
            return False
        if stream.send < Send.ENDED:
            stream.send = Send.BODY
        self._streams[stream.id] = stream
        members.add(stream.id)
        return True

    def _leave_session(self, stream: Stream) -> None:
        self._sessions.get(stream.session_id, set()).discard(stream.id)
        self._incoming.pop(stream.id, None)

    def _end_session(self, session_id: int) -> None:
        for stream_id in self._sessions.pop(session_id, ()):
            stream = self._streams.get(stream_id)
            if stream is not None:
                self._want_no_more(stream, ErrorCode.WT_SESSION_GONE)
                self._break_off(stream, ErrorCode.WT_SESSION_GONE)
                self._settle(stream)
