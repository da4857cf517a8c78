"""`make demo`: HTTP/3 over AF_XDP between two network namespaces, with proof.

    namespace "server"                        namespace "client"
    quicxdp serve --io xdp  <---- veth ---->  gtlsclient, curl_cffi

Serves a file of random bytes, fetches it with two clients that nobody here wrote, over
IPv4 and IPv6, and then holds our counters against those that others keep:

  - rx_xdp, the sum of the RX rings' producer indices, which the kernel writes, equals the
    driver's own rx_queue_*_xdp_redirect;
  - tx_xdp, the sum of the completion rings' producer indices, is enough packets for the
    bytes that were fetched;
  - the namespace's UDP stack (/proc/net/snmp, snmp6) has seen less than one in a hundred
    of those packets;
  - the files agree by SHA-256.

With IO=socket all this is measured just the same, and fails.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import qxclients
import qxnet
import qxserve

if TYPE_CHECKING:
    from types import FrameType

PORT = 4433
FILE_NAME = "demo.bin"
FILE_BYTES = 4_000_000
PACKET_BYTES_MAX = 1500
# The part of the packets that may have gone through the kernel's UDP stack.
KERNEL_SHARE_MAX = 0.01
SETTLE_TIMEOUT_S = 2.0
SETTLE_INTERVAL_S = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """What the server's side of the link counted during the fetches."""

    rx_xdp: int
    tx_xdp: int
    driver_redirects: int
    kernel: qxnet.UdpCounters


def main() -> int:
    """Run the demo; the exit status says whether the lane was proved."""
    parser = argparse.ArgumentParser(description="HTTP/3 over AF_XDP, with proof")
    parser.add_argument(
        "--io", choices=["xdp", "socket", "auto", "asyncio"], default="xdp"
    )
    io = parser.parse_args().io
    # So that namespaces go away however the demo is ended.
    signal.signal(signal.SIGTERM, _exit)
    reason = qxnet.unavailable()
    if reason is not None:
        print(f"demo: cannot run here: {reason}", file=sys.stderr)
        return 2
    try:
        with (
            tempfile.TemporaryDirectory(prefix="qxdemo") as folder,
            qxnet.joined() as link,
        ):
            return demo(link, Path(folder), io)
    except (qxnet.NetnsError, qxserve.ServeError, qxclients.FetchError) as error:
        print(f"demo: failed: {error}", file=sys.stderr)
        return 1


def demo(link: qxnet.Link, folder: Path, io: str) -> int:
    """Serve, fetch, measure and judge."""
    site = folder / "site"
    site.mkdir()
    content = os.urandom(FILE_BYTES)
    (site / FILE_NAME).write_bytes(content)
    want = hashlib.sha256(content).hexdigest()
    certificate = qxserve.make_certificate(
        folder / "cert", [link.server.address4, link.server.address6]
    )
    hosts = (link.server.address4, link.server.address6)
    server = qxserve.Server(
        link.server,
        site,
        work=folder,
        certificate=certificate,
        hosts=hosts,
        port=PORT,
        options=("--io", io, "--interface", link.server.interface),
    )
    print(f"demo: namespaces {link.server.name} and {link.client.name}, joined by veth")
    print(f"demo: a file of {FILE_BYTES} random bytes, SHA-256 {want}")
    before = link.server.udp_counters()
    fetched_bytes = 0
    problems: list[str] = []
    with server:
        print("\n".join(f"server: {line}" for line in server.lines))
        for fetch in (qxclients.gtlsclient, qxclients.curl_cffi):
            for host in hosts:
                started_ns = time.monotonic_ns()
                got = fetch(
                    link.client,
                    (host, PORT),
                    f"/{FILE_NAME}",
                    work=folder,
                    certificate=certificate,
                )
                took_s = (time.monotonic_ns() - started_ns) / 1e9
                digest = hashlib.sha256(got).hexdigest()
                fetched_bytes += len(got)
                sha = "SHA-256 agrees" if digest == want else "SHA-256 DIFFERS"
                print(f"demo: {fetch.__name__:10} {host:9} {len(got)} bytes ", end="")
                print(f"in {took_s:.2f} s, {sha}")
                if digest != want:
                    problems.append(f"{fetch.__name__} from {host}: SHA-256 is {digest}")
        measured = settle(link, server, before)
    report(measured)
    problems += judge(measured, fetched_bytes)
    for problem in problems:
        print(f"demo: {problem}")
    verdict = "FAILED" if problems else "OK"
    print(
        f"demo: {verdict} rx_xdp={measured.rx_xdp} tx_xdp={measured.tx_xdp} "
        f"bytes={fetched_bytes}"
    )
    return 1 if problems else 0


def settle(
    link: qxnet.Link, server: qxserve.Server, before: qxnet.UdpCounters
) -> Measured:
    """Read all counters, again while last packets (a client's farewell) still move."""
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while True:
        redirects = link.server.xdp_redirect_cnt()
        stats = server.stats()
        measured = Measured(
            rx_xdp=stats["rx_ring_produced"],
            tx_xdp=stats["completion_ring_produced"],
            driver_redirects=link.server.xdp_redirect_cnt(),
            kernel=link.server.udp_counters().since(before),
        )
        quiet = measured.driver_redirects == redirects
        if (quiet and measured.rx_xdp == redirects) or time.monotonic() > deadline:
            return measured
        time.sleep(SETTLE_INTERVAL_S)


def report(measured: Measured) -> None:
    """Print each counter with who keeps it."""
    rows = [
        ("RX rings, producer indices", "the kernel's AF_XDP", measured.rx_xdp),
        ("rx_queue_*_xdp_redirect", "the driver", measured.driver_redirects),
        ("completion rings, producer indices", "the kernel's AF_XDP", measured.tx_xdp),
        ("UDP in, IPv4 and IPv6", "the kernel's UDP", measured.kernel.in_datagrams),
        ("UDP out, IPv4 and IPv6", "the kernel's UDP", measured.kernel.out_datagrams),
    ]
    for what, who, count in rows:
        print(f"demo: {what:36} {who:20} {count:>8}")


def judge(measured: Measured, fetched_bytes: int) -> list[str]:
    """Say everything that contradicts "this traffic went over AF_XDP"."""
    problems = []
    if measured.rx_xdp == 0:
        problems.append("no packet came in over an RX ring")
    if measured.rx_xdp != measured.driver_redirects:
        problems.append(
            f"the RX rings have {measured.rx_xdp} packets, but the driver redirected "
            f"{measured.driver_redirects}"
        )
    if measured.tx_xdp < fetched_bytes / PACKET_BYTES_MAX:
        problems.append(
            f"{measured.tx_xdp} packets over the rings cannot have carried "
            f"{fetched_bytes} bytes"
        )
    fewest = min(measured.rx_xdp, measured.tx_xdp)
    for way, count in (
        ("in", measured.kernel.in_datagrams),
        ("out", measured.kernel.out_datagrams),
    ):
        if count > 0 and count >= KERNEL_SHARE_MAX * fewest:
            problems.append(f"the kernel's UDP stack moved {count} datagrams {way}")
    return problems


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
