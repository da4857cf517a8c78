"""Certificates for connections on virtual time."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
import qxserve
from aioquic.quic.configuration import QuicConfiguration

if TYPE_CHECKING:
    from collections.abc import Callable

    Configurations = Callable[..., tuple[QuicConfiguration, QuicConfiguration]]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> qxserve.Certificate:
    """Make a certificate, which no client here verifies."""
    return qxserve.make_certificate(tmp_path_factory.mktemp("cert"), ["localhost"])


@pytest.fixture(scope="session")
def configurations(certificate: qxserve.Certificate) -> Configurations:
    """Return what makes the configurations of a client and a server."""

    def make(**both: int) -> tuple[QuicConfiguration, QuicConfiguration]:
        common: dict[str, Any] = {
            "alpn_protocols": ["sim"],
            "max_datagram_frame_size": 65536,
            "idle_timeout": 60.0,
            **both,
        }
        client = QuicConfiguration(
            is_client=True, verify_mode=ssl.CERT_NONE, server_name="localhost", **common
        )
        server = QuicConfiguration(is_client=False, **common)
        server.load_cert_chain(certificate.certificate, certificate.key)
        return client, server

    return make


@pytest.fixture(autouse=True)
def _aioquic_is_quiet(quiet_aioquic: None) -> None:
    """Connections end here by the hundred."""
