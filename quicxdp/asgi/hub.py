"""What all connections of a server share: the application, its limits, its counters."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from quicxdp.h3 import Fields

    from .access import AccessLog
    from .connection import AsgiProtocol
    from .types import App


@dataclass(slots=True)
class Counts:
    """What has happened since the start; metrics.py says what each counts.

    Attributes:
        responses: by HTTP version and first digit of the status; 0 stands for those that
            were broken off before they had one.
    """

    connections: int = 0
    requests: int = 0
    websockets: int = 0
    refused_busy: int = 0
    disconnects: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    request_seconds: float = 0.0
    responses: dict[tuple[str, int], int] = field(default_factory=dict)

    def responded(self, http_version: str, status: int) -> None:
        """Count a response."""
        key = (http_version, status // 100)
        self.responses[key] = self.responses.get(key, 0) + 1


@dataclass(slots=True)
class Hub:
    """One application and everything that serves it.

    Attributes:
        state: of the lifespan; each scope gets a copy.
        limit_concurrency: so many applications run at once; the next request is told 503.
        active_cnt: how many run.
    """

    app: App
    root_path: str = ""
    state: dict[str, Any] = field(default_factory=dict)
    limit_concurrency: int | None = None
    server_name: bytes = b"quicxdp"
    access: AccessLog | None = None
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    active_cnt: int = 0
    counts: Counts = field(default_factory=Counts)
    is_draining: bool = False
    connections: set[AsgiProtocol] = field(default_factory=set)
    idle_changed: asyncio.Event = field(default_factory=asyncio.Event)
    _fields: Fields = field(default_factory=list)
    _fields_s: int = -1

    @property
    def is_busy(self) -> bool:
        """Whether another request would be one too many."""
        limit = self.limit_concurrency
        return limit is not None and self.active_cnt >= limit

    def response_fields(self) -> Fields:
        """Return what every response has; the date is made anew once a second."""
        now_s = int(self.wall_clock())
        if now_s != self._fields_s:
            self._fields_s = now_s
            self._fields = [
                (b"date", formatdate(now_s, usegmt=True).encode()),
                (b"server", self.server_name),
            ]
        return self._fields
