"""The gate in Python: the checks of native/src/admission.c where C does not receive.

Used under engine="aioquic", and wherever the C extension is missing.  Retry and Version
Negotiation are only decided here; aioquic's server answers.
"""

from __future__ import annotations

import socket
from itertools import islice
from typing import TYPE_CHECKING, Final

from . import first_packet
from .admission import (
    BAD_TOKEN_BURST_CNT,
    BAD_TOKEN_INTERVAL_NS,
    PREFIX_CNT,
    Admission,
    Counts,
    Refusal,
    Verdict,
)
from .first_packet import DATAGRAM_BYTES_MIN, DCID_BYTES_MIN, LONG_HEADER, FirstPacket
from .retry_tokens import RetryTokens, TokenState

if TYPE_CHECKING:
    from collections.abc import Collection, Container

    from .addresses import Address

_REFUSAL_OF_TOKEN: Final = {
    TokenState.ADDRESS: Refusal.TOKEN_ADDRESS,
    TokenState.EXPIRED: Refusal.TOKEN_EXPIRED,
    TokenState.REPLAYED: Refusal.TOKEN_REPLAYED,
}
_TOKEN_REFUSALS: Final = frozenset(_REFUSAL_OF_TOKEN.values())
_PREFIX_BYTES_IPV6: Final = 7
_NS_PER_S: Final = 1e9


class Budget:
    """One that grows by one per interval; rate_passes of native/src/prefix_limit.h."""

    __slots__ = ("_burst_ns", "_full_ns", "_interval_ns")

    def __init__(self, interval_ns: int, burst_cnt: int) -> None:
        self._interval_ns = interval_ns
        self._burst_ns = interval_ns * burst_cnt
        self._full_ns = 0  # when it is full again

    def passes(self, now_ns: int) -> bool:
        """Take one; False if there is none."""
        full_ns = max(self._full_ns, now_ns)
        has_one = full_ns - now_ns + self._interval_ns <= self._burst_ns
        self._full_ns = full_ns + self._interval_ns if has_one else full_ns
        return has_one


