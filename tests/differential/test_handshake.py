"""Handshakes of every kind, in every pairing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from aioquic.quic import events
from aioquic.quic.packet import QuicErrorCode, QuicProtocolVersion

from tests.differential.conftest import (
    DELAY_S,
    START_S,
    Network,
    World,
    native_client,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakeWorld = Callable[..., World]

V1, V2 = QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2
EARLY = b"early" * 600


def sizes(world: World, side: str) -> list[int]:
    """Return the sizes of the datagrams that a side has sent."""
    return [len(sent.data) for sent in world.sent[side]]


def test_a_handshake_takes_the_datagrams_that_aioquics_takes(
    pair: tuple[str, str], make_world: MakeWorld, certificate: tuple[Path, Path]
) -> None:
    """Of the same sizes, so nothing is coalesced worse, nor acknowledged more often."""
    world = make_world()
    reference = World(
        ("aioquic", "aioquic"), certificate, Network(), client={}, server={}
    )

    for each in (world, reference):
        each.handshake()
        each.run(seconds=2)

    assert len(world.sent["client"]) == 4
    assert sizes(world, "server") == sizes(reference, "server")
    assert sizes(world, "client")[:3] == sizes(reference, "client")[:3]
    # The last is an ACK: aioquic's packet numbers have gaps, which take a byte to tell.
    last, expected = sizes(world, "client")[3], sizes(reference, "client")[3]
    assert last == expected or (pair[1] == "native" and last == expected - 1)
    assert len(world.client._peer_cid_available) == 7
    assert len(world.server._peer_cid_available) == 7


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_a_handshake_survives_the_loss_of_a_third_of_all_datagrams(
    make_world: MakeWorld, seed: int
) -> None:
    """Whoever has which keys when, nobody waits for ever."""
    make_world(Network(loss=0.3, seed=seed)).handshake()


def test_an_incompatible_version_is_negotiated(make_world: MakeWorld) -> None:
    """RFC 9368: the server answers with a list, and the client starts again."""
    world = make_world(
        client={"supported_versions": [V1, V2]},
        server={"supported_versions": [V2]},
        answer_versions=[V2],
    )
    world.echo()
    world.handshake()
    world.client.send_stream_data(0, b"q" * 3000, end_stream=True)
    world.transmit("client")

    assert world.run(lambda: world.has_ended("client", 0), seconds=10)
    assert world.client._version == V2


def test_a_compatible_version_is_negotiated(make_world: MakeWorld) -> None:
    """RFC 9368: the server goes on with another version, and so do the 1-RTT keys."""
    world = make_world(
        client={"supported_versions": [V2, V1], "original_version": V1},
        server={"supported_versions": [V2, V1]},
    )
    world.echo()
    world.handshake()
    world.client.send_stream_data(0, b"q" * 3000, end_stream=True)
    world.transmit("client")

    assert world.run(lambda: world.has_ended("client", 0), seconds=10)
    assert (world.client._version, world.server._version) == (V2, V2)


def test_what_is_lost_of_a_handshake_is_sent_again(make_world: MakeWorld) -> None:
    """HANDSHAKE_DONE and connection IDs: the engine tells aioquic of their loss."""
    world = make_world()

    def cut(_: object, event: object) -> None:
        if isinstance(event, events.HandshakeCompleted):
            world.network.drops = lambda side, *_: side == "server"

    world.on_event["server"] = cut
    world.connect()
    world.run(seconds=0.5)
    world.network.drops = lambda *_: False

    assert not world.client._handshake_confirmed
    assert world.run(world.is_confirmed, seconds=5)
    assert world.run(lambda: len(world.client._peer_cid_available) == 7, seconds=5)


# ---- Tickets, 0-RTT and Retry ----------------------------------------------------------


def with_ticket(make_world: MakeWorld, **options: bool) -> World:
    """Return a world whose client has a ticket that its server will take."""
    first = make_world(**options)
    first.handshake()
    assert first.run(lambda: first.tickets, seconds=5)
    return make_world(ticket=first.tickets[0], ticket_store=first.ticket_store, **options)


def say_early(world: World, *, before_connect: bool) -> None:
    """Connect, and ask for an echo of `EARLY` before that or right after."""
    world.echo()
    if before_connect:
        world.client.send_stream_data(0, EARLY, end_stream=True)
    world.connect()
    if not before_connect:
        world.client.send_stream_data(0, EARLY, end_stream=True)
        world.transmit("client")


def completed(world: World) -> events.HandshakeCompleted:
    """Return the client's event."""
    event: events.HandshakeCompleted = world.of("client", events.HandshakeCompleted)[0]
    return event


