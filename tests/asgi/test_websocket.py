from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from wsproto import events
from wsproto.connection import Connection, ConnectionType

from quicxdp import h3
from quicxdp.asgi.lifespan import LifespanMode
from quicxdp.asgi.websocket import MESSAGE_BYTES_MAX, QUEUE_BYTES
from tests.asgi.h3_client import H3Client, h3_client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from starlette.websockets import WebSocket

    from quicxdp.asgi.server import Server
    from quicxdp.asgi.types import App, Message, Receive, Scope, Send
    from tests.asgi.conftest import ServeApp


class Peer:
    """A client's WebSocket."""

    def __init__(self, client: H3Client, *fields: tuple[bytes, bytes]) -> None:
        self.client = client
        self.stream_id = client.open_tunnel(b"websocket", b"/ws?x", *fields)
        self.framing = Connection(ConnectionType.CLIENT)
        self.ended = False
        self._events: list[events.Event] = []

    async def response(self) -> h3.ResponseReceived:
        """Wait for the head of the answer."""
        event = await self.client.queue(self.stream_id).get()
        assert isinstance(event, h3.ResponseReceived)
        self.ended = event.ended
        return event

    def write(self, data: bytes, *, end: bool = False) -> None:
        """Send bytes."""
        assert self.client.h3 is not None
        self.client.h3.send_data(self.stream_id, data, end=end)
        self.client.transmit()

    def send(self, event: events.Event) -> None:
        """Send a frame."""
        self.write(self.framing.send(event))

    async def next(self) -> events.Event:
        """Wait for a frame."""
        while not self._events:
            event = await self.client.queue(self.stream_id).get()
            assert isinstance(event, h3.DataReceived), event
            self.framing.receive_data(event.data)
            self._events += self.framing.events()
            self.ended = event.ended
        return self._events.pop(0)


def run(
    serve_app: ServeApp,
    pki: Path,
    app: App,
    test: Callable[[H3Client, Server], Awaitable[None]],
) -> None:
    """Serve *app* to *test*."""

    async def go() -> None:
        async with (
            serve_app(app, lifespan=LifespanMode.OFF) as server,
            h3_client(server.port, pki) as client,
        ):
            await test(client, server)

    asyncio.run(go())


async def echo_endpoint(websocket: WebSocket) -> None:
    """Accept, and send everything back."""
    await websocket.accept("chat", headers=[(b"x-mine", b"1")])
    async for text in websocket.iter_text():
        await websocket.send_text(f"{websocket.url.path}: {text}")


def test_a_websocket_of_starlette_talks_over_http3(
    serve_app: ServeApp, pki: Path
) -> None:
    """RFC 9220, through an application that knows nothing of it."""
    app: Any = Starlette(routes=[WebSocketRoute("/ws", echo_endpoint)])

    async def test(client: H3Client, server: Server) -> None:
        offered = (b"sec-websocket-protocol", b"chat, other")
        peer = Peer(client, (b"sec-websocket-version", b"13"), offered)
        response = await peer.response()
        assert response.status == 200
        fields = dict(response.fields)
        assert fields[b"sec-websocket-protocol"] == b"chat"
        assert fields[b"x-mine"] == b"1"
        for text in ("one", "ü" * 100_000):
            peer.send(events.TextMessage(text))
            parts = []
            while True:
                event = await peer.next()
                assert isinstance(event, events.TextMessage)
                parts.append(event.data)
                if event.message_finished:
                    break
            assert "".join(parts) == f"/ws: {text}"
        peer.send(events.Ping(b"there?"))
        assert await peer.next() == events.Pong(b"there?")
        peer.send(events.CloseConnection(1000, "bye"))
        assert await peer.next() == events.CloseConnection(1000, "bye")
        assert server.hub.counts.websockets == 1

    run(serve_app, pki, app, test)


def recording(*answers: Message, told: list[Message]) -> App:
    """Return an application that sends *answers*, then writes down what it receives."""

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        told.append(await receive())
        for message in answers:
            await send(message)
        while told[-1]["type"] != "websocket.disconnect":
            told.append(await receive())

    return app


def test_a_websocket_can_be_refused(serve_app: ServeApp, pki: Path) -> None:
    """By a status alone, or with an answer of the application's choice."""
    told: list[Message] = []
    plain = recording({"type": "websocket.close"}, told=told)
    start = {"type": "websocket.http.response.start", "status": 401}
    body = {"type": "websocket.http.response.body", "body": b"who?"}

    async def forbidden(client: H3Client, _server: Server) -> None:
        peer = Peer(client)
        assert (await peer.response()).status == 403
        assert peer.ended

    async def unauthorised(client: H3Client, _server: Server) -> None:
        peer = Peer(client)
        assert (await peer.response()).status == 401
        data = await client.queue(peer.stream_id).get()
        assert (data.data, data.ended) == (b"who?", True)

    run(serve_app, pki, plain, forbidden)
    run(serve_app, pki, recording(start, body, told=told), unauthorised)
    assert [message["type"] for message in told] == [
        "websocket.connect",
        "websocket.disconnect",
    ] * 2


ACCEPT = {"type": "websocket.accept"}


