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
    HYBRID = "hybrid"  # AF_XDP receives, the kernel's UDP socket sends, or an error
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


class XdpMode(enum.Enum):
    """How packets travel between AF_XDP's rings and an interface."""

    AUTO = "auto"  # zero-copy where the driver offers it, else copy
    COPY = "copy"  # the driver's packets are copied
    ZEROCOPY = "zerocopy"  # the card reads and writes our buffers, or an error
    GENERIC = "generic"  # without the driver's help; only if it is asked for


class Sending(enum.Enum):
    """What sends where AF_XDP receives."""

    XDP = "xdp"
    SOCKET = "socket"  # UDP_SEGMENT
    XDP_IF_ZEROCOPY = "xdp if zero-copy"


# QX_INTERFACE_MAX of the C API.
INTERFACE_CNT_MAX: Final = 8

# Longer spins would only take the CPU from whoever is to send the answer.
SPIN_US_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class XdpOptions:
    """What an operator may ask AF_XDP for.  An interface has one of each in a process.

    Attributes:
        mode: see `XdpMode`.
        huge_pages: put the buffers into huge pages if there are any.
        busy_poll_us: let receiving work the driver's queue off for so long
            (SO_BUSY_POLL), instead of interrupts; 0: no.
        busy_poll_budget: in steps of so many packets; 0: 64.
    """

    mode: XdpMode = XdpMode.AUTO
    huge_pages: bool = False
    busy_poll_us: int = 0
    busy_poll_budget: int = 0

    def __post_init__(self) -> None:
        for name, most in (("busy_poll_us", 1_000_000), ("busy_poll_budget", 65_535)):
            if not 0 <= getattr(self, name) <= most:
                raise ConfigError(
                    f"{name}={getattr(self, name)} is not between 0 and {most}"
                )


XDP_DEFAULT: Final = XdpOptions()


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

    interfaces: tuple[str, ...] = ()  # none: socket lane only
    sending: Sending = Sending.XDP
    xdp: XdpOptions = XDP_DEFAULT
    rx_frame_cnt: int = 0  # per queue, a power of two; 0: the datapath's choice
    tx_frame_cnt: int = 0  # per device, likewise
    socket_buffer_bytes: int = (
        0  # SO_RCVBUF and SO_SNDBUF wanted; 0: the datapath's choice
    )
    sources: SourceRules = EVERYBODY  # who may send to the endpoint

    def __post_init__(self) -> None:
        # IFNAMSIZ counts the terminating zero; the kernel cuts silently, we do not.
        for name in self.interfaces:
            if len(name.encode()) > 15:  # noqa: PLR2004
                raise ConfigError(
                    f"interface={name!r} is longer than the 15 bytes that Linux allows; "
                    f"`ip -brief link` lists the names"
                )
        for name in ("rx_frame_cnt", "tx_frame_cnt"):
            count = getattr(self, name)
            if count < 0 or count & (count - 1):
                raise ConfigError(f"{name}={count} is not a power of two")
