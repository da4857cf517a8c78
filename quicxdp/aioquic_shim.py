"""What quicxdp needs of aioquic beyond its documented API; nothing else may use more.

`PRIVATE_NAMES` lists it, and a test compares the list with the code and with the
installed aioquic.  The range of versions is checked when this module is imported.
"""

from __future__ import annotations

import contextvars
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, cast

import aioquic
from aioquic.asyncio.protocol import QuicConnectionProtocol, QuicStreamAdapter
from aioquic.asyncio.server import QuicServer
from aioquic.quic.connection import QuicConnection, QuicNetworkPath
from aioquic.quic.crypto import CryptoContext, CryptoPair
from aioquic.quic.packet_builder import QuicPacketBuilder, QuicSentPacket
from aioquic.quic.recovery import (
    QuicPacketPacer,
    QuicPacketRecovery,
    QuicPacketSpace,
)
from aioquic.quic.retry import QuicRetryTokenHandler

from .errors import UnavailableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping

    from aioquic.quic.connection import NetworkAddress

    from .clock import Clock, Timer

# At least, and below.
SUPPORTED: Final = ((1, 7), (1, 8))

# What is not documented; of classes that are not documented at all, everything.
PRIVATE_NAMES: Final[Mapping[type, frozenset[str]]] = {
    QuicConnectionProtocol: frozenset(
        {
            *("_create_stream", "_loop", "_process_events", "_quic"),
            *("_stream_readers", "_transmit_soon"),
        }
    ),
    QuicStreamAdapter: frozenset({"_closing", "protocol", "stream_id"}),
    QuicServer: frozenset(
        {
            "_configuration",
            "_connection_terminated",
            "_loop",
            "_protocols",
            "_retry",
            "_transport",
        }
    ),
    # The key, which C shares.
    QuicRetryTokenHandler: frozenset({"_aead"}),
    # What the engine in C is put under (quicxdp.seam).
    QuicConnection: frozenset(
        {
            *("_ack_delay", "_ack_eliciting_sent_since_receipt", "_close_at"),
            *("_configuration", "_confirm_handshake", "_cryptos", "_events"),
            *("_flush_builder", "_handshake_complete", "_handshake_confirmed"),
            *("_host_cid_seq", "_host_cids", "_idle_timeout", "_initialize"),
            *("_is_client", "_local_max_streams_bidi", "_local_max_streams_uni"),
            *("_logger", "_loss", "_loss_at", "_max_datagram_size", "_network_paths"),
            *("_parse_transport_parameters", "_peer_cid", "_quic_logger"),
            *(
                "_send_probe",
                "_spaces",
                "_state",
                "_stream_can_receive",
                "_stream_can_send",
            ),
            "_write_application",
        }
    ),
    QuicNetworkPath: frozenset(
        {"addr", "bytes_received", "bytes_sent", "can_send", "is_validated"}
    ),
    CryptoPair: frozenset(
        {
            *("aead_tag_size", "decrypt_packet", "encrypt_packet", "key_phase"),
            *("recv", "send", "teardown", "update_key"),
        }
    ),
    CryptoContext: frozenset(
        {"_setup_cb", "_teardown_cb", "is_valid", "key_phase", "setup", "teardown"}
    ),
    QuicPacketSpace: frozenset(
        {
            *("ack_at", "ack_queue", "is_application_data"),
            *("largest_received_packet", "received_packets"),
        }
    ),
    QuicPacketRecovery: frozenset(
        {
            *("_cc", "_pacer", "_rtt_initialized", "_rtt_latest", "_rtt_min"),
            *("_rtt_smoothed", "_rtt_variance", "bytes_in_flight"),
            *("congestion_window", "handshake_confirmed", "on_ack_received"),
            *("on_packet_sent", "peer_completed_address_validation", "spaces"),
        }
    ),
    QuicPacketPacer: frozenset({"next_send_time", "update_after_send", "update_rate"}),
    QuicPacketBuilder: frozenset(
        {
            *("_packet", "_packet_start", "packet_is_empty", "packet_number"),
            *("quic_logger_frames", "remaining_buffer_space"),
            *("remaining_flight_space", "start_frame", "start_packet"),
        }
    ),
    QuicSentPacket: frozenset(
        {"delivery_handlers", "in_flight", "is_ack_eliciting", "sent_bytes"}
    ),
}


def check_version(version: str) -> None:
    """Refuse an aioquic that this shim was not written for.

    Raises:
        UnavailableError: with what to install.
    """
    found = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    low, high = SUPPORTED
    if not low <= found < high:
        wanted = f"aioquic>={low[0]}.{low[1]},<{high[0]}.{high[1]}"
        raise UnavailableError(
            f"quicxdp reaches into aioquic and was tested with {wanted}, but {version} "
            f"is installed; run: pip install '{wanted}'"
        )


