"""The two lanes, and the two engines, that every client must be served over."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest
import qxnet
import qxserve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_BYTES = 5_000_000
PAGE = """<!doctype html>
<title>quicxdp</title>
<p id="protocol"></p>
<script>
const [page] = performance.getEntriesByType("navigation");
document.getElementById("protocol").textContent = "spoke " + page.nextHopProtocol;
</script>
"""


class Site(NamedTuple):
    """A running server, and how a client gets at it."""

    server: qxserve.Server
    client: qxserve.Place
    hosts: tuple[str, str]
    folder: Path
    work: Path
    certificate: qxserve.Certificate


def installed(command: str, package: str) -> None:
    """Skip the calling test where a Debian package is missing."""
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed (apt-get install {package})")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> qxserve.Certificate:
    """Return a development certificate for all addresses of these tests."""
    names = ["localhost", "127.0.0.1", "::1", "10.77.0.1", "fd77::1"]
    return qxserve.make_certificate(tmp_path_factory.mktemp("cert"), names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small file, a big one and a page that names its protocol."""
    made = tmp_path_factory.mktemp("site")
    (made / "small.txt").write_bytes(b"a small file\n")
    (made / "big.bin").write_bytes(os.urandom(FILE_BYTES))
    (made / "index.html").write_text(PAGE, encoding="utf-8")
    return made


@pytest.fixture(scope="module", params=["aioquic", "native"])
def engine(request: pytest.FixtureRequest) -> str:
    """Return who handles the server's 1-RTT packets."""
    name: str = request.param
    return name


@pytest.fixture(scope="module", params=["socket", "xdp"])
def site(
    request: pytest.FixtureRequest,
    engine: str,
    certificate: qxserve.Certificate,
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """Serve the folder over one lane; the lane is checked when all clients are done."""
    work = tmp_path_factory.mktemp("work")
    if request.param == "socket":
        hosts = ("127.0.0.1", "::1")
        server = qxserve.Server(
            qxserve.HERE,
            folder,
            work=work,
            certificate=certificate,
            hosts=hosts,
            options=("--io", "socket", "--engine", engine, "--bench-endpoint"),
        )
        with server:
            yield Site(server, qxserve.HERE, hosts, folder, work, certificate)
            lanes = server.stats()["lanes"]
        assert lanes["socket"]["rx_packets"] > 0
        assert lanes["xdp"]["rx_packets"] == 0
        return
    reason = qxnet.unavailable()
    if reason is not None:
        pytest.skip(reason)
    with qxnet.joined() as link:
        hosts = (link.server.address4, link.server.address6)
        server = qxserve.Server(
            link.server,
            folder,
            work=work,
            certificate=certificate,
            hosts=hosts,
            options=(
                *("--io", "xdp", "--interface", link.server.interface),
                *("--engine", engine, "--bench-endpoint"),
            ),
        )
        with server:
            yield Site(server, link.client, hosts, folder, work, certificate)
            stats = server.stats()
        assert stats["rx_ring_produced"] == link.server.xdp_redirect_cnt() > 0
