"""The lifespan of an application: told once when the server starts and when it ends.

The scope's `state` is filled by the application at startup; every request gets a shallow
copy of it.
"""

from __future__ import annotations

import asyncio
import logging
from enum import Enum
from typing import TYPE_CHECKING, Any

from quicxdp.errors import ApplicationError

if TYPE_CHECKING:
    from .types import App, Message

logger = logging.getLogger(__name__)

ASGI_VERSION = "3.0"


class LifespanMode(Enum):
    """Whether an application must take part."""

    AUTO = "auto"  # one that raises at startup goes without
    ON = "on"  # one that raises ends the start
    OFF = "off"  # it is not asked


class Lifespan:
    """Starts and ends one application.

    Attributes:
        state: what the application has put into the scope's state.
    """

    def __init__(self, app: App, mode: LifespanMode = LifespanMode.AUTO) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._mode = mode
        self._task: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._answer: asyncio.Future[Message] | None = None

    async def start(self) -> None:
        """Let the application start; waits for as long as that takes.

        Raises:
            ApplicationError: it has failed, or takes no part though it must.
        """
        if self._mode is LifespanMode.OFF:
            return
        self._task = asyncio.get_running_loop().create_task(self._run())
        message = await self._ask("startup")
        if message is None:
            error = self._failure()
            if self._mode is LifespanMode.ON:
                raise ApplicationError(
                    f"the application does not take part in lifespan: {error!r}; "
                    f"--lifespan auto goes on without"
                ) from error
            logger.info("the application takes no part in lifespan: %r", error)
            self.state.clear()
        elif message["type"] == "lifespan.startup.failed":
            await self._end()
            reason = message.get("message") or "it gives no reason"
            raise ApplicationError(f"the application has not started: {reason}")

    async def stop(self) -> None:
        """Let the application end; what goes wrong is logged."""
        if self._task is None or self._task.done():
            return
        message = await self._ask("shutdown")
        if message is None:
            error = self._failure()
            if error is not None:
                logger.error("the application failed to shut down", exc_info=error)
        elif message["type"] == "lifespan.shutdown.failed":
            logger.error(
                "the application failed to shut down: %s",
                message.get("message") or "no reason",
            )
        await self._end()

    async def _ask(self, what: str) -> Message | None:
        """Send the message; return the answer, or None if the application ended."""
        assert self._task is not None  # noqa: S101  (callers have started it)
        self._answer = asyncio.get_running_loop().create_future()
        self._messages.put_nowait({"type": f"lifespan.{what}"})
        await asyncio.wait(
            (self._task, self._answer), return_when=asyncio.FIRST_COMPLETED
        )
        answer, self._answer = self._answer, None
        return answer.result() if answer.done() else None

    async def _end(self) -> None:
        """Give the task one turn to return by itself, then end it."""
        assert self._task is not None  # noqa: S101
        await asyncio.sleep(0)
        self._task.cancel()
        await asyncio.wait((self._task,))
        self._failure()

    def _failure(self) -> BaseException | None:
        task = self._task
        return None if task is None or task.cancelled() else task.exception()

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": ASGI_VERSION, "spec_version": "2.0"},
            "state": self.state,
        }
        await self._app(scope, self._messages.get, self._send)

    async def _send(self, message: Message) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(message)
            return
        raise RuntimeError(f"{message['type']} answers nothing that was asked")
