"""Streams, DATAGRAM and PING frames in every pairing."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from aioquic.quic import events

from quicxdp.connection import FastConnection
from tests.differential.conftest import Network, World, native_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioquic.quic.connection import QuicConnection

    MakeWorld = Callable[..., World]


def fast_server(world: World) -> FastConnection:
    """Return the server, which is the engine's."""
    assert isinstance(world.server, FastConnection)
    return world.server


def end_stream_1(world: World, how: str) -> None:
    """End what the server sends otherwise than by a FIN."""
    if how == "reset":
        world.server.reset_stream(1, 7)
    elif how == "stop":
        world.client.stop_stream(1, 7)
        world.transmit("client")
    else:
        world.server.close()
    world.transmit("server")
    world.run(seconds=1)


# ---- Streams ---------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_300_requests_are_answered(make_world: MakeWorld, loss: float) -> None:
    """More than the 128 streams that may be open at first."""
    world = make_world(Network(loss=loss, seed=5))
    world.echo()
    world.handshake()
    said = {}
    for cnt in range(300):
        stream_id = world.client.get_next_available_stream_id()
        said[stream_id] = random.randbytes(cnt)
        world.client.send_stream_data(stream_id, said[stream_id], end_stream=True)
    world.transmit("client")

    assert world.run(lambda: world.has_ended("client", 1196), seconds=60)
    assert world.run(
        lambda: all(world.has_ended("client", stream_id) for stream_id in said),
        seconds=60,
    )
    for stream_id, data in said.items():
        assert world.received("client", stream_id) == data


def transfer(world: World, size_bytes: int) -> None:
    """Send so much both ways at once, and compare."""
    up, down = random.randbytes(size_bytes), random.randbytes(size_bytes)
    got: dict[str, bytearray] = {"client": bytearray(), "server": bytearray()}
    ended = set()

    def listen(side: str) -> None:
        def take(_: QuicConnection, event: object) -> None:
            if isinstance(event, events.StreamDataReceived):
                got[side].extend(event.data)
                if event.end_stream:
                    ended.add(side)

        world.on_event[side] = take

    listen("client")
    listen("server")
    world.client.send_stream_data(0, up, end_stream=True)
    world.server.send_stream_data(1, down, end_stream=True)
    world.transmit("client")
    world.transmit("server")

    assert world.run(lambda: len(ended) == 2, seconds=300)
    assert got == {"client": down, "server": up}


@pytest.mark.slow
def test_bulk_data_arrives_both_ways(make_world: MakeWorld) -> None:
    """And of the engine's packets hardly one goes up to aioquic."""
    world = make_world()
    world.handshake()
    world.run(seconds=1)
    before = [connection.get_stats().up_packets for connection in world.native()]

    transfer(world, 1_000_000)

    after = [connection.get_stats().up_packets for connection in world.native()]
    assert after == before


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(2))
def test_bulk_data_arrives_over_a_bad_network(make_world: MakeWorld, seed: int) -> None:
    """Lost, doubled, out of order."""
    world = make_world(Network(loss=0.05, duplication=0.02, reordering=0.1, seed=seed))
    world.handshake()

    transfer(world, 250_000)


def test_streams_are_reset_and_stopped(make_world: MakeWorld) -> None:
    """And both ends are told with what error code."""
    world = make_world()
    world.handshake()
    world.client.send_stream_data(0, b"a" * 10)
    world.transmit("client")
    world.run(seconds=1)

    world.client.reset_stream(0, 5)
    world.client.stop_stream(0, 6)
    world.transmit("client")
    world.run(seconds=1)

    assert world.of("server", events.StreamReset) == [events.StreamReset(5, 0)]
    assert world.of("server", events.StopSendingReceived) == [
        events.StopSendingReceived(6, 0)
    ]
    assert world.of("client", events.StreamReset) == [events.StreamReset(6, 0)]


