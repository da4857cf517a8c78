"""The slow twin: the event loop's own datagram transport behind our transport's face.

Used with io="asyncio" and wherever the C extension is missing.  It adds a clock, counters
and `get_extra_info("quicxdp")`, so that what runs on top need not know the difference.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from .alarm import LoopAlarm
from .config import Io
from .info import EndpointInfo
from .stats import LaneStats, Stats

if TYPE_CHECKING:
    from collections.abc import Callable

    from .addresses import Address
    from .admission import AdmissionStats
    from .clock import Clock
    from .config import EngineKind


class PlainTransport(asyncio.DatagramTransport):
    """A loop's datagram transport, with what quicxdp's own transport has besides."""

    # No __slots__: tests like to patch a method of one transport, as they can asyncio's.

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        inner: asyncio.DatagramTransport,
        protocol: asyncio.BaseProtocol,
        *,
        reason: str,
        address: Address | None,
    ) -> None:
        super().__init__()
        self._address = address
        self._inner = inner
        self._protocol = protocol
        self.clock: Clock = LoopAlarm(loop).clock
        self.rx_packets = 0
        self.rx_bytes = 0
        self.tx_packets = 0
        self.tx_bytes = 0
        self._extra: dict[str, Any] = {
            "quicxdp": EndpointInfo(
                io=Io.ASYNCIO, interface="", reason=reason, stats=self._stats
            )
        }

    def sendto(  # type: ignore[override]  # typeshed allows the addresses of AF_UNIX
        self, data: bytes | bytearray | memoryview, addr: Address | None = None
    ) -> None:
        """Send *data* to *addr*, or to the remote address of the endpoint."""
        if self._address is not None:
            if addr not in (None, self._address):
                raise ValueError(f"Invalid address: must be None or {self._address}")
            # The loop was given a socket, so it does not know about the address; it is
            # needed where allow_broadcast kept the socket from being connected.
            addr = None if self._inner.get_extra_info("peername") else self._address
        self._inner.sendto(data, addr)
        self.tx_packets += 1
        self.tx_bytes += len(data)

    def abort(self) -> None:
        """Close at once; what waits is lost."""
        self._inner.abort()

    def close(self) -> None:
        """Send what waits, then close."""
        self._inner.close()

    def is_closing(self) -> bool:
        """Tell whether the transport is closed or being closed."""
        return self._inner.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401
        """Return what asyncio's transport says, or our "quicxdp"."""
        if name in self._extra:
            return self._extra[name]
        return self._inner.get_extra_info(name, default)

    def note_engine(self, kind: EngineKind, reason: str) -> None:
        """Let `get_extra_info("quicxdp")` tell who handles connections here, and why."""
        self._extra["quicxdp"] = replace(
            self._extra["quicxdp"], engine=kind, engine_reason=reason
        )

    def note_admission(self, stats: Callable[[], AdmissionStats]) -> None:
        """Let `get_extra_info("quicxdp")` tell what a server admits."""
        self._extra["quicxdp"] = replace(self._extra["quicxdp"], admission=stats)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let *protocol* receive from now on."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that receives."""
        return self._protocol

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        """Set when pause_writing() and resume_writing() are called, in bytes."""
        cast("Any", self._inner).set_write_buffer_limits(high=high, low=low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return (low, high)."""
        limits: tuple[int, int] = cast("Any", self._inner).get_write_buffer_limits()
        return limits

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait because the kernel had no room."""
        size: int = cast("Any", self._inner).get_write_buffer_size()
        return size

    def _stats(self) -> Stats:
        lane = LaneStats(
            rx_packets=self.rx_packets,
            rx_bytes=self.rx_bytes,
            tx_packets=self.tx_packets,
            tx_bytes=self.tx_bytes,
        )
        return Stats(lanes={"asyncio": lane}, drops={}, frames={}, rings={})


class PlainProtocol(asyncio.DatagramProtocol):
    """What the loop's transport talks to: passes everything on to the user's protocol."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.BaseProtocol,
        *,
        reason: str,
        address: Address | None = None,
    ) -> None:
        self._loop = loop
        self._first = protocol
        self._reason = reason
        self._address = address
        self.transport: PlainTransport | None = None

    @property
    def _protocol(self) -> Any:  # noqa: ANN401
        assert self.transport is not None  # noqa: S101  # connection_made comes first
        return self.transport.get_protocol()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wrap the loop's transport."""
        self.transport = PlainTransport(
            self._loop,
            cast("asyncio.DatagramTransport", transport),
            self._first,
            reason=self._reason,
            address=self._address,
        )
        self._first.connection_made(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self._protocol.connection_lost(exc)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Pass it on, as a batch of one where the protocol takes batches."""
        transport = self.transport
        assert transport is not None  # noqa: S101  # connection_made comes first
        transport.rx_packets += 1
        transport.rx_bytes += len(data)
        protocol = cast("Any", transport.get_protocol())
        take_batch: Callable[[list[tuple[bytes, Address]]], object] | None = getattr(
            protocol, "datagrams_received", None
        )
        if take_batch is not None:
            take_batch([(data, addr)])
        else:
            protocol.datagram_received(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Pass it on."""
        self._protocol.error_received(exc)

    def pause_writing(self) -> None:
        """Pass it on."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._protocol.resume_writing()
