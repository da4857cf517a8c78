"""What `transport.get_extra_info("quicxdp")` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .admission import AdmissionStats
    from .config import EngineKind, Io
    from .stats import Stats


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """How an endpoint's datagrams travel, and why so.

    Attributes:
        io: the lane in use: `Io.SOCKET`, `Io.XDP` (with the socket as second lane),
            `Io.HYBRID` or `Io.ASYNCIO`.
        interface: the interface of the XDP lane, or several with commas, or "".
        reason: why that lane, in words.
        stats: returns the counters of now.
        engine: who handles the packets of QUIC connections here, NATIVE or AIOQUIC; None
            for an endpoint of another protocol.
        engine_reason: why that one, in words.
        admission: returns what a server counts of what belongs to no connection; None
            for other endpoints.
    """

    io: Io
    interface: str
    reason: str
    stats: Callable[[], Stats]
    engine: EngineKind | None = None
    engine_reason: str = ""
    admission: Callable[[], AdmissionStats] | None = None
