"""The companion on TCP: the same application over HTTP/1.1 and HTTP/2, by Hypercorn.

A browser comes by TCP first and finds HTTP/3 by the field `alt-svc` of what it gets
there (RFC 7838).  Hypercorn serves TCP and nothing else: lifespan, signals, certificates
and the access log are ours.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, Any, Final

from quicxdp.errors import UnavailableError

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from .hub import Hub
    from .types import App, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

# A day: how long a browser remembers that there is HTTP/3 on the port.
_ALT_SVC_MAX_AGE_S: Final = 86400
_BACKLOG: Final = 256
# What it may take Hypercorn to end beyond the grace of its connections.
_STOP_EXTRA_S: Final = 1.0


def require() -> None:
    """Find out whether Hypercorn is installed.

    Raises:
        UnavailableError: it is not, with what to install.
    """
    try:
        import hypercorn  # noqa: F401, PLC0415  (optional)
    except ImportError:
        raise UnavailableError(
            "HTTP/1.1 and HTTP/2, by which browsers find HTTP/3, need Hypercorn: "
            "pip install 'quicxdp[asgi]', or serve with --http3-only"
        ) from None


def new_context() -> ssl.SSLContext:
    """Return a context for HTTP/1.1 and HTTP/2, without certificates yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RFC 9113 section 9.2: of TLS 1.2 only suites with forward secrecy and AEAD.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def shared(app: App, hub: Hub) -> App:
    """Return *app* as Hypercorn calls it: with our lifespan, state, limits and log."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _stand_in_lifespan(receive, send)
            return
        scope["state"] = hub.state.copy()
        if hub.root_path:
            scope["root_path"] = hub.root_path
            scope["path"] = hub.root_path + scope["path"]
            scope["raw_path"] = hub.root_path.encode() + scope["raw_path"]
        await _Observed(hub, scope, receive, send).run(app)

    return call


def alone(app: App) -> App:
    """Return *app*, which knows nothing of a lifespan, as Hypercorn calls it."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _stand_in_lifespan(receive, send)
        else:
            await app(scope, receive, send)

    return call


async def _stand_in_lifespan(receive: Receive, send: Send) -> None:
    # The application has been started once, for all protocols.
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


class _Observed:
    """One request or WebSocket over TCP, counted and logged as over QUIC."""

    def __init__(self, hub: Hub, scope: Scope, receive: Receive, send: Send) -> None:
        self._hub = hub
        self._scope = scope
        self._receive = receive
        self._send = send
        self._status = 0
        self._sent_bytes = 0
        self._received_bytes = 0

    async def run(self, app: App) -> None:
        """Let *app* answer."""
        hub, scope = self._hub, self._scope
        if hub.is_busy and scope["type"] == "http":
            hub.counts.refused_busy += 1
            app = _busy
        started_s = hub.clock()
        if scope["type"] == "websocket":
            hub.counts.websockets += 1
        else:
            hub.counts.requests += 1
        hub.active_cnt += 1
        outcome = "failed"
        try:
            await app(scope, self._take, self._give)
            outcome = "ok"
        finally:
            hub.active_cnt -= 1
            hub.counts.responded(scope["http_version"], self._status)
            hub.counts.request_bytes += self._received_bytes
            hub.counts.response_bytes += self._sent_bytes
            hub.counts.request_seconds += hub.clock() - started_s
            if hub.access is not None:
                hub.access.write(
                    scope,
                    status=self._status,
                    sent_bytes=self._sent_bytes,
                    received_bytes=self._received_bytes,
                    started_s=started_s,
                    outcome=outcome,
                    path_facts=lambda: {"lane": "tcp"},
                )

    async def _take(self) -> Message:
        message = await self._receive()
        self._received_bytes += _content_bytes(message)
        return message

    async def _give(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message["status"]
        elif kind == "websocket.accept":
            self._status = 101
        self._sent_bytes += _content_bytes(message)
        await self._send(message)


def _content_bytes(message: Message) -> int:
    # A WebSocket's has text or bytes, and the other may be there as None.
    if text := message.get("text"):
        return len(text.encode())
    return len(message.get("body") or message.get("bytes") or b"")


async def _busy(_scope: Scope, _receive: Receive, send: Send) -> None:
    content = b"The server is busy; try again.\n"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(content)),
        (b"retry-after", b"1"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class TcpCompanion:
    """Hypercorn in this event loop, on sockets of ours."""

    def __init__(
        self,
        app: App,
        sockets: Sequence[socket.socket],
        *,
        context: ssl.SSLContext | None,
        alt_svc_port: int | None = None,
        grace_s: float = 0.0,
    ) -> None:
        """Make one.

        Args:
            app: called for every request, and for a lifespan of Hypercorn's own.
            sockets: bound TCP sockets; closed with the companion.
            context: of TLS; None for plain HTTP.
            alt_svc_port: where HTTP/3 is, for the field `alt-svc`.
            grace_s: what answers under way may take after a stop.
        """
        self._app = app
        self._sockets = list(sockets)
        self._context = context
        self._alt_svc_port = alt_svc_port
        self._grace_s = grace_s
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where the first socket listens."""
        host, port = self._sockets[0].getsockname()[:2]
        return host, port

    def start(self) -> None:
        """Listen from now on; connections wait until Hypercorn has started."""
        for sock in self._sockets:
            sock.setblocking(False)  # noqa: FBT003
            sock.listen(_BACKLOG)
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(_report)

    async def stop(self) -> None:
        """Take no more connections; let answers under way finish, within the grace."""
        if self._task is not None:
            self._stop.set()
            await asyncio.wait((self._task,), timeout=self._grace_s + _STOP_EXTRA_S)
            if not self._task.done():
                self._task.cancel()
                await asyncio.wait((self._task,))
        for sock in self._sockets:
            sock.close()

    async def _run(self) -> None:
        from hypercorn.asyncio import serve  # noqa: PLC0415  (optional, and 0.2 s)

        await serve(
            self._app,  # type: ignore[arg-type]  # its types of messages are stricter
            self._hypercorn_config(),
            shutdown_trigger=self._stop.wait,
            mode="asgi",
        )

    def _hypercorn_config(self) -> Any:  # noqa: ANN401
        from hypercorn.config import Config, Sockets  # noqa: PLC0415

        context, sockets = self._context, self._sockets

        class OurConfig(Config):
            """Hypercorn's, with sockets and certificates from here."""

            ssl_enabled = context is not None

            def create_sockets(self) -> Sockets:
                """Return ours."""
                return Sockets(
                    secure_sockets=sockets if context else [],
                    insecure_sockets=[] if context else sockets,
                    quic_sockets=[],
                )

            def create_ssl_context(self) -> ssl.SSLContext | None:
                """Return ours."""
                return context

        config = OurConfig()
        config.graceful_timeout = self._grace_s
        config.shutdown_timeout = _STOP_EXTRA_S
        config.errorlog = logging.getLogger("quicxdp.asgi.hypercorn")
        config.include_server_header = False
        if self._alt_svc_port is not None:
            config.alt_svc_headers = [
                f'h3=":{self._alt_svc_port}"; ma={_ALT_SVC_MAX_AGE_S}'
            ]
        return config


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("the companion on TCP has failed", exc_info=error)
