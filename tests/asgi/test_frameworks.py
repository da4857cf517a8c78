"""Applications of real frameworks, over HTTP/3 and over the companion on TCP."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import django
import fastapi
import pytest
import quart
from django.conf import settings as django_settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path as django_path
from starlette.applications import Starlette
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    StreamingResponse,
)
from starlette.routing import Route

from quicxdp.cli.body import Body
from tests.asgi.conftest import ServeApp, http1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from starlette.requests import Request

    from quicxdp.asgi.types import App
    from tests.asgi.conftest import Connect

pytestmark = pytest.mark.long

PIECES = [b"piece %d\n" % number for number in range(100)]


async def pieces() -> AsyncIterator[bytes]:
    """Make content a piece at a time."""
    for piece in PIECES:
        yield piece
        await asyncio.sleep(0)


def starlette_app(file: Path) -> App:
    """Every kind of answer that Starlette has."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, str]]:
        yield {"greeting": "hello"}

    async def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{request.state.greeting} {request.url.scheme}")

    async def echo(request: Request) -> JSONResponse:
        content = await request.body()
        return JSONResponse({"length": len(content), "cookie": request.cookies.get("a")})

    async def stream(_request: Request) -> StreamingResponse:
        return StreamingResponse(pieces())

    async def send_file(_request: Request) -> FileResponse:
        return FileResponse(file)

    return Starlette(
        routes=[
            Route("/hello", hello),
            Route("/echo", echo, methods=["POST"]),
            Route("/stream", stream),
            Route("/file", send_file),
        ],
        lifespan=lifespan,
    )


def fastapi_app(_file: Path) -> App:
    """Validation and a route in a thread."""
    app = fastapi.FastAPI()

    @app.get("/hello", response_class=fastapi.responses.PlainTextResponse)
    def hello(scheme: str = "https") -> str:  # a thread's
        return f"hello {scheme}"

    @app.post("/echo")
    async def echo(request: fastapi.Request) -> dict[str, Any]:
        content = await request.body()
        return {"length": len(content), "cookie": request.cookies.get("a")}

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(pieces())

    return app


def quart_app(_file: Path) -> App:
    """The same for Quart."""
    app = quart.Quart(__name__)

    @app.get("/hello")
    async def hello() -> str:
        return f"hello {quart.request.scheme}"

    @app.post("/echo")
    async def echo() -> dict[str, Any]:
        content = await quart.request.get_data()
        return {"length": len(content), "cookie": quart.request.cookies.get("a")}

    @app.get("/stream")
    async def stream() -> quart.Response:
        return quart.Response(pieces())

    return cast("App", app)


def django_hello(request: HttpRequest) -> HttpResponse:
    """Answer in a thread, as Django's views are run."""
    return HttpResponse(f"hello {request.scheme}")


async def django_echo(request: HttpRequest) -> HttpResponse:
    """Answer with what came."""
    told = {"length": len(request.body), "cookie": request.COOKIES.get("a")}
    return HttpResponse(json.dumps(told))


async def django_stream(_request: HttpRequest) -> StreamingHttpResponse:
    """Answer piece by piece."""
    return StreamingHttpResponse(pieces())


urlpatterns = [
    django_path("hello", django_hello),
    django_path("echo", django_echo),
    django_path("stream", django_stream),
]


def django_app(_file: Path) -> App:
    """Make an application without a project around it."""
    if not django_settings.configured:
        django_settings.configure(
            ALLOWED_HOSTS=["*"],
            DEBUG=False,
            ROOT_URLCONF=__name__,
            SECRET_KEY="of a test",
            MIDDLEWARE=[],
        )
        django.setup(set_prefix=False)
    return cast("App", ASGIHandler())


FRAMEWORKS = [starlette_app, fastapi_app, quart_app, django_app]


@pytest.mark.parametrize("make", FRAMEWORKS)
def test_frameworks_answer_over_http3(
    serve_app: ServeApp,
    connect: Connect,
    tmp_path: Path,
    make: Callable[[Path], App],
) -> None:
    """Text, a body that is read, and an answer that is streamed."""
    sent = bytes(300_000)

    async def run() -> None:
        async with (
            serve_app(make(tmp_path)) as server,
            connect(server.port) as client,
        ):
            hello = await client.get("/hello")
            assert (hello.status, hello.body) == (200, b"hello https")
            response = client.send("/echo", "POST", body=Body((sent,)), cookie="a=1; b=2")
            echo = await client.answer(response)
            assert json.loads(echo.body) == {"length": len(sent), "cookie": "1"}
            stream = await client.get("/stream")
            assert stream.body == b"".join(PIECES)
            assert (await client.get("/absent")).status == 404
            head = await client.get("/stream", "HEAD")
            assert head.body == b""

    asyncio.run(run())


@pytest.mark.parametrize("make", FRAMEWORKS)
def test_frameworks_answer_over_tcp_at_the_same_time(
    serve_app: ServeApp,
    connect: Connect,
    pki: Path,
    tmp_path: Path,
    make: Callable[[Path], App],
) -> None:
    """The companion runs the same application, which was started once."""

    async def run() -> None:
        async with (
            serve_app(make(tmp_path), http3_only=False) as server,
            connect(server.port) as client,
        ):
            over_tcp, over_quic = await asyncio.gather(
                http1(server.port, pki, "/hello"), client.get("/hello")
            )
            assert over_tcp[2].endswith(b"hello https") or b"hello https" in over_tcp[2]
            assert over_quic.body == b"hello https"

    asyncio.run(run())


def test_a_file_of_starlette_goes_by_its_path(
    serve_app: ServeApp, connect: Connect, tmp_path: Path
) -> None:
    """FileResponse uses http.response.pathsend where a server has it."""
    file = tmp_path / "file.bin"
    file.write_bytes(bytes(range(256)) * 4000)

    async def run() -> None:
        async with (
            serve_app(starlette_app(file)) as server,
            connect(server.port) as client,
        ):
            answer = await client.get("/file")
            assert answer.body == file.read_bytes()
            assert (await client.get("/file", "HEAD")).body == b""
            part = await client.get("/file", range="bytes=10-19")
            assert (part.status, part.body) == (206, file.read_bytes()[10:20])

    asyncio.run(run())
