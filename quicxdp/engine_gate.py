"""The gate in C as a Python object: asked by the engine, told by the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import _native
from . import _native_admission as native
from ._native_engine import Numbers, Scratch
from .admission import PREFIX_CNT, Admission, Counts, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._native import CData
    from .addresses import Address, AddressBook

_NS_PER_S: Final = 1_000_000_000


class EngineGate:
    """Made by `EngineTurn.guard`.

    After `close` it is told in vain, and its counters stay as they were.
    """

    __slots__ = ("_a", "_answer", "_book", "_last", "_lib", "_stats")

    def __init__(
        self,
        admission: Admission,
        *,
        retry_key: bytes,
        token_lifetime_s: float,
        versions: Sequence[int],
        cid_len_bytes: int,
        book: AddressBook,
    ) -> None:
        """Open a gate.

        Raises:
            DatapathError: there is no memory.
            UnavailableError: the C extension has no engine.
        """
        retry_from_cnt = admission.retry_from_cnt
        self._lib = native.lib()
        self._a: CData | None = native.open_admission(
            cid_len_bytes=cid_len_bytes,
            max_connections=admission.max_connections,
            max_handshakes=admission.max_handshakes,
            retry_from_cnt=(
                native.NEVER_CNT if retry_from_cnt is None else retry_from_cnt
            ),
            prefix_cnt=PREFIX_CNT,
            prefix_burst_cnt=admission.prefix_burst_cnt,
            prefix_interval_ns=admission.prefix_interval_ns,
            token_lifetime_ns=round(token_lifetime_s * _NS_PER_S),
            retry_key=list(retry_key),
            version_cnt=len(versions),
            versions=list(versions),
        )
        self._book = book
        self._stats = Numbers("struct qx_admission_stats")
        self._answer = Scratch(native.ANSWER_BYTES_MAX, 1)
        self._last = Counts()

    def guard(self, engine: CData) -> None:
        """Stand before what *engine* passes up."""
        assert self._a is not None  # noqa: S101
        self._lib.qx_engine_set_admission(engine, self._a)

    def close(self) -> None:
        """Close it, after the engine; harmless when repeated."""
        if self._a is not None:
            self._last = self.counts()
            a, self._a = self._a, None
            self._lib.qx_admission_close(a)

    def judge(self, data: bytes, addr: Address, now_ns: int) -> int:
        """Return a `Verdict`, or REFUSED and above; counts it.

        The engine asks by itself; this is for who carries datagrams without one.
        """
        assert self._a is not None  # noqa: S101
        raw = self._book.path(addr)[: _native.ADDR.size]
        return self._lib.qx_admission_judge(
            self._a,
            data,
            len(data),
            native.peer(raw),
            now_ns,
            self._answer.cdata,
            self._answer.ints_cdata,
        )

    def answer(self) -> bytes:
        """Return the packet that the last verdict sends back."""
        return bytes(self._answer.buffer[: self._answer.ints[0]])

    def know(self, cid: bytes) -> None:
        """Learn that a connection has this ID.

        Raises:
            DatapathError: there is no memory.
        """
        if self._a is not None:
            rc = self._lib.qx_admission_know(self._a, cid, len(cid))
            _native.check(rc, "noting a connection ID")

    def forget(self, cid: bytes) -> None:
        """Learn that none has it any more."""
        if self._a is not None:
            self._lib.qx_admission_forget(self._a, cid, len(cid))

    def set_load(self, connection_cnt: int, handshake_cnt: int, *, closed: bool) -> None:
        """Learn how many there are; what is admitted is added until the next call."""
        if self._a is not None:
            self._lib.qx_admission_set_load(
                self._a, connection_cnt, handshake_cnt, closed
            )

    def use_token(self, token: bytes) -> None:
        """Learn that a Retry token has opened a connection."""
        if self._a is not None:
            self._lib.qx_admission_use_token(self._a, token, len(token))

    def counts(self) -> Counts:
        """Return the counters of now."""
        if self._a is None:
            return self._last
        self._lib.qx_admission_get_stats(self._a, self._stats.cdata)
        values, at = self._stats.values, self._stats.index
        start = at["refused"]
        refused = [int(n) for n in values[start : start + Refusal.QUEUE_FULL]]
        return Counts(
            admitted=values[at["admitted"]],
            tokens_valid=values[at["tokens_valid"]],
            retries_sent=values[at["retries_sent"]],
            versions_sent=values[at["versions_sent"]],
            refused=[*refused, 0],
        )