@pytest.mark.parametrize("before_connect", [True, False])
def test_early_data_is_accepted(
    pair: tuple[str, str], make_world: MakeWorld, *, before_connect: bool
) -> None:
    """And answered after one round trip, if the client sends it with its first packets.

    aioquic sends data that was written before connect() only after the handshake, as it
    looks its limits up when it is written.
    """
    world = with_ticket(make_world)
    world.echo()
    if before_connect:
        world.client.send_stream_data(0, EARLY, end_stream=True)
        world.connect()
    else:
        world.client.connect(("192.0.2.200", 4433), world.now)
        world.client.send_stream_data(0, EARLY, end_stream=True)
        world.transmit("client")

    assert world.run(lambda: world.has_ended("client", 0), seconds=5)
    assert world.received("client", 0) == EARLY
    assert completed(world).session_resumed
    assert completed(world).early_data_accepted
    round_trips = 2 if before_connect and pair[0] == "aioquic" else 1
    assert world.now - START_S == pytest.approx(round_trips * 2 * DELAY_S, abs=0.002)


@pytest.mark.parametrize("before_connect", [True, False])
def test_early_data_that_is_rejected_is_sent_again(
    pair: tuple[str, str], make_world: MakeWorld, *, before_connect: bool
) -> None:
    """RFC 9001 section 4.6.2: the server has lost the ticket.

    The engine does so as soon as it hears of it; aioquic waits for signs of loss.
    """
    world = with_ticket(make_world)
    world.ticket_store.clear()
    say_early(world, before_connect=before_connect)

    assert world.run(lambda: world.has_ended("client", 0), seconds=5)
    assert world.received("client", 0) == EARLY
    if pair[0] == "native":
        assert world.now - START_S == pytest.approx(4 * DELAY_S, abs=0.002)
    assert not completed(world).session_resumed
    assert not completed(world).early_data_accepted


SMALL: Final = {"max_data": 2000, "max_stream_data": 1000}


def resumed(make_world: MakeWorld, *, accepted: bool, **server: int) -> World:
    """Return a world that has sent early data, to a server with other limits now."""
    first = make_world()
    first.handshake()
    assert first.run(lambda: first.tickets, seconds=5)
    world = make_world(
        ticket=first.tickets[0],
        ticket_store=first.ticket_store if accepted else {},
        server=server,
    )
    world.echo()
    world.connect()
    world.client.send_stream_data(0, EARLY, end_stream=True)
    world.transmit("client")
    return world


@native_client
def test_rejected_data_keeps_within_limits_lower_than_remembered(
    make_world: MakeWorld,
) -> None:
    """RFC 9000 section 7.4.1: what the ticket promised counts no more.

    aioquic sends all of it again at once, and is closed for it.
    """
    world = resumed(make_world, accepted=False, **SMALL)

    assert world.run(lambda: world.has_ended("client", 0), seconds=10)
    assert world.received("client", 0) == EARLY
    assert not completed(world).early_data_accepted
    assert not world.of("client", events.ConnectionTerminated)


