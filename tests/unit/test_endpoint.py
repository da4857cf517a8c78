from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Any

import pytest

import quicxdp
from quicxdp import _native, endpoint, lanes
from quicxdp.config import Io
from quicxdp.datapath import Datapath
from quicxdp.device import Device, DeviceKind
from quicxdp.errors import ConfigError, DatapathError, UnavailableError

if TYPE_CHECKING:
    from tests.unit.conftest import Run

LOCAL = ("127.0.0.1", 0)
IP_MTU_DISCOVER = endpoint._DF_OPTIONS[0][0]
IP_PMTUDISC_PROBE = 3


class Silent(asyncio.DatagramProtocol):
    """Does nothing."""


async def make(**kwargs: Any) -> Any:  # noqa: ANN401
    """Make an endpoint and return its transport."""
    transport, _ = await quicxdp.create_datagram_endpoint(Silent, **kwargs)
    return transport


async def close(*transports: asyncio.DatagramTransport) -> None:
    """Close, and let connection_lost run."""
    for transport in transports:
        transport.close()
    for _ in range(3):
        await asyncio.sleep(0)


def test_names_are_resolved_once_when_binding(run: Run) -> None:
    """As asyncio does; only sendto() wants numbers."""

    async def main() -> None:
        server = await make(local_addr=("localhost", 0))
        client = await make(
            remote_addr=("localhost", server.get_extra_info("sockname")[1]),
            family=server.get_extra_info("socket").family,
        )
        assert client.get_extra_info("peername") == server.get_extra_info("sockname")
        await close(server, client)

    run(main())


def test_a_taken_port_is_asyncios_error(run: Run) -> None:
    """Programs look for EADDRINUSE."""

    async def main() -> None:
        first = await make(local_addr=LOCAL)
        with pytest.raises(OSError, match="in use") as caught:
            await make(local_addr=first.get_extra_info("sockname"))
        assert caught.value.errno == errno.EADDRINUSE
        await close(first)

    run(main())


def test_endpoints_may_share_a_port(run: Run) -> None:
    """SO_REUSEPORT is how several processes serve one port."""

    async def main() -> None:
        first = await make(local_addr=LOCAL, reuse_port=True)
        second = await make(local_addr=first.get_extra_info("sockname"), reuse_port=True)
        await close(first, second)

    run(main())


def test_a_family_alone_gives_an_endpoint_that_can_send(run: Run) -> None:
    """asyncio binds such a socket with its first datagram; we need a port earlier."""

    async def main() -> None:
        transport = await make(family=socket.AF_INET)
        assert transport.get_extra_info("sockname")[1] > 0
        await close(transport)

    run(main())


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({}, ValueError),
        ({"local_addr": "127.0.0.1"}, TypeError),
        ({"local_addr": ("127.0.0.1", 0, 0)}, TypeError),
        ({"local_addr": ("127.0.0.1", 0), "remote_addr": ("::1", 1)}, ValueError),
        ({"family": socket.AF_UNIX}, ConfigError),
        ({"local_addr": LOCAL, "io": "warp"}, ConfigError),
        ({"local_addr": LOCAL, "io": "xdp"}, ConfigError),
        ({"local_addr": LOCAL, "io": "xdp", "interface": "qxnone"}, DatapathError),
        ({"local_addr": LOCAL, "interface": "qxnone"}, DatapathError),
        ({"local_addr": LOCAL, "interface": "x" * 16}, OSError),
    ],
)
def test_options_that_make_no_sense_are_refused(
    run: Run, kwargs: dict[str, Any], error: type[Exception]
) -> None:
    """Before anything is open."""

    async def main() -> None:
        with pytest.raises(error):
            await make(**kwargs)

    run(main())


def test_a_socket_of_ones_own_is_used_and_closed_with_the_transport(run: Run) -> None:
    """Privileged ports and socket activation come as sockets."""

    async def main() -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(LOCAL)
        transport = await make(sock=sock)
        assert transport.get_extra_info("sockname") == sock.getsockname()
        await close(transport)
        assert sock.fileno() == -1

    run(main())


def test_a_socket_and_options_for_a_socket_exclude_each_other(run: Run) -> None:
    """With asyncio's words."""

    async def main() -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
            pytest.raises(ValueError, match=r"socket modifier.*reuse_port=True"),
        ):
            await make(sock=sock, reuse_port=True)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock,
            pytest.raises(ValueError, match="UDP Socket"),
        ):
            await make(sock=sock)

    run(main())


