"""The kernel's socket stays live beside the rings: nothing that XDP leaves is lost."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
import qxecho

if TYPE_CHECKING:
    import qxnet

HOSTS = ["10.77.0.1", "fd77::1"]
IPV6_HOPOPTS = 54
UDP_SEGMENT = 103
# A hop-by-hop header of nothing but padding (RFC 8200 section 4.2, PadN).
PADDED_HOP_BY_HOP = bytes([0, 0, 1, 4, 0, 0, 0, 0])
# Four no-operations (RFC 791 section 3.1).
NOP_OPTIONS = bytes([1, 1, 1, 1])


@pytest.mark.parametrize("host", HOSTS)
def test_a_plain_datagram_travels_both_ways_over_xdp(link: qxnet.Link, host: str) -> None:
    """The lane that this project is for: not one datagram touches the kernel's UDP."""

    async def talk() -> None:
        before = link.server.udp_counters()
        async with qxecho.echoing(link.server, host) as echo:
            with qxecho.client_socket(link.client, host) as sock:
                for size in (0, 1, 17, 1200, 1452 if ":" in host else 1472):
                    assert (
                        await qxecho.ask(sock, b"x" * size, echo.address) == b"x" * size
                    )
            lanes = echo.stats().lanes
            assert (lanes["xdp"].rx_packets, lanes["xdp"].tx_packets) == (5, 5)
            assert (lanes["socket"].rx_packets, lanes["socket"].tx_packets) == (0, 0)
            assert echo.stats().rx_ring_produced == link.server.xdp_redirect_cnt() == 5
            assert echo.heard.errors == []
        moved = link.server.udp_counters().since(before)
        assert (moved.in_datagrams, moved.out_datagrams) == (0, 0)

    asyncio.run(talk())


@pytest.mark.parametrize("host", HOSTS)
def test_a_fragmented_datagram_arrives_and_is_answered(
    link: qxnet.Link, host: str
) -> None:
    """UDP of more than a packet works as with any socket."""

    async def talk() -> None:
        async with qxecho.echoing(link.server, host) as echo:
            with qxecho.client_socket(link.client, host) as sock:
                loop = asyncio.get_running_loop()
                await loop.sock_sendto(sock, b"f" * 4000, echo.address)
                # The endpoint sets DF, so it cannot echo this; a small one shows that
                # it goes on.
                assert await qxecho.ask(sock, b"after", echo.address) == b"after"
            # Lanes may overtake each other, as paths in any network do.
            assert sorted(len(data) for data, _ in echo.heard.datagrams) == [5, 4000]
            assert echo.stats().lanes["socket"].rx_packets == 1
            assert echo.stats().lanes["xdp"].rx_packets == 1

    asyncio.run(talk())


@pytest.mark.parametrize("host", HOSTS)
def test_a_datagram_with_ip_options_arrives_and_is_answered(
    link: qxnet.Link, host: str
) -> None:
    """Headers that the filter cannot read at fixed offsets are the kernel's."""

    async def talk() -> None:
        async with qxecho.echoing(link.server, host) as echo:
            with qxecho.client_socket(link.client, host) as sock:
                if ":" in host:
                    sock.setsockopt(socket.IPPROTO_IPV6, IPV6_HOPOPTS, PADDED_HOP_BY_HOP)
                else:
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, NOP_OPTIONS)
                assert await qxecho.ask(sock, b"odd", echo.address) == b"odd"
            lanes = echo.stats().lanes
            assert (lanes["socket"].rx_packets, lanes["xdp"].rx_packets) == (1, 0)

    asyncio.run(talk())


@pytest.mark.parametrize("host", HOSTS)
def test_a_flow_that_changes_its_port_and_queue_keeps_working(
    link2: qxnet.Link, host: str
) -> None:
    """A NAT may give a flow a new port, and the NIC then gives it another queue."""

    async def talk() -> None:
        async with qxecho.echoing(link2.server, host) as echo:
            for port in range(41000, 41032):
                with qxecho.client_socket(link2.client, host, port=port) as sock:
                    assert (
                        await qxecho.ask(sock, b"%d" % port, echo.address) == b"%d" % port
                    )
            by_queue = link2.server.xdp_redirects_by_queue()
            assert sum(by_queue) == echo.stats().rx_ring_produced == 32
            # 32 flows all hash to one of two queues once in two thousand million runs.
            assert min(by_queue) > 0
            assert echo.stats().queue_cnt == 2
            assert echo.stats().lanes["socket"].rx_packets == 0

    asyncio.run(talk())


@pytest.mark.parametrize("host", HOSTS)
def test_a_segmenting_sender_loses_nothing(link: qxnet.Link, host: str) -> None:
    """Most QUIC stacks send with UDP_SEGMENT; native XDP must see single packets."""

    async def talk() -> None:
        async with qxecho.echoing(link.server, host) as echo:
            with qxecho.client_socket(link.client, host) as sock:
                sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1200)
                parts = [bytes([number]) * 1200 for number in range(20)]
                loop = asyncio.get_running_loop()
                await loop.sock_sendto(sock, b"".join(parts), echo.address)
                async with asyncio.timeout(qxecho.ANSWER_TIMEOUT_S):
                    answers = [(await loop.sock_recvfrom(sock, 2048))[0] for _ in parts]
            assert answers == parts
            assert [data for data, _ in echo.heard.datagrams] == parts

    asyncio.run(talk())


def test_other_ports_of_the_interface_stay_the_kernels(link: qxnet.Link) -> None:
    """Attaching must not harm what else runs on the machine."""

    async def talk() -> None:
        async with qxecho.echoing(link.server, "10.77.0.1"):
            with (
                qxecho.client_socket(link.client, "10.77.0.1") as sock,
                link.server.entered(),
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
            ):
                other.setblocking(False)
                other.bind(("10.77.0.1", 7008))
                loop = asyncio.get_running_loop()
                await loop.sock_sendto(sock, b"not yours", ("10.77.0.1", 7008))
                async with asyncio.timeout(qxecho.ANSWER_TIMEOUT_S):
                    assert await loop.sock_recv(other, 100) == b"not yours"
            assert link.server.xdp_redirect_cnt() == 0

    asyncio.run(talk())


def test_two_endpoints_share_an_interface(link: qxnet.Link) -> None:
    """A server may serve many ports and addresses of one interface in one process."""

    async def talk() -> None:
        async with (
            qxecho.echoing(link.server, "10.77.0.1", port=7001) as one,
            qxecho.echoing(link.server, "10.77.0.1", port=7002) as two,
            qxecho.echoing(link.server, "fd77::1", port=7001) as three,
        ):
            for echo in (one, two, three):
                host, port = echo.address
                with qxecho.client_socket(link.client, host) as sock:
                    answer = await qxecho.ask(sock, b"%d" % port, echo.address)
                assert answer == b"%d" % port
                assert len(echo.heard.datagrams) == 1
                assert echo.stats().lanes["xdp"].rx_packets == 1

    asyncio.run(talk())
