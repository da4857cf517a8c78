"""Who may send: what is written, what it means on the socket lane, what is refused."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

import quicxdp
from quicxdp import _native
from quicxdp.errors import ConfigError, UnavailableError
from quicxdp.source_rules import RULE_BYTES, SourceRules

if TYPE_CHECKING:
    from collections.abc import Sequence


class Inbox(asyncio.DatagramProtocol):
    """Remembers what came."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        """Take one."""
        self.came.put_nowait(data)


def test_blocks_of_both_families_become_the_structs_of_c() -> None:
    """What is written on a command line is what C compares with."""
    rules = SourceRules.parse(["192.0.2.0/24"], ["2001:db8::1"])

    assert rules
    assert not SourceRules.parse()
    assert _native.ffi().sizeof("struct qx_source_rule") == RULE_BYTES
    allowed, denied = rules.packed()[:RULE_BYTES], rules.packed()[RULE_BYTES:]
    assert allowed[:4] == bytes([192, 0, 2, 0])
    assert tuple(allowed[16:]) == (4, 24, 1, 0)
    assert denied[:16] == socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    assert tuple(denied[16:]) == (6, 128, 0, 0)


@pytest.mark.parametrize(
    ("allow", "deny", "said"),
    [
        (["10.0.0.1/8"], [], "host bits"),
        (["example.org"], [], "no block"),
        (["::ffff:10.0.0.0/104"], [], "as IPv4"),
        (["fe80::1%eth0"], [], "names an interface"),
        (["10.0.0.0/8"], ["10.0.0.0/8"], "both allowed and denied"),
        ([f"10.0.{n // 256}.{n % 256}" for n in range(4097)], [], "4096"),
    ],
)
def test_what_makes_no_sense_is_refused(
    allow: Sequence[str], deny: Sequence[str], said: str
) -> None:
    """A rule that means something else than its author thought guards nothing."""
    with pytest.raises(ConfigError, match=said):
        SourceRules.parse(allow, deny)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_most_specific_block_decides_who_is_heard(host: str) -> None:
    """All but one address of a network, on the lane that every machine has."""

    async def talk() -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        others = [] if ":" in host else ["127.0.0.2"]
        transport, inbox = await quicxdp.create_datagram_endpoint(
            Inbox,
            local_addr=(host, 0),
            allow=["127.0.0.0/8", "::1"],
            deny=["127.0.0.2"],
        )
        to = transport.get_extra_info("sockname")
        for source in (*others, host):
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.bind((source, 0))
                sock.sendto(source.encode(), to)
        assert await inbox.came.get() == host.encode()
        assert inbox.came.empty()
        stats = transport.get_extra_info("quicxdp").stats()
        assert stats.drops["denied"] == len(others)
        assert stats.lanes["socket"].rx_packets == 1
        transport.close()
        await asyncio.sleep(0)

    asyncio.run(talk())


def test_rules_are_never_left_out_quietly() -> None:
    """The pure Python lane does not check them, so it is not used with them."""

    async def try_it() -> None:
        with pytest.raises(UnavailableError, match="C does them"):
            await quicxdp.create_datagram_endpoint(
                Inbox, local_addr=("127.0.0.1", 0), io="asyncio", deny=["10.0.0.0/8"]
            )

    asyncio.run(try_it())
