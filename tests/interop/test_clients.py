"""Clients that nobody here wrote, each over both lanes and both IP versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import qxclients

from .conftest import installed

if TYPE_CHECKING:
    from .conftest import Site

CLIENTS = [qxclients.gtlsclient, qxclients.curl_cffi, qxclients.aioquic]


@pytest.fixture(params=CLIENTS, ids=lambda client: str(client.__name__))
def fetch(request: pytest.FixtureRequest) -> qxclients.FileClient:
    """Return one client after the other."""
    client: qxclients.FileClient = request.param
    if client is qxclients.gtlsclient:
        installed("gtlsclient", "ngtcp2-client")
    return client


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", ["small.txt", "big.bin"])
def test_a_file_arrives_as_it_is(
    site: Site, fetch: qxclients.FileClient, name: str, version: int
) -> None:
    """What is served is what is on disk, from one packet to thousands."""
    host = site.hosts[version == 6]

    got = fetch(
        site.client,
        (host, site.server.port),
        f"/{name}",
        work=site.work,
        certificate=site.certificate,
    )

    assert got == (site.folder / name).read_bytes()


def test_a_body_is_received_and_answered(site: Site, fetch: qxclients.FileClient) -> None:
    """Uploads take the way in; the bench endpoint answers how much has arrived."""
    got = fetch(
        site.client,
        (site.hosts[0], site.server.port),
        "/upload",
        work=site.work,
        certificate=site.certificate,
        body=b"u" * 300_000,
    )

    assert got == b"300000\n"


@pytest.mark.slow
def test_chromium_shows_a_page_over_h3(site: Site) -> None:
    """The browser's own word for the protocol of the page is h3."""
    installed("chromium", "chromium")
    # Over loopback it must be localhost, since Chromium asks ::1 first.
    host = "localhost" if site.hosts[0] == "127.0.0.1" else site.hosts[0]

    dom = qxclients.chromium_dom(
        site.client,
        (host, site.server.port),
        "/",
        work=site.work,
        certificate=site.certificate,
    )

    assert "spoke h3" in dom
