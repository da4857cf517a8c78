"""A client and a server on virtual time, each of either kind, with a network between.

What is tested with every pairing of the two kinds is what an application sees: the
engine in C and aioquic must not differ in it.
"""

from __future__ import annotations

import dataclasses
import functools
import heapq
import os
import random
from typing import TYPE_CHECKING, Any, Final

import pytest
import qxcerts
from aioquic.buffer import Buffer  # type: ignore[attr-defined]  # it is public
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import (
    QuicPacketType,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.retry import QuicRetryTokenHandler
from cryptography.hazmat.primitives.asymmetric import rsa

from quicxdp.connection import FastConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aioquic.quic.connection import NetworkAddress
    from aioquic.quic.packet import QuicHeader
    from aioquic.tls import SessionTicket

CLIENT_ADDR: Final = ("192.0.2.1", 1234)
SERVER_ADDR: Final = ("192.0.2.200", 4433)
START_S: Final = 100.0
DELAY_S: Final = 0.02
# aioquic compares rounded times, and may find that its own deadline has not come.
LATE_S: Final = 1e-6
STEP_CNT_MAX: Final = 500_000

KINDS: Final[dict[str, type[QuicConnection]]] = {
    "native": FastConnection,
    "aioquic": QuicConnection,
}
PAIRS: Final = [(client, server) for client in KINDS for server in KINDS]
# For what only the engine has.
native_client, native_server = (
    pytest.mark.parametrize(
        "pair",
        [pair for pair in PAIRS if pair[side] == "native"],
        indirect=True,
        ids=lambda pair: f"{pair[0]}-{pair[1]}",
    )
    for side in (0, 1)
)


@dataclasses.dataclass
class Network:
    """What happens to datagrams."""

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    drops: Callable[[str, bytes, Any], bool] = lambda *_: False  # (from, data, to)
    seed: int = 1


@dataclasses.dataclass(frozen=True)
class Sent:
    """A datagram that was sent, lost or not."""

    time_s: float
    data: bytes
    to: Any

    @property
    def is_long(self) -> bool:
        """Whether it begins with a long header."""
        return bool(self.data[0] & 0x80)


class World:
    """The two connections, called "client" and "server", and their datagrams.

    Attributes:
        now: virtual time in seconds.
        client_addr: what the server sees as the client's address.
        client: the client's connection.
        server: the server's; there is none before the first Initial packet.
        events: what each has told so far.
        on_event: called with connection and event.
        sent: the datagrams of each.
        tickets: session tickets that the client was given.
        ticket_store: those that the server will accept.
    """

    def __init__(
        self,
        kinds: tuple[str, str],
        certificate: tuple[Path, Path],
        network: Network,
        *,
        client: dict[str, Any],
        server: dict[str, Any],
        retry: bool = False,
        answer_versions: list[int] | None = None,
        ticket: SessionTicket | None = None,
        ticket_store: dict[bytes, SessionTicket] | None = None,
    ) -> None:
        common: dict[str, Any] = {
            "alpn_protocols": ["test"],
            "idle_timeout": 60.0,
            "max_datagram_frame_size": 65536,
        }
        self.now = START_S
        self.network = network
        self.client_addr = CLIENT_ADDR
        self.ticket_store = {} if ticket_store is None else ticket_store
        self.tickets: list[SessionTicket] = []
        self.events: dict[str, list[events.QuicEvent]] = {"client": [], "server": []}
        self.on_event: dict[str, Callable[[QuicConnection, Any], object]] = {}
        self.sent: dict[str, list[Sent]] = {"client": [], "server": []}
        self._random = random.Random(network.seed)
        self._queue: list[tuple[float, int, str, bytes, Any]] = []
        self._cnt = 0
        self._retry = QuicRetryTokenHandler() if retry else None
        self._answer_versions = answer_versions
        self._kinds = dict(zip(("client", "server"), kinds, strict=True))

        configuration = QuicConfiguration(
            is_client=True, server_name="localhost", **{**common, **client}
        )
        configuration.load_verify_locations(cafile=str(certificate[0]))
        configuration.session_ticket = ticket
        self.client = KINDS[kinds[0]](
            configuration=configuration, session_ticket_handler=self.tickets.append
        )
        identity = loaded(certificate)
        self._server_configuration = QuicConfiguration(
            is_client=False,
            certificate=identity.certificate,
            private_key=identity.private_key,
            **{**common, **server},
        )
        self.server: Any = None

    def connection(self, side: str) -> QuicConnection:
        """Return the connection of a side, which must exist."""
        connection: QuicConnection = self.client if side == "client" else self.server
        assert connection is not None
        return connection

    def native(self) -> list[FastConnection]:
        """Return the connections that are the engine's."""
        return [c for c in (self.client, self.server) if isinstance(c, FastConnection)]

    # The network

    def transmit(self, side: str) -> None:
        """Put on the wire what a side has to send."""
        for data, to in self.connection(side).datagrams_to_send(self.now):
            self.sent[side].append(Sent(self.now, data, to))
            self._put(side, data, to)

    def _put(self, side: str, data: bytes, to: NetworkAddress) -> None:
        network = self.network
        if network.drops(side, data, to):
            return
        for _ in range(2 if self._random.random() < network.duplication else 1):
            if self._random.random() < network.loss:
                continue
            late = self._random.random() < network.reordering
            at = self.now + DELAY_S + (0.01 * self._random.random() if late else 0)
            self._push(at, side, data)

    def _push(self, at: float, side: str, data: bytes) -> None:
        self._cnt += 1
        source = self.client_addr if side == "client" else SERVER_ADDR
        heapq.heappush(self._queue, (at, self._cnt, side, data, source))

    def _deliver(self, sender: str, data: bytes, source: NetworkAddress) -> None:
        if sender == "server":
            self.client.receive_datagram(data, source, self.now)
            self.tell("client")
        elif self.server is not None or self._accept(data, source):
            self.server.receive_datagram(data, source, self.now)
            self.tell("server")

    def _accept(self, data: bytes, source: NetworkAddress) -> bool:
        """Do what aioquic's QuicServer does with a first packet."""
        header = pull_quic_header(Buffer(data=data), host_cid_length=8)
        if self._answer_versions and header.version not in self._answer_versions:
            answer = encode_quic_version_negotiation(
                source_cid=header.destination_cid,
                destination_cid=header.source_cid,
                supported_versions=self._answer_versions,
            )
            self._push(self.now + DELAY_S, "server", answer)
            return False
        if header.packet_type != QuicPacketType.INITIAL:
            return False
        if self._retry is None:
            self._make_server(header.destination_cid, None)
            return True
        if not header.token:
            self._send_retry(self._retry, header, source)
            return False
        original_cid = self._retry.validate_token(
            address=source,
            token=header.token,
            now=self.now,
            destination_cid=header.destination_cid,
        )
        self._make_server(original_cid, header.destination_cid)
        return True

    def _send_retry(
        self, handler: QuicRetryTokenHandler, header: QuicHeader, source: NetworkAddress
    ) -> None:
        cid = os.urandom(8)
        token = handler.create_token(
            address=source,
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=cid,
            now=self.now,
        )
        answer = encode_quic_retry(
            version=header.version or 0,
            source_cid=cid,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=token,
        )
        self._push(self.now + DELAY_S, "server", answer)

    def _make_server(self, original_cid: bytes, retry_cid: bytes | None) -> None:
        store = self.ticket_store
        self.server = KINDS[self._kinds["server"]](
            configuration=self._server_configuration,
            original_destination_connection_id=original_cid,
            retry_source_connection_id=retry_cid,
            session_ticket_fetcher=lambda label: store.pop(label, None),
            session_ticket_handler=lambda ticket: store.update({ticket.ticket: ticket}),
        )

    # Events

    def tell(self, side: str) -> None:
        """Let the application of a side see its events, and send."""
        connection = self.connection(side)
        while (event := connection.next_event()) is not None:
            self.events[side].append(event)
            if (callback := self.on_event.get(side)) is not None:
                callback(connection, event)
        self.transmit(side)

    def of(self, side: str, kind: type[Any]) -> list[Any]:
        """Return the events of a kind that a side has seen."""
        return [event for event in self.events[side] if isinstance(event, kind)]

    def received(self, side: str, stream_id: int) -> bytes:
        """Return what a side has received on a stream."""
        return b"".join(
            event.data
            for event in self.of(side, events.StreamDataReceived)
            if event.stream_id == stream_id
        )

    def has_ended(self, side: str, stream_id: int) -> bool:
        """Tell whether a side has seen the end of a stream."""
        return any(
            event.end_stream
            for event in self.of(side, events.StreamDataReceived)
            if event.stream_id == stream_id
        )

    def echo(self) -> None:
        """Let the server send back what streams bring."""

        def answer(connection: QuicConnection, event: events.QuicEvent) -> None:
            if isinstance(event, events.StreamDataReceived):
                connection.send_stream_data(event.stream_id, event.data, event.end_stream)

        self.on_event["server"] = answer

    # Time

    def run(
        self, until: Callable[[], object] = lambda: False, *, seconds: float = 60.0
    ) -> bool:
        """Let time pass until *until* is true, or for so many *seconds*."""
        end = self.now + seconds
        for _ in range(STEP_CNT_MAX):
            if until():
                return True
            at, side = min(self._timers(), default=(end, ""))
            if self._queue and self._queue[0][0] <= at:
                at, side = self._queue[0][0], "network"
            if at >= end:
                self.now = end
                return bool(until())
            self.now = max(self.now, at)
            if side == "network":
                _, _, sender, data, source = heapq.heappop(self._queue)
                self._deliver(sender, data, source)
            else:
                self.now += 0 if self._kinds[side] == "native" else LATE_S
                self.connection(side).handle_timer(self.now)
                self.tell(side)
        raise AssertionError("a timer spins")

    def _timers(self) -> list[tuple[float, str]]:
        timers = []
        for side in ("client", "server"):
            connection = self.client if side == "client" else self.server
            at = None if connection is None else connection.get_timer()
            if at is not None:
                timers.append((at, side))
        return timers

    def connect(self) -> None:
        """Start the handshake."""
        self.client.connect(SERVER_ADDR, self.now)
        self.transmit("client")

    def handshake(self) -> None:
        """Shake hands, and fail if that takes too long."""
        self.connect()
        assert self.run(self.is_confirmed, seconds=30)

    def is_confirmed(self) -> bool:
        """Tell whether both ends know that the handshake is over."""
        return (
            bool(self.of("server", events.HandshakeCompleted))
            and self.client._handshake_confirmed
        )

    def is_over(self) -> bool:
        """Tell whether both ends have terminated."""
        return bool(self.of("client", events.ConnectionTerminated)) and (
            self.server is None or bool(self.of("server", events.ConnectionTerminated))
        )


@functools.cache
def loaded(certificate: tuple[Path, Path]) -> QuicConfiguration:
    """Load a certificate and its key once: checking an RSA key takes OpenSSL 40 ms."""
    configuration = QuicConfiguration(is_client=False)
    configuration.load_cert_chain(*certificate)
    return configuration


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a certificate for localhost, which signs itself; return it and its key.

    RSA, because its signatures are all of one length, and so are handshakes.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return qxcerts.self_signed(tmp_path_factory.mktemp("certificate"), key)


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Who the client is, and who the server."""
    kinds: tuple[str, str] = request.param
    return kinds


@pytest.fixture
def make_world(
    pair: tuple[str, str], certificate: tuple[Path, Path]
) -> Iterator[Callable[..., World]]:
    """Return what makes a World; afterwards nobody may have used what must be dead."""
    worlds = []

    def make(
        network: Network | None = None,
        **options: Any,  # noqa: ANN401  # World's
    ) -> World:
        options.setdefault("client", {})
        options.setdefault("server", {})
        world = World(pair, certificate, network or Network(), **options)
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        for connection in world.native():
            assert_unused(connection)


def assert_unused(connection: FastConnection) -> None:
    """Check that aioquic has not kept what is the engine's business."""
    for name in ("_streams", "_streams_queue", "_datagrams_pending"):
        assert not getattr(connection, name), name
    for name in ("_streams_blocked_bidi", "_streams_blocked_uni"):
        assert not getattr(connection, name), name
    assert not connection._streams_blocked_pending
    assert connection._remote_max_data_used == 0
    assert connection._local_max_data.used == 0
    assert connection._local_next_stream_id_bidi < 4
    assert connection._local_next_stream_id_uni < 4
    assert connection._pacing_at is None


@pytest.fixture(autouse=True)
def _aioquic_is_quiet(quiet_aioquic: None) -> None:
    """Connections end here by the hundred."""
