"""ASGI's `tls` extension: what an application may know of the connection's TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from aioquic.quic.connection import QuicConnection

_TLS_1_3: Final = 0x0304


def tls_extension(quic: QuicConnection) -> dict[str, Any]:
    """Return the extension's value; client certificates are not asked for.

    https://asgi.readthedocs.io/en/latest/specs/tls.html
    """
    certificate = quic.configuration.certificate
    schedule = quic.tls.key_schedule
    pem = certificate.public_bytes(Encoding.PEM).decode() if certificate else None
    return {
        "server_cert": pem,
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": _TLS_1_3,
        "cipher_suite": None if schedule is None else int(schedule.cipher_suite),
    }
