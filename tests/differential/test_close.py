"""Ends of connections, in every pairing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aioquic.quic import events
from aioquic.quic.packet import QuicErrorCode

from tests.differential.conftest import Network, native_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.differential.conftest import World

    MakeWorld = Callable[..., World]

BYE = "bye"


def ended(world: World, side: str) -> events.ConnectionTerminated:
    """Return how it has ended for a side."""
    (event,) = world.of(side, events.ConnectionTerminated)
    assert isinstance(event, events.ConnectionTerminated)
    return event


def reach(world: World, state: str, side: str) -> None:
    """Bring a connection into a state."""
    world.connect()
    if state == "first flight":
        if side == "server":
            assert world.run(lambda: world.server, seconds=1)
    elif state == "handshake":
        if side == "server":
            assert world.run(lambda: len(world.sent["client"]) > 1, seconds=1)
        else:
            assert world.run(lambda: world.client._handshake_complete, seconds=1)
    else:
        assert world.run(world.is_confirmed, seconds=5)
        world.run(seconds=1)


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("state", ["first flight", "handshake", "connected"])
def test_a_connection_is_closed_in_every_state(
    make_world: MakeWorld, state: str, side: str
) -> None:
    """And the other end is told why, if it can be."""
    world = make_world()
    reach(world, state, side)
    other = "server" if side == "client" else "client"

    world.connection(side).close(error_code=7, reason_phrase=BYE)
    world.transmit(side)
    assert world.run(world.is_over, seconds=200)

    assert (ended(world, side).error_code, ended(world, side).reason_phrase) == (7, BYE)
    if state == "connected":
        told = ended(world, other)
        assert (told.error_code, told.frame_type, told.reason_phrase) == (7, None, BYE)
    elif state == "first flight" or side == "server":
        # RFC 9000 section 10.2.3: no details before the handshake is over.
        assert ended(world, other).error_code == QuicErrorCode.APPLICATION_ERROR
    assert world.client.get_timer() is None
    assert world.server is None or world.server.get_timer() is None


def test_a_transport_error_keeps_its_frame_type(make_world: MakeWorld) -> None:
    """A close of the transport's, not the application's."""
    world = make_world()
    reach(world, "connected", "server")

    world.server.close(error_code=QuicErrorCode.INTERNAL_ERROR, frame_type=6)
    world.transmit("server")
    assert world.run(world.is_over, seconds=10)

    told = ended(world, "client")
    assert (told.error_code, told.frame_type) == (QuicErrorCode.INTERNAL_ERROR, 6)


@pytest.mark.parametrize("seed", range(3))
def test_a_close_under_way_with_data_and_loss_ends_both(
    make_world: MakeWorld, seed: int
) -> None:
    """aioquic sends it once; if it is lost, the idle timeout ends the other."""
    world = make_world(Network(seed=seed))
    world.echo()
    world.handshake()
    world.network.loss = 0.3
    world.client.send_stream_data(0, bytes(200_000), end_stream=True)
    world.transmit("client")
    world.run(seconds=0.05)

    world.server.close(error_code=9)
    world.transmit("server")

    assert world.run(world.is_over, seconds=200)
    assert ended(world, "server").error_code == 9


def test_a_closed_connection_takes_everything_and_does_nothing(
    make_world: MakeWorld,
) -> None:
    """An application that has not heard of the end yet must not crash."""
    world = make_world()
    world.handshake()
    world.client.send_stream_data(0, b"x" * 10_000)
    world.client.close()
    world.transmit("client")

    client = world.client
    client.send_stream_data(0, b"y" * 10_000)
    client.send_stream_data(client.get_next_available_stream_id(), b"z")
    client.reset_stream(0, 1)
    client.stop_stream(0, 1)
    client.send_datagram_frame(b"d")
    client.send_ping(1)
    client.change_connection_id()
    client.request_key_update()
    client.close(error_code=5)

    assert client.datagrams_to_send(world.now) == []
    assert world.run(world.is_over, seconds=5)
    assert client.datagrams_to_send(world.now) == []
    assert ended(world, "client").error_code == 0


def test_an_idle_connection_ends_after_its_timeout(make_world: MakeWorld) -> None:
    """RFC 9000 section 10.1: counted from the last packet, or the first since."""
    world = make_world(client={"idle_timeout": 5.0})
    world.handshake()
    world.run(seconds=3)
    world.client.send_ping(1)
    world.transmit("client")
    pinged = world.now

    assert world.run(world.is_over, seconds=60)

    assert world.now - pinged == pytest.approx(5.04, abs=0.005)
    assert ended(world, "client").reason_phrase == "Idle timeout"


def test_a_connection_in_use_never_idles(make_world: MakeWorld) -> None:
    """With its data handled by the engine, aioquic's timer must move all the same."""
    world = make_world(client={"idle_timeout": 5.0})
    world.echo()
    world.handshake()

    for stream_id in range(0, 40, 4):
        world.client.send_stream_data(stream_id, b"x", end_stream=True)
        world.transmit("client")
        world.run(seconds=3)

    assert not world.of("client", events.ConnectionTerminated)
    assert not world.of("server", events.ConnectionTerminated)


@native_server
def test_the_engine_forgets_a_connection_that_has_ended(make_world: MakeWorld) -> None:
    """At once, not after the closing period: nothing more can arrive for it."""
    world = make_world()
    world.handshake()
    world.server.send_stream_data(1, bytes(100_000))
    world.server.close()
    world.transmit("server")

    assert world.server.conn.closed
    assert world.server._engine.owners == {}
