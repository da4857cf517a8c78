"""Random applications over a random network, in every pairing.

The test's name has the seed, which repeats it but for what TLS draws.  aioquic 1.7.2 has
rare stalls of its own (a loss timer whose deadline rounding keeps it from firing), so its
own pairing is not held to this.
"""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from aioquic.quic import events

from quicxdp.connection import FastConnection
from tests.differential.conftest import PAIRS, Network, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioquic.quic.connection import QuicConnection

    MakeWorld = Callable[..., World]

SEEDS = range(12)


class Application:
    """Writes, resets, stops, pings, moves; and knows what must arrive."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = random.Random(seed)
        self._said: dict[tuple[str, int], bytearray] = defaultdict(bytearray)
        self._got: dict[tuple[str, int], bytearray] = defaultdict(bytearray)
        self._ended: set[tuple[str, int]] = set()
        self._cut: set[int] = set()  # streams that were reset or stopped
        self._writable: dict[str, list[int]] = {"client": [], "server": []}
        for side in ("client", "server"):
            world.on_event[side] = self._listener(side)

    def _listener(self, side: str) -> Callable[[QuicConnection, events.QuicEvent], None]:
        def listen(_: QuicConnection, event: events.QuicEvent) -> None:
            if isinstance(event, events.StreamDataReceived):
                key = (side, event.stream_id)
                assert key not in self._ended
                self._got[key] += event.data
                if event.end_stream:
                    self._ended.add(key)

        return listen

    def step(self) -> None:
        """Do something, and let some time pass."""
        side = self._random.choice(["client", "server"])
        connection = self._world.connection(side)
        action = self._random.choice(
            ["open"] * 3
            + ["write"] * 4
            + ["end"] * 2
            + ["reset", "stop", "ping", "update"]
            + ["move", "cid", "datagram"]
        )
        getattr(self, f"_{action}")(side, connection)
        self._world.transmit(side)
        self._world.run(seconds=self._random.choice([0.0, 0.01, 0.1, 0.5]))

    def _any(self, side: str) -> int | None:
        streams = self._writable[side]
        return self._random.choice(streams) if streams else None

    def _open(self, side: str, connection: QuicConnection) -> None:
        uni = self._random.random() < 0.5
        stream_id = connection.get_next_available_stream_id(is_unidirectional=uni)
        self._writable[side].append(stream_id)
        self._put(side, connection, stream_id, end=False)

    def _put(
        self, side: str, connection: QuicConnection, stream_id: int, *, end: bool
    ) -> None:
        data = self._random.randbytes(self._random.choice([0, 1, 100, 5000, 60_000]))
        connection.send_stream_data(stream_id, data, end_stream=end)
        self._said[side, stream_id] += data

    def _write(self, side: str, connection: QuicConnection) -> None:
        if (stream_id := self._any(side)) is not None:
            self._put(side, connection, stream_id, end=False)

    def _end(self, side: str, connection: QuicConnection) -> None:
        if (stream_id := self._any(side)) is not None:
            self._writable[side].remove(stream_id)
            self._put(side, connection, stream_id, end=True)

    def _reset(self, side: str, connection: QuicConnection) -> None:
        if (stream_id := self._any(side)) is not None:
            self._writable[side].remove(stream_id)
            self._cut.add(stream_id)
            connection.reset_stream(stream_id, 3)

    def _stop(self, side: str, connection: QuicConnection) -> None:
        for other, stream_id in list(self._got):
            writer = "server" if side == "client" else "client"
            if other == side and stream_id in self._writable[writer]:
                self._writable[writer].remove(stream_id)
                self._cut.add(stream_id)
                connection.stop_stream(stream_id, 4)
                return

    def _ping(self, _: str, connection: QuicConnection) -> None:
        connection.send_ping(self._random.getrandbits(30))

    def _update(self, _: str, connection: QuicConnection) -> None:
        # aioquic may begin an update before its last one has been used (RFC 9001 section
        # 6.1 forbids it), and nobody else can open what it sends then.
        if isinstance(connection, FastConnection):
            connection.request_key_update()

    def _move(self, _: str, __: QuicConnection) -> None:
        host = self._random.choice(["192.0.2.1", "192.0.2.77"])
        self._world.client_addr = (host, self._random.randrange(1000, 60_000))

    def _cid(self, _: str, connection: QuicConnection) -> None:
        connection.change_connection_id()

    def _datagram(self, _: str, connection: QuicConnection) -> None:
        connection.send_datagram_frame(self._random.randbytes(500))

    def finish(self) -> None:
        """End all streams on a good network, and compare what arrived."""
        world = self._world
        world.network.loss = world.network.duplication = world.network.reordering = 0
        for side in ("client", "server"):
            for stream_id in self._writable[side]:
                world.connection(side).send_stream_data(stream_id, b"", end_stream=True)
            world.transmit(side)
        whole = {key for key in self._said if key[1] not in self._cut}
        expected = {
            ("server" if side == "client" else "client", stream_id)
            for side, stream_id in whole
        }

        assert world.run(lambda: expected <= self._ended, seconds=120), (
            expected - self._ended
        )
        for side, stream_id in whole:
            other = "server" if side == "client" else "client"
            assert self._got[other, stream_id] == self._said[side, stream_id]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "pair",
    [pair for pair in PAIRS if "native" in pair],
    indirect=True,
    ids=lambda pair: f"{pair[0]}-{pair[1]}",
)
def test_every_byte_arrives_whatever_the_application_and_the_network_do(
    make_world: MakeWorld, seed: int
) -> None:
    """Loss, doubling, reordering, moves, key updates, resets and stops at once."""
    world = make_world(
        Network(
            loss=seed % 4 * 0.03,
            duplication=seed % 3 * 0.03,
            reordering=seed % 2 * 0.2,
            seed=seed,
        )
    )
    world.connect()
    assert world.run(world.is_confirmed, seconds=60)
    application = Application(world, seed)

    for _ in range(60):
        application.step()
    application.finish()
