# ruff: noqa: ANN401  (transports and protocols of any kind)
from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamDataReceived
from aioquic.quic.packet import encode_quic_version_negotiation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quicxdp import server as server_module
from quicxdp.clock import Clock
from quicxdp.server import ConnectionTable, QuicServer
from tests.unit.conftest import client_configuration

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from aioquic.quic.configuration import QuicConfiguration

    from tests.unit.conftest import Run

CLIENT_ADDR = ("::ffff:192.0.2.1", 4000, 0, 0)
SERVER_ADDR = ("::ffff:192.0.2.200", 443, 0, 0)


class FakeTransport(asyncio.DatagramTransport):
    """Keeps what is sent; its clock is never looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[bytes, Any]] = []
        self.clock = Clock(lambda: None)
        self.closed = False

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Keep it."""
        self.sent.append((data, addr))

    def close(self) -> None:
        """Note it."""
        self.closed = True

    def take(self) -> list[tuple[bytes, Any]]:
        """Return and forget what was sent."""
        sent, self.sent = self.sent, []
        return sent


class Counting(QuicConnectionProtocol):
    """Counts what is asked of it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.transmits = 0
        self.events: list[QuicEvent] = []

    def transmit(self) -> None:
        """Count."""
        self.transmits += 1
        super().transmit()

    def quic_event_received(self, event: QuicEvent) -> None:
        """Keep."""
        self.events.append(event)


class Peer:
    """A client without I/O, whose datagrams the test carries itself."""

    def __init__(self, number: int) -> None:
        self.quic = QuicConnection(configuration=client_configuration())
        self.addr = ("::ffff:192.0.2.1", 4000 + number, 0, 0)
        self.now = 0.0
        self.quic.connect(SERVER_ADDR, now=self.now)

    def send(self) -> list[tuple[bytes, Any]]:
        """Return what the client wants to send, as the server receives it."""
        datagrams = []
        # A second each time, or the pacer holds datagrams back.
        while got := self.quic.datagrams_to_send(now=self.now):
            datagrams += [(data, self.addr) for data, _ in got]
            self.now += 1.0
        return datagrams

    def receive(self, datagrams: list[tuple[bytes, Any]]) -> None:
        """Take from the server's datagrams those for this client."""
        for data, addr in datagrams:
            if addr == self.addr:
                self.quic.receive_datagram(data, SERVER_ADDR, self.now)


def make_server(
    configuration: QuicConfiguration,
    create_protocol: Callable[..., Any] = Counting,
    **kw: Any,
) -> tuple[QuicServer, FakeTransport]:
    """Return a server on a fake transport."""
    server = QuicServer(
        configuration=configuration, create_protocol=create_protocol, **kw
    )
    # However long a handshake takes here: nothing is left for the loop's next turn.
    server._reception.turn_ns = 2**62
    transport = FakeTransport()
    server.connection_made(transport)
    return server, transport


def connect_all(server: QuicServer, transport: FakeTransport, peers: list[Peer]) -> None:
    """Carry datagrams, always in one batch, until all handshakes are done."""
    for _ in range(5):
        server.datagrams_received(
            [datagram for peer in peers for datagram in peer.send()]
        )
        sent = transport.take()
        for peer in peers:
            peer.receive(sent)


def protocols(server: QuicServer) -> set[Any]:
    """Return the connections that the server knows."""
    return set(server._table.values())


def test_a_header_of_neither_form_takes_nothing_from_its_batch(
    run_asyncio: Run, server_configuration: QuicConfiguration
) -> None:
    """Both first bits clear, a known ID: five bytes that any client can send."""

    async def main() -> None:
        server_configuration.connection_id_length = 4
        server, transport = make_server(server_configuration, engine="aioquic")
        peer = Peer(1)
        connect_all(server, transport, [peer])
        (protocol,) = protocols(server)
        cid = next(cid for cid in server._table if len(cid) == 4)
        peer.quic.send_stream_data(0, b"hello")
        server.datagrams_received([(b"\0" + cid, peer.addr), *peer.send()])
        heard = [e for e in protocol.events if isinstance(e, StreamDataReceived)]
        assert [event.data for event in heard] == [b"hello"]
        server.close()

    run_asyncio(main())


