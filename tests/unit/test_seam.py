from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicFrameType
from aioquic.quic.packet_builder import QuicDeliveryState

from quicxdp.connection import FastConnection
from quicxdp.engine_time import deadline, from_ns, to_ns
from quicxdp.errors import ConfigError
from quicxdp.seam.collector import FRAME_BYTES_MAX, Collector
from quicxdp.seam.control import FRAME_CNT_MAX, ControlTable

if TYPE_CHECKING:
    from collections.abc import Callable

# ---- Time ------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", [0, 10**12, 1_764_000_000 * 10**9])
def test_a_deadline_has_passed_when_the_clock_says_so(clock: int) -> None:
    """Since boot and since 1970, where a float is a multiple of 238 ns."""
    random_ = random.Random(clock)

    for _ in range(1000):
        time_ns = clock + random_.randrange(10**12)
        at = deadline(time_ns)
        assert to_ns(at) >= time_ns
        assert at - from_ns(time_ns) < 1e-6


def test_nanoseconds_survive_the_way_to_seconds_and_back() -> None:
    """For as long as a machine has been up."""
    for time_ns in (0, 1, 999_999_999, 10**15 + 1):
        assert to_ns(from_ns(time_ns)) == time_ns
        assert deadline(time_ns) == from_ns(time_ns)


# ---- Control frames --------------------------------------------------------------------


def test_each_handler_is_told_once() -> None:
    """Whether its frame was acknowledged or lost."""
    told: list[Any] = []
    table = ControlTable()
    tokens = [
        table.add([(lambda state, name: told.append((name, state)), (name,))])
        for name in "ab"
    ]
    assert 0 not in tokens

    table.resolve(tokens[1], acked=False)
    table.resolve(tokens[0], acked=True)
    table.resolve(tokens[0], acked=True)
    table.resolve(12345, acked=True)

    assert told == [("b", QuicDeliveryState.LOST), ("a", QuicDeliveryState.ACKED)]
    assert len(table) == 0


def test_a_table_says_when_it_is_full() -> None:
    """Frames without a handler count too."""
    table = ControlTable()
    tokens = [table.add(()) for _ in range(FRAME_CNT_MAX)]

    assert table.is_full
    table.resolve(tokens[0], acked=False)
    assert not table.is_full


def test_a_collector_takes_frames_apart() -> None:
    """As aioquic's loop writes them: packet by packet, until one stays empty."""
    collector = Collector(7)
    told: list[Any] = []

    empty = []
    collector.start_packet("type", "crypto")
    empty.append(collector.packet_is_empty)
    collector.start_frame(QuicFrameType.PING, handler=told.append)
    empty.append(collector.packet_is_empty)
    buffer = collector.start_frame(QuicFrameType.NEW_TOKEN, capacity=10)
    buffer.push_bytes(b"token")
    collector.start_packet("type", "crypto")
    empty.append(collector.packet_is_empty)

    assert empty == [True, False, True]
    assert collector.packet_number == 7
    assert [frame.data for frame in collector.frames] == [b"\x01", b"\x07token"]
    assert [frame.handler for frame in collector.frames] == [(told.append, ()), None]
    assert collector.remaining_flight_space == FRAME_BYTES_MAX


# ---- Configuration ---------------------------------------------------------------------


def test_a_congestion_control_that_the_engine_lacks_is_refused() -> None:
    """With what to choose instead."""
    configuration = QuicConfiguration(
        is_client=True, congestion_control_algorithm="bogus"
    )

    with pytest.raises((ConfigError, Exception), match="bogus"):
        FastConnection(configuration=configuration)


@pytest.mark.parametrize("make", [dict, lambda: {"configuration": None}])
def test_arguments_are_aioquics(make: Callable[[], dict[str, Any]]) -> None:
    """And so are its errors."""
    with pytest.raises((TypeError, AttributeError)):
        FastConnection(**make())


def test_connections_that_nobody_ends_leave_nothing() -> None:
    """Dropped on the floor, as after an exception."""
    configuration = QuicConfiguration(is_client=True)

    for _ in range(100):
        connection = FastConnection(configuration=configuration)
        connection.connect(("192.0.2.1", 443), 1.0)
        connection.datagrams_to_send(1.0)
        connection.send_stream_data(0, bytes(10_000))
