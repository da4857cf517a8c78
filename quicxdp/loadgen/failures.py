"""How a run can fail."""

from __future__ import annotations

from enum import Enum
from typing import Any


class Failure(Enum):
    """Kinds of failures, for who reads the report by program."""

    SILENT = "silent"  # nothing has come for too long
    REFUSED = "refused"  # the network says that there is nobody
    CLOSED = "closed"  # the server has ended a connection
    ANSWER = "answer"  # an answer was an error, or not what was asked for
    TICKETS = "tickets"  # the server gives no session tickets
    LOCAL = "local"  # it cannot be done on this machine


class LoadError(Exception):
    """A run has failed; the text says how.

    Attributes:
        kind: the same in a word.
        partial: the report of what was done until then, if anything was.
    """

    def __init__(self, text: str, kind: Failure = Failure.LOCAL) -> None:
        super().__init__(text)
        self.kind = kind
        self.partial: dict[str, Any] | None = None
