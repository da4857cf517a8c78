from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quicxdp import _native
from quicxdp.addresses import AddressBook, PeerAddress, pack_addr, resolve, unpack_addr
from quicxdp.errors import ConfigError

if TYPE_CHECKING:
    from quicxdp.addresses import Address

MAPPED = bytes(10) + b"\xff\xff"
ports = st.integers(0, 65535)
ipv4 = st.builds(lambda ip, port: (str(ip), port), st.ip_addresses(v=4), ports)
# Mapped ones are IPv4 addresses in disguise, and have a test of their own.
ipv6 = st.builds(
    lambda ip, port, scope: (
        socket.inet_ntop(socket.AF_INET6, ip),
        port,
        0,
        scope,
    ),
    st.binary(min_size=16, max_size=16).filter(lambda ip: ip[:12] != MAPPED),
    ports,
    st.integers(0, 2**32 - 1),
)


@given(ipv4)
def test_an_ipv4_address_survives_c_and_back(address: tuple[str, int]) -> None:
    """An answer must go where the question came from."""
    assert unpack_addr(socket.AF_INET, pack_addr(socket.AF_INET, address)) == address


@given(ipv6)
def test_an_ipv6_address_survives_c_and_back(address: tuple[Any, ...]) -> None:
    """Scope included, or link-local peers are lost."""
    assert unpack_addr(socket.AF_INET6, pack_addr(socket.AF_INET6, address)) == address


@given(ipv4)
def test_an_ipv4_peer_of_a_dual_stack_socket_looks_as_asyncio_shows_it(
    address: tuple[str, int],
) -> None:
    """aioquic compares addresses; one peer must have one form only."""
    mapped = ("::ffff:" + address[0], address[1], 0, 0)

    raw = pack_addr(socket.AF_INET6, mapped)

    assert raw == pack_addr(socket.AF_INET, address)
    assert unpack_addr(socket.AF_INET6, raw) == mapped


@given(st.binary(min_size=24, max_size=24))
def test_any_bytes_from_c_make_an_address_or_none(raw: bytes) -> None:
    """Whatever the network makes C write, Python does not fall over."""
    address = unpack_addr(socket.AF_INET6, raw)

    if address is not None:
        ipaddress.ip_address(address[0])
        assert 0 <= address[1] <= 65535


@given(st.binary(min_size=48, max_size=48))
def test_a_received_address_equals_the_plain_tuple_and_knows_its_path(
    path: bytes,
) -> None:
    """Applications keep addresses in dicts and compare them with tuples."""
    peer = AddressBook(socket.AF_INET6).peer(path)

    plain = tuple(peer)
    assert peer == plain
    assert hash(peer) == hash(plain)
    assert {plain: 1}[peer] == 1
    assert peer.path == path


def test_a_received_address_is_sent_back_along_its_path() -> None:
    """A reply leaves from the address that was asked, not from the default one."""
    book = AddressBook(socket.AF_INET)
    path = pack_addr(socket.AF_INET, ("192.0.2.1", 5)) + pack_addr(
        socket.AF_INET, ("192.0.2.9", 53)
    )

    assert book.path(book.peer(path)) == path
    assert book.path(("192.0.2.1", 5)) == path[:24] + _native.NO_ADDR


def test_an_address_of_another_endpoint_brings_only_the_peer() -> None:
    """Its local address is not ours to send from."""
    path = pack_addr(socket.AF_INET, ("192.0.2.1", 5)) + pack_addr(
        socket.AF_INET, ("192.0.2.9", 53)
    )
    foreign = AddressBook(socket.AF_INET).peer(path)

    assert AddressBook(socket.AF_INET).path(foreign) == path[:24] + _native.NO_ADDR


def test_both_caches_are_bounded() -> None:
    """Peers choose their addresses, and there are very many."""
    book = AddressBook(socket.AF_INET, size=8)
    for number in range(100):
        address: Address = (f"192.0.2.{number}", 1)
        peer = book.peer(pack_addr(socket.AF_INET, address) + _native.NO_ADDR)
        assert peer == address
        assert book.path(address) == peer.path

    assert len(book.peers) <= 8
    assert len(book._paths) <= 8


def test_the_newest_addresses_stay_cached() -> None:
    """Eviction takes the older half, so that a busy peer keeps its object."""
    book = AddressBook(socket.AF_INET, size=4)
    paths = [
        pack_addr(socket.AF_INET, ("192.0.2.1", n)) + _native.NO_ADDR for n in range(5)
    ]
    peers = [book.peer(path) for path in paths]

    assert book.peer(paths[4]) is peers[4]
    assert book.peer(paths[3]) is peers[3]


@pytest.mark.parametrize(
    ("family", "address", "expected"),
    [
        (socket.AF_INET, ("", 7), ("0.0.0.0", 7)),  # noqa: S104
        (socket.AF_INET, ("<broadcast>", 7), ("255.255.255.255", 7)),
        (socket.AF_INET6, ("", 7), ("::", 7, 0, 0)),
        (socket.AF_INET6, ("::1", 7), ("::1", 7, 0, 0)),
        (socket.AF_INET6, ("::1", 7, 0, 3), ("::1", 7, 0, 3)),
        (socket.AF_INET6, ("fe80::1%lo", 7), ("fe80::1", 7, 0, 1)),
        (socket.AF_INET6, ("127.0.0.1", 7), ("::ffff:127.0.0.1", 7, 0, 0)),
        (socket.AF_INET6, ("::ffff:127.0.0.1", 7, 0, 0), ("::ffff:127.0.0.1", 7, 0, 0)),
    ],
)
def test_numeric_addresses_of_every_form_are_understood(
    family: int, address: tuple[Any, ...], expected: tuple[Any, ...]
) -> None:
    """Whatever asyncio's sockets take as a number, we take."""
    assert unpack_addr(family, resolve(family, address)) == expected


@pytest.mark.parametrize(
    ("family", "address", "error", "words"),
    [
        (socket.AF_INET, ("localhost", 7), ConfigError, "getaddrinfo"),
        (socket.AF_INET, ("::1", 7), ConfigError, "IPv6"),
        (socket.AF_INET, ("127.0.0.1", 65536), ConfigError, "65535"),
        (socket.AF_INET, ("127.0.0.1", -1), ConfigError, "65535"),
        (socket.AF_INET, ("\udcff", 1), ConfigError, "numeric"),
        (socket.AF_INET, ("127.0.0.1",), TypeError, "tuple"),
        (socket.AF_INET, "127.0.0.1", TypeError, "tuple"),
        (socket.AF_INET, (b"127.0.0.1", 7), TypeError, "str"),
        (socket.AF_INET, ("127.0.0.1", "7"), TypeError, "int"),
    ],
)
def test_what_is_no_numeric_address_is_refused_with_the_reason(
    family: int, address: tuple[Any, ...], error: type[Exception], words: str
) -> None:
    """A name in sendto() would block the loop for a DNS query each time."""
    with pytest.raises(error, match=words):
        AddressBook(family).path(address)


def test_peer_addresses_are_tuples_to_everybody_else() -> None:
    """Code that unpacks, formats or indexes addresses goes on working."""
    raw = pack_addr(socket.AF_INET, ("192.0.2.1", 5)) + _native.NO_ADDR
    peer = AddressBook(socket.AF_INET).peer(raw)

    host, port = peer
    assert isinstance(peer, PeerAddress)
    assert (host, port) == ("192.0.2.1", 5)
    assert repr(peer) == "('192.0.2.1', 5)"
