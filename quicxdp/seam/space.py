"""EngineSpace: aioquic's inline code reads and writes a QuicPacketSpace; here it asks C.

What it reads after a packet went up is the state *before* that packet, because C has
recorded it by then: whether it was a duplicate, and the largest number received earlier.
What it writes goes nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aioquic.quic.recovery import QuicPacketSpace

if TYPE_CHECKING:
    from .receiving import ReceivingConnection


class _Nowhere:
    """Stands for the sets of numbers that C keeps."""

    def add(self, *_: object) -> None:
        """Take no note."""

    def shift(self) -> None:
        """Drop nothing."""

    def subtract(self, *_: object) -> None:
        """Drop nothing."""

    def __len__(self) -> int:
        return 0


class _Received(_Nowhere):
    """Stands for the window that detects duplicates."""

    def __init__(self, connection: ReceivingConnection) -> None:
        self._connection = connection

    def __contains__(self, packet_number: int) -> bool:
        return self._connection.is_duplicate


_NOWHERE = _Nowhere()


class EngineSpace(QuicPacketSpace):
    """Stands for the application data packet number space."""

    def __init__(self, connection: ReceivingConnection) -> None:
        self._connection = connection
        super().__init__(is_application_data=True)
        self.received_packets: Any = _Received(connection)

    # C acknowledges on its own: aioquic never sees an ACK due here.
    @property
    def ack_at(self) -> float | None:
        """When an ACK is due: never."""
        return None

    @ack_at.setter
    def ack_at(self, value: float | None) -> None:
        pass

    @property
    def ack_queue(self) -> Any:  # noqa: ANN401  # aioquic's type is a RangeSet
        """What was received and not acknowledged yet."""
        return _NOWHERE

    @ack_queue.setter
    def ack_queue(self, value: object) -> None:
        pass

    @property
    def largest_received_packet(self) -> int:
        """The largest number received before the packet that is being handled."""
        return self._connection.largest_before

    @largest_received_packet.setter
    def largest_received_packet(self, value: int) -> None:
        pass
