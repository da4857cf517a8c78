"""What one end of an HTTP/3 connection allows and offers."""

from __future__ import annotations

from dataclasses import dataclass

from quicxdp.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class H3Config:
    """Limits and extensions.

    How many requests may be under way at once is QUIC's to say (`max_streams`), and how
    much of a body waits, by its windows.

    Attributes:
        field_section_bytes_max: of a header or trailer section, encoded and decoded, each
            field counting 32 bytes more than it is long (RFC 9114 section 4.2.2).  A
            longer request is answered with 431.
        qpack_table_bytes: of the peer's dynamic table.  0 by default: with 4 KiB, two
            bytes become four kilobytes of header, and a small request an enormous one.
        qpack_blocked_streams: how many may wait for the table; of no use without one.
            What comes behind a section that waits is kept, bounded by the stream's window
            alone: pass `credit`, and have QUIC wait for it (manual consumption).
        connect_protocol: offer extended CONNECT (RFC 9220); WebSocket needs it.
        datagrams: take and send HTTP datagrams (RFC 9297); the QUIC configuration must
            have a `max_datagram_frame_size`.
        webtransport: offer WebTransport; needs the two before it.
        requests_max: after so many the server sends GOAWAY by itself.
        cancelled_max: so many more requests may be cancelled, or broken by what follows
            their head, than were answered before the client is taken for an attacker
            (CVE-2023-44487, "rapid reset"; CVE-2025-8671, "made you reset").
        useless_frames_max: so many frames without content (empty, unknown, tiny and
            many) may come, beyond what useful data has earned.
    """

    field_section_bytes_max: int = 16 * 1024
    qpack_table_bytes: int = 0
    qpack_blocked_streams: int = 0
    connect_protocol: bool = False
    datagrams: bool = False
    webtransport: bool = False
    requests_max: int = 1 << 60
    cancelled_max: int = 200
    useless_frames_max: int = 2000

    def __post_init__(self) -> None:
        if self.webtransport and not (self.connect_protocol and self.datagrams):
            raise ConfigError(
                "webtransport=True needs connect_protocol=True and datagrams=True, which "
                "it is made of; set them too"
            )
