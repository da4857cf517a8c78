# ruff: noqa: ANN401, ARG002, D102  (aioquic's names and signatures, untyped here)
"""FastConnection as aioquic's own tests need it: what they look into, and frames put in.

White-box tests read `_streams` or call `_handle_stream_frame`; under FastConnection the
first is empty and the second is dead.  Here the one asks C, and the other gives the frame
to C, so that the tests test the engine.  Loaded with `-p engine_views` before the tests,
which import QuicConnection from aioquic.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

import aioquic.asyncio.client
import aioquic.asyncio.server
import aioquic.quic.configuration
import aioquic.quic.connection
from aioquic import tls
from aioquic.buffer import (  # type: ignore[attr-defined]  # re-exported
    Buffer,
    encode_uint_var,
)
from aioquic.quic.connection import Limit
from aioquic.quic.crypto import CryptoContext
from aioquic.quic.packet import QuicFrameType, pull_ack_frame

from quicxdp import _native
from quicxdp.connection import FastConnection
from quicxdp.seam import receiving
from quicxdp.seam.crypto import EngineContext, EnginePair
from quicxdp.seam.space import EngineSpace

if TYPE_CHECKING:
    from aioquic.quic.logger import QuicLoggerTrace
    from aioquic.quic.stream import QuicStream

ffi = _native.ffi()
lib: Any = _native.lib()

# Each of aioquic's tests loads the same RSA key, which OpenSSL checks for 40 ms.
names: Any = vars(aioquic.quic.configuration)
names["load_pem_private_key"] = functools.cache(names["load_pem_private_key"])

# aioquic acknowledges by time alone.
NEVER_BY_COUNT: Final = 2**31

PARAMETERS: Final = ("max_data", "max_streams_bidi", "max_streams_uni")


class SentPackets(dict[int, Any]):
    """The packets under way; their contents are C's business."""

    def __init__(self, connection: ViewConnection) -> None:
        numbers = ffi.new("uint64_t[]", 4096)
        cnt = 0
        if not connection.conn.closed:
            cnt = lib.qx_test_sent_packets(connection.raw, numbers, 4096)
        packet = SimpleNamespace(is_crypto_packet=False, in_flight=False)
        super().__init__(dict.fromkeys(numbers[0:cnt], packet))


class AckRanges(list[range]):
    """What C would acknowledge; it has noted what aioquic adds."""

    def add(self, *_: object) -> None:
        """Take no note."""

    def shift(self) -> None:
        """Drop nothing."""


class ViewSpace(EngineSpace):
    """The packet number space, with what C has instead of nothing."""

    _connection: ViewConnection

    @property
    def sent_packets(self) -> Any:
        return SentPackets(self._connection) if vars(self).get("ready") else {}

    @sent_packets.setter
    def sent_packets(self, value: object) -> None:
        self.ready = True

    @property
    def ack_queue(self) -> Any:
        pairs = ffi.new("uint64_t[]", 512)
        cnt = lib.qx_test_ack_ranges(self._connection.raw, pairs, 256)
        ranges = (range(pairs[2 * i], pairs[2 * i + 1]) for i in reversed(range(cnt)))
        return AckRanges(ranges)

    @ack_queue.setter
    def ack_queue(self, value: object) -> None:
        pass


class ViewLimit(Limit):
    """A limit of ours."""

    def __init__(self, connection: ViewConnection, name: str, kind: int = -1) -> None:
        self._connection = connection
        self._kind = kind
        self.name = name

    def _get(self, name: str) -> Any:
        value = getattr(self._connection.view, name)
        return value if self._kind < 0 else value[self._kind]

    @property
    def value(self) -> Any:
        return self._get("max_data" if self._kind < 0 else "max_streams")

    @value.setter
    def value(self, value: int) -> None:
        raise AssertionError("the engine moves its limits itself")

    @property
    def sent(self) -> Any:
        if self._connection.limits_lost:
            return 0
        return self._get("max_data_sent" if self._kind < 0 else "max_streams_sent")

    @sent.setter
    def sent(self, value: int) -> None:
        # aioquic's handler of a lost frame.
        assert value == 0
        self._connection.limits_lost = True
        lib.qx_test_lose_all(self._connection.raw)

    @property
    def used(self) -> Any:
        return self._get("data_used" if self._kind < 0 else "streams_used")

    @used.setter
    def used(self, value: int) -> None:
        assert self._kind < 0
        lib.qx_test_set_data_used(self._connection.raw, value)
        # aioquic gives credit for what was received, C for what was used up.
        self._connection.is_used_up = True


