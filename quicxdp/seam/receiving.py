"""ReceivingConnection: packets in, events out, and what goes up to aioquic.

C opens short-header packets and handles its frames.  In the steady state nothing is left.
What is left (control frames, another path or connection ID, a drop with its reason, an
error) goes up: `receive_datagram` of aioquic runs, asks EnginePair to decrypt, and gets
what C found.  Everything else (long headers, unknown connection IDs) is aioquic's from
the start, and reaches C the same way if a 1-RTT or 0-RTT packet is in it.

Invariant: C has acknowledged a packet before it goes up, so nothing that goes up is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from aioquic.quic import events
from aioquic.quic.connection import NetworkAddress, QuicConnectionError

from quicxdp import _native_engine as native
from quicxdp.engine_time import from_ns

from .core import ONE_RTT, ZERO_RTT, SeamConnection
from .crypto import EnginePair
from .space import EngineSpace

if TYPE_CHECKING:
    from aioquic.quic.crypto import CryptoPair

    from quicxdp.engine import Event

_LONG_HEADER: Final = 0x80
_FIXED_BIT: Final = 0x40
# Packet number and sample behind the connection ID (RFC 9001 section 5.4.2).
_SHORT_HEADER_REST_BYTES: Final = 4 + 16
_NO_FRAME_TYPE: Final = 2**64 - 1


class Opened(NamedTuple):
    """What C made of a packet."""

    header: bytes = bytes([_FIXED_BIT])
    frames: bytes = b""
    number: int = 0
    probing: bool = False
    undecryptable: bool = False
    error: QuicConnectionError | None = None


class ReceivingConnection(SeamConnection):
    """The receiving half."""

    def __init__(self, **arguments: Any) -> None:  # noqa: ANN401
        super().__init__(**arguments)
        self._stash: Opened | None = None  # opened already, for decrypt_packet
        self._found: Opened | None = None  # by the call into C that is under way
        self._is_opening = False

    def _initialize(self, peer_cid: bytes) -> None:
        # Also after Retry and version negotiation: then C keeps its numbers (RFC 9000
        # section 17.2.5.3), and what it has sent did not arrive.
        super()._initialize(peer_cid)
        for epoch, number in (
            (ONE_RTT, native.EPOCH_ONE_RTT),
            (ZERO_RTT, native.EPOCH_ZERO_RTT),
        ):
            pair = EnginePair(self, number, self._cryptos[epoch])
            self._cryptos[epoch] = cast("CryptoPair", pair)
        self._spaces[ONE_RTT] = EngineSpace(self)
        self._loss.spaces = list(self._spaces.values())
        if not self.conn.closed:
            self.conn.lose_zero_rtt(self._now_ns)
            self.conn.teardown(native.EPOCH_ZERO_RTT, sending=True)
            self.conn.teardown(native.EPOCH_ZERO_RTT, sending=False)

    # Datagrams

    def receive_datagram(self, data: bytes, addr: NetworkAddress, now: float) -> None:
        """Handle a datagram from *addr*."""
        self._enter(now)
        if self._is_for_engine(data, addr):
            self._receive_short_header(data, addr, now)
        else:
            self._receive_up(data, addr, now)
        self._sync()

    def _receive_up(
        self, data: bytes, addr: NetworkAddress, now: float, stash: Opened | None = None
    ) -> None:
        self._dirty = True
        self._stash = stash
        super().receive_datagram(data, addr, now)
        self._stash = None

    def _is_for_engine(self, data: bytes, addr: NetworkAddress) -> bool:
        if self.conn.closed or not data:
            return False
        cid_len_bytes = self._configuration.connection_id_length
        if (
            data[0] & (_LONG_HEADER | _FIXED_BIT) != _FIXED_BIT
            or len(data) <= cid_len_bytes + _SHORT_HEADER_REST_BYTES
        ):
            return False
        cid = data[1 : 1 + cid_len_bytes]
        if cid != self.host_cid and all(known.cid != cid for known in self._host_cids):
            return False
        # RFC 9000 section 9: a client takes nothing from an unknown server address.
        return not self._is_client or any(
            path.addr == addr for path in self._network_paths
        )

    def _receive_short_header(
        self, data: bytes, addr: NetworkAddress, now: float
    ) -> None:
        off_bytes = 1 + self._configuration.connection_id_length
        path = self._network_paths[0] if self._network_paths else None
        if path is None or path.addr != addr or not path.is_validated:
            # aioquic has to look at every such packet: to count its bytes, or to move.
            epoch = native.EPOCH_ONE_RTT | native.RECEIVE_UP
        else:
            epoch = native.EPOCH_ONE_RTT
        found, has_keys = self._open(epoch, data, off_bytes)
        if found is not None or not has_keys:
            self._receive_up(data, addr, now, found)

    # Packets

    def opened(self, epoch: int, packet: bytes, off_bytes: int) -> Opened | None:
        """Return what C made of a packet that aioquic came upon; None without keys."""
        stash, self._stash = self._stash, None
        if stash is not None:
            return stash
        found, has_keys = self._open(epoch | native.RECEIVE_UP, packet, off_bytes)
        if not has_keys:
            return None
        # C had no memory for it, or the connection has failed: as if it had been lost.
        return found or Opened(undecryptable=True)

    def _open(
        self, epoch: int, packet: bytes, off_bytes: int
    ) -> tuple[Opened | None, bool]:
        if self.conn.closed:
            return None, False
        self._found = None
        self._is_opening = True
        rc = self.conn.receive(epoch, packet, off_bytes, self._now_ns)
        self._engine.pump()
        self._is_opening = False
        return self._found, rc >= 0

    def close_for(self, error: QuicConnectionError) -> None:
        """Close the connection because the peer has broken the protocol."""
        self._logger.warning(error)
        self._dirty = True
        self.close(
            error_code=error.error_code,
            frame_type=error.frame_type,
            reason_phrase=error.reason_phrase,
        )

    def begin_key_update(self) -> None:
        """Begin a key update, or let C begin it as soon as it may."""
        if not self.conn.closed:
            self.conn.update_key(self._now_ns)

    # Events of the engine

    def engine_event(self, event: Event) -> None:
        """Take an event of the engine."""
        if not self.conn.closed:
            getattr(self, _HANDLERS[event[0]])(event)

    def _on_stream_data(self, event: Event) -> None:
        _, flags, stream_id, _, data, _, _ = event
        # An empty place: its stream was stopped after the event had been announced.
        if not data and not flags & native.FIN:
            return
        if self._sink is not None:
            self._sink.receive(stream_id, data, bool(flags & native.FIN))
        else:
            self._events.append(
                events.StreamDataReceived(
                    data=data, end_stream=bool(flags & native.FIN), stream_id=stream_id
                )
            )

    def _on_stream_reset(self, event: Event) -> None:
        _, _, stream_id, error_code, _, _, _ = event
        if self._sink is not None:
            self._sink.receive_reset(stream_id, error_code)
        else:
            self._events.append(events.StreamReset(error_code, stream_id))

    def _on_stop_sending(self, event: Event) -> None:
        _, _, stream_id, error_code, _, _, _ = event
        if self._sink is not None:
            self._sink.receive_stop(stream_id, error_code)
        else:
            self._events.append(events.StopSendingReceived(error_code, stream_id))
        self._has_drained(stream_id)  # our half has been reset in answer

    def _on_datagram_frame(self, event: Event) -> None:
        if self._sink is not None:
            self._sink.receive_datagram(event[4])
        else:
            self._events.append(events.DatagramFrameReceived(data=event[4]))

    def _on_released(self, event: Event) -> None:
        self._held.pop(event[3], None)

    def _on_drained(self, event: Event) -> None:
        self._has_drained(event[2])

    def _on_control_acked(self, event: Event) -> None:
        self._dirty = True
        self._control.resolve(event[3], acked=True)

    def _on_control_lost(self, event: Event) -> None:
        self._dirty = True
        self._control.resolve(event[3], acked=False)

    def _on_first_ack(self, event: Event) -> None:  # noqa: ARG002
        self._loss.peer_completed_address_validation = True

    def _on_key_updated(self, event: Event) -> None:
        trigger = "remote_update" if event[1] & native.BY_PEER else "local_update"
        pair = cast("EnginePair", self._cryptos[ONE_RTT])
        pair.recv.updated(trigger)
        pair.send.updated(trigger)

    def _on_error(self, event: Event) -> None:
        _, _, frame_type, code, reason, _, _ = event
        error = QuicConnectionError(
            error_code=code,
            # aioquic's own code has None too where there is no frame type.
            frame_type=cast("int", None if frame_type == _NO_FRAME_TYPE else frame_type),
            reason_phrase=reason.decode(),
        )
        if self._is_opening:
            self._found = Opened(error=error)
        else:
            self.close_for(error)

    def _on_upcall(self, event: Event) -> None:
        _, flags, size_bytes, number, data, path, time_ns = event
        header_len, frames_len, largest = native.UPCALL.unpack_from(data)
        start = native.UPCALL.size
        header = data[start : start + header_len]
        found = Opened(
            header=header,
            frames=data[start + header_len : start + header_len + frames_len],
            number=number,
            probing=bool(flags & native.PROBING),
            undecryptable=bool(flags & native.UNDECRYPTABLE),
        )
        self.is_duplicate = bool(flags & native.DUPLICATE)
        self.largest_before = -1 if largest == native.NONE_RECEIVED else largest
        if self._is_opening:
            self._found = found
        elif self._engine.book is not None:
            # From the datapath, so aioquic has not seen the datagram yet: it reads the
            # header and counts the bytes.
            self._now_ns = time_ns
            datagram = header.ljust(size_bytes, b"\x00")
            addr = self._engine.book.peer(path)
            self._receive_up(datagram, addr, from_ns(time_ns), found)
            self._sync()

    def _on_stream_gone(self, event: Event) -> None:
        pass

    def _on_nothing(self, event: Event) -> None:
        pass


# The method for each enum qx_event_type, from 0.
_HANDLERS: Final = (
    "_on_nothing",
    "_on_stream_data",
    "_on_stream_reset",
    "_on_stop_sending",
    "_on_datagram_frame",
    "_on_released",
    "_on_drained",
    "_on_stream_gone",
    "_on_control_acked",
    "_on_control_lost",
    "_on_upcall",
    "_on_nothing",  # DATAGRAM_UP: the engine's owner has it
    "_on_error",
    "_on_first_ack",
    "_on_key_updated",
    "_on_nothing",  # LOST
)
