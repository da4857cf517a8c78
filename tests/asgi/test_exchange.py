from __future__ import annotations

import asyncio
import itertools
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from quicxdp.asgi import party
from quicxdp.asgi.exchange import AHEAD_BYTES, ALLOWED, Exchange, Stage
from quicxdp.errors import ClientDisconnectedError, LocalProtocolError
from quicxdp.h3 import ErrorCode
from quicxdp.h3 import fields as sections

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from quicxdp.asgi.types import App, Message, Receive, Scope, Send
    from quicxdp.h3 import Fields


@dataclass
class FakeStream:
    """A connection that writes down what it is asked for."""

    heads: list[tuple[int, Fields]] = field(default_factory=list)
    trailers: Fields | None = None
    content: bytes = b""
    ended: bool = False
    was_reset: int | None = None
    stopped: int | None = None
    credit: int = 0
    drained: list[int] = field(default_factory=list)
    room: asyncio.Event | None = None

    def respond(
        self, _stream_id: int, status: int, fields: Fields, data: bytes, *, end: bool
    ) -> None:
        """Note it, and refuse what HTTP/3 refuses."""
        try:
            sections.outgoing(fields)
        except sections.Malformed as error:
            raise LocalProtocolError(str(error)) from None
        self.heads.append((status, fields))
        self.send_data(0, data, end=end)

    def send_interim(self, _stream_id: int, status: int, fields: Fields) -> None:
        """Note it."""
        self.heads.append((status, fields))

    def send_data(self, _stream_id: int, data: bytes, *, end: bool) -> None:
        """Note it."""
        assert not self.ended
        self.content += data
        self.ended = end

    def send_trailers(self, _stream_id: int, fields: Fields) -> None:
        """Note it."""
        assert not self.ended
        self.trailers = fields
        self.ended = True

    def reset(self, _stream_id: int, error_code: int) -> None:
        """Note it."""
        self.was_reset = error_code

    def stop(self, _stream_id: int, error_code: int) -> None:
        """Note it."""
        self.stopped = error_code

    def consumed(self, _stream_id: int, size_bytes: int) -> None:
        """Note it."""
        self.credit += size_bytes

    async def drain(self, _stream_id: int, ahead_bytes: int) -> None:
        """Note it, and wait if the test wants that."""
        self.drained.append(ahead_bytes)
        if self.room is not None:
            await self.room.wait()

    def response_fields(self) -> Fields:
        """Return one."""
        return [(b"server", b"test")]

    @property
    def status(self) -> int:
        """The final response's."""
        return self.heads[-1][0]


def exchange_on(
    stream: FakeStream, method: str = "GET", *fields: tuple[bytes, bytes]
) -> Exchange:
    """Return an exchange on stream 0."""
    scope: Scope = {"type": "http", "method": method, "path": "/", "headers": fields}
    return Exchange(stream, 0, scope, started_s=0.0)


def start(status: int = 200, **fields: str) -> Message:
    """Return the message that begins a response."""
    headers = [(k.replace("_", "-").encode(), v.encode()) for k, v in fields.items()]
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data: bytes = b"", *, more: bool = False) -> Message:
    """Return a message with content."""
    return {"type": "http.response.body", "body": data, "more_body": more}