def test_a_batch_is_sorted_by_connection_and_each_transmits_once(
    run_asyncio: Run, server_configuration: QuicConfiguration
) -> None:
    """Twenty datagrams of one connection are one pass over its streams, not twenty."""

    async def main() -> None:
        server, transport = make_server(server_configuration)
        peers = [Peer(number) for number in range(10)]
        connect_all(server, transport, peers)
        assert server.connection_cnt == 10
        for protocol in protocols(server):
            protocol.transmits = 0
            protocol.events.clear()

        for peer in peers:
            peer.quic.send_stream_data(0, bytes(8000))
        flights = [peer.send() for peer in peers]
        assert all(len(flight) > 5 for flight in flights)
        # Interleaved, as they come over a wire.
        batch = [datagram for turn in zip(*flights, strict=True) for datagram in turn]
        server.datagrams_received(batch)

        for protocol in protocols(server):
            assert protocol.transmits == 1
            received = [e for e in protocol.events if isinstance(e, StreamDataReceived)]
            assert b"".join(event.data for event in received) == bytes(8000)

    run_asyncio(main())


def test_a_connection_that_is_new_in_a_batch_transmits_once_too(
    run_asyncio: Run, server_configuration: QuicConfiguration
) -> None:
    """A client hello may take two datagrams; answering each wastes a flight."""

    async def main() -> None:
        server, _ = make_server(server_configuration)
        peer = Peer(0)
        first = peer.send()
        server.datagrams_received(first * 3)

        (protocol,) = protocols(server)
        assert protocol.transmits == 1

    run_asyncio(main())


def test_a_protocol_that_overrides_datagram_received_gets_every_datagram(
    run_asyncio: Run, server_configuration: QuicConfiguration
) -> None:
    """User subclasses run unchanged, whatever they override."""

    class Own(Counting):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.datagrams = 0

        def datagram_received(self, data: Any, addr: Any) -> None:
            self.datagrams += 1
            super().datagram_received(data, addr)

    async def main() -> None:
        server, transport = make_server(server_configuration, Own)
        peer = Peer(0)
        connect_all(server, transport, [peer])
        (protocol,) = protocols(server)
        before = protocol.datagrams
        peer.quic.send_stream_data(0, bytes(8000))
        flight = peer.send()
        server.datagrams_received(flight)
        assert protocol.datagrams == before + len(flight) > before + 5
        assert any(isinstance(event, StreamDataReceived) for event in protocol.events)

    run_asyncio(main())


def test_datagrams_outside_a_batch_are_fed_at_once(
    run_asyncio: Run, server_configuration: QuicConfiguration
) -> None:
    """Somebody may call the protocol himself, as aioquic's own tests do."""

    async def main() -> None:
        server, transport = make_server(server_configuration)
        peer = Peer(0)
        connect_all(server, transport, [peer])
        (protocol,) = protocols(server)
        peer.quic.send_stream_data(0, b"hello")
        for data, addr in peer.send():
            protocol.datagram_received(data, addr)
        assert any(isinstance(event, StreamDataReceived) for event in protocol.events)

    run_asyncio(main())


class NoScan(ConnectionTable):
    """A table that refuses to be walked over."""

    def _refuse(self) -> Any:
        raise AssertionError("walked over all connections")

    items = values = keys = __iter__ = _refuse


def test_the_end_of_a_connection_looks_at_no_other_one(
    run_asyncio: Run,
    server_configuration: QuicConfiguration,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With 10,000 connections, aioquic's walk costs a millisecond for each that ends."""
    monkeypatch.setattr(server_module, "ConnectionTable", NoScan)

    async def main() -> None:
        server, transport = make_server(server_configuration)
        peers = [Peer(number) for number in range(20)]
        connect_all(server, transport, peers)
        assert server.connection_cnt == 20
        ended = server._table[peers[7].quic._peer_cid.cid]

        peers[7].quic.close()
        server.datagrams_received(peers[7].send())
        # The closing period ends by a timer.
        for timer in transport.clock.due(2**63):
            if timer.when() < asyncio.get_running_loop().time() + 30:
                timer.fire()

        assert server.connection_cnt == 19
        assert ended not in dict.values(server._table)

    run_asyncio(main())


operations = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "forget", "clear"]),
        st.integers(0, 9),
        st.integers(0, 3),
    )
)


