"""What a server has to do for handshakes: datagrams that wait, connections half open.

Both are bounded, and neither knows aioquic or a clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from .addresses import Address

DATAGRAM_CNT_MAX: Final = 512
BYTES_MAX: Final = 1 << 20

ConnectionT = TypeVar("ConnectionT")


class Arrival(NamedTuple):
    """A datagram with a long header, and what the gate said of it."""

    data: bytes
    addr: Address
    verdict: int


class Arrivals:
    """Datagrams that wait for aioquic, by their destination connection ID.

    What came for one ID is worked off together, in its order, and so transmits once; the
    IDs take turns in the order of their first datagram.
    """

    __slots__ = ("_by_cid", "_cnt", "_size_bytes")

    def __init__(self) -> None:
        self._by_cid: dict[bytes, list[Arrival]] = {}
        self._cnt = 0
        self._size_bytes = 0

    def __len__(self) -> int:
        """Return how many datagrams wait."""
        return self._cnt

    @property
    def cid_cnt(self) -> int:
        """For how many connections, at most, there is something."""
        return len(self._by_cid)

    def add(self, cid: bytes, arrival: Arrival) -> bool:
        """Put a datagram at the end; False if there is no room."""
        size_bytes = self._size_bytes + len(arrival.data)
        if self._cnt >= DATAGRAM_CNT_MAX or size_bytes > BYTES_MAX:
            return False
        self._cnt += 1
        self._size_bytes = size_bytes
        self._by_cid.setdefault(cid, []).append(arrival)
        return True

    def pop(self) -> tuple[bytes, list[Arrival]]:
        """Take what waits for the ID that has waited longest.

        Raises:
            KeyError: nothing waits.
        """
        cid = next(iter(self._by_cid), None)
        if cid is None:
            raise KeyError
        arrivals = self._by_cid.pop(cid)
        self._cnt -= len(arrivals)
        self._size_bytes -= sum(len(arrival.data) for arrival in arrivals)
        return cid, arrivals

    def clear(self) -> None:
        """Drop everything."""
        self._by_cid.clear()
        self._cnt = 0
        self._size_bytes = 0


class Handshakes(Generic[ConnectionT]):
    """Connections in their handshake, in the order in which their time runs out."""

    __slots__ = ("_deadlines_s", "_timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._deadlines_s: dict[ConnectionT, float] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._deadlines_s)

    def __contains__(self, connection: object) -> bool:
        """Tell whether *connection* is in its handshake."""
        return connection in self._deadlines_s

    def begin(self, connection: ConnectionT, now_s: float) -> None:
        """Take note of a new one."""
        self._deadlines_s[connection] = now_s + self._timeout_s

    def end(self, connection: ConnectionT) -> None:
        """Forget one, however it went; harmless when repeated."""
        self._deadlines_s.pop(connection, None)

    def next_s(self) -> float | None:
        """Return when the time of the first one is over; None if there is none."""
        return next(iter(self._deadlines_s.values()), None)

    def take_expired(self, now_s: float) -> list[ConnectionT]:
        """Forget and return those whose time is over."""
        expired = []
        for connection, deadline_s in self._deadlines_s.items():
            if deadline_s > now_s:
                break
            expired.append(connection)
        for connection in expired:
            del self._deadlines_s[connection]
        return expired