def answering(*messages: Message) -> App:
    """Return an application that sends these."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def run(
    app: App,
    method: str = "GET",
    prepare: Callable[[Exchange], object] = lambda exchange: exchange.input_ended(),
) -> FakeStream:
    """Let *app* answer one request."""
    stream = FakeStream()

    async def go() -> None:
        exchange = exchange_on(stream, method)
        prepare(exchange)
        await party.run(exchange, app, lambda _: None)

    asyncio.run(go())
    return stream


def test_a_response_is_a_head_and_content_in_one_go() -> None:
    """The head waits for the first content, so a small answer is one packet."""
    stream = run(answering(start(201, Content_Type="a/b"), body(b"hello")))

    fields = [(b"content-type", b"a/b"), (b"server", b"test")]
    assert stream.heads == [(201, fields)]
    assert (stream.content, stream.ended) == (b"hello", True)


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)]
)
def test_what_must_have_no_content_gets_none(method: str, status: int) -> None:
    """Frameworks send the content of a GET for HEAD too (RFC 9110 section 9.3.2)."""
    stream = run(
        answering(
            start(status, content_length="5"), body(b"hel", more=True), body(b"lo")
        ),
        method,
    )

    assert (stream.content, stream.ended) == (b"", True)
    assert (b"content-length", b"5") in stream.heads[0][1]


def test_trailers_and_early_hints_are_sent() -> None:
    """gRPC needs the one, and browsers gain by the other."""
    stream = run(
        answering(
            {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]},
            {**start(), "trailers": True},
            body(b"x"),
            {"type": "http.response.trailers", "headers": [(b"T", b"1")]},
        )
    )

    assert stream.heads[0] == (103, [(b"link", b"</a.css>; rel=preload")])
    assert stream.status == 200
    assert (stream.content, stream.trailers) == (b"x", [(b"t", b"1")])


def test_a_file_is_sent_by_its_path(tmp_path: Path) -> None:
    """http.response.pathsend saves the application the reading."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 2000)
    stream = run(
        answering(start(), {"type": "http.response.pathsend", "path": str(path)})
    )

    assert stream.content == path.read_bytes()
    assert stream.ended
    assert stream.drained


def test_a_file_that_is_missing_is_a_500_and_one_that_shrinks_a_reset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half answer must never be taken for a whole one."""
    path = tmp_path / "file"
    pathsend = {"type": "http.response.pathsend", "path": str(path)}
    assert run(answering(start(), pathsend)).status == 500

    path.write_bytes(bytes(300_000))
    pieces = iter((b"x" * 1000, b""))
    monkeypatch.setattr("os.pread", lambda *_: next(pieces))
    stream = run(answering(start(), pathsend))
    assert (stream.was_reset, stream.ended) == (ErrorCode.H3_INTERNAL_ERROR, False)


def test_the_request_is_credited_as_it_is_taken_up() -> None:
    """An application that does not read stops its client, and nobody else."""
    stream = FakeStream()

    async def go() -> None:
        exchange = exchange_on(stream)
        exchange.data_received(b"one")
        exchange.data_received(b"two")
        assert stream.credit == 0
        assert await exchange.receive() == {
            "type": "http.request",
            "body": b"onetwo",
            "more_body": True,
        }
        assert stream.credit == 6
        exchange.input_ended()
        assert (await exchange.receive())["more_body"] is False
        waiting = asyncio.ensure_future(exchange.receive())
        await asyncio.sleep(0)
        assert not waiting.done()
        exchange.disconnected()
        assert await waiting == {"type": "http.disconnect"}

    asyncio.run(go())


def test_content_nobody_reads_is_credited_and_the_client_told_to_stop() -> None:
    """A client that uploads against an early answer ends, too (RFC 9114 section 4.1)."""

    def prepare(exchange: Exchange) -> None:
        exchange.data_received(b"abc")

    stream = run(answering(start(413), body()), "POST", prepare)
    assert stream.stopped == ErrorCode.H3_NO_ERROR
    assert stream.credit == 3


def test_a_client_that_waits_for_100_gets_it_when_the_application_reads() -> None:
    """Curl sends big bodies only then (RFC 9110 section 10.1.1)."""

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        await send(body())

    async def go() -> None:
        stream = FakeStream()
        exchange = exchange_on(stream, "PUT", (b"expect", b"100-continue"))
        task = asyncio.ensure_future(party.run(exchange, app, lambda _: None))
        await asyncio.sleep(0)
        assert stream.heads == [(100, [])]
        exchange.data_received(b"x")
        exchange.input_ended()
        await task
        assert stream.status == 200

    asyncio.run(go())


def test_an_application_waits_for_a_client_that_is_slow() -> None:
    """A gigabyte for one slow reader is not a gigabyte of memory."""

    async def go() -> None:
        stream = FakeStream(room=asyncio.Event())
        exchange = exchange_on(stream)
        sent = 0

        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            nonlocal sent
            await send(start())
            for _ in range(10):
                await send(body(bytes(AHEAD_BYTES // 2), more=True))
                sent += 1
            await send(body())

        task = asyncio.ensure_future(party.run(exchange, app, lambda _: None))
        for _ in range(20):
            await asyncio.sleep(0)
        assert sent == 1
        assert stream.room is not None
        stream.room.set()
        await task
        assert stream.ended

    asyncio.run(go())


async def _raises(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise ValueError("a mistake")


async def _returns(_scope: Scope, _receive: Receive, _send: Send) -> None:
    return


async def _raises_late(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(start())
    await send(body(b"half", more=True))
    raise ValueError("a mistake")


async def _swears(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(start(x="a\r\nset-cookie: b"))
    await send(body(b"split"))


@pytest.mark.parametrize("app", [_raises, _returns, _swears])
def test_an_application_that_fails_before_its_answer_is_a_500(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    """The visitor gets an answer, the author the reason."""
    with caplog.at_level(logging.ERROR):
        stream = run(app)

    assert (stream.status, stream.ended, stream.was_reset) == (500, True, None)
    assert "the application" in caplog.text


def test_an_application_that_fails_within_its_answer_breaks_it_off() -> None:
    """What has been sent must not look complete."""
    stream = run(_raises_late)

    assert (stream.was_reset, stream.ended) == (ErrorCode.H3_INTERNAL_ERROR, False)


def test_a_cancelled_application_breaks_its_answer_off() -> None:
    """So ends what has not ended by itself when the server stops."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"x", more=True))
        await asyncio.Event().wait()

    async def go() -> None:
        stream = FakeStream()
        exchange = exchange_on(stream)
        task = asyncio.ensure_future(party.run(exchange, app, lambda _: None))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,))
        assert stream.was_reset == ErrorCode.H3_INTERNAL_ERROR

    asyncio.run(go())