def test_what_cannot_be_written_is_refused(make_world: MakeWorld) -> None:
    """With aioquic's exceptions."""
    world = make_world()
    world.handshake()
    client = world.client

    with pytest.raises(ValueError, match="peer-initiated unidirectional"):
        client.send_stream_data(3, b"x")
    with pytest.raises(ValueError, match="unknown peer-initiated"):
        client.send_stream_data(1, b"x")
    with pytest.raises(ValueError, match="peer-initiated unidirectional"):
        client.reset_stream(3, 1)
    with pytest.raises(ValueError, match="local-initiated unidirectional"):
        client.stop_stream(2, 1)
    with pytest.raises(ValueError, match="unknown stream"):
        client.stop_stream(1, 1)
    client.send_stream_data(0, b"x", end_stream=True)
    with pytest.raises(RuntimeError):
        client.send_stream_data(0, b"x")
    client.send_stream_data(4, b"x")
    client.reset_stream(4, 1)
    client.reset_stream(4, 1)
    with pytest.raises(RuntimeError):
        client.send_stream_data(4, b"x")


def test_next_stream_ids_follow_what_was_opened(make_world: MakeWorld) -> None:
    """Streams that were skipped are gone, as in aioquic."""
    client = make_world().client

    assert client.get_next_available_stream_id() == 0
    assert client.get_next_available_stream_id(is_unidirectional=True) == 2
    client.send_stream_data(8, b"x")
    assert client.get_next_available_stream_id() == 12
    assert client.get_next_available_stream_id(is_unidirectional=True) == 2
    with pytest.raises(ValueError, match="finished stream"):
        client.send_stream_data(4, b"x")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes_may_be_written(
    make_world: MakeWorld, kind: Callable[[bytes], Any]
) -> None:
    """And changed afterwards, if they can be."""
    world = make_world()
    world.handshake()
    data = kind(b"x" * 10_000)

    world.client.send_stream_data(0, data, end_stream=True)
    if isinstance(data, bytearray):
        data[:] = b"y" * 10_000
    world.transmit("client")

    assert world.run(lambda: world.has_ended("server", 0), seconds=5)
    assert world.received("server", 0) == b"x" * 10_000


# ---- DATAGRAM and PING -----------------------------------------------------------------


def test_datagram_frames_arrive_whole_and_in_order(make_world: MakeWorld) -> None:
    """Empty ones too (RFC 9221 section 4)."""
    world = make_world()
    world.handshake()
    said = [b"", b"one", b"two" * 300]

    for data in said:
        world.client.send_datagram_frame(data)
        world.server.send_datagram_frame(data[::-1])
    world.transmit("client")
    world.transmit("server")
    world.run(seconds=1)

    got = world.of("server", events.DatagramFrameReceived)
    assert [event.data for event in got] == said
    got = world.of("client", events.DatagramFrameReceived)
    assert [event.data for event in got] == [data[::-1] for data in said]


def test_datagram_frames_arrive_once(make_world: MakeWorld) -> None:
    """Packets that come twice are not handled twice (RFC 9000 section 12.3)."""
    world = make_world()
    world.handshake()
    world.network.duplication = 1.0
    said = [bytes([number]) for number in range(50)]

    for data in said:
        world.client.send_datagram_frame(data)
        world.transmit("client")
    world.run(seconds=1)

    got = world.of("server", events.DatagramFrameReceived)
    assert [event.data for event in got] == said


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_pings_are_acknowledged(make_world: MakeWorld, loss: float) -> None:
    """Each with its own number, lost or not."""
    world = make_world(Network(seed=3))
    world.handshake()
    world.network.loss = loss
    for number in range(20):
        world.client.send_ping(number)
        world.transmit("client")
        world.run(seconds=0.01)

    def answered() -> set[int]:
        return {event.uid for event in world.of("client", events.PingAcknowledged)}

    assert world.run(lambda: answered() == set(range(20)), seconds=30)


# ---- What only the engine has ----------------------------------------------------------