class ViewStream:
    """One stream; `C` is not asked for what is not here."""

    def __init__(self, connection: ViewConnection, stream_id: int) -> None:
        self._connection = connection
        self._stream_id = stream_id
        self.sender = self

    def _get(self) -> Any:
        out = ffi.new("struct qx_test_stream *")
        lib.qx_test_get_stream(self._connection.raw, self._stream_id, out)
        return out

    @property
    def is_blocked(self) -> bool:
        return bool(self._get().is_blocked)

    @property
    def reset_pending(self) -> bool:
        return bool(self._get().reset_pending)

    @property
    def max_stream_data_remote(self) -> int:
        return int(self._get().max_data_peer)


class ViewConnection(FastConnection):
    """The connection under test."""

    def __init__(self, **arguments: Any) -> None:
        self._fresh = False
        self._told: dict[str, int] = {}
        self._gone: set[int] = set()
        self.limits_lost = False
        self.is_used_up = False
        self.secrets: dict[int, CryptoContext] = {}
        super().__init__(**arguments)
        self._reopen()

    @property
    def raw(self) -> Any:
        """The struct qx_conn."""
        return self.conn._live()

    @property
    def view(self) -> Any:
        """A struct qx_test_view."""
        out = ffi.new("struct qx_test_view *")
        lib.qx_test_get_view(self.raw, out)
        return out

    # C takes its settings at the start; the tests set one right after the constructor.

    @property
    def _ack_delay(self) -> float:
        return self._ack_delay_s

    @_ack_delay.setter
    def _ack_delay(self, value: float) -> None:
        self._ack_delay_s = value
        if self._fresh:
            self._reopen()

    def _reopen(self) -> None:
        self._fresh = False
        self.conn.close()
        self.conn = self._open_conn(ack_every_cnt=NEVER_BY_COUNT)
        self._fresh = True
        # As the tests' disable_packet_pacing.
        lib.qx_test_stop_pacing(self.raw)

    # One counter for all packet number spaces, as in aioquic: its tests expect the gaps.

    def skip_numbers(self, number: int) -> None:
        """Let C go on with *number*."""
        lib.qx_test_skip_numbers(self.raw, number)

    # The tests poke where no flag is set.

    def _may_aioquic_send(self) -> bool:
        return True

    def get_timer(self) -> float | None:
        if self._network_paths:
            self._sync()
        return super().get_timer()

    # Limits and streams

    def _write_connection_limits(self, builder: Any, space: Any) -> None:
        pass

    def _write_stream_limits(self, builder: Any, space: Any, stream: Any) -> None:
        pass

    @property
    def _streams(self) -> Any:
        view = self.view
        ours = 0 if self._is_client else 1
        streams: dict[int, ViewStream] = {}
        out = ffi.new("struct qx_test_stream *")
        for kind in range(2):
            for is_ours, cnt in (
                (True, view.streams_opened[kind]),
                (False, view.streams_used[kind]),
            ):
                for number in range(cnt):
                    stream_id = number * 4 + 2 * kind + (ours if is_ours else 1 - ours)
                    known = lib.qx_test_get_stream(self.raw, stream_id, out)
                    if known == 1 or (known == 0 and not is_ours):
                        streams[stream_id] = ViewStream(self, stream_id)
        # aioquic forgets them when it sends, C at the end of the turn.
        streams.update((i, ViewStream(self, i)) for i in self._gone)
        return streams

    @_streams.setter
    def _streams(self, value: object) -> None:
        pass

    @property
    def _streams_blocked_bidi(self) -> Any:
        return [s for i, s in self._streams.items() if s.is_blocked and not i & 2]

    @_streams_blocked_bidi.setter
    def _streams_blocked_bidi(self, value: object) -> None:
        pass

    @property
    def _streams_blocked_uni(self) -> Any:
        return [s for i, s in self._streams.items() if s.is_blocked and i & 2]

    @_streams_blocked_uni.setter
    def _streams_blocked_uni(self, value: object) -> None:
        pass

    def _get_or_create_stream_for_send(self, stream_id: int) -> QuicStream:
        self.send_stream_data(stream_id, b"")
        return cast("QuicStream", ViewStream(self, stream_id))

    def _on_stream_gone(self, event: Any) -> None:
        self._gone.add(event[2])

    # Timers

    def handle_timer(self, now: float) -> None:
        before = self.get_stats().ptos
        oldest = min(SentPackets(self), default=0)
        super().handle_timer(now)
        if self.get_stats().ptos > before:
            self._logger.debug(
                "Scheduled data of ONE_RTT packet %d for retransmission", oldest
            )

    # Frames put in

    def _handle_ack_frame(self, context: Any, frame_type: int, buf: Any) -> None:
        if context.epoch == tls.Epoch.ONE_RTT:
            self.inject(context, frame_type, buf)
        else:
            super()._handle_ack_frame(context, frame_type, buf)

    def inject(self, context: Any, frame_type: int, buf: Any) -> None:
        """Let C handle a frame, as aioquic's handlers would."""
        rest = buf.data_slice(buf.tell(), buf.capacity).removesuffix(b"junk")
        buf.seek(buf.capacity)
        frame = encode_uint_var(frame_type) + rest
        self._found = None
        self._is_opening = True
        lib.qx_test_inject_frame(self.raw, frame, len(frame), int(context.time * 1e9))
        self._engine.pump()
        self._is_opening = False
        found = cast("receiving.Opened | None", self._found)
        if found is not None and found.error is not None:
            raise found.error

    # The log, of which C writes nothing

    def _engine_datagrams(self, path: Any) -> Any:
        self.limits_lost = False
        if self.is_used_up:
            self.is_used_up = False
            lib.qx_test_consume(self.raw)
        self._gone.clear()
        self.skip_numbers(self._packet_number)
        datagrams = super()._engine_datagrams(path)
        self._packet_number = self.conn.stats()[self.conn.at.next_packet_number]
        for data, _ in datagrams:
            if self._quic_logger is not None and not data[0] & 0x80:
                self._log_ack(self._quic_logger, data)
        return datagrams

    def _log_ack(self, trace: QuicLoggerTrace, packet: bytes) -> None:
        keys = self.secrets[1]
        offset = 1 + len(self._peer_cid.cid)
        _, payload, number, _ = keys.decrypt_packet(packet, offset, self._packet_number)
        buf = Buffer(data=payload)
        if buf.pull_uint_var() != QuicFrameType.ACK:
            return
        ranges, delay = pull_ack_frame(buf)
        frame = trace.encode_ack_frame(ranges, delay / 125000)
        trace.log_event(
            category="transport",
            event="packet_sent",
            data={"frames": [frame], "header": {"packet_number": number}},
        )


