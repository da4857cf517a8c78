"""One HTTP request and its response, between a stream and an application.

    receive: the request's content, given back to the peer as credit when it is taken up,
             so that an application that does not read stops its client
    send:    the response, by the table `NEXT`; waits while the client does not keep up

`is_gone`: the client went or wants no answer; `is_over`: no application answers any more.

An exchange belongs to one connection, which feeds it (`data_received`, `input_ended`,
`disconnected`) and which it calls to send.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from aioquic.h3.connection import ErrorCode

from quicxdp.errors import ClientDisconnectedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .scope import Field
    from .types import App, Message, Scope

logger = logging.getLogger(__name__)

# A response may be this far ahead of what was sent before its application has to wait.
AHEAD_BYTES: Final = 256 * 1024
_FILE_CHUNK_BYTES: Final = 256 * 1024

# Of one hop, and none of them this one (RFC 9114 section 4.2).
_HOP_FIELDS: Final = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection"),
        *(b"transfer-encoding", b"upgrade"),
    )
)
_BAD_NAME: Final = re.compile(rb"[^!#$%&'*+.^_`|~0-9a-z-]")
_BAD_VALUE: Final = re.compile(rb"[\x00\r\n]")
_NO_CONTENT: Final = frozenset((204, 205, 304))
# 1xx are not responses, and beyond 599 HTTP knows none.
_STATUS_MIN, _STATUS_MAX = 200, 599


class Stage(Enum):
    """How far a response has come."""

    START = "nothing was sent"
    HEAD = "the head is known"
    BODY = "content has been sent"
    TRAILERS = "only trailers are left"
    DONE = "it is complete"


_START, _HEAD, _BODY = Stage.START, Stage.HEAD, Stage.BODY
_TRAILERS, _DONE = Stage.TRAILERS, Stage.DONE

# What an application may send, and when.  An absent pair is its mistake.
NEXT: Final[dict[tuple[Stage, str], Stage]] = {
    (Stage.START, "http.response.early_hint"): Stage.START,
    (Stage.START, "http.response.start"): Stage.HEAD,
    (Stage.HEAD, "http.response.body"): Stage.BODY,
    (Stage.HEAD, "http.response.pathsend"): Stage.BODY,
    (Stage.BODY, "http.response.body"): Stage.BODY,
    (Stage.TRAILERS, "http.response.trailers"): Stage.TRAILERS,
}


class Stream(Protocol):
    """What an exchange needs of the connection, by the ID of its stream."""

    def send_headers(
        self, stream_id: int, headers: list[Field], *, end: bool = False
    ) -> None:
        """Send a header section."""

    def send_data(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Send content."""

    def reset(self, stream_id: int, error_code: int) -> None:
        """Break our half off."""

    def stop(self, stream_id: int, error_code: int) -> None:
        """Want no more of the peer's half."""

    def consumed(self, stream_id: int, size_bytes: int) -> None:
        """Give the peer credit."""

    async def drain(self, stream_id: int, ahead_bytes: int) -> None:
        """Wait until less than that is waiting to be sent, or the stream is over."""

    def response_fields(self) -> Sequence[Field]:
        """Return what every response has: date, server."""

    def finished(self, exchange: Exchange) -> None:
        """Forget an exchange: its application has returned."""


