"""One WebSocket over HTTP/3 (RFC 9220), between a stream and an application.

Frames and their rules are wsproto's.  What the peer sends ahead of the application is
bounded: it gets credit while less than `QUEUE_BYTES` of whole messages wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from quicxdp.errors import ClientDisconnectedError
from quicxdp.h3 import ErrorCode

from .exchange import AHEAD_BYTES, clean_fields
from .party import name

if TYPE_CHECKING:
    from wsproto.connection import Connection

    from quicxdp.h3 import Fields

    from .party import Stream
    from .types import Message, Scope

logger = logging.getLogger(__name__)

# Of whole messages that wait for the application; uvicorn's queue is as long.
QUEUE_BYTES: Final = 256 * 1024
# Of one message; uvicorn's default.
MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024

_OK: Final = 200
_FORBIDDEN: Final = 403
_FAILED: Final = 500
# RFC 6455 section 7.4.1.
_NORMAL: Final = 1000
_NO_STATUS: Final = 1005
_ABNORMAL: Final = 1006
_TOO_BIG: Final = 1009
_INTERNAL: Final = 1011


class Phase(Enum):
    """How far a WebSocket is."""

    ASKED = "it is neither accepted nor refused"
    OPEN = "it is open"
    DENIED = "it is being refused"
    CLOSED = "it is closed"


# What an application may send, and when; anything else is its mistake.
ALLOWED: Final = frozenset(
    (
        (Phase.ASKED, "websocket.accept"),
        (Phase.ASKED, "websocket.close"),
        (Phase.ASKED, "websocket.http.response.start"),
        (Phase.OPEN, "websocket.send"),
        (Phase.OPEN, "websocket.close"),
        (Phase.DENIED, "websocket.http.response.body"),
    )
)


def subprotocols(fields: Fields) -> list[str]:
    """Return what the client offers to speak."""
    offered = b",".join(v for name, v in fields if name == b"sec-websocket-protocol")
    return [part.strip() for part in offered.decode("latin-1").split(",") if part.strip()]


class WebSocket:
    """A WebSocket and its application."""

    def __init__(
        self, stream: Stream, stream_id: int, scope: Scope, *, started_s: float
    ) -> None:
        self.stream_id = stream_id
        self.scope = scope
        self.started_s = started_s
        self.task: asyncio.Task[None] | None = None
        self.phase = Phase.ASKED
        self.status = 0
        self.sent_bytes = 0
        self.received_bytes = 0
        self.is_gone = False
        self.outcome = "ok"
        self._stream = stream
        self._framing: Connection | None = None
        self._early: list[bytes] = []  # what came before it was accepted
        self._messages: deque[tuple[Message, int]] = deque()
        self._queued_bytes = 0
        self._uncredited_bytes = 0
        self._parts: list[Any] = []
        self._parts_bytes = 0
        self._closing: Message | None = None
        self._event = asyncio.Event()
        self._denial: Fields = []
        self._denial_sent = False
        self._connect_told = False

    # What the connection tells

    def data_received(self, data: bytes) -> None:
        """Take bytes of frames."""
        self.received_bytes += len(data)
        self._uncredited_bytes += len(data)
        if self._framing is None:
            self._early.append(data)
            return
        self._feed(data)
        self._give_credit()

    def input_ended(self) -> None:
        """Take note that the peer sends nothing more: a close frame should have come."""
        self._disconnect(_ABNORMAL)
        if self.phase is Phase.OPEN:
            self._finish()

    def disconnected(self) -> None:
        """Take note that the client has gone."""
        self.is_gone = True
        self.phase = Phase.CLOSED
        self._disconnect(_ABNORMAL)

    def _disconnect(self, code: int, reason: str = "") -> None:
        if self._closing is None:
            self._closing = {
                "type": "websocket.disconnect",
                "code": code,
                "reason": reason,
            }
        self._event.set()

    def _feed(self, data: bytes) -> None:
        from wsproto import events  # noqa: PLC0415  (optional)

        framing = self._framing
        if framing is None or self._is_over():
            return
        framing.receive_data(data)
        for event in framing.events():
            if isinstance(event, (events.TextMessage, events.BytesMessage)):
                self._part_received(event)
            elif isinstance(event, events.Ping):
                self._write(framing.send(event.response()))
            elif isinstance(event, events.CloseConnection):
                self._close_received(event)
            if self._is_over():
                return

    def _is_over(self) -> bool:
        return self._closing is not None

    def _part_received(self, event: Any) -> None:  # noqa: ANN401
        self._parts.append(event.data)
        self._parts_bytes += len(event.data)
        if self._parts_bytes > MESSAGE_BYTES_MAX:
            self._close(_TOO_BIG, "the message is too long")
            self._disconnect(_TOO_BIG)
            return
        if event.message_finished:
            parts, self._parts = self._parts, []
            size_bytes, self._parts_bytes = self._parts_bytes, 0
            is_text = isinstance(parts[0], str)
            key, whole = (
                ("text", "".join(parts)) if is_text else ("bytes", b"".join(parts))
            )
            message: Message = {"type": "websocket.receive", key: whole}
            self._messages.append((message, size_bytes))
            self._queued_bytes += size_bytes
            self._event.set()

    def _close_received(self, event: Any) -> None:  # noqa: ANN401
        code = int(event.code)
        # wsproto tells of broken frames in the same words as of a peer's farewell.
        if self.phase is Phase.OPEN:
            answer = _NORMAL if code == _NO_STATUS else code
            self._close(answer, event.reason or "")
        self._disconnect(code, event.reason or "")

    def _give_credit(self) -> None:
        if self._uncredited_bytes and self._queued_bytes < QUEUE_BYTES:
            size_bytes, self._uncredited_bytes = self._uncredited_bytes, 0
            self._stream.consumed(self.stream_id, size_bytes)

    # What the application calls

    async def receive(self) -> Message:
        """Return the next message of the peer."""
        if not self._connect_told:
            self._connect_told = True
            return {"type": "websocket.connect"}
        while True:
            if self._messages:
                message, size_bytes = self._messages.popleft()
                self._queued_bytes -= size_bytes
                self._give_credit()
                return message
            if self._closing is not None:
                return dict(self._closing)
            self._event.clear()
            await self._event.wait()

    async def send(self, message: Message) -> None:
        """Take the next message of the application.

        Raises:
            ClientDisconnectedError: nobody is there to take it.
            RuntimeError: it is not one that may come now.
        """
        kind = message["type"]
        if self.is_gone or (self.phase is Phase.CLOSED and kind != "websocket.close"):
            raise ClientDisconnectedError("the WebSocket is closed")
        if (self.phase, kind) not in ALLOWED:
            if self.phase is Phase.CLOSED:
                return  # both sides may say good-bye at once
            raise RuntimeError(f"{kind} cannot be sent: {self.phase.value}")
        if kind == "websocket.send":
            self._send_message(message)
            await self._stream.drain(self.stream_id, AHEAD_BYTES)
        elif kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            if self.phase is Phase.ASKED:
                self._deny(_FORBIDDEN, [], b"", last=True)
            else:
                code = message.get("code") or _NORMAL
                reason = message.get("reason") or ""
                self._close(code, reason)
                self._disconnect(code, reason)
        elif kind == "websocket.http.response.start":
            self.phase = Phase.DENIED
            self.status = int(message["status"])
            self._denial = clean_fields(message.get("headers", ()))
        else:
            more = message.get("more_body", False)
            self._deny(self.status, self._denial, message.get("body", b""), last=not more)

    def _accept(self, message: Message) -> None:
        from wsproto.connection import Connection, ConnectionType  # noqa: PLC0415

        fields = clean_fields(message.get("headers", ()))
        if subprotocol := message.get("subprotocol"):
            fields.append((b"sec-websocket-protocol", subprotocol.encode("latin-1")))
        self._respond(_OK, fields, b"", end=False)
        self.phase = Phase.OPEN
        self._framing = Connection(ConnectionType.SERVER)
        early, self._early = self._early, []
        for data in early:
            self._feed(data)
        self._give_credit()

    def _respond(self, status: int, fields: Fields, data: bytes, *, end: bool) -> None:
        self.status = status
        known = {name for name, _ in fields}
        extra = [item for item in self._stream.response_fields() if item[0] not in known]
        self._stream.respond(self.stream_id, status, [*fields, *extra], data, end=end)

    def _deny(self, status: int, fields: Fields, data: bytes, *, last: bool) -> None:
        """Answer as an HTTP server that has no WebSocket there."""
        self.phase = Phase.DENIED
        if self._denial_sent:
            self._stream.send_data(self.stream_id, data, end=last)
        else:
            self._respond(status, fields, data, end=last)
            self._denial_sent = True
        self.sent_bytes += len(data)
        if last:
            self.phase = Phase.CLOSED
            self._stream.stop(self.stream_id, ErrorCode.H3_NO_ERROR)
            self._disconnect(_ABNORMAL)

    def _send_message(self, message: Message) -> None:
        from wsproto import events  # noqa: PLC0415

        assert self._framing is not None  # noqa: S101  (it is open)
        text = message.get("text")
        event = (
            events.BytesMessage(bytes(message["bytes"]))
            if text is None
            else events.TextMessage(text)
        )
        self._write(self._framing.send(event))

    def _close(self, code: int, reason: str) -> None:
        """Say good-bye, and nothing after it."""
        from wsproto import events  # noqa: PLC0415
        from wsproto.utilities import LocalProtocolError  # noqa: PLC0415

        assert self._framing is not None  # noqa: S101  (it is open)
        try:
            farewell = self._framing.send(events.CloseConnection(code, reason))
        except LocalProtocolError:
            farewell = b""  # said already
        if farewell:
            self._write(farewell)
        self._finish()

    def _finish(self) -> None:
        # Not told to stop: the peer has its own good-bye to say, and then ends.
        self.phase = Phase.CLOSED
        self._stream.send_data(self.stream_id, b"", end=True)

    def _write(self, data: bytes) -> None:
        self.sent_bytes += len(data)
        self._stream.send_data(self.stream_id, data, end=False)

    # The end

    def returned(self) -> None:
        """Say good-bye for an application that has returned without."""
        if self.phase is Phase.OPEN:
            self._close(_NORMAL, "")
        elif self.phase is not Phase.CLOSED:
            logger.error(
                "the application returned without accepting or refusing: %s",
                name(self.scope),
            )
            self.break_off()

    def break_off(self) -> None:
        """End it, because the application failed."""
        self.outcome = "failed"
        if self.phase is Phase.OPEN:
            self._close(_INTERNAL, "")
        elif self.phase is Phase.ASKED or (
            self.phase is Phase.DENIED and not self._denial_sent
        ):
            self._deny(_FAILED, [], b"", last=True)
        elif self.phase is Phase.DENIED:
            self._stream.reset(self.stream_id, ErrorCode.H3_INTERNAL_ERROR)
            self._stream.stop(self.stream_id, ErrorCode.H3_INTERNAL_ERROR)
            self.phase = Phase.CLOSED
