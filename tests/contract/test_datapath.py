"""What `Datapath` promises, over every back end that needs no root and no network.

The C suite (native/tests/contract.c) holds the same waist to its promises from below;
here it is what Python makes of it: bytes, addresses, batches, errors.
"""

from __future__ import annotations

import errno
import select
import socket
from array import array
from time import monotonic_ns
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quicxdp import _native
from quicxdp.config import BATCH_MAX, DatapathConfig
from quicxdp.datapath import Datapath
from quicxdp.errors import DatapathError
from quicxdp.simulation import Link, LinkConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from quicxdp.addresses import Address

# Bounds every wait for something that the kernel does at once.
PATIENCE_MS = 10_000


class Pair(Protocol):
    """Two datapaths that reach each other."""

    a: Datapath
    b: Datapath
    lane: str

    def carry(self) -> int:
        """Let what was sent arrive; return the time to receive at."""

    def close(self) -> None:
        """Close both."""


class SocketPair:
    """Two datapaths on loopback."""

    lane = "socket"

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.a, self.b = self._open(host), self._open(host)

    @staticmethod
    def _open(host: str) -> Datapath:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((host, 0))
            return Datapath.open(sock)

    def carry(self) -> int:
        """Loopback delivers within the sending call."""
        return monotonic_ns()

    def close(self) -> None:
        """Close both."""
        self.a.close()
        self.b.close()


class MemoryPair:
    """Two datapaths on a simulated link."""

    lane = "xdp"

    def __init__(
        self, a: Address = ("192.0.2.1", 1000), b: Address = ("192.0.2.2", 2000)
    ) -> None:
        self.link = Link(LinkConfig(mtu_bytes=1500))
        self.a = self.link.open(0, a)
        self.b = self.link.open(1, b)
        self.now_ns = 0

    def carry(self) -> int:
        """Advance the virtual clock past the link's delay."""
        self.now_ns += 1_000_000
        self.link.advance(self.now_ns)
        return self.now_ns

    def close(self) -> None:
        """Close both, and the link."""
        self.a.close()
        self.b.close()
        self.link.close()


PAIRS: dict[str, Callable[[], Pair]] = {
    "socket": SocketPair,
    "socket6": lambda: SocketPair("::1"),
    "memory": MemoryPair,
    "memory6": lambda: MemoryPair(
        ("2001:db8::1", 1000, 0, 0), ("2001:db8::2", 2000, 0, 0)
    ),
}


@pytest.fixture(params=list(PAIRS))
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Open one pair of each kind."""
    made = PAIRS[request.param]()
    yield made
    made.close()


def send(datapath: Datapath, payloads: list[bytes], path: bytes) -> int:
    """Send *payloads* to one path."""
    return datapath.send(b"".join(payloads), array("Q", map(len, payloads)), [path])


def drain(datapath: Datapath, now_ns: int) -> list[tuple[bytes, Address]]:
    """Receive until nothing is left."""
    got: list[tuple[bytes, Address]] = []
    while batch := datapath.recv(now_ns):
        assert len(batch) <= BATCH_MAX
        got += batch
    return got


def to(sender: Datapath, receiver: Datapath) -> bytes:
    """Return the path from one to the other."""
    return sender.book.path(receiver.local())


def balanced(datapaths: Iterable[Datapath]) -> bool:
    """Tell whether every frame has one owner, and none is lent."""
    for datapath in datapaths:
        stats = datapath.stats()
        census = datapath.census()
        if sum(census.values()) != stats.frame_cnt or census["lent"] or census["built"]:
            return False
    return True


def test_datagrams_arrive_whole_in_order_and_from_where_they_were_sent(
    pair: Pair,
) -> None:
    """Sizes that differ must not run together, whatever is sent as one."""
    payloads = [
        bytes([n]) * size for n, size in enumerate((0, 1, 1200, 1200, 7, 1200, 0))
    ]

    assert send(pair.a, payloads, to(pair.a, pair.b)) == len(payloads)

    got = drain(pair.b, pair.carry())
    assert [data for data, _ in got] == payloads
    assert {addr for _, addr in got} == {pair.a.local()}
    assert balanced((pair.a, pair.b))


def test_an_answer_follows_the_path_of_the_question(pair: Pair) -> None:
    """The received address is all that is needed, and it equals the sender's."""
    send(pair.a, [b"question"], to(pair.a, pair.b))
    ((_, addr),) = drain(pair.b, pair.carry())

    send(pair.b, [b"answer"], pair.b.book.path(addr))

    assert drain(pair.a, pair.carry()) == [(b"answer", pair.b.local())]


def test_one_call_sends_to_many_peers(pair: Pair) -> None:
    """A server's turn has answers for many clients; each gets its own."""
    nowhere = pair.a.book.path((pair.b.local()[0], 9, *pair.b.local()[2:]))
    items = array(
        "Q", [4 | (number % 2) << _native.ITEM_PATH_SHIFT for number in range(8)]
    )
    payload = b"".join(b"%04d" % number for number in range(8))

    assert pair.a.send(payload, items, [to(pair.a, pair.b), nowhere]) == 8

    got = drain(pair.b, pair.carry())
    assert [data for data, _ in got] == [b"0000", b"0002", b"0004", b"0006"]


def test_what_was_received_stays_when_more_arrives(pair: Pair) -> None:
    """Payloads are copies: no frame is lent beyond recv."""
    kept = []
    for number in range(2000):
        send(pair.a, [b"%04d" % number], to(pair.a, pair.b))
        kept += drain(pair.b, pair.carry())

    assert [data for data, _ in kept] == [b"%04d" % number for number in range(2000)]
    assert all(type(data) is bytes for data, _ in kept)
    assert pair.b.census().get("lent") == 0


