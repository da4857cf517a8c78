"""Many endpoints of one process on one device: servers, clients, both families."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import qxecho
from aioquic.asyncio.client import connect as plain_connect
from aioquic.asyncio.server import serve as plain_serve
from aioquic.quic.configuration import QuicConfiguration

import quicxdp
from quicxdp.datapath import open_datapaths

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import qxnet
    import qxserve

HOSTS = {4: ("10.77.0.1", "10.77.0.2"), 6: ("fd77::1", "fd77::2")}
SERVER_PORTS = (4433, 4434)
PEER_PORT = 5000
CLIENT_CNT = 20
BODY_BYTES = 20_000
PATIENCE_S = 30
LOOKS_CNT = 1000
ALPN = ["echo"]


def configured(certificate: qxserve.Certificate, *, is_client: bool) -> QuicConfiguration:
    """Return what either side is told."""
    made = QuicConfiguration(is_client=is_client, alpn_protocols=ALPN)
    if is_client:
        made.load_verify_locations(str(certificate.ca))
        made.server_name = "localhost"
    else:
        made.load_cert_chain(certificate.certificate, certificate.key)
    return made


def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a stream back."""

    async def answer() -> None:
        writer.write(await reader.read())
        writer.write_eof()

    tasks.add(task := asyncio.ensure_future(answer()))
    task.add_done_callback(tasks.discard)


tasks: set[asyncio.Future[None]] = set()


async def exchanged(protocol: Any, body: bytes) -> None:  # noqa: ANN401
    """Send *body* on a stream of its own, and expect it back."""
    reader, writer = await protocol.create_stream()
    writer.write(body)
    writer.write_eof()
    assert await reader.read() == body


@contextlib.asynccontextmanager
async def within(
    netns: qxnet.Netns,
    make: Callable[[], contextlib.AbstractAsyncContextManager[Any]],
) -> AsyncIterator[Any]:
    """Enter what *make* gives with its sockets in *netns*, and leave it outside."""
    with netns.entered():
        context = make()
        got = await context.__aenter__()
    try:
        yield got
    finally:
        await context.__aexit__(None, None, None)


@pytest.mark.parametrize("family", [4, 6])
def test_two_servers_and_twenty_clients_share_one_device(
    link2: qxnet.Link, certificate: qxserve.Certificate, family: int
) -> None:
    """Each gets its own datagrams, over the rings, and all share frames and filter.

    The other end of the cable has one plain server, and plain clients for ours.
    """
    here, there = HOSTS[family]
    device = link2.server.interface

    def our_client(number: int) -> contextlib.AbstractAsyncContextManager[Any]:
        return quicxdp.connect(
            there,
            PEER_PORT,
            configuration=configured(certificate, is_client=True),
            io="xdp",
            interface=device,
            local_port=6000 + number,
        )

    def their_client(port: int) -> contextlib.AbstractAsyncContextManager[Any]:
        config = configured(certificate, is_client=True)
        return plain_connect(here, port, configuration=config)

    async def main() -> None:
        servers = []
        async with contextlib.AsyncExitStack() as stack:
            with link2.client.entered():
                peer = await plain_serve(
                    there,
                    PEER_PORT,
                    configuration=configured(certificate, is_client=False),
                    stream_handler=echo,
                )
            stack.callback(peer.close)
            with link2.server.entered():
                for port in SERVER_PORTS:
                    server = await quicxdp.serve(
                        here,
                        port,
                        configuration=configured(certificate, is_client=False),
                        stream_handler=echo,
                        io="xdp",
                        interface=device,
                    )
                    servers.append(server)
                    stack.push_async_callback(server.wait_closed)
                    stack.callback(server.close)
            ours = [
                await stack.enter_async_context(
                    within(link2.server, partial(our_client, number))
                )
                for number in range(CLIENT_CNT)
            ]
            theirs = [
                await stack.enter_async_context(
                    within(link2.client, partial(their_client, port))
                )
                for port in SERVER_PORTS
            ]
            await asyncio.gather(
                *(
                    exchanged(protocol, bytes([number]) * BODY_BYTES)
                    for number, protocol in enumerate([*ours, *theirs])
                )
            )
            assert len(open_datapaths()) == CLIENT_CNT + len(SERVER_PORTS)
            every = [datapath.stats() for datapath in open_datapaths()]
            for stats in every:
                assert stats.lanes["xdp"].rx_packets > BODY_BYTES // 1500
                # Nothing of one came to another.
                assert stats.drops["not_ours"] == stats.drops["wrong_peer"] == 0
            received = sum(stats.lanes["xdp"].rx_packets for stats in every)
            assert received == every[0].rx_ring_produced
            assert every[0].rx_ring_produced == link2.server.xdp_redirect_cnt()
            assert sum(every[0].frames.values()) == every[0].frame_cnt
            assert link2.server.xdp_attached()
            # All at once: each waits for its last packets to have arrived.
            for protocol in (*ours, *theirs):
                protocol.close()
        assert open_datapaths() == []
        assert not link2.server.xdp_attached()

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))


