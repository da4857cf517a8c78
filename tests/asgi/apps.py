"""Applications that several tests have served."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quicxdp.asgi.types import Receive, Scope, Send


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what was sent, and what the scope says."""
    if scope["type"] != "http":
        raise NotImplementedError
    content = b""
    more = True
    while more:
        message = await receive()
        content += message["body"]
        more = message["more_body"]
    said = f"{scope['http_version']} {scope['path']} {scope['state']}"
    headers = [
        (b"content-length", b"%d" % len(content)),
        (b"x-scope", said.encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
