# ruff: noqa: FBT001  (signatures are aioquic's)
"""What HTTP/3 needs of the QUIC connection below.

The part of aioquic's `QuicConnection`, and so of `FastConnection`, that a `Connection`
calls.  The other way round, `Connection` is a sink of `FastConnection.set_stream_sink`.
"""

from __future__ import annotations

from typing import Protocol


class Quic(Protocol):
    """A QUIC connection to send on."""

    def get_next_available_stream_id(self, is_unidirectional: bool = ...) -> int:
        """Return the ID of the stream that would be opened next."""

    def send_stream_data(
        self, stream_id: int, data: bytes, end_stream: bool = ...
    ) -> None:
        """Send on a stream, opening it if need be."""

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """Break our half of a stream off."""

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        """Ask the peer to break its half off."""

    def send_datagram_frame(self, data: bytes) -> None:
        """Send a DATAGRAM frame."""

    def close(
        self,
        error_code: int = ...,
        frame_type: int | None = ...,
        reason_phrase: str = ...,
    ) -> None:
        """Close the connection."""