@native_server
def test_written_data_is_held_until_it_is_acknowledged_and_no_longer(
    make_world: MakeWorld,
) -> None:
    """Large `bytes` are not copied, so they must stay, and then go."""
    world = make_world()
    world.handshake()
    server = fast_server(world)

    for _ in range(10):
        server.send_stream_data(1, b"x" * 20_000)
    server.send_stream_data(1, b"small")
    assert len(server._held) == 10
    assert server.stream_send_buffered(1) == 200_005
    assert server.stream_send_buffered() == 200_005
    world.transmit("server")
    world.run(seconds=2)

    assert server._held == {}
    assert server.stream_send_buffered(1) == 0
    assert server.stream_unacknowledged(1) == 0


@native_server
@pytest.mark.parametrize("end", ["reset", "stop", "close"])
def test_held_data_is_let_go_when_it_is_not_wanted_any_more(
    make_world: MakeWorld, end: str
) -> None:
    """However that comes about."""
    world = make_world()
    world.handshake()
    server = fast_server(world)
    server.send_stream_data(1, b"x" * 2_000_000)
    world.transmit("server")
    world.run(seconds=0.05)
    assert server._held

    end_stream_1(world, end)

    assert server._held == {}


@native_server
def test_a_drained_stream_is_told_once(make_world: MakeWorld) -> None:
    """Below the mark that was given, and not again until asked again."""
    world = make_world()
    world.handshake()
    server = fast_server(world)
    drained = []
    server.set_drained_handler(
        lambda stream_id: drained.append(
            (stream_id, server.stream_unacknowledged(stream_id))
        )
    )

    assert not server.notify_drained(1, 10_000)
    server.send_stream_data(1, bytes(100_000))
    assert server.notify_drained(1, 10_000)
    world.transmit("server")
    world.run(seconds=2)
    server.send_stream_data(1, bytes(100_000))
    world.transmit("server")
    world.run(seconds=2)

    assert len(drained) == 1
    assert drained[0][0] == 1
    assert drained[0][1] < 10_000


@native_server
@pytest.mark.parametrize("end", ["reset", "stop", "close"])
def test_a_stream_that_never_drains_is_told_too(make_world: MakeWorld, end: str) -> None:
    """Nobody waits for ever."""
    world = make_world()
    world.handshake()
    server = fast_server(world)
    drained: list[int] = []
    server.set_drained_handler(drained.append)
    server.send_stream_data(1, bytes(2_000_000))
    assert server.notify_drained(1, 10_000)
    world.transmit("server")
    world.run(seconds=0.05)

    end_stream_1(world, end)

    assert drained == [1]


@native_server
def test_without_consumption_a_peer_is_stopped(make_world: MakeWorld) -> None:
    """Manual consumption makes back-pressure real: no credit for what is not used up."""
    world = make_world(server={"max_stream_data": 50_000})
    world.handshake()
    server = fast_server(world)
    server.set_manual_consumption(manual=True)
    world.client.send_stream_data(0, bytes(200_000), end_stream=True)
    world.transmit("client")

    world.run(seconds=5)
    assert len(world.received("server", 0)) == 50_000

    server.consumed(0, 30_000)
    world.transmit("server")
    world.run(seconds=5)
    assert len(world.received("server", 0)) == 80_000

    world.on_event["server"] = lambda _, event: (
        server.consumed(0, len(event.data))
        if isinstance(event, events.StreamDataReceived)
        else None
    )
    server.consumed(0, 50_000)
    world.transmit("server")
    assert world.run(lambda: world.has_ended("server", 0), seconds=5)


@native_server
def test_numbers_tell_what_happened(make_world: MakeWorld) -> None:
    """From C's counters, and still after the end."""
    world = make_world(Network(loss=0.02, seed=4))
    world.handshake()
    server = fast_server(world)
    server.send_stream_data(1, bytes(300_000), end_stream=True)
    world.transmit("server")
    assert world.run(lambda: world.has_ended("client", 1), seconds=30)

    stats = server.get_stats()
    server.close()
    world.transmit("server")

    assert stats.tx_bytes > 300_000
    assert stats.tx_packets > 250
    assert 0 < stats.lost_packets < 100
    assert stats.rtt_min_ns == pytest.approx(40_000_000, rel=0.1)
    assert stats.cwnd_bytes > 0
    assert server.get_stats().tx_packets == stats.tx_packets + 1  # CONNECTION_CLOSE