@given(operations)
def test_the_table_knows_the_same_both_ways(
    operations: list[tuple[str, int, int]],
) -> None:
    """A connection ID that is left behind routes packets to a dead connection."""
    table = ConnectionTable()
    model: dict[bytes, Any] = {}
    owners: list[Any] = [object() for _ in range(4)]
    for operation, cid_number, owner_number in operations:
        cid, owner = b"cid%d" % cid_number, owners[owner_number]
        if operation == "add":
            table[cid] = model[cid] = owner
        elif operation == "remove" and cid in model:
            del table[cid], model[cid]
        elif operation == "forget":
            table.forget(owner)
            model = {key: value for key, value in model.items() if value is not owner}
        elif operation == "clear" and cid_number == 0:
            table.clear()
            model.clear()

        assert dict(table) == model
        assert table.connection_cnt == len({id(value) for value in model.values()})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.binary(max_size=1500), max_size=20))
def test_any_bytes_are_dropped_without_a_trace(
    server_configuration: QuicConfiguration, datagrams: list[bytes]
) -> None:
    """Ports on the internet are sent garbage all day."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        reported: list[Any] = []
        loop.set_exception_handler(lambda _, context: reported.append(context))
        server, _ = make_server(server_configuration)
        server.datagrams_received([(data, CLIENT_ADDR) for data in datagrams])
        assert reported == []
        assert server.connection_cnt == 0

    asyncio.run(main())


def test_mutilated_datagrams_of_a_real_client_do_no_harm(
    run_asyncio: Run, server_configuration: QuicConfiguration
) -> None:
    """Cut or with a flipped byte: the connection goes on."""

    async def main() -> None:
        server, transport = make_server(server_configuration)
        peer = Peer(0)
        connect_all(server, transport, [peer])
        peer.quic.send_stream_data(0, b"hello", end_stream=True)
        *first, (data, addr) = peer.send()
        server.datagrams_received(first)
        for position in range(len(data)):
            flipped = bytearray(data)
            flipped[position] ^= 0x41
            batch = [(bytes(flipped), addr), (data[:position], addr)]
            server.datagrams_received(batch)
        server.datagrams_received([(data, addr)])
        (protocol,) = protocols(server)
        assert [e for e in protocol.events if isinstance(e, ConnectionTerminated)] == []
        (event,) = [e for e in protocol.events if isinstance(e, StreamDataReceived)]
        assert event.data == b"hello"

    run_asyncio(main())


def test_a_version_negotiation_packet_is_never_answered(
    run_asyncio: Run, server_configuration: QuicConfiguration
) -> None:
    """Two servers would answer each other for ever."""

    async def main() -> None:
        server, transport = make_server(server_configuration)
        packet = encode_quic_version_negotiation(
            source_cid=bytes(8), destination_cid=bytes(8), supported_versions=[1]
        )
        server.datagrams_received([(packet + bytes(1200), CLIENT_ADDR)])
        assert transport.take() == []

    run_asyncio(main())


def test_a_connection_that_fails_is_reported_and_the_rest_of_the_batch_is_served(
    run_asyncio: Run, server_configuration: QuicConfiguration
) -> None:
    """One client must not be able to cost the others their packets."""

    class Failing(Counting):
        made = 0

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            Failing.made += 1
            if Failing.made == 2:
                raise LookupError

        def quic_event_received(self, event: QuicEvent) -> None:
            super().quic_event_received(event)
            if isinstance(event, StreamDataReceived) and event.data == b"fail":
                raise IndexError

    async def main() -> None:
        server, transport = make_server(server_configuration, Failing)
        peers = [Peer(number) for number in range(4)]
        server.datagrams_received(
            [datagram for peer in peers for datagram in peer.send()]
        )
        assert server.connection_cnt == 3
        for peer in peers:
            peer.receive(transport.sent)
        transport.take()
        connect_all(server, transport, [peers[0], peers[2], peers[3]])

        peers[0].quic.send_stream_data(0, b"fail")
        peers[2].quic.send_stream_data(0, b"work")
        server.datagrams_received(peers[0].send() + peers[2].send())
        received = [
            event.data
            for protocol in protocols(server)
            for event in protocol.events
            if isinstance(event, StreamDataReceived)
        ]
        assert sorted(received) == [b"fail", b"work"]

    run_asyncio(main())
    errors = [type(context["exception"]) for context in run_asyncio.take_reported()]
    assert errors == [LookupError, IndexError]