def test_the_application_may_close(serve_app: ServeApp, pki: Path) -> None:
    """With a code and a reason that the peer sees."""
    told: list[Message] = []
    close = {"type": "websocket.close", "code": 4001, "reason": "enough"}

    async def test(client: H3Client, _server: Server) -> None:
        peer = Peer(client)
        await peer.response()
        assert await peer.next() == events.CloseConnection(4001, "enough")

    run(serve_app, pki, recording(ACCEPT, close, told=told), test)
    assert told[-1] == {
        "type": "websocket.disconnect",
        "code": 4001,
        "reason": "enough",
    }


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\xff" * 20, 1002),  # no opcode of RFC 6455
        (b"\x81\x01a", 1002),  # a client must mask
        (b"\x81\x81\0\0\0\0\xff", 1007),  # not UTF-8
        (b"\x89\xfe\x01\x00\0\0\0\0", 1002),  # a ping that is too long
    ],
)
def test_broken_frames_end_the_websocket_and_nothing_else(
    serve_app: ServeApp, pki: Path, sent: bytes, code: int
) -> None:
    """The codes of RFC 6455 section 7.4.1."""
    told: list[Message] = []

    async def test(client: H3Client, _server: Server) -> None:
        peer = Peer(client)
        await peer.response()
        peer.write(sent)
        event = await peer.next()
        assert isinstance(event, events.CloseConnection)
        assert event.code == code
        other = Peer(client)
        assert (await other.response()).status == 200

    run(serve_app, pki, recording(ACCEPT, told=told), test)
    assert {m.get("code") for m in told if m["type"] == "websocket.disconnect"} >= {code}


def test_a_peer_that_sends_without_end_is_stopped(serve_app: ServeApp, pki: Path) -> None:
    """It gets credit only for what the application takes up."""
    go_on = asyncio.Event()
    total = 40 * 64 * 1024

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await go_on.wait()
        received = 0
        while received < total:
            received += len((await receive())["bytes"])
        await send({"type": "websocket.send", "text": str(received)})

    async def test(client: H3Client, server: Server) -> None:
        peer = Peer(client)
        await peer.response()
        for _ in range(40):
            peer.send(events.BytesMessage(bytes(64 * 1024)))
        (connection,) = server.hub.connections
        (socket,) = connection._parties.values()
        while socket.received_bytes < QUEUE_BYTES:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for _ in range(500):
            await asyncio.sleep(0)
        # The queue, the message that filled it, and a window that was open already.
        assert socket.received_bytes < total // 2
        go_on.set()
        assert await peer.next() == events.TextMessage(str(total))

    run(serve_app, pki, app, test)


def test_a_message_without_end_is_refused(
    serve_app: ServeApp, pki: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory for one message is bounded, by code 1009."""
    monkeypatch.setattr("quicxdp.asgi.websocket.MESSAGE_BYTES_MAX", 100_000)
    assert MESSAGE_BYTES_MAX > 100_000
    told: list[Message] = []

    async def test(client: H3Client, _server: Server) -> None:
        peer = Peer(client)
        await peer.response()
        for _ in range(4):
            peer.send(events.BytesMessage(bytes(30_000), message_finished=False))
        event = await peer.next()
        assert isinstance(event, events.CloseConnection)
        assert event.code == 1009

    run(serve_app, pki, recording(ACCEPT, told=told), test)


@pytest.mark.parametrize("how", ["end", "reset", "gone"])
def test_a_peer_that_leaves_without_a_word_is_1006(
    serve_app: ServeApp, pki: Path, how: str
) -> None:
    """However it leaves, the application hears of it."""
    told: list[Message] = []

    async def test(client: H3Client, _server: Server) -> None:
        peer = Peer(client)
        await peer.response()
        if how == "end":
            peer.write(b"", end=True)
        elif how == "reset":
            assert client.h3 is not None
            client.h3.reset(peer.stream_id, h3.ErrorCode.H3_REQUEST_CANCELLED)
            client.transmit()
        else:
            client.close()
        while not told or told[-1]["type"] != "websocket.disconnect":  # noqa: ASYNC110
            await asyncio.sleep(0)

    run(serve_app, pki, recording(ACCEPT, told=told), test)
    assert told[-1]["code"] == 1006


async def _raises(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise ValueError("a mistake")


async def _returns(_scope: Scope, _receive: Receive, _send: Send) -> None:
    return


async def _raises_open(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    raise ValueError("a mistake")


async def _returns_open(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)


async def _sends_unasked(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "websocket.send", "text": "too early"})


@pytest.mark.parametrize(
    ("app", "status", "code"),
    [
        (_raises, 500, None),
        (_returns, 500, None),
        (_sends_unasked, 500, None),
        (_raises_open, 200, 1011),
        (_returns_open, 200, 1000),
    ],
)
def test_an_application_that_fails_ends_its_websocket(
    serve_app: ServeApp, pki: Path, app: App, status: int, code: int | None
) -> None:
    """The peer learns what it is to learn, and does not wait for ever."""

    async def test(client: H3Client, _server: Server) -> None:
        peer = Peer(client)
        assert (await peer.response()).status == status
        if code is not None:
            event = await peer.next()
            assert isinstance(event, events.CloseConnection)
            assert event.code == code

    run(serve_app, pki, app, test)