@pytest.mark.parametrize("io", ["socket", "asyncio"])
def test_a_failing_factory_leaves_nothing_open(run: Run, io: str) -> None:
    """The port is free for the next try; the fixtures look for the rest."""

    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(LOCAL)
            address = sock.getsockname()

        def fail() -> Silent:
            raise LookupError

        with pytest.raises(LookupError):
            await quicxdp.create_datagram_endpoint(fail, local_addr=address, io=io)
        await close(await make(local_addr=address))

    run(main())


def test_cancelling_the_creation_leaves_nothing_open(run: Run) -> None:
    """A timeout around it is normal."""

    async def main() -> None:
        task = asyncio.ensure_future(make(local_addr=LOCAL))
        for _ in range(100):
            await asyncio.sleep(0)
            if task.done():
                break
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(3):
            await asyncio.sleep(0)

    run(main())


@pytest.mark.parametrize("dont_fragment", [False, True])
def test_only_who_asks_for_it_loses_fragmentation(
    run: Run, *, dont_fragment: bool
) -> None:
    """QUIC wants DF; a DNS server's long answer must still be fragmented."""

    async def main() -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(LOCAL)
        before = sock.getsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER)
        transport = await make(sock=sock, dont_fragment=dont_fragment)
        after = sock.getsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER)
        assert before != IP_PMTUDISC_PROBE
        assert after == (IP_PMTUDISC_PROBE if dont_fragment else before)
        await close(transport)

    run(main())


@pytest.fixture
def lo_looks_like_a_nic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make io="auto" try AF_XDP on lo, where it cannot work."""

    def inspect(interface: str) -> Device:
        return Device(interface, DeviceKind.NIC, "")

    def refuse(sock: socket.socket, config: Any = None, **kwargs: Any) -> Datapath:  # noqa: ANN401
        if config is not None and config.interfaces:
            raise DatapathError(errno.EBUSY, "lo: another XDP program is attached")
        return opened(sock, config, **kwargs)

    opened = Datapath.open
    monkeypatch.setattr(lanes, "inspect", inspect)
    monkeypatch.setattr(Datapath, "open", refuse)


@pytest.mark.usefixtures("lo_looks_like_a_nic")
def test_when_xdp_is_not_possible_auto_uses_the_socket_and_says_why(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """It always works, and nobody has to guess what it does."""
    caplog.set_level("INFO", logger="quicxdp")

    async def main() -> None:
        transport = await make(local_addr=LOCAL, interface="lo")
        info = transport.get_extra_info("quicxdp")
        assert info.io is Io.SOCKET
        assert "another XDP program is attached" in info.reason
        await close(transport)

    run(main())
    (record,) = caplog.records
    assert "another XDP program is attached" in record.message


@pytest.mark.usefixtures("lo_looks_like_a_nic")
def test_when_xdp_is_not_possible_and_was_asked_for_it_is_an_error(run: Run) -> None:
    """io="xdp" means XDP or nothing."""

    async def main() -> None:
        with pytest.raises(DatapathError, match="another XDP program") as caught:
            await make(local_addr=LOCAL, interface="lo", io="xdp")
        assert caught.value.errno == errno.EBUSY

    run(main())


def test_xdp_on_loopback_is_refused_with_a_sentence(run: Run) -> None:
    """The real datapath's words: the driver cannot, or the capability is missing."""

    async def main() -> None:
        with pytest.raises(DatapathError, match=r"lo\b"):
            await make(local_addr=LOCAL, interface="lo", io="xdp")

    run(main())


def test_without_the_extension_everything_but_xdp_works(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No compiler, another platform: slower, with one line that says so."""
    caplog.set_level("INFO", logger="quicxdp")
    monkeypatch.setattr(_native, "WHY", "the C extension did not load")

    async def main() -> None:
        for io in ("auto", "socket", "asyncio"):
            transport = await make(local_addr=LOCAL, io=io)
            assert transport.get_extra_info("quicxdp").io is Io.ASYNCIO
            await close(transport)
        with pytest.raises(UnavailableError, match="the C extension did not load"):
            await make(local_addr=LOCAL, io="xdp", interface="lo")

    run(main())
    assert ["did not load" in record.message for record in caplog.records] == [
        True,
        True,
        False,
    ]


def test_the_asyncio_lane_has_the_same_information(run: Run) -> None:
    """What reads metrics need not know which lane it is."""

    async def main() -> None:
        arrived = asyncio.Event()
        server = await make(local_addr=LOCAL, io="asyncio")
        server.get_protocol().datagram_received = lambda *_: arrived.set()
        client = await make(remote_addr=server.get_extra_info("sockname"), io="asyncio")
        client.sendto(b"12345")
        await arrived.wait()
        total = server.get_extra_info("quicxdp").stats().total
        assert (total.rx_bytes, total.tx_packets) == (5, 0)
        assert client.get_extra_info("quicxdp").stats().total.tx_bytes == 5
        await close(server, client)

    run(main())
