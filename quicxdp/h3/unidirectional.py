"""The peer's control, QPACK and WebTransport streams; ours are opened here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pylsqpack

from . import varint
from .codes import HTTP2_SETTINGS, ErrorCode, FrameType, Setting, StreamType
from .core import ConnectionFault, Core
from .events import (
    GoawayReceived,
    MessageFailed,
    PriorityUpdated,
    SessionStreamReceived,
    SettingsReceived,
    StreamReset,
)
from .priority import Priority, priority_untrusted
from .states import (
    CONTROL_ERRORS,
    CRITICAL,
    STREAM_TYPE_ERRORS,
    Control,
    Recv,
    Send,
)
from .stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Frames of a control stream that mean something here; what is longer means harm.
_CONTROL_FRAME_BYTES_MAX: Final = 4096
_PRIORITY_UPDATES_MAX: Final = 128
# More than there are (a dozen), with room for those that are there to be ignored; all
# that fit a frame would cost us 100 KB a connection.
_SETTINGS_MAX: Final = 64
# The largest stream ID of a request; a GOAWAY with it refuses none yet.
REQUEST_ID_MAX: Final = varint.MAX - 3
_FLAGS: Final = (
    Setting.ENABLE_CONNECT_PROTOCOL,
    Setting.H3_DATAGRAM,
    Setting.ENABLE_WEBTRANSPORT,
)


class _Incoming:
    """One stream of the peer until its end."""

    __slots__ = ("buffer", "kind", "left_bytes", "session")

    def __init__(self) -> None:
        self.buffer = b""
        self.kind = -1  # not known yet
        self.left_bytes = 0  # of a control frame that is skipped
        self.session: Stream | None = None


class Unidirectional(Core):
    """Unidirectional streams."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.peer_settings: Mapping[int, int] = {}
        self._incoming: dict[int, _Incoming] = {}
        self._peer_critical: dict[int, int] = {}  # stream type to ID
        self._control = Control.WAIT_SETTINGS
        self._priorities: dict[int, Priority] = {}
        self._max_push_id = -1
        self._goaway_id = REQUEST_ID_MAX  # the lowest that the peer has sent
        opened = [self._open_uni(kind) for kind in CRITICAL]
        self._control_id, self._encoder_id, self._decoder_id = opened
        settings = b"".join(
            varint.encode(setting) + varint.encode(value)
            for setting, value in self.settings.items()
        )
        self._quic.send_stream_data(
            self._control_id, varint.frame(FrameType.SETTINGS, settings)
        )

    @property
    def settings(self) -> dict[int, int]:
        """What we have told the peer."""
        config = self.config
        settings: dict[int, int] = {
            Setting.QPACK_MAX_TABLE_CAPACITY: config.qpack_table_bytes,
            Setting.MAX_FIELD_SECTION_SIZE: config.field_section_bytes_max,
            Setting.QPACK_BLOCKED_STREAMS: config.qpack_blocked_streams,
        }
        if config.connect_protocol and not self._is_client:
            settings[Setting.ENABLE_CONNECT_PROTOCOL] = 1
        if config.datagrams:
            settings[Setting.H3_DATAGRAM] = 1
        if config.webtransport:
            settings[Setting.ENABLE_WEBTRANSPORT] = 1
        return settings

    def _open_uni(self, kind: int) -> int:
        stream_id = self._quic.get_next_available_stream_id(is_unidirectional=True)
        self._quic.send_stream_data(stream_id, varint.encode(kind))
        return stream_id

    # ---- Bytes -------------------------------------------------------------------------

    def _receive_uni(self, stream_id: int, data: bytes, *, ended: bool) -> int:
        """Take data of a stream of the peer; return how much was an application's."""
        incoming = self._incoming.get(stream_id)
        if incoming is None:
            if not self._opened_uni.take(stream_id):
                return 0  # we have said that we do not want it
            incoming = self._incoming[stream_id] = _Incoming()
        if incoming.kind < 0:
            data = incoming.buffer + data
            incoming.kind, at = varint.decode(data, 0)
            incoming.buffer, data = (data, b"") if incoming.kind < 0 else (b"", data[at:])
            if incoming.kind < 0 or not self._begin_uni(stream_id, incoming.kind):
                if ended:
                    self._incoming.pop(stream_id, None)
                return 0
        if ended and incoming.kind in CRITICAL:
            raise ConnectionFault(
                ErrorCode.H3_CLOSED_CRITICAL_STREAM, "a critical stream has ended"
            )
        if incoming.kind == StreamType.CONTROL:
            self._receive_control(incoming, data)
        elif incoming.kind == StreamType.QPACK_ENCODER:
            self._receive_encoder(data)
        elif incoming.kind == StreamType.QPACK_DECODER:
            self._receive_decoder(data)
        else:
            return self._receive_session_uni(stream_id, incoming, data, ended=ended)
        return 0

    def _begin_uni(self, stream_id: int, kind: int) -> bool:
        """Take note of a stream's type; return whether the stream is of interest."""
        if (error := STREAM_TYPE_ERRORS[self._role].get(kind)) is not None:
            raise ConnectionFault(error, "push streams were not allowed")
        if kind in CRITICAL:
            if kind in self._peer_critical:
                raise ConnectionFault(
                    ErrorCode.H3_STREAM_CREATION_ERROR, "a critical stream came twice"
                )
            self._peer_critical[kind] = stream_id
            return True
        if kind == StreamType.WEBTRANSPORT and self.config.webtransport:
            return True
        # RFC 9114 section 6.2: reading is aborted, or what comes is thrown away.
        del self._incoming[stream_id]
        self._quic.stop_stream(stream_id, ErrorCode.H3_STREAM_CREATION_ERROR)
        return False

    def _reset_uni(self, stream_id: int, error_code: int) -> None:
        if stream_id in self._peer_critical.values():
            raise ConnectionFault(
                ErrorCode.H3_CLOSED_CRITICAL_STREAM, "a critical stream was reset"
            )
        self._opened_uni.take(stream_id)
        incoming = self._incoming.pop(stream_id, None)
        if incoming is not None and incoming.session is not None:
            incoming.session.recv = Recv.DONE
            self._events.append(StreamReset(stream_id, error_code))
            self._settle(incoming.session)

    def _check_own_critical(self, stream_id: int) -> None:
        if stream_id in (self._control_id, self._encoder_id, self._decoder_id):
            raise ConnectionFault(
                ErrorCode.H3_CLOSED_CRITICAL_STREAM, "a critical stream was stopped"
            )

    # ---- The control stream ------------------------------------------------------------

    def _receive_control(self, incoming: _Incoming, data: bytes) -> None:
        data = incoming.buffer + data
        incoming.buffer = b""
        at = frame_cnt = 0
        while at < len(data):
            if incoming.left_bytes:
                skipped = min(incoming.left_bytes, len(data) - at)
                incoming.left_bytes -= skipped
                at += skipped
                continue
            kind, after_kind = varint.decode(data, at)
            length, start = varint.decode(data, after_kind) if kind >= 0 else (-1, at)
            if length < 0:
                incoming.buffer = data[at:]
                break
            self._check_control(kind)
            handler = _CONTROL_HANDLERS.get(kind)
            if handler is None:
                # Unknown: to be ignored (RFC 9114 section 9), however long it is.
                frame_cnt += 1
                incoming.left_bytes, at = length, start
                continue
            if length > _CONTROL_FRAME_BYTES_MAX:
                raise ConnectionFault(
                    ErrorCode.H3_EXCESSIVE_LOAD, "a frame on the control stream is huge"
                )
            if len(data) - start < length:
                incoming.buffer = data[at:]
                break
            frame_cnt += 1
            at = start + length
            handler(self, data[start:at])
        self._charge(frame_cnt, 0)

    def _check_control(self, kind: int) -> None:
        if self._control is Control.WAIT_SETTINGS:
            if kind != FrameType.SETTINGS:
                raise ConnectionFault(
                    ErrorCode.H3_MISSING_SETTINGS, "the first frame is not SETTINGS"
                )
        elif (error := CONTROL_ERRORS[self._role].get(kind)) is not None:
            raise ConnectionFault(
                error, f"frame type {kind:#x} must not come on the control stream"
            )

    def _settings_frame(self, payload: bytes) -> None:
        settings: dict[int, int] = {}
        at = 0
        while at < len(payload):
            setting, at = varint.decode(payload, at)
            value, at = varint.decode(payload, at) if setting >= 0 else (-1, at)
            if value < 0:
                raise ConnectionFault(ErrorCode.H3_FRAME_ERROR, "SETTINGS ends too early")
            if setting in settings or setting in HTTP2_SETTINGS:
                raise ConnectionFault(
                    ErrorCode.H3_SETTINGS_ERROR,
                    f"setting {setting:#x} comes twice or is HTTP/2's",
                )
            settings[setting] = value
            if len(settings) > _SETTINGS_MAX:
                raise ConnectionFault(
                    ErrorCode.H3_EXCESSIVE_LOAD, "SETTINGS has too many of them"
                )
        for flag in _FLAGS:
            if settings.get(flag, 0) > 1:
                raise ConnectionFault(
                    ErrorCode.H3_SETTINGS_ERROR, f"{flag.name} is neither 0 nor 1"
                )
        if settings.get(Setting.ENABLE_WEBTRANSPORT) and not settings.get(
            Setting.H3_DATAGRAM
        ):
            raise ConnectionFault(
                ErrorCode.H3_SETTINGS_ERROR, "WebTransport needs H3_DATAGRAM"
            )
        self._control = Control.OPEN
        self.peer_settings = settings
        self._events.append(SettingsReceived(settings))

    def _goaway_frame(self, payload: bytes) -> None:
        goaway_id = _only_integer(payload, "GOAWAY")
        # A server is told of pushes, of which it makes none (RFC 9114 section 5.2).
        if self._is_client:
            if goaway_id % 4:
                raise ConnectionFault(ErrorCode.H3_ID_ERROR, "GOAWAY names no request")
            if goaway_id > self._goaway_id:
                raise ConnectionFault(ErrorCode.H3_ID_ERROR, "GOAWAY went back")
        self._goaway_id = min(goaway_id, self._goaway_id)
        self._events.append(GoawayReceived(goaway_id))
        if self._is_client:
            self._give_up_from(goaway_id)

    def _give_up_from(self, goaway_id: int) -> None:
        code = ErrorCode.H3_REQUEST_REJECTED
        for stream in list(self._streams.values()):
            if stream.id >= goaway_id and stream.id % 4 == 0:
                self._want_no_more(stream, ErrorCode.H3_REQUEST_CANCELLED)
                self._break_off(stream, ErrorCode.H3_REQUEST_CANCELLED)
                self._events.append(
                    MessageFailed(stream.id, code, "the server is going away")
                )
                self._settle(stream)

    def _max_push_id_frame(self, payload: bytes) -> None:
        max_push_id = _only_integer(payload, "MAX_PUSH_ID")
        if max_push_id < self._max_push_id:
            raise ConnectionFault(ErrorCode.H3_ID_ERROR, "MAX_PUSH_ID went back")
        self._max_push_id = max_push_id

    def _cancel_push_frame(self, payload: bytes) -> None:
        # Nothing was promised, and nothing allowed (RFC 9114 section 7.2.3).
        _only_integer(payload, "CANCEL_PUSH")
        raise ConnectionFault(ErrorCode.H3_ID_ERROR, "no push was promised or allowed")

    def _priority_update_frame(self, payload: bytes) -> None:
        stream_id, at = varint.decode(payload, 0)
        if stream_id < 0:
            raise ConnectionFault(
                ErrorCode.H3_FRAME_ERROR, "PRIORITY_UPDATE ends too early"
            )
        if stream_id % 4:
            raise ConnectionFault(
                ErrorCode.H3_ID_ERROR, "PRIORITY_UPDATE names no request"
            )
        priority = priority_untrusted(payload[at:])
        stream = self._streams.get(stream_id)
        if stream is not None and stream.is_told:
            self._events.append(PriorityUpdated(stream_id, priority))
        elif stream_id in self._priorities or (
            (stream_id >= self._opened.next_id or stream_id in self._opened.pending)
            and len(self._priorities) < _PRIORITY_UPDATES_MAX
        ):
            # It has overtaken its request (RFC 9218 section 7).
            self._priorities[stream_id] = priority

    def _priority_update_push_frame(self, payload: bytes) -> None:
        if varint.decode(payload, 0)[0] < 0:
            raise ConnectionFault(
                ErrorCode.H3_FRAME_ERROR, "PRIORITY_UPDATE ends too early"
            )
        raise ConnectionFault(ErrorCode.H3_ID_ERROR, "no push was promised")

    # ---- QPACK -------------------------------------------------------------------------

    def _receive_encoder(self, data: bytes) -> None:
        try:
            unblocked = self._decoder.feed_encoder(data)
        except pylsqpack.EncoderStreamError as error:
            raise ConnectionFault(
                ErrorCode.QPACK_ENCODER_STREAM_ERROR, "QPACK encoder stream"
            ) from error
        for stream_id in unblocked:
            stream = self._streams.get(stream_id)
            if stream is not None:
                self._resume(stream)

    def _receive_decoder(self, data: bytes) -> None:
        try:
            self._encoder.feed_decoder(data)
        except pylsqpack.DecoderStreamError as error:
            raise ConnectionFault(
                ErrorCode.QPACK_DECODER_STREAM_ERROR, "QPACK decoder stream"
            ) from error

    def _cancel_sections(self, stream_id: int) -> None:
        # RFC 9204 section 2.2.2.2: without a table there is nothing to cancel.
        if self._blocks:
            self._quic.send_stream_data(
                self._decoder_id, self._decoder.cancel_stream(stream_id)
            )

    def _resume(self, stream: Stream) -> None:
        raise NotImplementedError

    # ---- WebTransport's ----------------------------------------------------------------

    def _receive_session_uni(
        self, stream_id: int, incoming: _Incoming, data: bytes, *, ended: bool
    ) -> int:
        if incoming.session is None:
            data = incoming.buffer + data
            session_id, at = varint.decode(data, 0)
            if session_id < 0:
                incoming.buffer = data
                if ended:
                    del self._incoming[stream_id]
                return 0
            incoming.buffer = b""
            data = data[at:]
            stream = Stream(stream_id)
            stream.send = Send.ENDED  # the peer's alone
            incoming.session = stream
            if not self._join_session(stream, session_id):
                del self._incoming[stream_id]
                return 0
        if incoming.session.recv is not Recv.SESSION:
            del self._incoming[stream_id]
            return 0
        session_id = incoming.session.session_id
        if data or ended:
            self._events.append(SessionStreamReceived(session_id, stream_id, data, ended))
        if ended:
            del self._incoming[stream_id]
            incoming.session.recv = Recv.DONE
            self._settle(incoming.session)
        return len(data)

    def _join_session(self, stream: Stream, session_id: int) -> bool:
        raise NotImplementedError


def _only_integer(payload: bytes, name: str) -> int:
    value, at = varint.decode(payload, 0)
    if value < 0 or at != len(payload):
        raise ConnectionFault(ErrorCode.H3_FRAME_ERROR, f"{name} is not one integer")
    return value


_CONTROL_HANDLERS: Final[Mapping[int, Callable[[Unidirectional, bytes], None]]] = {
    FrameType.SETTINGS: Unidirectional._settings_frame,  # noqa: SLF001  (of this module)
    FrameType.GOAWAY: Unidirectional._goaway_frame,  # noqa: SLF001
    FrameType.MAX_PUSH_ID: Unidirectional._max_push_id_frame,  # noqa: SLF001
    FrameType.CANCEL_PUSH: Unidirectional._cancel_push_frame,  # noqa: SLF001
    FrameType.PRIORITY_UPDATE: Unidirectional._priority_update_frame,  # noqa: SLF001
    FrameType.PRIORITY_UPDATE_PUSH: Unidirectional._priority_update_push_frame,  # noqa: SLF001
}