class Exchange:
    """A request and its response."""

    __slots__ = (
        "_ahead_bytes",
        "_chunks",
        "_end_told",
        "_event",
        "_expects_continue",
        "_fields",
        "_is_head",
        "_left_bytes",
        "_more_input",
        "_stream",
        "_trailers",
        "_wants_trailers",
        "is_gone",
        "is_over",
        "outcome",
        "received_bytes",
        "scope",
        "sent_bytes",
        "stage",
        "started_s",
        "status",
        "stream_id",
        "task",
    )

    def __init__(
        self,
        stream: Stream,
        stream_id: int,
        scope: Scope,
        *,
        expects_continue: bool,
        started_s: float,
    ) -> None:
        self._stream = stream
        self.stream_id = stream_id
        self.scope = scope
        self.started_s = started_s
        self.task: asyncio.Task[None] | None = None
        self.stage = _START
        self.status = 0
        self.sent_bytes = 0
        self.received_bytes = 0
        self.is_gone = False
        self.is_over = False
        self.outcome = "ok"
        # The request: what was not taken up yet, and whether its end was.
        self._chunks: list[bytes] = []
        self._more_input = True
        self._end_told = False
        self._event: asyncio.Event | None = None
        self._expects_continue = expects_continue
        # The response: its head until that is sent, and what it has promised.
        self._is_head = scope["method"] == "HEAD"
        self._fields: list[Field] = []
        self._left_bytes: int | None = None
        self._wants_trailers = False
        self._trailers: list[Field] = []
        self._ahead_bytes = 0

    # What the connection tells

    def data_received(self, data: bytes) -> None:
        """Take content of the request."""
        self.received_bytes += len(data)
        if self.stage is _DONE or self.is_gone:
            self._stream.consumed(self.stream_id, len(data))
            return
        self._chunks.append(data)
        self._wake()

    def input_ended(self) -> None:
        """Take note that the request is complete."""
        self._more_input = False
        self._wake()

    def disconnected(self) -> None:
        """Take note that the client has gone, or wants no answer."""
        self.is_gone = True
        self._drop_input()
        self._wake()

    @property
    def has_input_ended(self) -> bool:
        """Whether the request is complete."""
        return not self._more_input

    def _wake(self) -> None:
        if self._event is not None:
            self._event.set()

    def _drop_input(self) -> None:
        if self._chunks:
            self._stream.consumed(self.stream_id, sum(map(len, self._chunks)))
            self._chunks.clear()

    # What the application calls

    async def receive(self) -> Message:
        """Return the next message of the request."""
        while not (self.is_gone or self.stage is _DONE):
            if self._chunks or not (self._more_input or self._end_told):
                return self._request()
            if self._expects_continue and self.stage is _START:
                self._expects_continue = False
                self._stream.send_headers(self.stream_id, [(b":status", b"100")])
            if self._event is None:
                self._event = asyncio.Event()
            self._event.clear()
            await self._event.wait()
        return {"type": "http.disconnect"}

    def _request(self) -> Message:
        body = b"".join(self._chunks)
        self._chunks.clear()
        if body:
            self._stream.consumed(self.stream_id, len(body))
        self._end_told = not self._more_input
        return {"type": "http.request", "body": body, "more_body": self._more_input}

    async def send(self, message: Message) -> None:
        """Take the next message of the response.

        Raises:
            ClientDisconnectedError: nobody is there to take it.
            RuntimeError: it is not one that may come now, or is not well-formed.
        """
        kind = message["type"]
        if self.is_gone:
            raise ClientDisconnectedError("the client has gone")
        stage = NEXT.get((self.stage, kind))
        if stage is None:
            raise RuntimeError(f"{kind} cannot be sent: {self.stage.value}")
        if kind == "http.response.body":
            data = message.get("body", b"")
            if message.get("more_body", False):
                self._send_content(data, last=False)
                if self._ahead_bytes >= AHEAD_BYTES:
                    await self._drain()
            else:
                self._send_content(data, last=True)
        elif kind == "http.response.start":
            self._begin(message)
        elif kind == "http.response.pathsend":
            await self._send_file(message["path"])
        elif kind == "http.response.trailers":
            self._trailers += checked_fields(message.get("headers", ()))
            if not message.get("more_trailers", False):
                self._end()
        else:
            links = [(b"link", bytes(link)) for link in message["links"]]
            fields = [(b":status", b"103"), *checked_fields(links)]
            self._stream.send_headers(self.stream_id, fields)

    def _begin(self, message: Message) -> None:
        self.status = status = int(message["status"])
        if not _STATUS_MIN <= status <= _STATUS_MAX:
            raise RuntimeError(f"{status} is no status of a response")
        fields = checked_fields(message.get("headers", ()))
        names = {name for name, _ in fields}
        if b"content-length" in names:
            self._left_bytes = _content_length(fields)
        extra = [item for item in self._stream.response_fields() if item[0] not in names]
        self._fields = [(b":status", b"%d" % status), *extra, *fields]
        self._wants_trailers = bool(message.get("trailers", False))
        self.stage = _HEAD

    def _send_content(self, data: bytes, *, last: bool) -> None:
        """Send content, and before the first of it the head."""
        if type(data) is not bytes:
            data = bytes(data)
        if self._is_head or self.status in _NO_CONTENT:
            data, self._left_bytes = b"", None
        left_bytes = self._left_bytes
        if left_bytes is not None:
            self._left_bytes = left_bytes = left_bytes - len(data)
            if left_bytes < 0 or (last and left_bytes):
                raise RuntimeError(
                    f"the response is {abs(left_bytes)} bytes "
                    f"{'shorter' if left_bytes > 0 else 'longer'} than its content-length"
                )
        end = last and not self._wants_trailers
        if self.stage is _HEAD:
            self._stream.send_headers(self.stream_id, self._fields, end=end and not data)
            self._fields = []
            self.stage = _BODY
            if data:
                self._stream.send_data(self.stream_id, data, end=end)
        elif data or end:
            self._stream.send_data(self.stream_id, data, end=end)
        self.sent_bytes += len(data)
        self._ahead_bytes += len(data)
        if end:
            self._done()
        elif last:
            self.stage = _TRAILERS

    def _end(self) -> None:
        self._stream.send_headers(self.stream_id, self._trailers, end=True)
        self._done()

    def _done(self) -> None:
        self.stage = _DONE
        if self._more_input:
            # The answer does not depend on the rest (RFC 9114 section 4.1).
            self._drop_input()
            self._stream.stop(self.stream_id, ErrorCode.H3_NO_ERROR)
        self._wake()

    async def _drain(self) -> None:
        await self._stream.drain(self.stream_id, AHEAD_BYTES)
        self._ahead_bytes = 0
        if self.is_gone:
            raise ClientDisconnectedError("the client has gone")

    async def _send_file(self, path: str) -> None:
        """Send a file as content, a piece at a time.

        Read, not mapped: a file that becomes shorter would end the process, and bytes
        that change could not be sent again as they were.
        """
        fd = await asyncio.to_thread(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
        reading: asyncio.Future[bytes] | None = None
        try:
            offset, size = 0, os.fstat(fd).st_size
            while offset < size and not self._is_head:
                wanted = min(_FILE_CHUNK_BYTES, size - offset)
                reading = asyncio.ensure_future(
                    asyncio.to_thread(os.pread, fd, wanted, offset)
                )
                data = await asyncio.shield(reading)
                if not data:
                    raise RuntimeError(f"{path} became shorter while it was being sent")
                offset += len(data)
                self._send_content(data, last=False)
                await self._drain()
        finally:
            # Closed under the thread, it might read what gets the same number next.
            if reading is None or reading.done():
                os.close(fd)
            else:
                reading.add_done_callback(lambda _: os.close(fd))
        self._send_content(b"", last=True)

    # The life of the application

    async def run(self, app: App) -> None:
        """Let the application answer; whatever it does, the stream ends."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._break_off()
            raise
        except ClientDisconnectedError:
            pass
        except Exception:
            logger.exception("the application failed: %(method)s %(path)s", self.scope)
            self._break_off()
        else:
            if self.stage is not _DONE and not self.is_gone:
                logger.error(
                    "the application returned without a complete response: "
                    "%(method)s %(path)s",
                    self.scope,
                )
                self._break_off()
        finally:
            self.is_over = True
            self._stream.finished(self)

    def refuse(self, status: int, sentence: str) -> None:
        """Answer by ourselves."""
        content = f"{sentence}\n".encode()
        fields = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(content)),
        ]
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            fields.append((b"retry-after", b"1"))
        self._begin({"status": status, "headers": fields})
        self._send_content(content, last=True)
        if self.task is None:
            self.is_over = True

    def _break_off(self) -> None:
        """End what the application has not ended: by 500, or by a reset."""
        if self.is_gone or self.stage is _DONE:
            return
        self.outcome = "failed"
        if self.stage in (_START, _HEAD):
            self._wants_trailers = False
            self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")
            return
        self._stream.reset(self.stream_id, ErrorCode.H3_INTERNAL_ERROR)
        self._done()


def checked_fields(headers: Iterable[Sequence[bytes]]) -> list[Field]:
    """Return an application's fields, fit to be sent.

    Raises:
        RuntimeError: one of them could be taken for something else by the next hop.
    """
    fields: list[Field] = []
    for name, value in headers:
        lower = bytes(name).lower()
        if lower in _HOP_FIELDS:
            continue
        if _BAD_NAME.search(lower) or not lower or _BAD_VALUE.search(value):
            raise RuntimeError(f"{name!r}: {value!r} is no field")
        fields.append((lower, bytes(value)))
    return fields


def _content_length(fields: list[Field]) -> int:
    found = {value for name, value in fields if name == b"content-length"}
    value = found.pop()
    if found or not value.isdigit():
        raise RuntimeError(f"{value!r} is no content-length")
    return int(value)
