"""One connection in the C engine: a typed method per C function, and nothing else.

Invariants:
  - A call of the application is one call into C.
  - A connection that was closed answers from its last statistics and sends nothing.
  - Time comes in as an argument, in nanoseconds.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

from . import _native
from . import _native_engine as native

if TYPE_CHECKING:
    from ._native import CData
    from .engine import Engine

# A UDP payload fits in, and so do 64 datagrams of an Ethernet's size.
_SCRATCH_BYTES: Final = 128 * 1024
_DATAGRAM_CNT: Final = 64


class _Scratch(threading.local):
    """Memory for the length of one call; per thread, as C runs without the GIL."""

    @cached_property
    def area(self) -> native.Scratch:
        """The memory; made when needed, since the package also works without C."""
        return native.Scratch(_SCRATCH_BYTES, _DATAGRAM_CNT)


_scratch = _Scratch()


@dataclass(frozen=True, slots=True)
class ConnectionStats:
    """What a connection has done; struct qx_conn_stats."""

    tx_packets: int
    rx_packets: int
    tx_bytes: int
    rx_bytes: int
    acked_packets: int
    lost_packets: int
    lost_bytes: int
    spurious_losses: int
    ptos: int
    persistent_congestions: int
    key_updates: int
    duplicates: int
    undecryptable: int
    up_packets: int
    control_frames: int
    rtt_latest_ns: int
    rtt_smoothed_ns: int
    rtt_variance_ns: int
    rtt_min_ns: int
    cwnd_bytes: int
    ssthresh_bytes: int
    in_flight_bytes: int
    unsent_bytes: int
    streams: int
    memory_bytes: int
    ecn_rx: tuple[int, int, int, int]
    ecn_tx_acked: tuple[int, int, int, int]


_STATS_FIELDS: Final = tuple(field.name for field in fields(ConnectionStats))


class StatsIndex:
    """Where the fields of struct qx_conn_stats stand that the seam reads often."""

    def __init__(self, index: dict[str, int]) -> None:
        self.all = index
        self.largest_received = index["largest_received"]
        self.next_packet_number = index["next_packet_number"]
        self.last_open_ns = index["last_open_ns"]
        self.first_eliciting_ns = index["first_eliciting_ns"]
        self.cwnd_bytes = index["cwnd_bytes"]
        self.in_flight_bytes = index["in_flight_bytes"]
        self.rtt_latest_ns = index["rtt_latest_ns"]
        self.rtt_smoothed_ns = index["rtt_smoothed_ns"]
        self.rtt_variance_ns = index["rtt_variance_ns"]
        self.rtt_min_ns = index["rtt_min_ns"]


class Conn:
    """One struct qx_conn.

    Attributes:
        number: its number in the engine.
        at: where the statistics stand in `stats()`.
    """

    def __init__(self, engine: Engine, number: int, c: CData) -> None:
        """Take over the open *c*; use `Engine.open`."""
        self._engine = engine
        self._lib = native.lib()
        self._c: CData | None = c
        self.number = number
        self.at = engine.at
        self._last_stats = memoryview(b"").cast("Q")

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._c is None

    def close(self) -> None:
        """Forget the connection; buffers that it held are the caller's again."""
        if self._c is None:
            return
        self._last_stats = memoryview(bytes(self.stats())).cast("Q")
        c, self._c = self._c, None
        self._engine.forget(self.number)
        self._lib.qx_conn_close(c)

    def __del__(self) -> None:
        if getattr(self, "_c", None) is not None:
            self.close()

    def _live(self) -> CData:
        if self._c is None:
            raise RuntimeError("this connection is closed")
        return self._c

    # Identity and path

    def add_cid(self, cid: bytes) -> None:
        """Let short headers with our connection ID *cid* lead here."""
        rc = self._lib.qx_conn_add_cid(self._live(), cid, len(cid))
        _native.check(rc, "adding a connection ID")

    def remove_cid(self, cid: bytes) -> None:
        """Undo `add_cid`."""
        self._lib.qx_conn_remove_cid(self._live(), cid, len(cid))

    def set_peer_cid(self, cid: bytes) -> None:
        """Write *cid* as destination from now on."""
        rc = self._lib.qx_conn_set_peer_cid(self._live(), cid, len(cid))
        _native.check(rc, "setting the peer's connection ID")

    def set_host_cid(self, cid: bytes) -> None:
        """Expect *cid* as destination of what the peer sends."""
        self._lib.qx_conn_set_host_cid(self._live(), cid, len(cid))

    def set_path(self, raw: bytes) -> None:
        """Send to *raw*, a struct qx_path."""
        self._lib.qx_conn_set_path(self._live(), native.path(raw))

    def reset_path(self, now_ns: int) -> None:
        """Start congestion control and RTT anew."""
        self._lib.qx_conn_reset_path(self._live(), now_ns)

    def abandon_path(self, first_pn: int) -> None:
        """Expect nothing of the packets from *first_pn* on: the path was none."""
        self._lib.qx_conn_abandon_path(self._live(), first_pn)

    def set_budget(self, budget_bytes: int) -> None:
        """Send at most so much; `NO_LIMIT` once the path is validated."""
        self._lib.qx_conn_set_budget(self._live(), budget_bytes)

    def budget(self) -> int:
        """Return what is left of the budget."""
        return self._lib.qx_conn_budget(self._live())

    # Keys

    def set_secret(
        self, epoch: int, *, sending: bool, cipher_suite: int, version: int, secret: bytes
    ) -> None:
        """Install the keys of a TLS traffic secret."""
        rc = self._lib.qx_conn_set_secret(
            self._live(), epoch, sending, cipher_suite, version, secret, len(secret)
        )
        _native.check(rc, "installing keys")

    def teardown(self, epoch: int, *, sending: bool) -> None:
        """Forget keys."""
        if self._c is not None:
            self._lib.qx_conn_teardown(self._c, epoch, sending)

    def has_keys(self, epoch: int, *, sending: bool) -> bool:
        """Tell whether there are keys."""
        return self._c is not None and bool(
            self._lib.qx_conn_has_keys(self._c, epoch, sending)
        )

    def update_key(self, now_ns: int) -> int:
        """Ask for a key update; 0, or -errno while one is not allowed."""
        return self._lib.qx_conn_update_key(self._live(), now_ns)

    def key_phase(self, *, sending: bool) -> int:
        """Return the key phase bit."""
        return self._lib.qx_conn_key_phase(self._live(), sending)

    # Handshake

    def set_peer_limits(self, **limits: int) -> None:
        """Tell the peer's limits; *limits* are fields of struct qx_peer_limits."""
        self._lib.qx_conn_set_peer_limits(self._live(), native.limits(**limits))

    def set_complete(self, now_ns: int) -> None:
        """Tell that the handshake is complete."""
        self._lib.qx_conn_set_complete(self._live(), now_ns)

    def set_confirmed(self, cwnd_bytes: int, now_ns: int) -> None:
        """Tell that it is confirmed, and what window it has ended with."""
        self._lib.qx_conn_set_confirmed(self._live(), cwnd_bytes, now_ns)

    def lose_zero_rtt(self, now_ns: int) -> None:
        """Send 0-RTT data again: the server has not seen it."""
        self._lib.qx_conn_lose_zero_rtt(self._live(), now_ns)

    def reject_zero_rtt(self, now_ns: int, **limits: int) -> None:
        """Send 0-RTT data again within *limits*, which replace those remembered."""
        rc = self._lib.qx_conn_reject_zero_rtt(
            self._live(), native.limits(**limits), now_ns
        )
        _native.check(rc, "rejecting 0-RTT")

    def set_foreign_in_flight(self, size_bytes: int) -> None:
        """Tell what aioquic has in flight."""
        self._lib.qx_conn_set_foreign_in_flight(self._live(), size_bytes)

    def set_foreign_window(self, cwnd_bytes: int) -> None:
        """Tell how far aioquic's window has opened during the handshake."""
        self._lib.qx_conn_set_foreign_window(self._live(), cwnd_bytes)

    def set_rtt(
        self, latest_ns: int, smoothed_ns: int, variance_ns: int, min_ns: int
    ) -> None:
        """Take over an estimate."""
        if self._c is not None:
            rtts = (latest_ns, smoothed_ns, variance_ns, min_ns)
            self._lib.qx_conn_set_rtt(self._c, *rtts)

    # Packets

    def receive(self, epoch: int, packet: bytes, off_bytes: int, now_ns: int) -> int:
        """Open a packet, its packet number at *off_bytes*; see qx_conn_receive."""
        area = _scratch.area
        size = len(packet)
        area.buffer[:size] = packet
        return self._lib.qx_conn_receive(
            self._live(), epoch, area.cdata, size, off_bytes, 0, now_ns
        )

    def send(self, now_ns: int) -> list[bytes]:
        """Return the datagrams that may go now."""
        area = _scratch.area
        lens, buffer = area.ints, area.buffer
        datagrams: list[bytes] = []
        while True:
            out = (area.cdata, area.size, area.ints_cdata, _DATAGRAM_CNT)
            cnt = self._lib.qx_conn_send(self._live(), now_ns, *out)
            off = 0
            for size in lens[: max(cnt, 0)]:
                datagrams.append(buffer[off : off + size])
                off += size
            # Fewer than asked for, and not for want of room: that was all.
            if cnt < _DATAGRAM_CNT and off <= area.size // 2:
                return datagrams

    def deadline_ns(self) -> int:
        """Return when `handle_timer` wants to be called, or `NEVER_NS`."""
        return self._lib.qx_conn_deadline(self._live())

    def handle_timer(self, now_ns: int) -> None:
        """Do what is due."""
        self._lib.qx_conn_handle_timer(self._live(), now_ns)

    # The way down

    def push_control(self, frame: bytes, token: int, flags: int) -> int:
        """Send a frame of aioquic's; 0 or -errno."""
        return self._lib.qx_conn_push_control(
            self._live(), frame, len(frame), token, flags
        )

    def seal_foreign(self, header: bytes, payload: bytes) -> bytes:
        """Seal a packet of aioquic's under our next packet number."""
        area = _scratch.area
        rc = self._lib.qx_conn_seal_foreign(
            self._live(),
            header,
            len(header),
            payload,
            len(payload),
            area.cdata,
            area.long_cdata,
        )
        return cast("bytes", area.buffer[: _native.check(rc, "sealing a packet")])

    def adopt(self, size_bytes: int, flags: int, token: int, now_ns: int) -> int:
        """Account for the oldest packet sealed so; 0 or -errno."""
        return self._lib.qx_conn_adopt(self._live(), size_bytes, flags, token, now_ns)

    def fill(self, now_ns: int, room_bytes: int) -> tuple[bytes, int]:
        """Return the frames of one packet for aioquic to coalesce, and their flags."""
        area = _scratch.area
        size = self._lib.qx_conn_fill(
            self._live(), now_ns, room_bytes, area.cdata, area.ints_cdata
        )
        return area.buffer[: max(size, 0)], area.ints[0] if size > 0 else 0

    # Streams and datagrams

    def next_stream_id(self, *, unidirectional: bool) -> int:
        """Return the ID of the stream that would be opened next."""
        return self._lib.qx_conn_next_stream_id(self._live(), unidirectional)

    def write(self, stream_id: int, data: bytes, *, fin: bool, token: int) -> int:
        """Queue data; 0 or -errno.  Token 0 copies, others hold *data* until RELEASED."""
        return self._lib.qx_stream_write(
            self._live(), stream_id, data, len(data), fin, token
        )

    def reset(self, stream_id: int, error_code: int) -> int:
        """End our half of a stream; 0 or -errno."""
        return self._lib.qx_stream_reset(self._live(), stream_id, error_code)

    def stop(self, stream_id: int, error_code: int) -> int:
        """Want no more of the peer's half; 0 or -errno."""
        return self._lib.qx_stream_stop(self._live(), stream_id, error_code)

    def set_manual_consume(self, *, manual: bool) -> None:
        """Give credit only by `consume`, for what arrives from now on."""
        self._lib.qx_conn_set_manual_consume(self._live(), manual)

    def set_window_max(self, window_max_bytes: int) -> None:
        """Let the windows of streams opened from now on grow to this at most."""
        self._lib.qx_conn_set_window_max(self._live(), window_max_bytes)

    def consume(self, stream_id: int, size_bytes: int) -> int:
        """Give credit for data that was used up; 0 or -errno."""
        return self._lib.qx_stream_consume(self._live(), stream_id, size_bytes)

    def buffered(self, stream_id: int) -> int:
        """Return how much was written and not sent yet."""
        return self._lib.qx_stream_buffered(self._live(), stream_id)

    def unacknowledged(self, stream_id: int) -> int:
        """Return how much was written and not acknowledged yet."""
        return self._lib.qx_stream_unacknowledged(self._live(), stream_id)

    def stream_state(self, stream_id: int) -> int:
        """Return what is left to do on a stream, enum qx_stream_flags."""
        return self._lib.qx_stream_state(self._live(), stream_id)

    def undelivered(self) -> int:
        """Return how many requests have not been answered to the last byte."""
        return self._lib.qx_conn_undelivered(self._live())

    def set_low_mark(self, stream_id: int, low_bytes: int) -> int:
        """Ask for DRAINED once; 0 or -errno."""
        return self._lib.qx_stream_set_low_mark(self._live(), stream_id, low_bytes)

    def send_datagram(self, data: bytes) -> int:
        """Queue a DATAGRAM frame; 0 or -errno."""
        return self._lib.qx_conn_send_datagram(self._live(), data, len(data))

    # Statistics

    def stats(self) -> memoryview:
        """Return struct qx_conn_stats as integers; `at` says where they stand."""
        if self._c is None:
            return self._last_stats
        stats = self._engine.stats
        self._lib.qx_conn_get_stats(self._c, stats.cdata)
        return stats.values

    def all_stats(self) -> ConnectionStats:
        """Return the statistics under their names."""
        values = self.stats()
        index = self.at.all
        found: dict[str, Any] = {name: values[index[name]] for name in _STATS_FIELDS}
        for name in ("ecn_rx", "ecn_tx_acked"):
            found[name] = tuple(values[index[name] : index[name] + 4])
        return ConnectionStats(**found)
