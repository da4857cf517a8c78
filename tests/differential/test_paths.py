"""Clients that move, are moved, or seem to, in every pairing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aioquic.quic import events

from quicxdp.connection import FastConnection
from tests.differential.conftest import native_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioquic.quic.connection import NetworkAddress

    from tests.differential.conftest import World

    MakeWorld = Callable[..., World]

OTHER_PORT = ("192.0.2.1", 2345)
OTHER_HOST = ("192.0.2.99", 999)
SPOOFED = ("203.0.113.6", 6)


def settled(make_world: MakeWorld) -> World:
    """Return a world with a finished handshake and nothing under way."""
    world = make_world()
    world.echo()
    world.handshake()
    world.run(seconds=1)
    return world


def ask(world: World, size_bytes: int, stream_id: int = 0) -> None:
    """Send so much and wait until it has come back."""
    world.client.send_stream_data(stream_id, b"m" * size_bytes, end_stream=True)
    world.transmit("client")
    assert world.run(lambda: world.has_ended("client", stream_id), seconds=20)
    assert world.received("client", stream_id) == b"m" * size_bytes


def window(world: World) -> int:
    """Return the server's congestion window."""
    server = world.server
    if isinstance(server, FastConnection):
        return server.get_stats().cwnd_bytes
    return int(server._loss.congestion_window)


@pytest.mark.parametrize("address", [OTHER_PORT, OTHER_HOST])
@pytest.mark.parametrize("new_cid", [False, True])
def test_a_client_behind_another_address_is_followed(
    make_world: MakeWorld, address: NetworkAddress, *, new_cid: bool
) -> None:
    """RFC 9000 section 9.3: the server validates the new address."""
    world = settled(make_world)
    world.client_addr = address
    if new_cid:
        world.client.change_connection_id()

    ask(world, 100_000)
    world.run(seconds=3)

    path = world.server._network_paths[0]
    assert path.addr == address
    assert path.is_validated


@native_server
@pytest.mark.parametrize(("address", "starts_anew"), [(OTHER_PORT, 0), (OTHER_HOST, 1)])
def test_congestion_control_starts_anew_at_another_host(
    make_world: MakeWorld, address: NetworkAddress, *, starts_anew: bool
) -> None:
    """RFC 9000 section 9.4: but not for another port alone.  aioquic never does."""
    world = settled(make_world)
    ask(world, 200_000)
    grown = window(world)
    assert grown > 30_000

    world.client_addr = address
    world.client.send_ping(1)
    world.transmit("client")
    world.run(seconds=3)

    assert (window(world) < grown) == starts_anew


def test_a_spoofed_address_is_abandoned(make_world: MakeWorld) -> None:
    """RFC 9000 section 9.3.2: the server returns to the old one, and nothing is lost.

    Nor its congestion window: what went to an address that was none tells nothing.
    """
    world = settled(make_world)
    ask(world, 200_000)
    world.run(seconds=1)
    grown = window(world)
    real, world.client_addr = world.client_addr, SPOOFED
    world.client.send_ping(1)
    world.transmit("client")
    world.client_addr = real
    world.network.drops = lambda _, __, to: to == SPOOFED

    world.run(seconds=5)

    assert world.server._network_paths[0].addr == real
    assert window(world) >= grown
    ask(world, 3000, stream_id=4)


def test_an_unvalidated_address_gets_no_more_than_three_times_what_came(
    make_world: MakeWorld,
) -> None:
    """RFC 9000 section 8: or we would be a weapon against whoever is there."""
    world = settled(make_world)
    world.on_event["server"] = lambda *_: None
    world.server.send_stream_data(1, bytes(100_000))
    cnt = {side: len(sent) for side, sent in world.sent.items()}
    real, world.client_addr = world.client_addr, SPOOFED
    world.client.send_ping(1)
    world.transmit("client")
    world.client_addr = real
    world.network.drops = lambda _, __, to: to == SPOOFED

    world.run(seconds=5)

    came = sum(len(sent.data) for sent in world.sent["client"][cnt["client"] :][:1])
    went = [sent for sent in world.sent["server"][cnt["server"] :] if sent.to == SPOOFED]
    assert 0 < sum(len(sent.data) for sent in went) <= 3 * came
    assert world.run(lambda: len(world.received("client", 1)) == 100_000, seconds=5)


def test_a_client_takes_nothing_from_elsewhere(make_world: MakeWorld) -> None:
    """RFC 9000 section 9: only clients move."""
    world = settled(make_world)
    world.server.send_stream_data(1, b"x")
    ((data, _),) = world.server.datagrams_to_send(world.now)

    world.client.receive_datagram(data, SPOOFED, world.now)
    world.tell("client")
    assert world.received("client", 1) == b""

    world.client.receive_datagram(data, ("192.0.2.200", 4433), world.now)
    world.tell("client")
    assert world.received("client", 1) == b"x"


def test_connection_ids_are_changed_and_retired(make_world: MakeWorld) -> None:
    """As often as there are spare ones."""
    world = settled(make_world)
    used = set()

    for stream_id in range(0, 40, 4):
        used.add(world.client._peer_cid.cid)
        ask(world, 2000, stream_id)
        world.client.change_connection_id()
        world.run(seconds=0.2)

    assert len(used) == 10
    assert len(world.of("server", events.ConnectionIdRetired)) == 10
