"""What `quicxdp serve` says first: commands that work when pasted."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from quicxdp.certificate import ServerCertificate
from quicxdp.cli import banner, cert
from quicxdp.cli.banner import Aim, Listener


def certificate_for(*names: str) -> ServerCertificate:
    """Make a certificate for names."""
    issued = cert.issue(
        [cert._name(name) for name in names], datetime(2030, 1, 1, tzinfo=UTC)
    )
    key = load_pem_private_key(issued.key, None)
    return ServerCertificate(load_pem_x509_certificate(issued.certificate), (), key)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "hosts", "expected"),
    [
        (["localhost", "127.0.0.1"], ["127.0.0.1"], Aim("localhost", "")),
        (["localhost"], ["0.0.0.0"], Aim("localhost", "")),  # noqa: S104
        (["localhost", "192.0.2.1"], ["192.0.2.1"], Aim("192.0.2.1", "")),
        (["localhost", "::1"], ["::1"], Aim("localhost", "")),
        (["localhost", "example.org"], ["192.0.2.1"], Aim("example.org", "")),
        (["*.example.org"], ["192.0.2.1"], Aim("www.example.org", "")),
        (["localhost", "127.0.0.1"], ["192.0.2.1"], Aim("localhost", "192.0.2.1")),
        (["localhost"], ["fe80::1%eth0"], Aim("localhost", "fe80::1")),
    ],
)
def test_the_commands_name_what_the_certificate_is_for(
    names: list[str], hosts: list[str], expected: Aim
) -> None:
    """A client that is sent to an address refuses a certificate for another name."""
    assert banner.aim(certificate_for(*names), hosts) == expected


def test_every_client_is_told_an_address_that_no_name_leads_to() -> None:
    """Each in its own way."""
    listeners = [Listener("192.0.2.1", 4433, "xdp", "because")]

    fetch, gtls, curl, chromium = banner.commands(
        certificate_for("localhost"), listeners, Path("my certs/ca.pem")
    )

    resolve = ["--resolve", "localhost:4433:192.0.2.1", "--cacert", "my certs/ca.pem"]
    url = "https://localhost:4433/"
    assert shlex.split(fetch) == ["quicxdp", "fetch", *resolve, url]
    assert shlex.split(curl) == ["curl", "--http3-only", *resolve, url]
    assert "192.0.2.1 4433 https://localhost:4433/" in gtls
    assert "--host-resolver-rules=MAP localhost 192.0.2.1" in shlex.split(chromium)


def test_the_lines_say_lane_and_reason_of_every_address() -> None:
    """And IPv6 addresses as they stand in URLs."""
    lines = banner.lines(
        version="1",
        what="www",
        engine="native: in C",
        listeners=[
            Listener("127.0.0.1", 4433, "socket", "why"),
            Listener("::1", 4433, "xdp", "because"),
        ],
        certificate=certificate_for("localhost"),
        ca_file=None,
    )

    text = "\n".join(lines)
    assert "https://127.0.0.1:4433/  lane socket: why" in text
    assert "https://[::1]:4433/      lane xdp: because" in text
    assert "  engine native: in C" in text
    assert "--cacert" not in text
