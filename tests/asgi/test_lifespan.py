from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from quicxdp.asgi.lifespan import Lifespan, LifespanMode
from quicxdp.errors import ApplicationError

if TYPE_CHECKING:
    from quicxdp.asgi.types import Message, Receive, Scope, Send


class Recorder:
    """An application that takes part, and writes down what it was told."""

    def __init__(self, **answers: Message) -> None:
        self.told: list[str] = []
        self.answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as told at the start."""
        assert scope["type"] == "lifespan"
        scope["state"]["base"] = 1
        for what in ("startup", "shutdown"):
            message = await receive()
            self.told.append(message["type"])
            await send(self.answers.get(what, {"type": f"lifespan.{what}.complete"}))


def test_an_application_is_told_of_start_and_end_and_its_state_is_kept() -> None:
    """A pool opened at startup is there for every request and closed at the end."""

    async def run() -> None:
        app = Recorder()
        lifespan = Lifespan(app, LifespanMode.ON)
        await lifespan.start()
        assert lifespan.state == {"base": 1}
        assert app.told == ["lifespan.startup"]
        await lifespan.stop()
        assert app.told == ["lifespan.startup", "lifespan.shutdown"]
        await lifespan.stop()

    asyncio.run(run())


async def _without(scope: Scope, _receive: Receive, _send: Send) -> None:
    raise NotImplementedError(scope["type"])


async def _returns(_scope: Scope, _receive: Receive, _send: Send) -> None:
    return


@pytest.mark.parametrize("app", [_without, _returns])
def test_an_application_without_lifespan_is_served_unless_it_must_have_one(
    app: object,
) -> None:
    """Applications may know nothing of lifespan; --lifespan on tells of it."""

    async def run() -> None:
        lifespan = Lifespan(app)  # type: ignore[arg-type]
        await lifespan.start()
        await lifespan.stop()
        with pytest.raises(ApplicationError, match="does not take part"):
            await Lifespan(app, LifespanMode.ON).start()  # type: ignore[arg-type]
        off = Lifespan(app, LifespanMode.OFF)  # type: ignore[arg-type]
        await off.start()
        await off.stop()

    asyncio.run(run())


def test_a_failed_startup_ends_the_start_with_its_reason() -> None:
    """A server without its database must not come up."""

    async def run() -> None:
        app = Recorder(startup={"type": "lifespan.startup.failed", "message": "no db"})
        with pytest.raises(ApplicationError, match="no db"):
            await Lifespan(app).start()

    asyncio.run(run())


def test_a_failed_shutdown_is_logged_and_hinders_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The end of the server does not depend on the application's goodwill."""

    async def run() -> None:
        app = Recorder(shutdown={"type": "lifespan.shutdown.failed", "message": "busy"})
        lifespan = Lifespan(app)
        await lifespan.start()
        with caplog.at_level(logging.ERROR):
            await lifespan.stop()

    asyncio.run(run())
    assert "busy" in caplog.text


def test_an_application_that_raises_at_the_end_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its traceback is what its author needs."""

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise ValueError("at the end")

    async def run() -> None:
        lifespan = Lifespan(app)
        await lifespan.start()
        with caplog.at_level(logging.ERROR):
            await lifespan.stop()

    asyncio.run(run())
    assert "at the end" in caplog.text
