"""What a `Connection` tells of; `take_events` returns them in order.

Tuples, because a request costs one of them and a frozen dataclass takes three times as
long to make (0.6 against 0.2 µs).  Whatever ends a stream has `ended` set, and nothing
more comes of that stream's receiving half: if no frame could carry it, a `DataReceived`
without data does.  Field names and values have been checked (`fields.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .priority import Priority

Fields: TypeAlias = list[tuple[bytes, bytes]]


class RequestReceived(NamedTuple):
    """A client's request has begun (servers only).

    Attributes:
        stream_id: answer there.
        method: a token, such as `b"GET"`.
        scheme: empty for CONNECT without a protocol.
        authority: host and port; from the field `host` if there was no `:authority`.
        path: with its query; empty for CONNECT without a protocol.
        protocol: of an extended CONNECT (RFC 9220), such as `b"websocket"`; else empty.
        fields: without the pseudo-header fields; cookies as they came, perhaps several.
        ended: there is no body.
    """

    stream_id: int
    method: bytes
    scheme: bytes
    authority: bytes
    path: bytes
    protocol: bytes
    fields: Fields
    ended: bool


class ResponseReceived(NamedTuple):
    """A server's final response has begun (clients only)."""

    stream_id: int
    status: int
    fields: Fields
    ended: bool


class InterimReceived(NamedTuple):
    """A 1xx response, before the final one (clients only)."""

    stream_id: int
    status: int
    fields: Fields


class DataReceived(NamedTuple):
    """Part of a body: all that arrived at once, over the borders of DATA frames."""

    stream_id: int
    data: bytes
    ended: bool


class TrailersReceived(NamedTuple):
    """The fields behind a body."""

    stream_id: int
    fields: Fields
    ended: bool


class StreamReset(NamedTuple):
    """The peer has broken its half off: what came of the message is all there is."""

    stream_id: int
    error_code: int


class SendingStopped(NamedTuple):
    """The peer wants nothing more of us on the stream; what is sent goes nowhere."""

    stream_id: int
    error_code: int


class MessageFailed(NamedTuple):
    """A message that had begun turned out malformed: both halves are reset.

    Other streams are unaffected (RFC 9114 section 4.1.2).
    """

    stream_id: int
    error_code: int
    reason: str


class RequestRefused(NamedTuple):
    """A request that was answered, or reset, here and is nobody's business any more.

    Attributes:
        stream_id: where it came.
        status: with which it was answered, such as 400 or 431; 0 if it was reset.
        error_code: with which it was reset; H3_NO_ERROR if it was answered.
        reason: for a log.
    """

    stream_id: int
    status: int
    error_code: int
    reason: str


class SessionStreamReceived(NamedTuple):
    """Data of a WebTransport stream that belongs to the session of a CONNECT request."""

    session_id: int
    stream_id: int
    data: bytes
    ended: bool


class DatagramReceived(NamedTuple):
    """An HTTP datagram (RFC 9297) that belongs to a request."""

    stream_id: int
    data: bytes


class PriorityUpdated(NamedTuple):
    """A client has another opinion of how urgent an answer is (RFC 9218 section 7)."""

    stream_id: int
    priority: Priority


class SettingsReceived(NamedTuple):
    """The peer's settings, by their identifiers; unknown ones included."""

    settings: Mapping[int, int]


class GoawayReceived(NamedTuple):
    """The peer is going away (RFC 9114 section 5.2).

    From a server: requests from *stream_id* on were not and will not be handled; those
    under way here end in `MessageFailed` with H3_REQUEST_REJECTED, and may be repeated on
    another connection.
    """

    stream_id: int


class Drained(NamedTuple):
    """After our GOAWAY, the last request is through: the connection may be closed."""


class ConnectionFailed(NamedTuple):
    """The peer broke the protocol: the connection is being closed, nothing more comes."""

    error_code: int
    reason: str


Event: TypeAlias = (
    RequestReceived
    | ResponseReceived
    | InterimReceived
    | DataReceived
    | TrailersReceived
    | StreamReset
    | SendingStopped
    | MessageFailed
    | RequestRefused
    | SessionStreamReceived
    | DatagramReceived
    | PriorityUpdated
    | SettingsReceived
    | GoawayReceived
    | Drained
    | ConnectionFailed
)
