"""Every exception that quicxdp raises on purpose.

    QuicxdpError
    ├── ConfigError         the caller asked for something that contradicts itself
    ├── DatapathError       the kernel or a device refused; also an OSError
    ├── UnavailableError    this installation or machine lacks what was asked for
    └── ProtocolError
        ├── LocalProtocolError     our side used the protocol wrongly
        │   └── StreamEndedError   it wrote to a stream that it has ended or reset
        └── RemoteProtocolError    the peer did

Messages say what was tried, what happened and what to do.
"""

from __future__ import annotations


class QuicxdpError(Exception):
    """The base of everything below."""


class ConfigError(QuicxdpError, ValueError):
    """Options that contradict each other or have no meaning."""


class DatapathError(QuicxdpError, OSError):
    """The kernel or a device refused; `errno` says how, `strerror` what to do."""


class UnavailableError(QuicxdpError):
    """This installation or machine lacks what was asked for."""


class ProtocolError(QuicxdpError):
    """The protocol was broken, by one side or the other."""


class LocalProtocolError(ProtocolError):
    """Our side used the protocol wrongly."""


class StreamEndedError(LocalProtocolError, ValueError, RuntimeError):
    """Our side wrote to a stream that was ended or reset, by us or by the peer.

    aioquic raises ValueError once it has forgotten the stream and RuntimeError before, so
    that applications may expect either.
    """


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol."""