@native_client
def test_a_server_that_accepts_may_not_lower_its_limits(make_world: MakeWorld) -> None:
    """RFC 9000 section 7.4.1, RFC 9221 section 3.

    aioquic does not look: neither as a server, nor as a client.
    """
    world = resumed(make_world, accepted=True, **SMALL)

    assert world.run(world.is_over, seconds=10)
    closed = world.of("client", events.ConnectionTerminated)[0]
    assert closed.error_code == QuicErrorCode.PROTOCOL_VIOLATION
    assert closed.reason_phrase.startswith("0-RTT was accepted, but max_data fell below")


@native_client
def test_accepted_data_goes_on_within_higher_limits(make_world: MakeWorld) -> None:
    """The ticket held the client back, the handshake lets it go on.

    aioquic keeps a stream at the limit that it was made with, and waits for ever.
    """
    first = make_world(server=SMALL)
    first.handshake()
    assert first.run(lambda: first.tickets, seconds=5)
    world = make_world(ticket=first.tickets[0], ticket_store=first.ticket_store)
    world.echo()
    world.connect()
    world.client.send_stream_data(0, EARLY, end_stream=True)
    world.transmit("client")

    assert world.run(lambda: world.has_ended("client", 0), seconds=5)
    assert world.received("client", 0) == EARLY
    assert completed(world).early_data_accepted


def test_a_retry_is_followed(make_world: MakeWorld) -> None:
    """RFC 9000 section 8.1.2."""
    world = make_world(retry=True)
    world.echo()
    world.handshake()
    world.client.send_stream_data(0, b"q" * 3000, end_stream=True)
    world.transmit("client")

    assert world.run(lambda: world.has_ended("client", 0), seconds=5)


@pytest.mark.parametrize("before_connect", [True, False])
def test_early_data_survives_a_retry(
    pair: tuple[str, str], make_world: MakeWorld, *, before_connect: bool
) -> None:
    """RFC 9000 section 17.2.5.3: the client sends it again, under new numbers.

    aioquic 1.7.2 forgets 0-RTT data that it has sent before a Retry.
    """
    world = with_ticket(make_world, retry=True)
    say_early(world, before_connect=before_connect)

    arrives = world.run(lambda: world.has_ended("client", 0), seconds=5)

    assert arrives == (before_connect or pair[0] == "native")
    if pair[0] == "native":
        # A round trip for the Retry, one for the answer, and no wait for signs of loss.
        assert world.now - START_S == pytest.approx(4 * DELAY_S, abs=0.002)
    if arrives:
        assert world.received("client", 0) == EARLY


# ---- Before the client's address is validated ------------------------------------------


def test_a_server_sends_no_more_than_three_times_what_it_got(
    make_world: MakeWorld,
) -> None:
    """RFC 9000 section 8.1: aioquic's packets and the engine's share one budget."""
    world = make_world()

    def write(connection: object, event: object) -> None:
        if isinstance(event, events.ProtocolNegotiated):
            world.server.send_stream_data(1, bytes(100_000), end_stream=True)
            world.network.drops = lambda side, *_: side == "client"

    world.on_event["server"] = write
    world.connect()
    got = sum(sizes(world, "client"))
    world.run(seconds=5)

    assert 2.9 * got < sum(sizes(world, "server")) <= 3 * got

    world.network.drops = lambda *_: False
    assert world.run(lambda: world.has_ended("client", 1), seconds=40)
    assert len(world.received("client", 1)) == 100_000


def test_what_arrives_with_the_finished_is_not_lost(
    pair: tuple[str, str], make_world: MakeWorld, certificate: tuple[Path, Path]
) -> None:
    """Order counts: a request must not be opened ahead of the keys to it."""
    world = make_world()
    world.echo()

    def ask(connection: object, event: object) -> None:
        if isinstance(event, events.HandshakeCompleted):
            world.client.send_stream_data(0, b"?" * 4000, end_stream=True)

    world.on_event["client"] = ask
    world.connect()

    assert world.run(lambda: world.has_ended("client", 0), seconds=5)
    assert world.now - START_S == pytest.approx(4 * DELAY_S, abs=0.005)
