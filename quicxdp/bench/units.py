"""What costs are divided by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Unit:
    """One kind of work.

    Attributes:
        name: as it stands in the names of figures.
        is_bytes: a gigabyte, for which costs are seconds; or a request or a handshake,
            for which they are microseconds.
    """

    name: str
    is_bytes: bool = False


GIGABYTE: Final = Unit("gb", is_bytes=True)
REQUEST: Final = Unit("request")
HANDSHAKE: Final = Unit("handshake")