def test_sending_to_a_client_that_has_gone_is_an_os_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As ASGI has it; and an application that does not care leaves no traceback."""
    seen: list[BaseException] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        try:
            await send(start())
        except OSError as error:
            seen.append(error)
            raise

    stream = run(app, prepare=lambda exchange: exchange.disconnected())
    assert isinstance(seen[0], ClientDisconnectedError)
    assert (stream.heads, stream.was_reset) == ([], None)
    assert caplog.text == ""


KINDS = sorted({kind for _, kind in ALLOWED} | {"http.response.unknown"})


async def _reach(stage: Stage, exchange: Exchange) -> None:
    """Bring a response to *stage*."""
    trailers = stage is Stage.TRAILERS
    head: Message = {**start(), "trailers": trailers}
    steps: dict[Stage, list[Message]] = {
        Stage.START: [],
        Stage.HEAD: [head],
        Stage.BODY: [head, body(b"x", more=True)],
        Stage.TRAILERS: [head, body(b"x")],
        Stage.DONE: [head, body(b"x")],
    }
    for message in steps[stage]:
        await exchange.send(message)
    assert exchange.stage is stage


@pytest.mark.parametrize(("stage", "kind"), [*itertools.product(Stage, KINDS)])
def test_every_message_at_every_stage_is_taken_or_refused(
    stage: Stage, kind: str, tmp_path: Path
) -> None:
    """The table decides, and nothing else."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    message = {
        "type": kind,
        **({"status": 200} if kind == "http.response.start" else {}),
        **({"path": str(path)} if kind == "http.response.pathsend" else {}),
        **({"links": []} if kind == "http.response.early_hint" else {}),
    }

    async def go() -> None:
        exchange = exchange_on(FakeStream())
        exchange.input_ended()
        await _reach(stage, exchange)
        sending: Awaitable[None] = exchange.send(message)
        if (stage, kind) in ALLOWED:
            await sending
        else:
            with pytest.raises(RuntimeError, match="cannot be sent"):
                await sending

    asyncio.run(go())


def test_fields_of_another_protocol_are_left_out() -> None:
    """Applications say "connection: close", which HTTP/3 forbids (RFC 9114 4.2)."""
    stream = run(
        answering(start(Connection="close", transfer_encoding="chunked"), body())
    )

    assert stream.heads == [(200, [(b"server", b"test")])]
