"""Dependencies point one way, and platforms differ by file (ARCHITECTURE.md, "Layers").

A layer that reaches upwards compiles just as well, so only a test keeps the figure true.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "quicxdp"
DATAPATH = ROOT / "native" / "src" / "datapath"
QUIC = ROOT / "native" / "src" / "quic"

# Which part of quicxdp may import which, itself aside.  A new module gets a line here.
BASICS = {
    "errors",
    "config",
    "clock",
    "alarm",
    "stats",
    "info",
    "ownership",
    "source_rules",
}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "source_rules": {"errors"},
    "config": {"errors", "source_rules"},
    "clock": {"_native"},
    "alarm": {"clock"},
    "stats": set(),
    "admission": {"addresses", "errors"},
    "first_packet": set(),
    "info": {"admission", "config", "stats"},
    "ownership": {"_native"},
    "_native_build": set(),
    "_native_ext": set(),
    "_native": {"_native_ext", "errors", "config"},
    "addresses": {"_native", "errors"},
    "private_file": set(),
    "capture": {"_native", "private_file", *BASICS},
    "datapath": {"_native", "addresses", "capture", *BASICS},
    "outbox": {"_native", "addresses", *BASICS},
    "waiter": {"datapath", *BASICS},
    "spin": set(),
    "rejoin": {"datapath", *BASICS},
    "reactor": {
        *(
            "_native",
            "_native_engine",
            "addresses",
            "datapath",
            "outbox",
            "spin",
            "waiter",
        ),
        *BASICS,
    },
    "transport": {
        *("addresses", "admission", "datapath", "engine_turn", "outbox", "reactor"),
        "rejoin",
        *BASICS,
    },
    "plain": {"addresses", "admission", *BASICS},
    "simulation": {"_native", "addresses", "datapath", *BASICS},
    "device": BASICS,
    "device_linux": {"device", *BASICS},
    "device_windows": {"device", *BASICS},
    "lanes": {"device", *BASICS},
    "endpoint": {
        *("_native", "addresses", "capture", "datapath", "lanes", "plain", "transport"),
        *BASICS,
    },
    # The engine in C, and aioquic around it.
    "_native_engine": {"_native", "errors"},
    "engine_time": set(),
    "engine_conn": {"_native", "_native_engine", "engine"},
    "engine": {"_native", "_native_engine", "addresses", "engine_conn"},
    "engine_turn": {
        *("addresses", "admission", "datapath", "engine", "engine_gate"),
        *BASICS,
    },
    # Who may begin a connection.
    "_native_admission": {"_native", "_native_engine"},
    "engine_gate": {
        *("_native", "_native_admission", "_native_engine", "addresses", "admission"),
        "retry_tokens",
    },
    "retry_tokens": {"addresses"},
    "plain_gate": {"addresses", "admission", "first_packet", "retry_tokens"},
    "arrivals": {"addresses"},
    "reception": {
        *("addresses", "admission", "aioquic_shim", "arrivals", "engine_turn"),
        *("first_packet", "plain_gate", "retry_tokens", *BASICS),
    },
    "seam": {"_native_engine", "engine", "engine_conn", "engine_time", *BASICS},
    "connection": {"_native_engine", "engine_conn", "seam", *BASICS},
    "streams": {"connection", *BASICS},
    "engine_choice": {"_native_engine", "connection", "engine", "seam", *BASICS},
    "aioquic_shim": BASICS,
    "aioquic_shim_streams": {"aioquic_shim", "connection", "seam", *BASICS},
    "server": {
        *("aioquic_shim", "endpoint", "engine", "engine_choice", "engine_turn"),
        *(
            "addresses",
            "admission",
            "capture",
            "first_packet",
            "reception",
            "retry_tokens",
            "streams",
        ),
        *("transport", *BASICS),
    },
    "client": {
        *("aioquic_shim", "endpoint", "engine_choice", "engine_turn", "streams"),
        *("capture", "transport"),
        *BASICS,
    },
    # HTTP/3 without I/O; what it sends on is handed to it.
    "h3": {"errors"},
    "__init__": {"asgi", "server", "capture", "client", "endpoint", *BASICS},
    # The ASGI server.
    "certificate": BASICS,
    "binding": BASICS,
    "asgi": {
        *("aioquic_shim_streams", "binding", "certificate", "connection", "h3"),
        *("admission", "capture", "server", *BASICS),
    },
    "loadgen": {
        *("_native_engine", "aioquic_shim", "connection", "endpoint", "engine"),
        *("engine_turn", "transport"),
        *BASICS,
    },
    # What a benchmark is besides the command: machine, places, children, sums.
    "bench": {
        *("__init__", "loadgen"),
        # For the simulated NIC.
        *("_native_engine", "addresses", "connection", "datapath", "engine_time"),
        *("engine_turn", "outbox", "simulation"),
        *BASICS,
    },
    "cli": {
        *(
            "asgi",
            "binding",
            "certificate",
            "__init__",
            "bench",
            "loadgen",
            "server",
            "client",
            "capture",
            "lanes",
            "device",
            "h3",
            "private_file",
            "admission",
            "aioquic_shim",
            "aioquic_shim_streams",
        ),
        *BASICS,
    },
    "__main__": {"cli"},
}

# Who may touch the two outside worlds that we wrap.
MAY_IMPORT_FOREIGN = {
    "quicxdp._native_ext": {"_native"},
    "cffi": {"_native_build"},
    "aioquic": {
        *("aioquic_shim", "aioquic_shim_streams", "server", "client", "asgi", "cli"),
        *("connection", "engine_choice", "loadgen", "reception", "retry_tokens", "seam"),
        *("bench", "streams"),
    },
    "hdrh": {"loadgen"},
    "matplotlib": {"bench"},
    "rich": {"cli"},
    "uvloop": {"cli"},
    "hypercorn": {"asgi"},
    "prometheus_client": {"asgi"},
    "wsproto": {"asgi"},
}

# Headers that belong to one back end; the others and the code above must not see them.
BACK_END_OF_HEADER = {  # header -> files, as patterns
    r"(?:afxdp|xdp|ifinfo|privilege).*": r"(?:afxdp|xdp|ifinfo|privilege).*",
    r"mirror.*|channels.*": r"mirror.*|channels.*|afxdp.*",
    r"nlattrs": r"mirror.*|channels.*",
    r"udp_own": r"udp_own|udp_linux.*|udp_win.*",
    r"udp_linux.*": r"udp_linux.*",
    r"udp_win.*": r"udp_win.*",
    r"memory.*": r"memory.*|datapath_memory",
    r"winxdp.*|adapter_win": r"winxdp.*|adapter_win|nic_win",
}


def part_of(path: Path) -> str:
    """Name the row of MAY_IMPORT that a source file falls under."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_modules(path: Path) -> set[str]:
    """List all modules that a file imports, in functions and under TYPE_CHECKING too.

    ``from quicxdp import name`` counts as the module quicxdp.name where there is one, and
    as the package's own ``__init__`` otherwise.
    """
    modules: set[str] = set()
    package = ("quicxdp", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            names = {alias.name for alias in node.names} if module == "quicxdp" else set()
            modules.update(f"quicxdp.{name}" for name in names & MAY_IMPORT.keys())
            if names - MAY_IMPORT.keys() or not names:
                modules.add(module)
    return modules


def own_parts(modules: set[str]) -> set[str]:
    """Reduce imported names to the parts of quicxdp that they reach."""
    split = [module.split(".") for module in modules]
    return {
        parts[1] if parts[1:] else "__init__" for parts in split if parts[0] == "quicxdp"
    }


PYTHON_FILES = sorted(PACKAGE.rglob("*.py"))
C_FILES = sorted(DATAPATH.glob("*.[ch]"))


def test_the_tables_know_every_module_of_the_package() -> None:
    """A module that no table names is a module that no rule holds."""
    parts = {part_of(path) for path in PYTHON_FILES}

    assert parts - MAY_IMPORT.keys() == set()


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_inside_the_package_point_downwards(path: Path) -> None:
    """A lower layer stays usable, testable and replaceable without the ones above it."""
    part = part_of(path)

    upwards = own_parts(imported_modules(path)) - MAY_IMPORT[part] - {part}

    assert upwards == set()


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_wrapping_module_imports_what_it_wraps(path: Path) -> None:
    """cffi is crossed in one module, and the transport knows no QUIC."""
    modules = imported_modules(path)

    for foreign, wrappers in MAY_IMPORT_FOREIGN.items():
        if part_of(path) not in wrappers:
            reached = {m for m in modules if m == foreign or m.startswith(foreign + ".")}
            assert reached == set()


def includes_of(path: Path) -> set[str]:
    """List the quoted includes of a C file, and the angled ones that are Python's."""
    text = path.read_text(encoding="utf-8")
    return set(re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.MULTILINE)) | set(
        re.findall(r"^\s*#\s*include\s+<(Python\.h)>", text, re.MULTILINE)
    )


