"""The applications that bench_requests.py has served: a path is how many bytes to answer.

Each does as little as its kind allows, so that what is measured is the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

_PIECE = bytes(1 << 16)
_SMALL = bytes(1024)
_HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"1024")]


async def minimal(scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401
    """Answer with a kilobyte, or with as much as is asked for, a piece at a time."""
    if scope["type"] != "http":
        # How ASGI has an application say that it takes no part in a lifespan.
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/1024":
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _SMALL})
        return
    left = int(scope["path"][1:])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while left:
        piece = _PIECE if left >= len(_PIECE) else _PIECE[:left]
        left -= len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": left > 0})


async def _hello(_request: Request) -> PlainTextResponse:
    return PlainTextResponse(_SMALL)


starlette = Starlette(routes=[Route("/1024", _hello)])
