"""What an HTTP/3 server remembers: of itself, and of each request under way."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Callable

    from .h3_server import H3ServerProtocol
    from .responder import Responder


@dataclass(slots=True)
class ServerState:
    """What all connections of a server share."""

    responder: Responder
    open_files_max: int
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    server_name: bytes = b"quicxdp"
    open_file_cnt: int = 0
    request_cnt: int = 0
    is_draining: bool = False
    connections: set[H3ServerProtocol] = field(default_factory=set)
    idle_changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Exchange:
    """One request and its answer."""

    started_s: float
    method: bytes = b"-"
    target: bytes = b"-"
    status: int = 0
    answered_bytes: int = 0
    received_bytes: int = 0
    holds_file: bool = False
    counts_body: bool = False
    digest: hashlib._Hash | None = None  # of the body so far, if that is the answer
    is_answered: bool = False  # the head of the answer is on its way
    is_done: bool = False  # the answer is complete, or given up
    is_input_ended: bool = False
