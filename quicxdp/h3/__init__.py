"""HTTP/3 without I/O: `Connection`, its events, and what goes with them.

A lean layer on pylsqpack for both roles (RFC 9114, 9204, 9218, 9220, 9297, WebTransport
of draft-ietf-webtrans-http3-02).  Server push is neither sent nor accepted.
"""

from __future__ import annotations

from .codes import ALPN, ErrorCode, FrameType, Setting, StreamType
from .config import H3Config
from .connection import Connection
from .events import (
    ConnectionFailed,
    DatagramReceived,
    DataReceived,
    Drained,
    Event,
    Fields,
    GoawayReceived,
    InterimReceived,
    MessageFailed,
    PriorityUpdated,
    RequestReceived,
    RequestRefused,
    ResponseReceived,
    SendingStopped,
    SessionStreamReceived,
    SettingsReceived,
    StreamReset,
    TrailersReceived,
)
from .port import Quic
from .priority import Priority
from .sessions import from_error_code, to_error_code

__all__ = [
    "ALPN",
    "Connection",
    "ConnectionFailed",
    "DataReceived",
    "DatagramReceived",
    "Drained",
    "ErrorCode",
    "Event",
    "Fields",
    "FrameType",
    "GoawayReceived",
    "H3Config",
    "InterimReceived",
    "MessageFailed",
    "Priority",
    "PriorityUpdated",
    "Quic",
    "RequestReceived",
    "RequestRefused",
    "ResponseReceived",
    "SendingStopped",
    "SessionStreamReceived",
    "Setting",
    "SettingsReceived",
    "StreamReset",
    "StreamType",
    "TrailersReceived",
    "from_error_code",
    "to_error_code",
]
