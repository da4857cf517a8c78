from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from quicxdp import _native, _native_build, config
from quicxdp.errors import DatapathError, UnavailableError
from quicxdp.stats import LaneStats, Stats

HEADER = (
    Path(_native_build.__file__).parent.parent / "native" / "include" / "quicxdp.h"
).read_text(encoding="utf-8")

ffi: Any = _native._ffi


def constant(name: str) -> int:
    """Return an enumerator or #define of the header, as C has it."""
    value: int = getattr(_native.lib(), name)
    return value


@pytest.mark.parametrize(
    ("python", "c"),
    [
        (config.BATCH_MAX, "QX_BATCH_MAX"),
        (_native._WHY_BYTES, "QX_WHY_BYTES"),
        (_native.QX_CFG_TX_SOCKET, "QX_CFG_TX_SOCKET"),
        (_native.LANE_SOCKET, "QX_LANE_SOCKET"),
        (_native.LANE_XDP, "QX_LANE_XDP"),
        (len(_native.LANE_NAMES), "QX_LANE_CNT"),
    ],
)
def test_numbers_that_python_repeats_are_cs(python: int, c: str) -> None:
    """Repeated because the C extension may be missing; they must not drift apart."""
    assert python == constant(c)


@pytest.mark.parametrize(
    ("struct", "fields"),
    [
        ("struct qx_addr", {"ip": 0, "port": 16, "family": 18, "scope_id": 20}),
        ("struct qx_path", {"peer": 0, "local": 24}),
        ("struct qx_datagram", {"off_bytes": 8, "len_bytes": 12, "path": 20, "lane": 23}),
        ("struct qx_send_item", {"len_bytes": 0, "path": 4}),
        ("struct qx_batch", {"datagram_cnt": 0, "path_cnt": 4, "datagrams": 8}),
        ("struct qx_error", {"code": 0, "peer": 8}),
    ],
)
def test_records_that_python_takes_apart_lie_as_it_expects(
    struct: str, fields: dict[str, int]
) -> None:
    """struct.unpack at the wrong offset would read garbage without any error."""
    assert {name: ffi.offsetof(struct, name) for name in fields} == fields


def test_one_record_reads_as_c_wrote_it() -> None:
    """The format strings, against the C compiler."""
    datagram = ffi.new(
        "struct qx_datagram *",
        {"off_bytes": 7, "len_bytes": 1200, "frame": 99, "path": 3, "ecn": 2, "lane": 1},
    )
    addr = ffi.new(
        "struct qx_addr *",
        {"ip": list(range(16)), "port": 443, "family": 6, "scope_id": 9},
    )

    assert _native.DATAGRAM.unpack(ffi.buffer(datagram)) == (7, 1200, 3, 1)
    assert _native.ADDR.unpack(ffi.buffer(addr)) == (bytes(range(16)), 443, 6, 9)


def test_a_send_item_is_one_integer() -> None:
    """Items are built as 64-bit integers: the length low, the path above it."""
    area = _native.SendArea()
    area.items[2] = 1200 | 5 << _native.ITEM_PATH_SHIFT

    item = area.items_cdata[2]  # type: ignore[index]
    assert (item.len_bytes, item.path, item.ecn) == (1200, 5, 0)


def test_names_come_from_c_and_are_complete() -> None:
    """Metrics use them; a new reason to drop must not be nameless."""
    assert len(_native.drop_names()) == constant("QX_DROP_CNT")
    assert _native.frame_state_names() == ("free", "fill", "lent", "tx", "built")
    assert _native.ring_names() == ("fill", "rx", "tx", "completion")


def test_the_statistics_of_python_have_cs_fields_and_order() -> None:
    """A counter that C gains must appear in Python."""
    ours = {"lanes": "lane", "drops": "drop"}
    names = [ours.get(name, name) for name in Stats.__dataclass_fields__]
    counts = ("backlog_dropped", "lanes_lost", "lanes_back", "lanes_given_up")
    for name in (*counts, "interfaces"):
        names.remove(name)

    assert set(names) == {name for name, _ in ffi.typeof("struct qx_stats").fields}
    assert list(LaneStats.__dataclass_fields__) == [
        name for name, _ in ffi.typeof("struct qx_lane_stats").fields
    ]


def test_cffi_is_given_every_function_and_constant_of_the_header() -> None:
    """The build script drops preprocessor lines; it must drop nothing else."""
    declared = _native_build.declarations(HEADER)

    functions = set(re.findall(r"\b(qx_\w+)\(", HEADER.split("#ifndef")[1]))
    # The comments name functions too; declarations end in a semicolon.
    missing = {name for name in functions if f"{name}(" not in declared}
    assert missing == set()
    assert re.findall(r"#define (\w+)", declared) == re.findall(
        r"#define (QX_\w+) +\d", HEADER
    )
    assert "#include" not in declared


def test_check_returns_counts_and_raises_what_c_said() -> None:
    """Every C error passes through here, so its number and sentence must survive."""
    assert _native.check(3, "sending") == 3
    with pytest.raises(DatapathError, match="opening: eth0: another program") as caught:
        _native.check(-16, "opening", "eth0: another program is attached")
    assert caught.value.errno == 16
    with pytest.raises(DatapathError, match="receiving: Operation not permitted"):
        _native.check(-1, "receiving")


def test_without_the_extension_the_module_imports_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No compiler means slower, not broken."""
    monkeypatch.setitem(sys.modules, "quicxdp._native_ext", None)
    spec = importlib.util.find_spec("quicxdp._native")
    assert spec is not None
    assert spec.loader is not None
    crippled = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(crippled)

    assert not crippled.available()
    assert "C compiler" in crippled.WHY
    with pytest.raises(UnavailableError, match="C compiler"):
        crippled.lib()
    crippled.forked()


def test_an_extension_of_another_version_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stale build would read the wrong bytes."""
    monkeypatch.setattr(_native, "PATH_BYTES", 40)

    _, lib, why = _native._load()

    assert lib is None
    assert "struct qx_path has 48 bytes, not 40; build it again" in why