check_version(aioquic.__version__)


class ClockedLoop:
    """An event loop whose clock and `call_at` are an endpoint's `Clock`.

    QuicConnectionProtocol takes the time from `self._loop.time()` and sets its timer with
    `self._loop.call_at()`; everything else of the loop stays what it is.
    """

    __slots__ = ("_clock", "_loop", "time")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self.time: Callable[[], float] = clock.time

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: object,
        context: contextvars.Context | None = None,
    ) -> Timer:
        """Run *callback* at *when* on the endpoint's clock."""
        context = context or contextvars.copy_context()
        return self._clock.call_at(when, context.run, callback, *args)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._loop, name)


def with_clock(
    loop: asyncio.AbstractEventLoop, clock: Clock
) -> asyncio.AbstractEventLoop:
    """Return *loop*, as seen by what shall use *clock*."""
    return cast("asyncio.AbstractEventLoop", ClockedLoop(loop, clock))


def use_loop(protocol: QuicConnectionProtocol, loop: asyncio.AbstractEventLoop) -> None:
    """Let *protocol* take its time and set its timer with *loop*."""
    protocol._loop = loop  # noqa: SLF001


def feed(
    protocol: QuicConnectionProtocol, datagrams: Iterable[tuple[bytes, NetworkAddress]]
) -> None:
    """Do what `protocol.datagram_received` does, for many datagrams at once."""
    receive = protocol._quic.receive_datagram  # noqa: SLF001
    now = protocol._loop.time()  # noqa: SLF001
    for data, addr in datagrams:
        receive(data, addr, now)
    protocol._process_events()  # noqa: SLF001
    protocol.transmit()


def receiver_with(
    make_connection: Callable[..., QuicConnection],
) -> Callable[[QuicServer, bytes | str, NetworkAddress], None]:
    """Return aioquic's `QuicServer.datagram_received`, with connections of our making.

    aioquic's server makes its connections by a global name of its module.  This is the
    same code with another value for that name, and nobody else's server is changed.
    """
    theirs = QuicServer.datagram_received
    names = {**theirs.__globals__, "QuicConnection": make_connection}
    ours = FunctionType(theirs.__code__, names, theirs.__name__)
    return cast("Callable[[QuicServer, bytes | str, NetworkAddress], None]", ours)


def connection_of(protocol: QuicConnectionProtocol) -> Any:  # noqa: ANN401
    """Return the connection of *protocol*, of whatever class it is."""
    return protocol._quic  # noqa: SLF001


def tell(protocol: QuicConnectionProtocol) -> None:
    """Let *protocol* handle the events that its connection has, and send."""
    protocol._process_events()  # noqa: SLF001
    protocol.transmit()


def is_handshake_complete(protocol: QuicConnectionProtocol) -> bool:
    """Tell whether the handshake of *protocol*'s connection is over."""
    return protocol._quic._handshake_complete  # noqa: SLF001


def end_now(protocol: QuicConnectionProtocol, reason: str) -> None:
    """Close a connection, and end its closing period at once.

    RFC 9000 section 10.2 has an endpoint answer late packets for three probe timeouts,
    but not one that wants its resources back.
    """
    quic = protocol._quic  # noqa: SLF001
    protocol.close(reason_phrase=reason)
    end_s = quic.get_timer()
    if end_s is not None:
        quic.handle_timer(now=end_s)
    tell(protocol)


def guarded(
    protocol: QuicConnectionProtocol, function: Callable[..., object]
) -> Callable[..., None]:
    """Return *function* of *protocol*, which is told of what that raises.

    By its method `connection_failed`, if it has one; otherwise the caller is.
    """
    failed = getattr(protocol, "connection_failed", None)

    def call(*args: object) -> None:
        try:
            function(protocol, *args)
        except Exception as exc:
            if failed is None:
                raise
            failed(exc)

    return call


def may_feed(protocol: object) -> bool:
    """Tell whether `feed` does the same as *protocol*'s own `datagram_received`."""
    return (
        isinstance(protocol, QuicConnectionProtocol)
        and type(protocol).datagram_received is QuicConnectionProtocol.datagram_received
        and "datagram_received" not in vars(protocol)
    )


def take_batches(protocol: object) -> bool:
    """Give *protocol* a `datagrams_received`, unless it has ideas of its own.

    Returns:
        Whether it got one.
    """
    if not may_feed(protocol) or hasattr(protocol, "datagrams_received"):
        return False
    known = cast("Any", protocol)
    known.datagrams_received = guarded(known, feed)
    return True