def test_the_counters_are_true(pair: Pair) -> None:
    """People find faults with them."""
    before = pair.b.stats().lanes[pair.lane].rx_packets
    send(pair.a, [b"12345"] * 10, to(pair.a, pair.b))
    drain(pair.b, pair.carry())

    sent, got = pair.a.stats(), pair.b.stats()
    assert before == 0
    assert (sent.lanes[pair.lane].tx_packets, sent.lanes[pair.lane].tx_bytes) == (10, 50)
    assert (got.lanes[pair.lane].rx_packets, got.lanes[pair.lane].rx_bytes) == (10, 50)
    assert got.total.rx_packets == 10
    assert sum(got.drops.values()) == 0


def test_a_datagram_that_can_never_be_sent_costs_only_itself(pair: Pair) -> None:
    """It is taken, reported with its peer, and its neighbours go."""
    payloads = [b"before", b"x" * 65508, b"after"]

    assert send(pair.a, payloads, to(pair.a, pair.b)) == 3

    assert [data for data, _ in drain(pair.b, pair.carry())] == [b"before", b"after"]
    assert pair.a.errors() == [(errno.EMSGSIZE, pair.b.local())]
    assert pair.a.errors() == []
    assert pair.a.stats().drops["overlong"] == 1


def test_the_descriptor_tells_when_to_receive(pair: Pair) -> None:
    """The event loop watches nothing else."""
    assert not is_readable(pair.b, 0)
    send(pair.a, [b"x"], to(pair.a, pair.b))
    now_ns = pair.carry()

    assert is_readable(pair.b, PATIENCE_MS)
    drain(pair.b, now_ns)
    assert not is_readable(pair.b, 0)


def is_readable(datapath: Datapath, wait_ms: int) -> bool:
    """Ask poll()."""
    poll = select.poll()
    poll.register(datapath.fd, select.POLLIN)
    return bool(poll.poll(wait_ms))


def test_the_alarm_makes_the_descriptor_readable_once() -> None:
    """Deadlines and packets come through one door."""
    pair = SocketPair()
    pair.a.arm(monotonic_ns() + 1_000_000)
    assert is_readable(pair.a, PATIENCE_MS)
    pair.a.recv(monotonic_ns())
    assert not is_readable(pair.a, 0)

    pair.a.arm(0)
    assert is_readable(pair.a, 0)
    pair.a.arm(_native.NEVER_NS)
    assert not is_readable(pair.a, 0)
    pair.close()


def test_sending_more_than_fits_says_how_much_went_and_loses_no_frame() -> None:
    """A short send says how much it took, and every frame stays accounted for."""
    link = Link(LinkConfig(tx_stalled=1))
    a = link.open(0, ("192.0.2.1", 1), config=DatapathConfig(tx_frame_cnt=64))
    b = link.open(1, ("192.0.2.2", 2))

    taken = send(a, [b"x" * 100] * BATCH_MAX, to(a, b))

    assert 0 < taken < BATCH_MAX
    assert balanced((a,))
    link.configure(LinkConfig())
    link.advance(1)
    assert is_readable(a, PATIENCE_MS)
    a.recv(1)
    assert send(a, [b"x" * 100], to(a, b)) == 1
    link.advance(2)
    assert len(drain(b, 2)) == taken + 1
    for datapath in (a, b):
        datapath.close()
    link.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_is_done_the_census_adds_up(pair: Pair, data: st.DataObject) -> None:
    """The invariant of the datapath, over random turns of both ends."""
    for _ in range(data.draw(st.integers(1, 6))):
        ends = (pair.a, pair.b) if data.draw(st.booleans()) else (pair.b, pair.a)
        payloads = data.draw(st.lists(st.binary(max_size=1400), min_size=1, max_size=40))
        taken = send(ends[0], payloads, to(*ends))
        if data.draw(st.booleans()):
            got = [data for data, _ in drain(ends[1], pair.carry())]
            assert payloads[:taken] == got[-taken:]
        assert balanced((pair.a, pair.b))
    now_ns = pair.carry()
    drain(pair.a, now_ns)
    drain(pair.b, now_ns)


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=30))
@settings(max_examples=100)
def test_any_frame_from_the_wire_ends_in_a_delivery_or_a_counted_drop(
    frames: list[bytes],
) -> None:
    """Nothing that a peer sends may crash, leak or vanish."""
    pair = MemoryPair()
    for frame in frames:
        pair.link.inject(0, frame)

    delivered = len(drain(pair.a, pair.carry()))

    stats = pair.a.stats()
    assert delivered + sum(stats.drops.values()) == stats.rx_ring_produced == len(frames)
    assert balanced((pair.a,))
    pair.close()


def test_an_unbound_socket_is_refused_and_stays_the_callers() -> None:
    """With the sentence that C gave, and no descriptor gone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(DatapathError, match="bind it first"):
            Datapath.open(sock)
        sock.bind(("127.0.0.1", 0))


def test_a_connected_datapath_hears_only_its_peer_and_of_its_absence() -> None:
    """As a connected socket does."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        peer.bind(("127.0.0.1", 0))
        sock.connect(peer.getsockname())
        datapath = Datapath.open(sock)
        other.sendto(b"from a stranger", sock.getsockname())
        peer.sendto(b"from the peer", sock.getsockname())
        got = drain(datapath, monotonic_ns())
        assert got == [(b"from the peer", peer.getsockname())]
        address = peer.getsockname()
    datapath.send(b"x", array("Q", [1]), [datapath.book.path(address)])
    datapath.recv(monotonic_ns())
    datapath.recv(monotonic_ns())
    assert datapath.errors() == [(errno.ECONNREFUSED, address)]
    datapath.close()
