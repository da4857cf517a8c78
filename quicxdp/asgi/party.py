"""What is on a stream, an exchange or a WebSocket, and the life of its application."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from quicxdp.errors import ClientDisconnectedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from quicxdp.h3 import Fields

    from .types import App, Message, Scope

logger = logging.getLogger(__name__)


class Stream(Protocol):
    """What a party needs of the connection, by the ID of its stream."""

    def respond(
        self, stream_id: int, status: int, fields: Fields, data: bytes, *, end: bool
    ) -> None:
        """Send a head and the first content."""

    def send_interim(self, stream_id: int, status: int, fields: Fields) -> None:
        """Send a 1xx response."""

    def send_data(self, stream_id: int, data: bytes, *, end: bool) -> None:
        """Send more content."""

    def send_trailers(self, stream_id: int, fields: Fields) -> None:
        """Send fields behind the content, and the end."""

    def reset(self, stream_id: int, error_code: int) -> None:
        """Break our half off."""

    def stop(self, stream_id: int, error_code: int) -> None:
        """Want no more of the peer's half."""

    def consumed(self, stream_id: int, size_bytes: int) -> None:
        """Give the peer credit."""

    async def drain(self, stream_id: int, ahead_bytes: int) -> None:
        """Wait until less than that is waiting to be sent, or the stream is over."""

    def response_fields(self) -> Fields:
        """Return what every response has: date, server."""


class Party(Protocol):
    """Who has to do with what arrives on a stream, and what is told of it in the end."""

    stream_id: int
    scope: Scope
    started_s: float
    task: asyncio.Task[None] | None
    status: int
    sent_bytes: int
    received_bytes: int
    is_gone: bool
    outcome: str

    def data_received(self, data: bytes) -> None:
        """Take content."""

    def input_ended(self) -> None:
        """Take note that there is no more."""

    def disconnected(self) -> None:
        """Take note that the client has gone, or wants no answer."""

    async def receive(self) -> Message:
        """Return the next message for the application."""

    async def send(self, message: Message) -> None:
        """Take the next message of the application."""

    def returned(self) -> None:
        """End what the application has left open, and say so if it must not."""

    def break_off(self) -> None:
        """End what the application has not ended, because it failed."""


async def run(party: Party, app: App, finished: Callable[[Party], None]) -> None:
    """Let an application answer; whatever it does, the stream ends.

    Args:
        party: what it speaks to.
        app: the application.
        finished: told when it has returned.
    """
    try:
        await app(party.scope, party.receive, party.send)
    except asyncio.CancelledError:
        party.break_off()
        raise
    except ClientDisconnectedError:
        pass
    except Exception:
        logger.exception("the application failed: %s", name(party.scope))
        party.break_off()
    else:
        party.returned()
    finally:
        finished(party)


def name(scope: Scope) -> str:
    """Name a request for the log."""
    return f"{scope.get('method', 'WebSocket')} {scope['path']}"
