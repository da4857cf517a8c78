"""Who may begin a connection with a server: what can be chosen, and what is counted.

The checks themselves stand twice: in C before the engine (native/src/admission.c, behind
engine_gate.py), and in Python for aioquic alone (plain_gate.py), in the same order.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .addresses import Address

# What the gates remember; enum of native/include/quicxdp_admission.h.
PREFIX_CNT: Final = 8192
# Beyond this rate, one after the other would come too close for nanoseconds to tell.
_RATE_HZ_MAX: Final = 1_000_000.0
_CNT_MAX: Final = 1 << 30
_TIMEOUT_S_MAX: Final = 3600.0
# Of max_handshakes, the part that is open to clients that have not shown their address.
_UNPROVEN_PART: Final = 8
# How many new connections of a network may come at once, in seconds of its rate.
_BURST_S: Final = 2
_NS_PER_S: Final = 1_000_000_000
# As in native/src/admission.c: connections that are closed with INVALID_TOKEN.
BAD_TOKEN_INTERVAL_NS: Final = 10_000_000
BAD_TOKEN_BURST_CNT: Final = 10


class Retry(enum.Enum):
    """Whether a client must prove its address, at the price of a round trip."""

    AUTO = "auto"  # while an eighth of max_handshakes is open, or more
    ALWAYS = "always"
    NEVER = "never"

    @classmethod
    def parse(cls, value: Retry | str | bool) -> Retry:  # noqa: FBT001  # aioquic's type
        """Return the member that *value* names; True and False as in aioquic.

        Raises:
            ConfigError: nothing of that name exists.
        """
        if isinstance(value, bool):
            return cls.ALWAYS if value else cls.NEVER
        try:
            return cls(value)
        except ValueError:
            names = ", ".join(member.value for member in cls)
            raise ConfigError(
                f"retry={value!r} is unknown; choose one of {names}, True or False"
            ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Limits of a server.

    Attributes:
        max_connections: how many there are at most, those in their handshake included.
        max_handshakes: how many of them are in their handshake at most.
        handshake_timeout_s: how long a handshake may take; then the connection is closed.
        retry: whether clients must prove their address first.
        new_per_prefix_hz: how many connections per second one network (IPv4 /24, IPv6
            /56) may begin without having proved its address; 0: no limit.
    """

    max_connections: int = 10_000
    max_handshakes: int = 512
    handshake_timeout_s: float = 10.0
    retry: Retry = Retry.AUTO
    new_per_prefix_hz: float = 200.0

    def __post_init__(self) -> None:
        for name in ("max_connections", "max_handshakes"):
            if not 0 < getattr(self, name) <= _CNT_MAX:
                raise ConfigError(
                    f"{name}={getattr(self, name)} is not between 1 and {_CNT_MAX}"
                )
        if not 0 < self.handshake_timeout_s <= _TIMEOUT_S_MAX:  # nor NaN
            raise ConfigError(
                f"handshake_timeout={self.handshake_timeout_s} is not above 0 and at "
                f"most {_TIMEOUT_S_MAX:g} seconds"
            )
        rate_hz = self.new_per_prefix_hz
        if rate_hz != 0 and not 1 / _TIMEOUT_S_MAX <= rate_hz <= _RATE_HZ_MAX:
            raise ConfigError(
                f"new_per_prefix={rate_hz} is neither 0 nor between one an hour and "
                f"{_RATE_HZ_MAX:g} a second"
            )

    def arguments(self) -> dict[str, Any]:
        """Return the same as `quicxdp.serve` takes it."""
        return {
            "retry": self.retry,
            "max_connections": self.max_connections,
            "max_handshakes": self.max_handshakes,
            "handshake_timeout": self.handshake_timeout_s,
            "new_per_prefix": self.new_per_prefix_hz,
        }

    @property
    def retry_from_cnt(self) -> int | None:
        """How many open handshakes make Retry necessary; None: however many."""
        if self.retry is Retry.AUTO:
            return max(1, self.max_handshakes // _UNPROVEN_PART)
        return 0 if self.retry is Retry.ALWAYS else None

    @property
    def prefix_interval_ns(self) -> int:
        """The time from one new connection of a network to the next; 0: none."""
        rate_hz = self.new_per_prefix_hz
        return round(_NS_PER_S / rate_hz) if rate_hz else 0

    @property
    def prefix_burst_cnt(self) -> int:
        """How many a network may begin at once after a pause."""
        return max(1, math.ceil(self.new_per_prefix_hz * _BURST_S))


DEFAULT: Final = Admission()


class Verdict(enum.IntEnum):
    """What becomes of a datagram; enum qx_verdict."""

    KNOWN = 0  # of a connection that has that ID
    ADMIT = 1  # may begin a connection
    RETRIED = 2  # likewise, with a valid Retry token
    BAD_TOKEN = 3  # is closed with INVALID_TOKEN; few of those refused for their token
    RETRY = 4  # is answered with Retry
    VERSION = 5  # is answered with Version Negotiation


class Refusal(enum.IntEnum):
    """Why one was dropped, by the order of the checks: enum qx_refusal, QUEUE_FULL."""

    MALFORMED = 0
    UNKNOWN = 1
    SMALL = 2
    VERSION = 3
    CLOSED = 4
    CONNECTIONS = 5
    TOKEN_ADDRESS = 6
    TOKEN_EXPIRED = 7
    TOKEN_REPLAYED = 8
    HANDSHAKES = 9
    PREFIX_RATE = 10
    NO_ROOM = 11
    QUEUE_FULL = 12  # of what waits for aioquic; counted in Python only


# A verdict from here on means refused; the difference is a `Refusal`.
REFUSED: Final = 256


@dataclass(slots=True)
class Counts:
    """What a gate has counted."""

    admitted: int = 0
    tokens_valid: int = 0
    retries_sent: int = 0
    versions_sent: int = 0
    refused: list[int] = field(default_factory=lambda: [0] * len(Refusal))

    def refuse(self, why: Refusal) -> int:
        """Count a refusal; return its verdict."""
        self.refused[why] += 1
        return REFUSED + why


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionStats:
    """What came to a server without belonging to a connection; counters only grow.

    docs/statistics.md explains each.
    """

    connections: int  # gauge: there are, handshakes included
    handshakes: int  # gauge: not completed yet
    waiting: int  # gauge: datagrams that wait for aioquic
    handshake_timeouts: int  # connections closed for that
    admitted: int  # datagrams that may begin a connection
    tokens_valid: int  # of them, those with a valid Retry token
    retries_sent: int
    versions_sent: int  # Version Negotiation packets
    refused: Mapping[str, int]  # datagrams dropped, by reason

    def as_dict(self) -> dict[str, Any]:
        """Return the same as what JSON has."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**values, "refused": dict(self.refused)}


def refused_by_name(*counts: list[int]) -> Mapping[str, int]:
    """Return the sums of several lists by `Refusal`, by name."""
    return MappingProxyType(
        {why.name.lower(): sum(of[why] for of in counts) for why in Refusal}
    )


class Gate(Protocol):
    """What a server asks, or what is asked before it, and what it tells."""

    def judge(self, data: bytes, addr: Address, now_ns: int, /) -> int:
        """Return a `Verdict`, or REFUSED and above; counts it."""

    def know(self, cid: bytes, /) -> None:
        """Learn that a connection has this ID."""

    def forget(self, cid: bytes, /) -> None:
        """Learn that none has it any more."""

    def set_load(
        self, connection_cnt: int, handshake_cnt: int, /, *, closed: bool
    ) -> None:
        """Learn how many there are; *closed*: no new ones are taken."""

    def use_token(self, token: bytes, /) -> None:
        """Learn that a Retry token has opened a connection; it does so once."""

    def counts(self) -> Counts:
        """Return the counters of now."""
