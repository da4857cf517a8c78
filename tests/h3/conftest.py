"""Two ends of HTTP/3 with a wire between them, and no QUIC."""

from __future__ import annotations

import pytest
from qxwires import Pair


@pytest.fixture
def pair() -> Pair:
    """Return a client and a server that have each other's settings."""
    return Pair()