@pytest.mark.parametrize("path", C_FILES, ids=lambda p: p.name)
def test_the_datapath_includes_only_itself_and_the_public_header(path: Path) -> None:
    """The datapath knows neither QUIC nor Python, so both can change without it."""
    public = {"quicxdp.h", "quicxdp_tap.h"}
    own = {header.name for header in DATAPATH.glob("*.h")} | public

    assert includes_of(path) - own == set()


def test_quic_and_the_datapath_never_include_each_other() -> None:
    """Each side can change alone; only endpoint.c may join them."""
    datapath_headers = {header.name for header in DATAPATH.glob("*.h")}

    for path in QUIC.glob("*.[ch]"):
        assert includes_of(path) & datapath_headers == set(), path


@pytest.mark.parametrize("path", C_FILES, ids=lambda p: p.name)
def test_back_ends_never_include_one_another(path: Path) -> None:
    """A new back end is a new file that nobody else has to know."""
    if path.suffix == ".h":
        # A back end's header may include its own kind.
        return
    stem = path.name.removesuffix(".c")

    for header in includes_of(path):
        for pattern, back_end in BACK_END_OF_HEADER.items():
            if re.fullmatch(pattern, header.removesuffix(".h")):
                assert re.fullmatch(back_end, stem), f"{path.name} includes {header}"


@pytest.mark.parametrize("path", C_FILES, ids=lambda p: p.name)
def test_platforms_differ_by_file_and_not_by_ifdef(path: Path) -> None:
    """A file is read with one platform in mind."""
    text = path.read_text(encoding="utf-8")

    assert not re.search(
        r"^\s*#\s*(?:el)?if.*\b(?:_WIN32|__linux__)\b", text, re.MULTILINE
    )
