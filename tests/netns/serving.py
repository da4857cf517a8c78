"""`quicxdp serve` at one end of a link, a client at the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import qxclients
import qxserve

if TYPE_CHECKING:
    from pathlib import Path

    import qxnet

PORT = 4433


def serving(
    link: qxnet.Link,
    site: Path,
    certificate: qxserve.Certificate,
    *,
    hosts: tuple[str, ...] = ("10.77.0.1", "fd77::1"),
    io: str = "xdp",
    interface: str | None = None,
    options: tuple[str, ...] = (),
) -> qxserve.Server:
    """Describe a server on the link's interface; entering it starts it."""
    interface = interface or link.server.interface
    return qxserve.Server(
        link.server,
        site,
        work=site.parent,
        certificate=certificate,
        hosts=hosts,
        port=PORT,
        options=("--io", io, "--interface", interface, *options),
    )


def fetched(
    link: qxnet.Link,
    site: Path,
    certificate: qxserve.Certificate,
    *,
    host: str = "10.77.0.1",
    path: str = "/file.bin",
    options: tuple[str, ...] = (),
) -> bytes:
    """Return what gtlsclient gets from that server."""
    return qxclients.gtlsclient(
        link.client,
        (host, PORT),
        path,
        work=site.parent,
        certificate=certificate,
        options=options,
    )
