# ruff: noqa: PLR0917  (C has no keyword arguments)
"""The C API of admission (native/include/quicxdp_admission.h) with types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from . import _native
from . import _native_engine as native

if TYPE_CHECKING:
    from ._native import CData

NEVER_CNT: Final = 2**32 - 1  # retry_from_cnt
ANSWER_BYTES_MAX: Final = 192
VERSIONS_MAX: Final = 8


class Lib(Protocol):
    """The C API, as the type checker sees it."""

    def qx_admission_open(self, out: CData, cfg: CData, /) -> int: ...
    def qx_admission_close(self, a: CData, /) -> None: ...
    def qx_engine_set_admission(self, e: CData, a: CData, /) -> None: ...
    def qx_admission_know(self, a: CData, cid: bytes, len_bytes: int, /) -> int: ...
    def qx_admission_forget(self, a: CData, cid: bytes, len_bytes: int, /) -> None: ...
    def qx_admission_set_load(
        self, a: CData, connection_cnt: int, handshake_cnt: int, closed: int, /
    ) -> None: ...
    def qx_admission_use_token(
        self, a: CData, token: bytes, len_bytes: int, /
    ) -> None: ...
    def qx_admission_judge(
        self,
        a: CData,
        data: bytes,
        len_bytes: int,
        peer: CData,
        now_ns: int,
        answer: CData,
        answer_len_bytes: CData,
        /,
    ) -> int: ...
    def qx_admission_get_stats(self, a: CData, out: CData, /) -> None: ...
    def qx_refusal_name(self, reason: int, /) -> CData: ...


def lib() -> Lib:
    """Return the C API.

    Raises:
        UnavailableError: the extension did not load, or lacks the engine.
    """
    return cast("Lib", native.lib())


def open_admission(**config: Any) -> CData:  # noqa: ANN401
    """Open an admission; *config* are the fields of struct qx_admission_config.

    Raises:
        DatapathError: there is no memory, or libcrypto refuses.
    """
    ffi: Any = _native.ffi()
    out = ffi.new("struct qx_admission **")
    cfg = ffi.new("struct qx_admission_config *", config)
    _native.check(lib().qx_admission_open(out, cfg), "opening the gate of a server")
    return cast("CData", out[0])


def peer(raw: bytes) -> CData:
    """Return a struct qx_addr."""
    ffi: Any = _native.ffi()
    out = ffi.new("struct qx_addr *")
    ffi.memmove(out, raw, _native.ADDR.size)
    return cast("CData", out)


def no_admission() -> CData:
    """Return the null pointer."""
    ffi: Any = _native.ffi()
    return cast("CData", ffi.NULL)


def refusal_names() -> list[str]:
    """Return the names that C gives the reasons, in their order."""
    ffi: Any = _native.ffi()
    names: list[str] = []
    while (name := lib().qx_refusal_name(len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode("ascii"))
    return names
