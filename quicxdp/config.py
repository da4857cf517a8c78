"""What a user can choose about I/O, and the numbers that bound it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from .errors import ConfigError
from .source_rules import EVERYBODY, SourceRules


class Io(enum.Enum):
    """How datagrams travel in and out of an endpoint."""

    AUTO = "auto"  # the best lane that this machine and the named interface allow
    SOCKET = "socket"  # the kernel's UDP socket, in batches, from C
    XDP = "xdp"  # AF_XDP on the named interface, or an error
    ASYNCIO = "asyncio"  # the event loop's own datagram transport

    @classmethod
    def parse(cls, value: Io | str) -> Io:
        """Return the member that *value* names.

        Raises:
            ConfigError: nothing of that name exists.
        """
        try:
            return cls(value)
        except ValueError:
            names = ", ".join(member.value for member in cls)
            raise ConfigError(f"io={value!r} is unknown; choose one of {names}") from None


class EngineKind(enum.Enum):
    """Who handles the 1-RTT packets of a connection."""

    AUTO = "auto"  # the engine in C where it can be used, aioquic otherwise
    NATIVE = "native"  # the engine in C, or an error
    AIOQUIC = "aioquic"  # aioquic alone

    @classmethod
    def parse(cls, value: EngineKind | str) -> EngineKind:
        """Return the member that *value* names.

        Raises:
            ConfigError: nothing of that name exists.
        """
        try:
            return cls(value)
        except ValueError:
            names = ", ".join(member.value for member in cls)
            raise ConfigError(
                f"engine={value!r} is unknown; choose one of {names}"
            ) from None


ENGINE_DEFAULT: Final = EngineKind.AUTO

# QX_BATCH_MAX of the C API.
BATCH_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class SendLimits:
    """How much an endpoint lets pile up on its way out.

    A turn that sends more than a batch is flushed in the middle: batches beyond these
    sizes gain nothing, and the kernel gets its work earlier.  The backlog is what the
    kernel had no room for; a caller that ignores pause_writing() loses datagrams
    beyond it (and the rest of one batch), as on any full link, instead of the process
    losing its memory.
    """

    batch_datagram_cnt: int = BATCH_MAX
    batch_bytes: int = 512 * 1024
    backlog_bytes: int = 16 * 1024 * 1024

    def __post_init__(self) -> None:
        if not 0 < self.batch_datagram_cnt <= BATCH_MAX:
            raise ConfigError(
                f"batch_datagram_cnt={self.batch_datagram_cnt} is not between 1 and "
                f"{BATCH_MAX}"
            )


@dataclass(frozen=True, slots=True)
class DatapathConfig:
    """What `Datapath.open` is asked for, apart from the socket itself."""

    interface: str = ""  # "": socket lane only
    tx_socket: bool = False  # XDP lane for receiving only
    rx_frame_cnt: int = 0  # per queue, a power of two; 0: the datapath's choice
    tx_frame_cnt: int = 0  # per device, likewise
    socket_buffer_bytes: int = (
        0  # SO_RCVBUF and SO_SNDBUF wanted; 0: the datapath's choice
    )
    sources: SourceRules = EVERYBODY  # who may send to the endpoint

    def __post_init__(self) -> None:
        # IFNAMSIZ counts the terminating zero; the kernel cuts silently, we do not.
        if len(self.interface.encode()) > 15:  # noqa: PLR2004
            raise ConfigError(
                f"interface={self.interface!r} is longer than the 15 bytes that Linux "
                f"allows; `ip -brief link` lists the names"
            )
        for name in ("rx_frame_cnt", "tx_frame_cnt"):
            count = getattr(self, name)
            if count < 0 or count & (count - 1):
                raise ConfigError(f"{name}={count} is not a power of two")
