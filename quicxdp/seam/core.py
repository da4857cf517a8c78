# ruff: noqa: FBT001, FBT002  (signatures are aioquic's)
"""SeamConnection: what the engine is told, and when.

aioquic decides about connection IDs, paths, validation and the end; C has to know.
Instead of a hook at each of the many places where aioquic changes its mind, `_sync`
compares what C was told last with how things are, after every return from aioquic.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from aioquic import tls
from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.connection import END_STATES, QuicConnection, QuicConnectionError
from aioquic.quic.packet import (
    QuicErrorCode,
    QuicFrameType,
    pull_quic_transport_parameters,
)

from quicxdp import _native_engine as native
from quicxdp.engine import Engine
from quicxdp.engine_time import from_ns, to_ns
from quicxdp.errors import ConfigError

from .control import ControlTable
from .recovery import JointRecovery

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.connection import QuicNetworkPath
    from aioquic.quic.packet import QuicTransportParameters
    from aioquic.quic.packet_builder import QuicSentPacket

    from quicxdp.engine import Event
    from quicxdp.engine_conn import Conn

logger = logging.getLogger(__name__)

ONE_RTT: Final = tls.Epoch.ONE_RTT
ZERO_RTT: Final = tls.Epoch.ZERO_RTT
CONGESTION: Final = {"reno": 0, "cubic": 1}

# What the peer's transport parameters say unless they say something (RFC 9000 section
# 18.2).
_MAX_ACK_DELAY_MS: Final = 25
_ACK_DELAY_EXPONENT: Final = 3


def engine_config(configuration: QuicConfiguration) -> dict[str, int]:
    """Return *configuration* as fields of struct qx_conn_config.

    Raises:
        ConfigError: it asks for a congestion control that the engine does not have.
    """
    algorithm = configuration.congestion_control_algorithm
    if algorithm not in CONGESTION:
        raise ConfigError(
            f"congestion_control_algorithm={algorithm!r} is not in the engine, which has "
            f'{", ".join(CONGESTION)}; choose one of these, or engine="aioquic"'
        )
    return {
        "is_client": configuration.is_client,
        "cc": CONGESTION[algorithm],
        "cid_len_bytes": configuration.connection_id_length,
        "max_datagram_bytes": configuration.max_datagram_size,
        "max_data_bytes": configuration.max_data,
        "max_stream_data_bytes": configuration.max_stream_data,
        "max_datagram_frame_bytes": configuration.max_datagram_frame_size or 0,
        "initial_rtt_ns": to_ns(configuration.initial_rtt),
        "flags": native.CONN_REPORT_DROPS if configuration.quic_logger else 0,
    }


def promises(parameters: QuicTransportParameters) -> dict[str, int]:
    """Return what bounds 0-RTT data, as fields of struct qx_peer_limits."""
    return {
        "max_data": parameters.initial_max_data or 0,
        "max_stream_data_bidi_local": parameters.initial_max_stream_data_bidi_local or 0,
        "max_stream_data_bidi_remote": parameters.initial_max_stream_data_bidi_remote
        or 0,
        "max_stream_data_uni": parameters.initial_max_stream_data_uni or 0,
        "max_streams_bidi": parameters.initial_max_streams_bidi or 0,
        "max_streams_uni": parameters.initial_max_streams_uni or 0,
        "max_datagram_frame_bytes": parameters.max_datagram_frame_size or 0,
    }


def check_kept(remembered: dict[str, int], promised: dict[str, int]) -> None:
    """Check that a server that accepts 0-RTT has not lowered what bounds it.

    Raises:
        QuicConnectionError: it has, which RFC 9000 section 7.4.1 and RFC 9221 section 3
            forbid; what was sent may be beyond the new limits already.
    """
    for name, value in remembered.items():
        if promised[name] < value:
            raise QuicConnectionError(
                error_code=QuicErrorCode.PROTOCOL_VIOLATION,
                frame_type=QuicFrameType.CRYPTO,
                reason_phrase=f"0-RTT was accepted, but {name} fell below {value}",
            )


class StreamSink(Protocol):
    """Who takes what arrives on streams and in DATAGRAM frames as it comes."""

    def receive(self, stream_id: int, data: bytes, ended: bool, /) -> None:
        """Take data in order."""

    def receive_reset(self, stream_id: int, error_code: int, /) -> None:
        """Take a RESET_STREAM."""

    def receive_stop(self, stream_id: int, error_code: int, /) -> None:
        """Take a STOP_SENDING; our half has been reset in answer."""

    def receive_datagram(self, data: bytes, /) -> None:
        """Take the payload of a DATAGRAM frame."""


class SeamConnection(QuicConnection):
    """aioquic's connection, and the engine's connection beside it.

    Attributes:
        conn: the engine's half.
        is_duplicate: whether the packet that aioquic is handling came before.
        largest_before: the largest packet number received before that one, or -1.
    """

    _loss: JointRecovery

    def __init__(
        self,
        *,
        engine: Engine | None = None,
        manual_consumption: bool = False,
        **aioquic_arguments: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(**aioquic_arguments)
        configuration = self._configuration
        self._engine = engine or Engine(cid_len_bytes=configuration.connection_id_length)
        self._is_sans_io = self._engine.sans_io
        self._manual_consumption = manual_consumption
        self.conn = self._open_conn()
        self._loss = JointRecovery(
            self,
            congestion_control_algorithm=configuration.congestion_control_algorithm,
            initial_rtt=configuration.initial_rtt,
            max_datagram_size=self._max_datagram_size,
            peer_completed_address_validation=not self._is_client,
            quic_logger=self._quic_logger,
            send_probe=self._send_probe,
            logger=self._logger,
        )
        self._control = ControlTable()
        self._held: dict[int, bytes] = {}  # what C sends from, by token
        self._held_token = 0
        self._draining: set[int] = set()  # streams whose level somebody waits for
        self._drained_handler: Callable[[int], object] | None = None
        self._sink: StreamSink | None = None  # takes stream data in place of events
        self.is_duplicate = False
        self.largest_before = -1
        self._now_ns = 0
        # Whether aioquic may have something to send; see `datagrams_to_send`.
        self._dirty = True
        # What C was told.
        self._told_peer_cid = b""
        self._told_host_cid = b""
        self._told_cids: dict[bytes, None] = {}
        self._told_cids_mark = (-1, -1)
        self._told_complete = False
        self._remembered: dict[str, int] | None = None  # of a ticket, for 0-RTT
        self._told_path: QuicNetworkPath | None = None
        self._path_first_pn = 0
        self._told_budget = native.NO_LIMIT
        self._good_host: object = None  # of the last validated path
        self._idle_base_ns = 0

    def _open_conn(self, **more: int) -> Conn:
        return self._engine.open(
            self,
            max_streams_bidi=self._local_max_streams_bidi.value,
            max_streams_uni=self._local_max_streams_uni.value,
            ack_delay_ns=to_ns(self._ack_delay),
            manual_consume=self._manual_consumption,
            **engine_config(self._configuration),
            **more,
        )

    # The layers above

    def engine_event(self, event: Event) -> None:
        """Take an event of the engine."""
        raise NotImplementedError

    def adopt(self, packet: QuicSentPacket) -> None:
        """Account for a packet that aioquic built and C sealed."""
        raise NotImplementedError

    # What aioquic finds out

    def _parse_transport_parameters(
        self, data: bytes, from_session_ticket: bool = False
    ) -> None:
        super()._parse_transport_parameters(data, from_session_ticket=from_session_ticket)
        self._dirty = True
        if self.conn.closed:
            return
        # aioquic does not keep all of them.
        parameters = pull_quic_transport_parameters(Buffer(data=data))
        promised = promises(parameters)
        exponent = parameters.ack_delay_exponent
        max_ack_delay_ms = parameters.max_ack_delay
        limits = promised | {
            "max_ack_delay_ns": 1_000_000
            * (_MAX_ACK_DELAY_MS if max_ack_delay_ms is None else max_ack_delay_ms),
            "ack_delay_exponent": _ACK_DELAY_EXPONENT if exponent is None else exponent,
            "max_udp_payload_bytes": min(parameters.max_udp_payload_size or 0, 2**16 - 1),
        }
        if from_session_ticket:
            self._remembered = promised
        elif self._remembered is not None:
            if not self.tls.early_data_accepted:
                self.conn.reject_zero_rtt(self._now_ns, **limits)
                return
            check_kept(self._remembered, promised)
        self.conn.set_peer_limits(**limits)

    def _confirm_handshake(self) -> None:
        # First, because aioquic goes on with a key update that was waiting for this.
        if not self.conn.closed:
            self.conn.set_confirmed(self._loss.handshake_window, self._now_ns)
            self.conn.set_foreign_in_flight(0)
        super()._confirm_handshake()

    def _enter(self, now: float) -> int:
        """Take the time with which aioquic was called."""
        self._now_ns = now_ns = to_ns(now)
        return now_ns

    def carry_datagrams(self) -> None:
        """Let whoever owns the connection carry its datagrams, as without an endpoint.

        The endpoint's engine knows neither the connection's IDs nor its path.  It passes
        up what it cannot place, to whoever hands datagrams to connections, and sends
        nothing.  Call this before the connection begins.
        """
        self._is_sans_io = True

    def _has_drained(self, stream_id: int) -> None:
        if stream_id in self._draining:
            self._draining.discard(stream_id)
            if self._drained_handler is not None:
                self._drained_handler(stream_id)

    # What C is told

    def _sync(self) -> None:
        """Tell C what has changed; after every return from aioquic."""
        conn = self.conn
        if conn.closed:
            return
        if self._state in END_STATES:
            self._end()
            return
        self._sync_cids()
        if self._handshake_complete and not self._told_complete:
            self._told_complete = True
            conn.set_complete(self._now_ns)
        if self._network_paths:
            self._sync_path(self._network_paths[0])
        if not self._handshake_confirmed:
            conn.set_foreign_in_flight(self._loss.handshake_bytes_in_flight)
            conn.set_foreign_window(self._loss.handshake_window)
            self._sync_idle()

    def _end(self) -> None:
        # aioquic has built its CONNECTION_CLOSE and hears nothing more.
        self.conn.close()
        self._held.clear()
        for stream_id in list(self._draining):
            self._has_drained(stream_id)

    def _sync_cids(self) -> None:
        if self._peer_cid.cid != self._told_peer_cid:
            self._told_peer_cid = self._peer_cid.cid
            self.conn.set_peer_cid(self._told_peer_cid)
        if self.host_cid != self._told_host_cid:
            self._told_host_cid = self.host_cid
            self.conn.set_host_cid(self.host_cid)
        if self._is_sans_io and not self._engine.sans_io:
            return
        # Issuing raises the first, retiring lowers the second.
        mark = (self._host_cid_seq, len(self._host_cids))
        if mark == self._told_cids_mark:
            return
        self._told_cids_mark = mark
        cids = dict.fromkeys(connection_id.cid for connection_id in self._host_cids)
        for cid in self._told_cids.keys() - cids.keys():
            self.conn.remove_cid(cid)
        for cid in cids.keys() - self._told_cids.keys():
            self.conn.add_cid(cid)
        self._told_cids = cids

    def _sync_path(self, path: QuicNetworkPath) -> None:
        conn = self.conn
        if self._told_budget != native.NO_LIMIT and self._told_path is not None:
            # One budget: what C has sent counts for aioquic too.
            left = conn.budget()
            self._told_path.bytes_sent += self._told_budget - left
            self._told_budget = left
        if path is not self._told_path:
            old, self._told_path = self._told_path, path
            if path.is_validated and old is not None and not old.is_validated:
                conn.abandon_path(self._path_first_pn)
            self._path_first_pn = conn.stats()[conn.at.next_packet_number]
            if not self._is_sans_io:
                conn.set_path(cast("bytes", self._engine.path_of(path.addr)))
        if path.is_validated:
            budget = native.NO_LIMIT
            # RFC 9000 section 9.4: congestion control and RTT start anew when the new
            # address is confirmed, not before (or one forged packet would do it), and
            # not for another port alone.
            host = path.addr[0] if isinstance(path.addr, tuple) else path.addr
            if self._good_host not in (None, host):
                conn.reset_path(self._now_ns)
            self._good_host = host
        else:
            budget = max(0, 3 * path.bytes_received - path.bytes_sent)
        if budget != self._told_budget:
            self._told_budget = budget
            conn.set_budget(budget)

    def _sync_idle(self) -> None:
        """Move the idle timeout by what C has received and sent (RFC 9000 section 10.1).

        aioquic computes it with every packet.  C notes two times, and they are only
        looked at when somebody asks: at the latest when the timer that was set fires.
        """
        conn = self.conn
        values, at = conn.stats(), conn.at
        first_eliciting_ns = values[at.first_eliciting_ns]
        base_ns = max(values[at.last_open_ns], first_eliciting_ns)
        if base_ns > self._idle_base_ns:
            self._idle_base_ns = base_ns
            self._ack_eliciting_sent_since_receipt = first_eliciting_ns != 0
            self._close_at = from_ns(base_ns) + self._idle_timeout()