async def _ask(link: qxnet.Link, address: str, question: bytes) -> bytes:
    with link.client.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.setblocking(False)
        return await qxecho.ask(sock, question, (address, 7007))


def _lay_second_cable(link: qxnet.Link) -> str:
    """Return the name of the server's end."""
    second = ("qxsecond0", "qxsecond1")
    link.server.run(["ip", "link", "add", second[0], "type", "veth", "peer", "name",
                     second[1], "netns", link.client.name])  # fmt: skip
    for netns, name, host in (
        (link.server, second[0], "10.79.0.1"),
        (link.client, second[1], "10.79.0.2"),
    ):
        netns.run(["ip", "addr", "add", f"{host}/24", "dev", name])
        netns.run(["ip", "link", "set", name, "up"])
    return second[0]


async def _serve_on_both(
    link: qxnet.Link, second: str
) -> tuple[asyncio.DatagramTransport, qxecho.Heard]:
    with link.server.entered():
        return await quicxdp.create_datagram_endpoint(
            qxecho.Heard,
            local_addr=("0.0.0.0", 7007),  # noqa: S104  # that is the test
            io="xdp",
            interface=[link.server.interface, second],
        )


def test_one_endpoint_serves_two_named_interfaces(link: qxnet.Link) -> None:
    """A wildcard bind takes packets over the rings of each card that was named."""
    second = _lay_second_cable(link)

    async def main() -> None:
        transport, heard = await _serve_on_both(link, second)
        info = transport.get_extra_info("quicxdp")
        assert info.interface == f"{link.server.interface},{second}"
        for number, address in enumerate(("10.77.0.1", "10.79.0.1")):
            assert await _ask(link, address, b"%d" % number) == b"%d" % number
        stats = info.stats()
        transport.close()
        await asyncio.sleep(0)
        assert stats.lanes["xdp"].rx_packets == len(heard.datagrams) == 2
        assert list(stats.interfaces) == [link.server.interface, second]
        assert all(set(i.modes) == {"copy"} for i in stats.interfaces.values())

    asyncio.run(main())


def test_an_endpoint_that_lost_one_of_two_interfaces_says_so(link: qxnet.Link) -> None:
    """The other one carries on, and an operator sees which is which."""
    second = _lay_second_cable(link)

    async def main() -> None:
        transport, _ = await _serve_on_both(link, second)
        link.server.run(["ip", "link", "del", second])
        for _ in range(LOOKS_CNT):
            assert await _ask(link, "10.77.0.1", b"x") == b"x"
            info = transport.get_extra_info("quicxdp")
            if info.reason.startswith(f"{second} "):
                break
        stats = info.stats()
        transport.close()
        await asyncio.sleep(0)
        assert info.reason.startswith(f"{second} ")
        assert info.io is quicxdp.Io.XDP
        assert list(stats.interfaces) == [link.server.interface]
        assert stats.lanes_lost == 1

    asyncio.run(main())