class PrefixLimit:
    """How many new connections one network may begin; native/src/prefix_limit.h.

    Budgets stand in the order in which their networks were heard, so that the oldest go
    where there are too many.
    """

    def __init__(self, interval_ns: int, burst_cnt: int) -> None:
        self._interval_ns = interval_ns
        self._burst_cnt = burst_cnt
        self._budgets: dict[str | bytes, Budget] = {}

    def passes(self, host: str, now_ns: int) -> bool:
        """Take one from the budget of *host*'s network; False if it has none."""
        if not self._interval_ns:
            return True
        prefix = _prefix(host)
        budget = self._budgets.pop(prefix, None)
        if budget is None:
            budget = Budget(self._interval_ns, self._burst_cnt)
            if len(self._budgets) >= PREFIX_CNT:
                for old in list(islice(self._budgets, PREFIX_CNT // 2)):
                    del self._budgets[old]
        self._budgets[prefix] = budget
        return budget.passes(now_ns)

    def __len__(self) -> int:
        """Return how many networks are remembered."""
        return len(self._budgets)


def _prefix(host: str) -> str | bytes:
    # Also of an IPv4 address in IPv6 form, which ends in four numbers.
    if "." in host:
        return host.rpartition(".")[0]
    raw = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    return raw[:_PREFIX_BYTES_IPV6]


class PlainGate:
    """A gate that is asked by the server itself.

    Args:
        admission: the limits.
        tokens: of the server.
        versions: that are spoken.
        known: the connection IDs of all connections; kept up to date by the server.
        cid_len_bytes: the length of our own.
    """

    def __init__(
        self,
        admission: Admission,
        tokens: RetryTokens,
        *,
        versions: Collection[int],
        known: Container[bytes],
        cid_len_bytes: int,
    ) -> None:
        self._admission = admission
        self._tokens = tokens
        self._versions = frozenset(versions)
        self._known = known
        self._cid_end = 1 + cid_len_bytes
        self._limit = PrefixLimit(
            admission.prefix_interval_ns, admission.prefix_burst_cnt
        )
        self._bad_tokens = Budget(BAD_TOKEN_INTERVAL_NS, BAD_TOKEN_BURST_CNT)
        self._counts = Counts()
        self._retry_from_cnt = admission.retry_from_cnt
        self._connection_cnt = 0
        self._handshake_cnt = 0
        self._closed = False

    def know(self, cid: bytes) -> None:
        """Nothing: *known* has it."""

    def forget(self, cid: bytes) -> None:
        """Nothing: *known* has it no more."""

    def set_load(self, connection_cnt: int, handshake_cnt: int, *, closed: bool) -> None:
        """Learn how many there are; what is admitted is added until the next call."""
        self._connection_cnt = connection_cnt
        self._handshake_cnt = handshake_cnt
        self._closed = closed

    def use_token(self, token: bytes) -> None:
        """Nothing: the server's tokens know it."""

    def counts(self) -> Counts:
        """Return the counters of now."""
        return self._counts

    def judge(self, data: bytes, addr: Address, now_ns: int) -> int:
        """Return a `Verdict`, or REFUSED and above; counts it."""
        verdict = self._judge(data, addr, now_ns)
        if not isinstance(verdict, Refusal):
            return verdict
        refused = self._counts.refuse(verdict)
        if verdict in _TOKEN_REFUSALS and self._bad_tokens.passes(now_ns):
            return Verdict.BAD_TOKEN
        return refused

    def _judge(  # noqa: PLR0911  # a list of checks
        self, data: bytes, addr: Address, now_ns: int
    ) -> Verdict | Refusal:
        if not (data and data[0] & LONG_HEADER):
            if len(data) < self._cid_end:
                return Refusal.MALFORMED
            known = data[1 : self._cid_end] in self._known
            return Verdict.KNOWN if known else Refusal.UNKNOWN
        packet = first_packet.read(data)
        if packet is None:
            return Refusal.MALFORMED
        if packet.dcid in self._known:
            return Verdict.KNOWN
        if len(data) < DATAGRAM_BYTES_MIN:
            return Refusal.SMALL
        # Answering one would let two servers talk to each other for ever.
        if not packet.version:
            return Refusal.VERSION
        if packet.version in self._versions:
            return self._judge_first(data, packet, addr, now_ns)
        if not self._limit.passes(addr[0], now_ns):
            return Refusal.PREFIX_RATE
        self._counts.versions_sent += 1
        return Verdict.VERSION

    def _judge_first(  # noqa: PLR0911  # likewise
        self, data: bytes, packet: FirstPacket, addr: Address, now_ns: int
    ) -> Verdict | Refusal:
        if not packet.has_fixed_bit:
            return Refusal.MALFORMED
        if not packet.is_initial:
            return Refusal.UNKNOWN
        token = first_packet.token(data, packet)
        if token is None or len(packet.dcid) < DCID_BYTES_MIN:
            return Refusal.MALFORMED
        state = TokenState.FOREIGN
        if token:
            state = self._tokens.state(addr, packet.dcid, token, now_ns / _NS_PER_S)
        if (why := self._obstacle(state)) is not None:
            return why
        if state is TokenState.VALID:
            self._counts.tokens_valid += 1
            return self._admit(Verdict.RETRIED)
        if not self._limit.passes(addr[0], now_ns):
            return Refusal.PREFIX_RATE
        if self._retry_from_cnt is None or self._handshake_cnt < self._retry_from_cnt:
            return self._admit(Verdict.ADMIT)
        self._counts.retries_sent += 1
        return Verdict.RETRY

    def _obstacle(self, token: TokenState) -> Refusal | None:
        if self._closed:
            return Refusal.CLOSED
        if self._connection_cnt >= self._admission.max_connections:
            return Refusal.CONNECTIONS
        if token in _REFUSAL_OF_TOKEN:
            return _REFUSAL_OF_TOKEN[token]
        if self._handshake_cnt >= self._admission.max_handshakes:
            return Refusal.HANDSHAKES
        return None

    def _admit(self, verdict: Verdict) -> Verdict:
        self._connection_cnt += 1
        self._handshake_cnt += 1
        self._counts.admitted += 1
        return verdict
