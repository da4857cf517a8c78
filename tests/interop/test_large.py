"""A hundred megabytes each way between the engine in C and stacks that nobody here wrote.

Long enough for windows that wrap around, key limits, thousands of acknowledgements and
whatever else goes wrong only after a while; every byte is compared.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack, contextmanager
from itertools import product
from typing import TYPE_CHECKING

import pytest
import qxclients
import qxnet
import qxserve

from .conftest import installed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Site

SIZE_BYTES = 100_000_000
# aioquic's client needs a fifth of this on an idle machine.
TIMEOUT_S = 120.0
PORT = 4433
NAME = "large.bin"
PAGE = f"""<!doctype html>
<title>quicxdp</title>
<p id="told">nothing</p>
<script>
const hex = bytes => Array.from(
  new Uint8Array(bytes), byte => byte.toString(16).padStart(2, "0")).join("");
(async () => {{
  const body = await (await fetch("/{NAME}")).arrayBuffer();
  const got = hex(await crypto.subtle.digest("SHA-256", body));
  const sent = await (await fetch("/sha256", {{method: "POST", body}})).text();
  const spoke = performance.getEntriesByType("resource").map(e => e.nextHopProtocol);
  document.getElementById("told").textContent =
    `got ${{got}} sent ${{sent.trim()}} over ${{spoke.join(" ")}}`;
}})();
</script>
"""


@pytest.fixture(scope="module")
def engine() -> str:
    """Only ours; aioquic alone is not what has to be shown."""
    return "native"


@pytest.fixture(scope="module")
def content() -> bytes:
    """Return what is moved."""
    return os.urandom(SIZE_BYTES)


@pytest.fixture(scope="module")
def large(folder: Path, content: bytes) -> Path:
    """Return a folder with it, and with a page that moves it both ways."""
    (folder / NAME).write_bytes(content)
    (folder / "large.html").write_text(PAGE, encoding="utf-8")
    return folder


def digest_line(content: bytes) -> bytes:
    """Return what the bench endpoint says of a body."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n"


def move_both_ways(site: Site, fetch: qxclients.FileClient, content: bytes) -> None:
    """Download with a client, upload with it, and compare."""
    authority = (site.hosts[0], site.server.port)

    got = fetch(
        site.client,
        authority,
        f"/{NAME}",
        work=site.work,
        certificate=site.certificate,
        timeout_s=TIMEOUT_S,
    )
    assert got == content
    said = fetch(
        site.client,
        authority,
        "/sha256",
        work=site.work,
        certificate=site.certificate,
        body=content,
        timeout_s=TIMEOUT_S,
    )
    assert said == digest_line(content)


# ---- Our server ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    "site", ["socket", pytest.param("xdp", marks=pytest.mark.large)], indirect=True
)
def test_ngtcp2_moves_a_hundred_megabytes_each_way(site: Site, content: bytes) -> None:
    """The quickest of the clients, so it is asked every time."""
    installed("gtlsclient", "ngtcp2-client")
    move_both_ways(site, qxclients.gtlsclient, content)


@pytest.mark.large
@pytest.mark.timeout(2 * TIMEOUT_S)
@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    "client",
    [qxclients.curl_cffi, qxclients.aioquic],
    ids=lambda client: str(client.__name__),
)
def test_other_clients_move_a_hundred_megabytes_each_way(
    site: Site, client: qxclients.FileClient, content: bytes
) -> None:
    """BoringSSL's packets, and those of the stack that we stand on."""
    move_both_ways(site, client, content)


@pytest.mark.large
@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.usefixtures("large")
def test_chromium_moves_a_hundred_megabytes_each_way(site: Site, content: bytes) -> None:
    """By a script in a page, which tells the hashes."""
    installed("chromium", "chromium")
    host = "localhost" if site.hosts[0] == "127.0.0.1" else site.hosts[0]

    dom = qxclients.chromium_dom(
        site.client,
        (host, site.server.port),
        "/large.html",
        work=site.work,
        certificate=site.certificate,
        timeout_s=TIMEOUT_S,
    )

    digest = hashlib.sha256(content).hexdigest()
    assert f"got {digest} sent {digest} over h3 h3" in dom


# ---- Our client ------------------------------------------------------------------------


@contextmanager
def served_by(
    stack: str,
    place: qxserve.Place,
    host: str,
    *,
    folder: Path,
    work: Path,
    certificate: qxserve.Certificate,
) -> Iterator[None]:
    """Serve *folder* with one of the stacks on PORT."""
    if stack == "ngtcp2":
        process = place.start(
            [
                *("gtlsserver", "--quiet", f"--htdocs={folder}", host, str(PORT)),
                *(str(certificate.key), str(certificate.certificate)),
            ]
        )
        try:
            yield
        finally:
            process.kill()
            process.wait()
        return
    options = {
        "aioquic": ("--io", "asyncio", "--engine", "aioquic"),
        "quicxdp": ("--io", "socket", "--engine", "native"),
    }[stack]
    with qxserve.Server(
        place,
        folder,
        work=work,
        certificate=certificate,
        hosts=(host,),
        port=PORT,
        options=(*options, "--bench-endpoint"),
    ):
        yield


@pytest.mark.large
@pytest.mark.timeout(2 * TIMEOUT_S)
@pytest.mark.parametrize(
    "peer",
    [*product(("ngtcp2", "aioquic", "quicxdp"), ("socket", "xdp"))],
    ids="-".join,
)
def test_our_client_moves_a_hundred_megabytes_each_way(
    peer: tuple[str, str],
    large: Path,
    content: bytes,
    certificate: qxserve.Certificate,
    tmp_path: Path,
) -> None:
    """`quicxdp fetch` on the engine in C, in both roles of the lane.

    ngtcp2's example server does not tell what it was sent, so nothing goes up there.
    """
    stack, io = peer
    reason = qxnet.unavailable()
    if reason is not None:
        pytest.skip(reason)
    if stack == "ngtcp2":
        installed("gtlsserver", "ngtcp2-server")
    with ExitStack() as exits:
        link = exits.enter_context(qxnet.joined())
        host = link.server.address4
        exits.enter_context(
            served_by(
                stack,
                link.server,
                host,
                folder=large,
                work=tmp_path,
                certificate=certificate,
            )
        )
        url = f"https://{host}:{PORT}"
        command = [
            *(qxserve.PYTHON, "-m", "quicxdp", "fetch", "--engine", "native", "-v"),
            *("--cacert", str(certificate.ca), "--io", io),
            *(("--interface", link.client.interface) if io == "xdp" else ()),
            *("--no-progress", "-o", str(tmp_path / "got")),
        ]

        said = link.client.run(
            [*command, f"{url}/{NAME}"], timeout_s=TIMEOUT_S, cwd=qxserve.ROOT
        )
        assert f"* lane {io}: " in said.stderr
        assert "* engine native: " in said.stderr
        assert (tmp_path / "got").read_bytes() == content
        if stack != "ngtcp2":
            upload = ["--data-binary", f"@{large / NAME}", f"{url}/sha256"]
            link.client.run([*command, *upload], timeout_s=TIMEOUT_S, cwd=qxserve.ROOT)
            assert (tmp_path / "got").read_bytes() == digest_line(content)
        assert link.client.xdp_redirect_cnt() > 0 or io == "socket"
