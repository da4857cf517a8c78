"""The frames of a request stream: DATA is passed on, HEADERS become messages.

One call per stream and turn, however many frames came; the data of all its DATA frames
becomes one event.
"""

from __future__ import annotations

from typing import Final

import pylsqpack

from . import varint
from .codes import ErrorCode, FrameType
from .core import ConnectionFault
from .events import DataReceived, SessionStreamReceived
from .fields import Malformed, TooLarge
from .messages import MessageFault, Messages, check_length
from .states import REQUEST_ERRORS, Got, Recv
from .stream import Input, Stream

_DATA: Final = int(FrameType.DATA)
_HEADERS: Final = int(FrameType.HEADERS)
# The lengths of one byte are below this (RFC 9000 section 16).
_ONE_BYTE: Final = 0x40


class Frames(Messages):
    """The half of receiving that knows what frames are."""

    def _receive_request(self, stream: Stream, data: bytes, *, ended: bool) -> int:
        """Take data of a bidirectional stream; return how much was of a body."""
        if stream.recv >= Recv.UNWANTED:
            return 0
        if stream.recv is Recv.SESSION:
            return self._receive_session(stream, data, ended=ended)
        if (state := stream.input) is None:
            state = stream.input = Input()
        elif state.is_blocked:
            state.buffer += data
            state.held_bytes += len(data)
            state.is_end_held = ended
            return len(data)
        elif state.buffer:
            data = state.buffer + data
            state.buffer = b""
        try:
            if len(data) <= state.left_bytes and not (ended or state.is_skipping):
                # Amid a DATA frame, as nearly all of a large body is.
                state.left_bytes -= len(data)
                self._body_received(stream, state, [data])
                return len(data)
            return self._read_frames(stream, state, data, ended=ended)
        except (Malformed, MessageFault, TooLarge) as fault:
            self._give_up(stream, fault, ended=ended)
        return 0

    # ---- Frames ------------------------------------------------------------------------

    def _read_frames(
        self, stream: Stream, state: Input, data: bytes, *, ended: bool
    ) -> int:
        at, frame_cnt, size, before_bytes = 0, 0, len(data), state.body_bytes
        pieces: list[bytes] = []
        while at < size:
            if state.left_bytes:
                at = _pass_on(state, data, at, pieces)
                continue
            kind, length, start = _frame_at(data, at)
            if length < 0:
                state.buffer = data[at:]
                break
            frame_cnt += 1
            if kind == _DATA:
                self._step(stream, Got.DATA)
                state.left_bytes, state.is_skipping, at = length, False, start
            elif kind == _HEADERS:
                self._body_received(stream, state, pieces)
                if size - start < length:
                    self._check_section(stream, length)
                    state.buffer = data[at:]
                    break
                at = start + length
                self._section(stream, state, data, (start, at), ended=ended)
                if state.is_blocked:
                    return state.body_bytes - before_bytes + state.held_bytes
            elif kind == FrameType.WEBTRANSPORT_STREAM and self.config.webtransport:
                # Until the end of the stream; its length is the session.
                return self._session_begins(stream, length, data[start:], ended=ended)
            else:
                self._check_other(kind)
                state.left_bytes, state.is_skipping, at = length, True, start
        self._frames_read(stream, state, pieces, ended=ended)
        used_bytes = state.body_bytes - before_bytes
        if frame_cnt > 1 or self._debt:
            self._charge(frame_cnt, used_bytes)
        return used_bytes

    def _frames_read(
        self, stream: Stream, state: Input, pieces: list[bytes], *, ended: bool
    ) -> None:
        if not ended:
            self._body_received(stream, state, pieces)
        elif state.left_bytes or state.buffer:
            # RFC 9114 section 7.1.
            raise ConnectionFault(
                ErrorCode.H3_FRAME_ERROR, "a stream ended within a frame"
            )
        elif stream.recv < Recv.UNWANTED:  # not told with the section that was last
            data = b"".join(pieces)
            state.body_bytes += len(data)
            check_length(state)
            self._step(stream, Got.END)
            self._events.append(DataReceived(stream.id, data, ended=True))
            self._input_ended(stream)

    def _body_received(self, stream: Stream, state: Input, pieces: list[bytes]) -> None:
        if not pieces:
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        state.body_bytes += len(data)
        if 0 <= state.expected_bytes < state.body_bytes:
            raise MessageFault(
                ErrorCode.H3_MESSAGE_ERROR, "the body is longer than its content-length"
            )
        self._events.append(DataReceived(stream.id, data, ended=False))

    def _check_other(self, kind: int) -> None:
        if (error := REQUEST_ERRORS[self._role].get(kind)) is not None:
            raise ConnectionFault(
                error, f"frame type {kind:#x} must not come on a request stream"
            )

    # ---- Sections ----------------------------------------------------------------------

    def _section(
        self,
        stream: Stream,
        state: Input,
        data: bytes,
        place: tuple[int, int],
        *,
        ended: bool,
    ) -> None:
        start, end = place
        self._check_section(stream, end - start)
        try:
            decoder, fields = self._decoder.feed_header(stream.id, data[start:end])
        except pylsqpack.StreamBlocked:
            state.is_blocked = True
            state.buffer = data[end:]
            state.held_bytes = len(state.buffer)
            state.is_end_held = ended
        except pylsqpack.DecompressionFailed as error:
            raise decompression_failed() from error
        else:
            ended = ended and end == len(data)
            self._section_received(stream, state, (decoder, fields), ended=ended)

    # ---- Sections that wait for QPACK's encoder stream ---------------------------------

    def _resume(self, stream: Stream) -> None:
        state = stream.input
        if state is None or not state.is_blocked:
            return
        state.is_blocked = False
        rest, state.buffer = state.buffer, b""
        held_bytes, state.held_bytes = state.held_bytes, 0
        ended = state.is_end_held
        used_bytes = 0
        try:
            decoded = self._decoder.resume_header(stream.id)
            self._section_received(stream, state, decoded, ended=ended and not rest)
        except pylsqpack.DecompressionFailed as error:
            raise decompression_failed() from error
        except (Malformed, MessageFault, TooLarge) as fault:
            self._give_up(stream, fault, ended=ended)
        else:
            if rest:
                used_bytes = self._receive_request(stream, rest, ended=ended)
        self._give_credit(stream.id, held_bytes - used_bytes)

    # ---- WebTransport ------------------------------------------------------------------

    def _session_begins(
        self, stream: Stream, session_id: int, data: bytes, *, ended: bool
    ) -> int:
        self._step(stream, Got.WEBTRANSPORT)
        stream.input = None
        if not self._join_session(stream, session_id) or not (data or ended):
            return 0
        return self._receive_session(stream, data, ended=ended)

    def _receive_session(self, stream: Stream, data: bytes, *, ended: bool) -> int:
        self._events.append(
            SessionStreamReceived(stream.session_id, stream.id, data, ended)
        )
        if ended:
            self._step(stream, Got.END)
            self._settle(stream)
        return len(data)


def _frame_at(data: bytes, at: int) -> tuple[int, int, int]:
    """Return type and length of a frame, and where it begins; -1 if more must come."""
    # Nearly always, type and length take a byte each.
    kind = data[at]
    if kind < _ONE_BYTE and at + 1 < len(data) and data[at + 1] < _ONE_BYTE:
        return kind, data[at + 1], at + 2
    kind, start = varint.decode(data, at)
    if kind < 0:
        return -1, -1, at
    length, start = varint.decode(data, start)
    return kind, length, start


def _pass_on(state: Input, data: bytes, at: int, pieces: list[bytes]) -> int:
    """Take what there is of a frame's payload; return where it ends."""
    end = min(at + state.left_bytes, len(data))
    state.left_bytes -= end - at
    if not state.is_skipping:
        pieces.append(data[at:end])
    return end


def decompression_failed() -> ConnectionFault:
    """Return what ends a connection whose two QPACK tables may differ."""
    return ConnectionFault(ErrorCode.QPACK_DECOMPRESSION_FAILED, "QPACK")
