"""Keys: updates, the key log, and that no nonce is used twice, in every pairing."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

import pytest
from aioquic.quic import events
from aioquic.quic.packet import QuicFrameType
from aioquic.tls import CipherSuite, Epoch

from quicxdp.connection import FastConnection
from tests.differential.conftest import DELAY_S, Network
from tests.differential.sealed import ZERO_RTT, Sealed

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioquic.quic.connection import QuicConnection

    from tests.differential.conftest import World

    MakeWorld = Callable[..., World]


def ask(world: World, size_bytes: int = 5000) -> None:
    """Send so much and wait until it has come back."""
    stream_id = world.client.get_next_available_stream_id()
    world.client.send_stream_data(stream_id, bytes(size_bytes), end_stream=True)
    world.transmit("client")
    assert world.run(lambda: world.has_ended("client", stream_id), seconds=10)


# ---- Key updates -----------------------------------------------------------------------


def test_keys_are_updated_by_either_side(make_world: MakeWorld) -> None:
    """Again and again, and what is under way is still opened."""
    world = make_world()
    world.echo()
    world.handshake()

    for side in ("client", "server") * 3:
        world.connection(side).request_key_update()
        ask(world)
        ask(world)

    for connection in world.native():
        assert connection.get_stats().key_updates >= 3
    phases = {c._cryptos[Epoch.ONE_RTT].key_phase for c in (world.client, world.server)}
    assert len(phases) == 1


def test_a_key_update_before_the_handshake_is_confirmed_waits(
    make_world: MakeWorld,
) -> None:
    """RFC 9001 section 6.1."""
    world = make_world()
    world.echo()
    world.client.request_key_update()
    world.handshake()

    ask(world)
    ask(world)

    assert world.server._cryptos[Epoch.ONE_RTT].key_phase == 1


def test_updates_need_not_wait_for_an_answer(make_world: MakeWorld) -> None:
    """RFC 9001 section 6.1 says that they do, but aioquic begins another at once.

    The engine waits itself, and follows an aioquic that does not (section 6.2 would let
    it close the connection).
    """
    world = make_world()
    world.echo()
    world.handshake()

    for _ in range(6):
        world.client.request_key_update()
        world.client.send_stream_data(0, bytes(3000))
        world.transmit("client")
        world.run(seconds=DELAY_S / 4)
    ask(world)

    assert world.run(lambda: len(world.received("client", 0)) == 18_000, seconds=10)
    for connection in world.native():
        assert connection.get_stats().key_updates >= 1


@pytest.mark.parametrize("first", ["client", "server"])
def test_an_update_follows_on_the_heels_of_the_peers(
    make_world: MakeWorld, first: str
) -> None:
    """One side updates, the other at once again, before it has sent a single packet.

    aioquic then never uses the generation in between.  The engine waits for an
    acknowledgment before its own, and finds out what an aioquic has left out.
    """
    world = make_world()
    world.handshake()
    world.run(seconds=1)
    second = "server" if first == "client" else "client"

    def update(connection: QuicConnection, event: events.QuicEvent) -> None:
        if isinstance(event, events.StreamDataReceived):
            connection.request_key_update()
            connection.send_stream_data(
                connection.get_next_available_stream_id(), b"answer", end_stream=True
            )

    world.on_event[second] = update
    for _ in range(5):
        connection = world.connection(first)
        connection.request_key_update()
        stream_id = connection.get_next_available_stream_id()
        connection.send_stream_data(stream_id, b"question", end_stream=True)
        world.transmit(first)
        world.run(seconds=0.5)

    assert len(world.of(second, events.StreamDataReceived)) == 5
    assert len(world.of(first, events.StreamDataReceived)) == 5
    assert not world.of(first, events.ConnectionTerminated)


@pytest.mark.slow
def test_keys_are_updated_while_packets_overtake_each_other(
    make_world: MakeWorld,
) -> None:
    """RFC 9001 section 6.3: the engine keeps old keys for a while; aioquic does not."""
    world = make_world(Network(reordering=0.3, loss=0.01, seed=7))
    world.echo()
    world.handshake()

    for _ in range(6):
        world.client.request_key_update()
        ask(world, 50_000)


@pytest.mark.parametrize(
    "suite",
    [
        CipherSuite.AES_128_GCM_SHA256,
        CipherSuite.AES_256_GCM_SHA384,
        CipherSuite.CHACHA20_POLY1305_SHA256,
    ],
    ids=lambda suite: suite.name,
)
def test_every_cipher_suite_works(make_world: MakeWorld, suite: CipherSuite) -> None:
    """With a key update, whose secrets have the length of the hash."""
    world = make_world(client={"cipher_suites": [suite]})
    world.echo()
    world.handshake()
    ask(world)

    world.client.request_key_update()
    ask(world)
    ask(world)


def test_the_key_log_is_aioquics(make_world: MakeWorld) -> None:
    """What decrypts one decrypts the other; Wireshark reads the same labels."""
    logs = io.StringIO(), io.StringIO()
    world = make_world(
        client={"secrets_log_file": logs[0]}, server={"secrets_log_file": logs[1]}
    )
    world.handshake()

    lines = [sorted(log.getvalue().splitlines()) for log in logs]
    assert lines[0] == lines[1]
    assert [line.split()[0] for line in lines[0]] == [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_TRAFFIC_SECRET_0",
    ]


# ---- One sealer ------------------------------------------------------------------------


def check_seals(world: World, logs: dict[str, io.StringIO]) -> dict[str, set[str | int]]:
    """Open all that the engine's sides have sent, and look for a nonce used twice.

    Returns the ways in which each has sealed.
    """
    ways = {}
    for side in ("client", "server"):
        connection = world.connection(side)
        if isinstance(connection, FastConnection):
            sealed = Sealed(side, logs[side].getvalue(), connection._version or 0)
            sealed.take((sent.data for sent in world.sent[side]), cid_len_bytes=8)
            stats = connection.get_stats()
            assert sealed.repeated == []
            assert len(sealed.pairs) == stats.tx_packets > 0
            ways[side] = sealed.ways
    return ways


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(6))
def test_no_nonce_is_used_twice(make_world: MakeWorld, seed: int) -> None:
    """Whatever comes together: 0-RTT, Retry, coalescing, path probes, updates, close."""
    random_ = random.Random(seed)
    first = make_world()
    first.handshake()
    assert first.run(lambda: first.tickets, seconds=5)
    logs = {"client": io.StringIO(), "server": io.StringIO()}
    world = make_world(
        Network(loss=0.05, reordering=0.1, duplication=0.05, seed=seed),
        retry=bool(seed & 1),
        ticket=first.tickets[0],
        ticket_store=first.ticket_store if seed & 2 else {},
        client={"secrets_log_file": logs["client"]},
        server={"secrets_log_file": logs["server"]},
    )
    world.echo()
    world.connect()
    world.client.send_stream_data(0, bytes(3000), end_stream=True)
    world.transmit("client")
    assert world.run(world.is_confirmed, seconds=60)
    for number in range(30):
        action = random_.randrange(6)
        if action == 0:
            world.client_addr = ("192.0.2.1", 2000 + number)
        elif action == 1:
            world.client.change_connection_id()
        elif action == 2:
            random_.choice(world.native() or [world.client]).request_key_update()
        elif action == 3:
            world.client.send_ping(number)
        else:
            stream_id = world.client.get_next_available_stream_id()
            world.client.send_stream_data(stream_id, bytes(20_000), end_stream=True)
        world.transmit("client")
        world.transmit("server")
        world.run(seconds=0.1)
    side = random_.choice(["client", "server"])
    world.connection(side).close(error_code=1)
    world.transmit(side)
    assert world.run(world.is_over, seconds=120)

    check_seals(world, logs)


@pytest.mark.parametrize("pair", [("native", "native")], indirect=True)
def test_every_way_to_seal_takes_the_numbers_of_one_counter(
    make_world: MakeWorld,
) -> None:
    """Early data, again after a Retry, coalesced; updates, probes of paths, a close.

    Each must have happened: otherwise nothing would have been looked at.
    """
    first = make_world()
    first.handshake()
    assert first.run(lambda: first.tickets, seconds=5)
    logs = {"client": io.StringIO(), "server": io.StringIO()}
    world = make_world(
        retry=True,
        ticket=first.tickets[0],
        ticket_store=first.ticket_store,
        client={"secrets_log_file": logs["client"]},
        server={"secrets_log_file": logs["server"]},
    )
    world.echo()
    world.client.send_stream_data(0, bytes(3000), end_stream=True)
    world.connect()
    assert world.run(lambda: world.has_ended("client", 0), seconds=10)
    for side in ("client", "server"):
        world.connection(side).request_key_update()
        ask(world)
        ask(world)
    # The server asks both addresses, the new one and the one left.
    real, world.client_addr = world.client_addr, ("203.0.113.6", 6)
    world.client.send_ping(1)
    world.transmit("client")
    world.client_addr = real
    world.run(seconds=5)
    world.server.close(error_code=7)
    world.transmit("server")
    assert world.run(world.is_over, seconds=60)

    ways = check_seals(world, logs)
    lines = logs["client"].getvalue().splitlines()
    assert sum(line.startswith(ZERO_RTT) for line in lines) == 2  # before and after Retry
    assert {"0-RTT", "1-RTT", "coalesced", "later phase"} <= ways["client"]
    assert {"1-RTT", "coalesced", "later phase"} <= ways["server"]
    assert {QuicFrameType.PATH_CHALLENGE, QuicFrameType.APPLICATION_CLOSE} <= ways[
        "server"
    ]


def test_a_close_takes_a_number_of_its_own(make_world: MakeWorld) -> None:
    """aioquic builds that packet, and counts on its own, but never seals it."""
    logs = {"client": io.StringIO(), "server": io.StringIO()}
    world = make_world(
        client={"secrets_log_file": logs["client"]},
        server={"secrets_log_file": logs["server"]},
    )
    world.echo()
    world.handshake()
    ask(world)

    world.client.close(error_code=7, reason_phrase="bye")
    world.transmit("client")
    world.run(seconds=1)

    assert world.of("server", events.ConnectionTerminated)[0].error_code == 7
    check_seals(world, logs)
