"""JointRecovery: aioquic's recovery of the handshake, sharing RTT and window with C.

Round trips are measured by both: aioquic sees the ACKs of Initial and Handshake packets,
C those of 1-RTT packets.  There is one estimate, and C has it.  The congestion window is
aioquic's until the handshake is confirmed, with room for what C has in flight, and C's
from then on.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from aioquic.quic.recovery import QuicPacketRecovery

from quicxdp.engine_time import from_ns, to_ns

if TYPE_CHECKING:
    from aioquic.quic.packet_builder import QuicSentPacket
    from aioquic.quic.recovery import QuicPacketSpace

    from .core import SeamConnection

_LATEST: Final = 0
_SMOOTHED: Final = 1
_VARIANCE: Final = 2
_MIN: Final = 3
_INITIALIZED: Final = 4


class _Rtt:
    """An attribute of the estimate: C's, or that of a sample being taken."""

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, recovery: JointRecovery, owner: type | None = None) -> Any:  # noqa: ANN401
        values = recovery.draft
        return (recovery.rtt() if values is None else values)[self._index]

    def __set__(self, recovery: JointRecovery, value: float) -> None:
        # Outside of a sample only the constructor sets them, to what is true of C too.
        if recovery.draft is not None:
            recovery.draft[self._index] = value


class NullPacer:
    """Paces nothing: C paces its packets, and the handshake is too short for it."""

    def next_send_time(self, now: float) -> float | None:
        """Return when the next packet may go: now."""

    def update_after_send(self, now: float) -> None:
        """Take no note of a packet."""

    def update_rate(self, congestion_window: int, smoothed_rtt: float) -> None:
        """Take no note of a rate."""


class JointRecovery(QuicPacketRecovery):
    """Recovery of Initial and Handshake packets beside the engine's."""

    # What `_log_metrics_updated` and the PTO read, and `on_ack_received` writes.
    _rtt_latest = _Rtt(_LATEST)
    _rtt_smoothed = _Rtt(_SMOOTHED)
    _rtt_variance = _Rtt(_VARIANCE)
    _rtt_min = _Rtt(_MIN)
    _rtt_initialized = _Rtt(_INITIALIZED)

    def __init__(self, connection: SeamConnection, **config: Any) -> None:  # noqa: ANN401
        self.draft: list[float] | None = None
        self._connection = connection
        super().__init__(**config)
        self._pacer: Any = NullPacer()

    def rtt(self) -> list[float]:
        """Return C's estimate: latest, smoothed, variance, shortest; is there one."""
        conn = self._connection.conn
        values, at = conn.stats(), conn.at
        smallest = values[at.rtt_min_ns]
        if smallest in (0, 2**64 - 1):  # no sample yet
            return [0.0, 0.0, 0.0, math.inf, False]
        return [
            from_ns(values[at.rtt_latest_ns]),
            from_ns(values[at.rtt_smoothed_ns]),
            from_ns(values[at.rtt_variance_ns]),
            from_ns(smallest),
            True,
        ]

    def on_ack_received(self, **ack: Any) -> None:  # noqa: ANN401
        """Handle an ACK of Initial or Handshake packets; C gets the sample."""
        self.draft = self.rtt()
        try:
            super().on_ack_received(**ack)
        finally:
            draft, self.draft = self.draft, None
        if draft[_INITIALIZED]:
            self._connection.conn.set_rtt(
                *(to_ns(value) for value in draft[:_INITIALIZED])
            )

    @property
    def bytes_in_flight(self) -> int:
        """What is in flight in all spaces."""
        conn = self._connection.conn
        ours = conn.stats()[conn.at.in_flight_bytes]
        return ours if self.handshake_confirmed else ours + self._cc.bytes_in_flight

    @property
    def congestion_window(self) -> int:
        """The window that they share."""
        if not self.handshake_confirmed:
            return self._cc.congestion_window
        conn = self._connection.conn
        return conn.stats()[conn.at.cwnd_bytes]

    def on_packet_sent(self, *, packet: QuicSentPacket, space: QuicPacketSpace) -> None:
        """Take note of a packet; C of those that it has sealed."""
        if space.is_application_data:
            self._connection.adopt(packet)
        else:
            super().on_packet_sent(packet=packet, space=space)

    @property
    def handshake_bytes_in_flight(self) -> int:
        """What aioquic has in flight."""
        return self._cc.bytes_in_flight

    @property
    def handshake_window(self) -> int:
        """The window that the handshake has ended with."""
        return self._cc.congestion_window
