"""Why connections end, in words and in exit statuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioquic.h3.connection import ErrorCode
from aioquic.quic.packet import QuicErrorCode

from .exits import CommandError, FetchExit
from .logs import printable

if TYPE_CHECKING:
    from quicxdp.aioquic_shim_streams import Ending

# TLS alerts travel as these errors (RFC 9001 section 4.8); those about certificates are
# 42 to 49 (RFC 8446 section 6.2).
_CRYPTO_ERROR = 0x100
_CRYPTO_ERRORS = range(_CRYPTO_ERROR, 2 * _CRYPTO_ERROR)
_CERTIFICATE_ALERTS = range(42, 50)


def error_name(code: int, *, is_http: bool) -> str:
    """Name an error code: HTTP/3's (RFC 9114 section 8.1) or QUIC's (RFC 9000 20.1)."""
    try:
        return (ErrorCode if is_http else QuicErrorCode)(code).name
    except ValueError:
        return f"error {code:#x}"


def explain(ending: Ending) -> CommandError:
    """Say why a connection ended."""
    event = ending.event
    is_http = event.frame_type is None
    reason = printable(event.reason_phrase)
    if event.error_code == QuicErrorCode.INTERNAL_ERROR and reason == "Idle timeout":
        return CommandError("the server fell silent", FetchExit.TIMEOUT)
    if not is_http and event.error_code in _CRYPTO_ERRORS:
        return _explain_alert(event.error_code - _CRYPTO_ERROR, reason, ending)
    name = error_name(event.error_code, is_http=is_http)
    said = f"{name}: {reason}" if reason else name
    return CommandError(
        f"the server broke the protocol: {said}"
        if ending.is_ours
        else f"the server closed the connection: {said}",
        FetchExit.HTTP3_ERROR if is_http else FetchExit.RECEIVE_ERROR,
    )


def _explain_alert(alert: int, reason: str, ending: Ending) -> CommandError:
    if ending.is_ours and alert in _CERTIFICATE_ALERTS:
        return CommandError(
            f"the server's certificate is not trusted: {reason}; name its authority with "
            f"--cacert FILE, or skip the check with --insecure",
            FetchExit.CERTIFICATE,
        )
    who = "we" if ending.is_ours else "the server"
    return CommandError(
        f"the TLS handshake failed: {who} sent alert {alert}"
        + (f", {reason}" if reason else ""),
        FetchExit.QUIC_CONNECT,
    )
