"""The ASGI application that all ASGI servers of the comparison run.

GET /N answers with N bytes in pieces of 64 KiB; a body is read to its end and its length
is the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PIECE = bytes(64 * 1024)


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer one request."""
    if scope["type"] != "http":
        return
    size = 0
    if scope["method"] == "POST":
        while True:
            message = await receive()
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = str(size).encode("ascii")
        size, pieces = len(body), [body]
    else:
        size = int(scope["path"][1:] or 0)
        whole, rest = divmod(size, len(PIECE))
        pieces = [PIECE] * whole + ([PIECE[:rest]] if rest or not whole else [])
    headers = [(b"content-length", str(size).encode("ascii"))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number, piece in enumerate(pieces, start=1):
        await send(
            {
                "type": "http.response.body",
                "body": piece,
                "more_body": number < len(pieces),
            }
        )
