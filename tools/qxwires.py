"""A QUIC connection that only writes down what it is told, and two of them joined.

For tests and benchmarks of HTTP/3 alone.  aioquic's `H3Connection` runs on it as well.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from quicxdp.errors import StreamEndedError
from quicxdp.h3 import Connection, H3Config

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quicxdp.h3 import Event

__all__ = ["GET", "Pair", "Wire"]

GET = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"localhost"),
    (b":path", b"/"),
]


class Wire:
    """What `Connection`, and aioquic's `H3Connection`, call.

    Attributes:
        sent: (stream, data, ended) in order; taken by `Pair.run` or a test.
        resets: error codes by stream.
        stops: the same, of STOP_SENDING.
        datagrams: payloads.
        closed: error code and reason, once closed.
    """

    _quic_logger = None
    _remote_max_datagram_frame_size = 65536

    def __init__(self, *, is_client: bool) -> None:
        self.configuration = SimpleNamespace(is_client=is_client)
        kind = 0 if is_client else 1
        self._next = {False: kind, True: kind | 2}
        self.sent: list[tuple[int, bytes, bool]] = []
        self.resets: dict[int, int] = {}
        self.stops: dict[int, int] = {}
        self.datagrams: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.ended: set[int] = set()

    def get_next_available_stream_id(self, is_unidirectional: bool = False) -> int:  # noqa: FBT001, FBT002  (aioquic's signature)
        """Return the next ID."""
        return self._next[is_unidirectional]

    def send_stream_data(
        self,
        stream_id: int,
        data: bytes,
        end_stream: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Write down; refuse what QUIC refuses."""
        if stream_id in self.ended or stream_id in self.resets:
            raise StreamEndedError("Cannot send data on a finished stream")
        for kind, next_id in self._next.items():
            if stream_id >= next_id and stream_id % 4 == next_id % 4:
                self._next[kind] = stream_id + 4
        if end_stream:
            self.ended.add(stream_id)
        self.sent.append((stream_id, data, end_stream))

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """Write down."""
        self.resets.setdefault(stream_id, int(error_code))

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        """Write down."""
        self.stops.setdefault(stream_id, int(error_code))

    def send_datagram_frame(self, data: bytes) -> None:
        """Write down."""
        self.datagrams.append(data)

    def close(
        self, error_code: int = 0, frame_type: int | None = None, reason_phrase: str = ""
    ) -> None:
        """Write down."""
        assert frame_type is None
        self.closed = self.closed or (int(error_code), reason_phrase)

    def take(self, stream_id: int) -> bytes:
        """Return what was sent on a stream, and forget it."""
        data = b"".join(data for at, data, _ in self.sent if at == stream_id)
        self.sent = [item for item in self.sent if item[0] != stream_id]
        return data


class Pair:
    """A client and a server.

    Attributes:
        client_wire: what the client has sent.
        server_wire: what the server has.
        client: that end.
        server: the other.
    """

    def __init__(
        self, server: H3Config | None = None, client: H3Config | None = None
    ) -> None:
        self.client_wire, self.server_wire = Wire(is_client=True), Wire(is_client=False)
        self.credit: dict[int, int] = {}
        self.client = Connection(self.client_wire, is_client=True, config=client)
        self.server = Connection(
            self.server_wire, is_client=False, config=server, credit=self._credit
        )
        self.run()
        self.take()

    def _credit(self, stream_id: int, size_bytes: int) -> None:
        assert size_bytes > 0
        self.credit[stream_id] = self.credit.get(stream_id, 0) + size_bytes

    def run(self, piece_bytes: int | None = None) -> None:
        """Carry what both have sent, in pieces of a size, until both are silent."""
        while self.client_wire.sent or self.server_wire.sent:
            for wire, other in (
                (self.client_wire, self.server),
                (self.server_wire, self.client),
            ):
                sent, wire.sent = wire.sent, []
                feed(other, sent, piece_bytes)
        for wire, other in (
            (self.client_wire, self.server),
            (self.server_wire, self.client),
        ):
            for data in wire.datagrams:
                other.receive_datagram(data)
            wire.datagrams.clear()

    def take(self) -> tuple[list[Event], list[Event]]:
        """Return the events of client and server."""
        return self.client.take_events(), self.server.take_events()

    def to_server(self, stream_id: int, data: bytes, *, ended: bool = False) -> list[Any]:
        """Give bytes to the server; return what it tells."""
        self.server.receive(stream_id, data, ended)
        return self.server.take_events()

    def to_client(self, stream_id: int, data: bytes, *, ended: bool = False) -> list[Any]:
        """Give bytes to the client; return what it tells."""
        self.client.receive(stream_id, data, ended)
        return self.client.take_events()


def feed(
    end: Connection,
    sent: Iterable[tuple[int, bytes, bool]],
    piece_bytes: int | None = None,
) -> None:
    """Give *sent* to an end, in pieces."""
    for stream_id, data, ended in sent:
        step = piece_bytes or max(len(data), 1)
        starts = range(0, max(len(data), 1), step)
        for start in starts:
            last = start == starts[-1]
            end.receive(stream_id, data[start : start + step], ended and last)