def parameter(name: str, kind: int) -> property:
    """Return a view of a limit of the peer's, which aioquic writes first."""

    def get(self: ViewConnection) -> int:
        told = self._told.get(name, 0)
        if not self._fresh or self.conn.closed:
            return told
        view = self.view
        known: int = view.peer_max_data if kind < 0 else view.peer_max_streams[kind]
        return max(told, known)

    def put(self: ViewConnection, value: int) -> None:
        self._told[name] = value

    return property(get, put)


def own_limit(name: str, kind: int) -> property:
    """Return a view of a limit of ours, which aioquic makes first."""

    def get(self: ViewConnection) -> Limit:
        return ViewLimit(self, name, kind) if self._fresh else vars(self)[name]

    def put(self: ViewConnection, value: Limit) -> None:
        vars(self)[name] = value

    return property(get, put)


def _inject(self: ViewConnection, context: Any, frame_type: int, buf: Any) -> None:
    self.inject(context, frame_type, buf)


for kind, name in enumerate(PARAMETERS, -1):
    setattr(ViewConnection, f"_remote_{name}", parameter(name, kind))
    setattr(ViewConnection, f"_local_{name}", own_limit(f"_local_{name}", kind))
for name in (
    *("stream", "reset_stream", "stop_sending", "max_data", "max_stream_data"),
    *("max_streams_bidi", "max_streams_uni", "data_blocked", "stream_data_blocked"),
    *("streams_blocked", "datagram"),
):
    setattr(ViewConnection, f"_handle_{name}_frame", _inject)


def _dead(self: ViewConnection, *_: object, **__: object) -> None:
    raise AssertionError("this is the engine's business; a test of it tests nothing")


# Nothing that aioquic's tests call may be code that is not used any more.
for name in (
    *("_get_or_create_stream", "_write_stream_frame", "_write_datagram_frame"),
    *("_write_reset_stream_frame", "_write_stop_sending_frame"),
    "_write_streams_blocked_frame",
):
    assert hasattr(ViewConnection, name)
    setattr(ViewConnection, name, _dead)

vars(receiving)["EngineSpace"] = ViewSpace

setup = EngineContext.setup


def keep_secret(self: Any, *, secret: bytes, **arguments: Any) -> None:
    """Install keys; a test gives 48 bytes where the hash has 32."""
    size = 48 if arguments["cipher_suite"] == tls.CipherSuite.AES_256_GCM_SHA384 else 32
    setup(self, secret=secret[:size], **arguments)
    if self._sending and self._epoch == 1:
        keys = self._connection.secrets[1] = CryptoContext()
        keys.setup(secret=secret[:size], **arguments)


EngineContext.setup = keep_secret  # type: ignore[method-assign]

encrypt_packet = EnginePair.encrypt_packet


def encrypt_with_number(
    self: Any, plain_header: bytes, plain_payload: bytes, packet_number: int
) -> bytes:
    """Seal a packet of aioquic's under the number that it has given it."""
    self._connection.skip_numbers(packet_number)
    return encrypt_packet(self, plain_header, plain_payload, packet_number)


EnginePair.encrypt_packet = encrypt_with_number  # type: ignore[method-assign]

for module in (aioquic.quic.connection, aioquic.asyncio.client, aioquic.asyncio.server):
    vars(module)["QuicConnection"] = ViewConnection
