# ruff: noqa: SLF001  (reaching into aioquic is what this package is for)
"""SendingConnection: what aioquic sends in our space, and what the engine sends.

Going down: frames (`_collect` gives them to C), packets (aioquic builds them, EnginePair
seals them, `adopt` accounts for them) and payloads (C writes them, aioquic coalesces them
with its handshake packets).

aioquic is only asked for datagrams while it may have some: a call that finds nothing
costs it 5 µs, more than C needs for ten packets.  The flag for that is set by everything
that goes into aioquic, and it counts as set until the handshake is confirmed and while
the path is not validated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from aioquic.quic.connection import (
    END_STATES,
    NetworkAddress,
    QuicNetworkPath,
)
from aioquic.quic.packet import QuicErrorCode, QuicFrameType, QuicPacketType

from quicxdp import _native_engine as native
from quicxdp.engine_time import deadline
from quicxdp.errors import C_ENOBUFS

from .collector import Collector, Frame
from .core import ONE_RTT, ZERO_RTT
from .receiving import ReceivingConnection

if TYPE_CHECKING:
    from aioquic.quic.packet_builder import QuicPacketBuilder, QuicSentPacket

# All that aioquic sends in this space elicits an ACK and counts against the window.
_FRAME: Final = native.CTL_ELICITING | native.CTL_IN_FLIGHT
_PATH_FRAME: Final = _FRAME | native.CTL_URGENT | native.CTL_PAD
_PATH_FRAMES: Final = (QuicFrameType.PATH_CHALLENGE, QuicFrameType.PATH_RESPONSE)
# Besides the connection ID, the smallest packet with a PATH_CHALLENGE in it.
_PATH_PACKET_BYTES: Final = 1 + 2 + 9 + 16
# Less than this behind a handshake packet is not worth a packet.
_COALESCE_BYTES_MIN: Final = 16


class SendingConnection(ReceivingConnection):
    """The sending half, and timers."""

    # Entries into aioquic after which it has something to send

    def connect(self, addr: NetworkAddress, now: float) -> None:
        """Start the handshake."""
        self._enter(now)
        self._dirty = True
        super().connect(addr, now)
        self._sync()

    def close(
        self,
        error_code: int = QuicErrorCode.NO_ERROR,
        frame_type: int | None = None,
        reason_phrase: str = "",
    ) -> None:
        """Close the connection."""
        self._dirty = True
        super().close(error_code, frame_type, reason_phrase)

    def send_ping(self, uid: int) -> None:
        """Send a PING frame; PingAcknowledged tells when it has arrived."""
        self._dirty = True
        super().send_ping(uid)

    def change_connection_id(self) -> None:
        """Switch to another connection ID of the peer."""
        self._dirty = True
        super().change_connection_id()
        self._sync()

    # Datagrams out

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, NetworkAddress]]:
        """Return the datagrams to send, and where to."""
        self._enter(now)
        if self._may_aioquic_send():
            # Set again by whatever happens meanwhile.
            self._dirty = False
            self._sync()
            datagrams = super().datagrams_to_send(now)
            self._sync()
            return datagrams
        if self.conn.closed:
            return []
        return self._engine_datagrams(self._network_paths[0])

    def _may_aioquic_send(self) -> bool:
        return (
            self._dirty
            or not self._handshake_confirmed
            or not self._network_paths[0].is_validated
        )

    def _flush_builder(
        self,
        builder: QuicPacketBuilder,
        network_path: QuicNetworkPath,
        peer_cid: bytes,
        now: float,
    ) -> list[tuple[bytes, NetworkAddress]]:
        # aioquic sends on the active path first, then probes on others.
        datagrams = super()._flush_builder(
            builder=builder, network_path=network_path, peer_cid=peer_cid, now=now
        )
        if network_path is self._network_paths[0] and self._state not in END_STATES:
            self._sync()
            datagrams += self._engine_datagrams(network_path)
        return datagrams

    def _engine_datagrams(
        self, path: QuicNetworkPath
    ) -> list[tuple[bytes, NetworkAddress]]:
        # With a datapath the engine sends by itself, at the end of the turn; but not
        # while what aioquic sends depends on what it has sent, and the other way round.
        if not self._is_sans_io:
            self._engine.wake()
            if self._handshake_confirmed and path.is_validated:
                return []
        addr = path.addr
        datagrams = [(data, addr) for data in self.conn.send(self._now_ns)]
        self._engine.pump()
        return datagrams

    # Frames

    def _write_application(
        self, builder: QuicPacketBuilder, network_path: QuicNetworkPath, now: float
    ) -> None:
        one_rtt = self._cryptos[ONE_RTT].send.is_valid()
        if one_rtt:
            self._collect(network_path, now)
        if not self._handshake_confirmed and builder._packet is not None:
            if one_rtt:
                self._coalesce(builder, QuicPacketType.ONE_RTT)
            elif self._cryptos[ZERO_RTT].send.is_valid():
                self._coalesce(builder, QuicPacketType.ZERO_RTT)

    def _collect(self, path: QuicNetworkPath, now: float) -> None:
        """Let aioquic write its frames, and give them to C."""
        if self._control.is_full or not path.can_send(
            _PATH_PACKET_BYTES + len(self._peer_cid.cid)
        ):
            # Not even one frame could go now.  A PATH_CHALLENGE that waits in C would
            # count as sent for aioquic, which would start to wait for the answer.
            self._dirty = True
            return
        conn = self.conn
        collector = Collector(conn.stats()[conn.at.next_packet_number])
        super()._write_application(collector, path, now)  # type: ignore[arg-type]
        if collector.frames:
            self._log_collected(collector)
        for frame in collector.frames:
            self._push(frame)

    def _push(self, frame: Frame) -> None:
        handlers = () if frame.handler is None else (frame.handler,)
        token = self._control.add(handlers)
        flags = _PATH_FRAME if frame.type in _PATH_FRAMES else _FRAME
        rc = self.conn.push_control(frame.data, token, flags)
        if rc == -C_ENOBUFS:
            # The peer makes us answer and does not let the answers out.
            self._control.resolve(token, acked=False)
        elif rc < 0:
            raise MemoryError("the engine had no memory for a frame")

    def _log_collected(self, collector: Collector) -> None:
        if self._quic_logger is not None:
            self._quic_logger.log_event(
                category="transport",
                event="packet_sent",
                data={
                    "frames": collector.quic_logger_frames,
                    "header": {
                        "packet_number": collector.packet_number,
                        "packet_type": self._quic_logger.packet_type(
                            QuicPacketType.ONE_RTT
                        ),
                        "scid": "",
                        "dcid": self._peer_cid.cid.hex(),
                    },
                    "raw": {"length": sum(len(f.data) for f in collector.frames)},
                },
            )

    # Packets

    def _coalesce(self, builder: QuicPacketBuilder, packet_type: QuicPacketType) -> None:
        """Let aioquic seal frames of C behind the handshake packet that it is building.

        Without, every flight of a handshake would take one more datagram.
        """
        pair = self._cryptos[
            ZERO_RTT if packet_type == QuicPacketType.ZERO_RTT else ONE_RTT
        ]
        builder.start_packet(packet_type, pair)
        if builder._packet_start == 0:
            return  # a datagram of its own: C does that better
        room_bytes = builder.remaining_flight_space
        if room_bytes < _COALESCE_BYTES_MIN:
            return
        self._sync()
        frames, flags = self.conn.fill(self._now_ns, room_bytes)
        if frames:
            # The first byte is a frame's type, for which start_frame sets flags.
            builder.start_frame(frames[0], capacity=len(frames)).push_bytes(frames[1:])
            packet = cast("QuicSentPacket", builder._packet)
            packet.is_ack_eliciting = bool(flags & native.CTL_ELICITING)
            packet.in_flight = bool(flags & native.CTL_IN_FLIGHT)
            packet.delivery_handlers = _COALESCED

    def adopt(self, packet: QuicSentPacket) -> None:
        """Account for a packet that aioquic built and C sealed."""
        if self.conn.closed:
            return
        flags = native.CTL_ELICITING if packet.is_ack_eliciting else 0
        token = 0
        if packet.delivery_handlers is _COALESCED:
            flags |= native.CTL_IN_FLIGHT if packet.in_flight else 0
        elif packet.delivery_handlers:
            # A probe on another path, which is not limited by this one's window.
            token = self._control.add(packet.delivery_handlers)
        self.conn.adopt(packet.sent_bytes, flags, token, self._now_ns)

    # Time

    def get_timer(self) -> float | None:
        """Return when `handle_timer` wants to be called."""
        if self.conn.closed or self._state in END_STATES:
            return super().get_timer()
        if self._is_sans_io:
            self._sync_idle()
            at_s = self._aioquic_timer()
            engine_ns = self.conn.deadline_ns()
            if engine_ns != native.NEVER_NS and at_s is not None:
                return min(at_s, deadline(engine_ns))
            return at_s
        # The engine has its deadlines in the endpoint's clock.  The idle timeout that
        # aioquic knows may be an old one: then it moves when it comes.
        return self._aioquic_timer()

    def _aioquic_timer(self) -> float | None:
        if self._handshake_confirmed and self._network_paths[0].is_validated:
            # Nothing is left to aioquic but the idle timeout.
            self._loss_at = None
            return self._close_at
        return super().get_timer()

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._enter(now)
        if not self.conn.closed:
            self._sync_idle()
        super().handle_timer(now)
        if not self.conn.closed and self._state not in END_STATES and self._is_sans_io:
            self.conn.handle_timer(self._now_ns)
            self._engine.pump()
        self._sync()


# Marks packets whose frames are C's: it knows what became of them.
_COALESCED: Final[list[Any]] = []
