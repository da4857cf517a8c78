"""One HTTP request and its response, between a stream and an application.

    receive: the request's content, given back to the peer as credit when it is taken up,
             so that an application that does not read stops its client
    send:    the response, by the table `ALLOWED`; waits while the client does not keep up

`is_gone`: the client went, or wants no answer.

An exchange belongs to one connection, which feeds it (`data_received`, `input_ended`,
`disconnected`) and which it calls to send.
"""

from __future__ import annotations

import asyncio
import logging
import os
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from quicxdp.errors import ClientDisconnectedError
from quicxdp.h3 import ErrorCode

from .party import name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quicxdp.h3 import Fields

    from .party import Stream
    from .types import Message, Scope

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
_NO_CONTENT: Final = frozenset((204, 205, 304))
_CONTINUE: Final = 100
_EARLY_HINTS: Final = 103


class Stage(Enum):
    """How far a response has come."""

    START = "nothing was sent"
    HEAD = "the head is known"
    BODY = "content has been sent"
    TRAILERS = "only trailers are left"
    DONE = "it is complete"


_START, _HEAD, _BODY = Stage.START, Stage.HEAD, Stage.BODY
_TRAILERS, _DONE = Stage.TRAILERS, Stage.DONE

# What an application may send, and when; anything else is its mistake.
ALLOWED: Final = frozenset(
    (
        (Stage.START, "http.response.early_hint"),
        (Stage.START, "http.response.start"),
        (Stage.HEAD, "http.response.body"),
        (Stage.HEAD, "http.response.pathsend"),
        (Stage.BODY, "http.response.body"),
        (Stage.TRAILERS, "http.response.trailers"),
    )
)


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
        "_more_input",
        "_stream",
        "_trailers",
        "_wants_trailers",
        "is_gone",
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
        self.outcome = "ok"
        # The request: what was not taken up yet, and whether its end was.
        self._chunks: list[bytes] = []
        self._more_input = True
        self._end_told = False
        self._event: asyncio.Event | None = None
        self._expects_continue = (b"expect", b"100-continue") in scope["headers"]
        # The response: its head until that is sent, and what it has promised.
        self._is_head = scope["method"] == "HEAD"
        self._fields: Fields = []
        self._wants_trailers = False
        self._trailers: Fields = []
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
                self._stream.send_interim(self.stream_id, _CONTINUE, [])
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
            RuntimeError: it is not one that may come now.
            LocalProtocolError: a field is none, or the content is not as long as the
                content-length says.
        """
        kind = message["type"]
        if self.is_gone:
            raise ClientDisconnectedError("the client has gone")
        if (self.stage, kind) not in ALLOWED:
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
            self._trailers += clean_fields(message.get("headers", ()))
            if not message.get("more_trailers", False):
                self._stream.send_trailers(self.stream_id, self._trailers)
                self._done()
        else:
            links = clean_fields((b"link", link) for link in message["links"])
            self._stream.send_interim(self.stream_id, _EARLY_HINTS, links)

    def _begin(self, message: Message) -> None:
        fields = clean_fields(message.get("headers", ()))
        names = [name for name, _ in fields]
        for item in self._stream.response_fields():
            if item[0] not in names:
                fields.append(item)
        self._fields = fields
        self.status = int(message["status"])
        self._wants_trailers = bool(message.get("trailers", False))
        self.stage = _HEAD

    def _send_content(self, data: bytes, *, last: bool) -> None:
        """Send content, and before the first of it the head."""
        if type(data) is not bytes:
            data = bytes(data)
        if self._is_head or self.status in _NO_CONTENT:
            data = b""
        end = last and not self._wants_trailers
        if self.stage is _HEAD:
            self._stream.respond(self.stream_id, self.status, self._fields, data, end=end)
            self._fields = []
            self.stage = _BODY
        elif data or end:
            self._stream.send_data(self.stream_id, data, end=end)
        self.sent_bytes += len(data)
        self._ahead_bytes += len(data)
        if end:
            self._done()
        elif last:
            self.stage = _TRAILERS

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

    # The end

    def returned(self) -> None:
        """Take note that the application has returned: the response must be complete."""
        if self.stage is not _DONE and not self.is_gone:
            logger.error(
                "the application returned without a complete response: %s",
                name(self.scope),
            )
            self.break_off()

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

    def break_off(self) -> None:
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


def clean_fields(headers: Iterable[Iterable[bytes]]) -> Fields:
    """Return an application's fields as HTTP/3 has them: small, and none of a hop.

    What could be taken for something else by the next hop is refused where they are sent.
    """
    fields = [(bytes(name).lower(), bytes(value).strip()) for name, value in headers]
    return [item for item in fields if item[0] not in _HOP_FIELDS]
