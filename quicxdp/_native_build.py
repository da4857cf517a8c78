"""Build quicxdp._native_ext, the C datapath and the C engine, with cffi.

setup.py takes `ffibuilder` from here; a developer builds in place with

    python quicxdp/_native_build.py

Environment:
    QUICXDP_CFLAGS      more compiler and linker flags, e.g. "-O0 -g3"
    QUICXDP_SANITIZE    "1": AddressSanitizer and UndefinedBehaviorSanitizer.  Python
                        must then run with LD_PRELOAD="$(gcc -print-file-name=libasan.so)"
                        and ASAN_OPTIONS=detect_leaks=0 (the interpreter leaks at exit).

The one description of the C API is native/include/*.h; cffi reads them without their
preprocessor lines, except the integer constants.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "native" / "include"
HEADERS = tuple(
    INCLUDE / name
    for name in (
        "quicxdp.h",
        "quicxdp_tap.h",
        "quicxdp_engine.h",
        "quicxdp_admission.h",
    )
)
SOURCE = ROOT / "native" / "src"
FOLDERS = (SOURCE, SOURCE / "datapath", SOURCE / "quic")
WINDOWS = sys.platform == "win32"

# Platforms differ by file: the names of those that only one of them compiles.
ONLY_LINUX = re.compile(r".*_(linux|netlink)(_\w+)?|(afxdp|ifinfo|privilege|xdp_prog).*")
ONLY_WINDOWS = re.compile(r".*_win(_\w+)?|winxdp.*")

# As in native/windows.mk.
HEADERS_WINDOWS = (SOURCE / "win",)
FLAGS_WINDOWS = ("-D_WIN32_WINNT=0x0A00", "-DWIN32_LEAN_AND_MEAN")
LIBRARIES_WINDOWS = (
    *("-lws2_32", "-liphlpapi", "-lbcrypt", "-lntdll"),
    *("-static-libgcc", "-Wl,-Bstatic", "-lpthread", "-Wl,-Bdynamic"),
)

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_INTEGER_CONSTANT = re.compile(r"#define\s+QX_\w+\s+\d+\s*")


def declarations(header: str) -> str:
    """Return the C text of *header* as `FFI.cdef` takes it."""
    return "\n".join(
        line.rstrip()
        for line in _COMMENT.sub(" ", header).splitlines()
        if line.strip()
        and (not line.lstrip().startswith("#") or _INTEGER_CONSTANT.fullmatch(line))
    )


def _relative(path: Path) -> str:
    # setuptools wants sources relative to setup.py, or it puts objects outside the
    # build folder.
    return path.relative_to(ROOT).as_posix()


def _flags() -> list[str]:
    flags = shlex.split(os.environ.get("QUICXDP_CFLAGS", ""))
    if os.environ.get("QUICXDP_SANITIZE", "") not in ("", "0"):
        flags += [
            "-fsanitize=address,undefined",
            "-fno-sanitize-recover=all",
            "-fno-omit-frame-pointer",
        ]
    return flags


def _libcrypto() -> tuple[list[str], list[str]]:
    """Return the compiler's and the linker's flags for libcrypto."""
    prefix = os.environ.get("QUICXDP_OPENSSL_DIR", "")
    if prefix:
        libraries = [
            folder
            for folder in (Path(prefix) / "lib64", Path(prefix) / "lib")
            if folder.is_dir()
        ]
        return (
            [f"-I{Path(prefix) / 'include'}"],
            [
                *(f"-L{folder}" for folder in libraries),
                *(f"-Wl,-rpath,{folder}" for folder in libraries),
                "-lcrypto",
            ],
        )
    try:
        answers = [
            subprocess.run(  # noqa: S603
                ["pkg-config", option, "libcrypto >= 3.0"],  # noqa: S607
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            for option in ("--cflags", "--libs")
        ]
    except (OSError, subprocess.CalledProcessError):
        # Without pkg-config, or without its file: the compiler may know all the same, and
        # says what it misses.
        return [], ["-lcrypto"]
    return shlex.split(answers[0]), shlex.split(answers[1])


def sources(*, windows: bool = WINDOWS) -> list[Path]:
    """List the C files of one platform."""
    others = ONLY_LINUX if windows else ONLY_WINDOWS
    return sorted(
        path
        for folder in FOLDERS
        for path in folder.glob("*.c")
        if not path.name.endswith(".bpf.c") and not others.fullmatch(path.stem)
    )


def _builder() -> FFI:
    headers = [
        *HEADERS,
        *sorted(path for folder in FOLDERS for path in folder.glob("*.h")),
    ]
    flags = _flags()
    crypto_compile, crypto_link = _libcrypto()
    ffi = FFI()
    ffi.cdef(
        "\n".join(declarations(header.read_text(encoding="utf-8")) for header in HEADERS)
    )
    ffi.set_source(
        "quicxdp._native_ext",
        "".join(f'#include "{header.name}"\n' for header in HEADERS),
        sources=[_relative(path) for path in sources()],
        depends=[_relative(path) for path in headers],
        include_dirs=[
            _relative(folder)
            for folder in (INCLUDE, *(HEADERS_WINDOWS if WINDOWS else ()), *FOLDERS[1:])
        ],
        extra_compile_args=[
            *(FLAGS_WINDOWS if WINDOWS else ()),
            "-std=gnu11",
            "-O2",
            "-g",
            "-fvisibility=hidden",
            *crypto_compile,
            *flags,
        ],
        extra_link_args=[
            *crypto_link,
            *(LIBRARIES_WINDOWS if WINDOWS else ()),
            *flags,
        ],
        py_limited_api=True,
    )
    return ffi


ffibuilder = _builder()


def build_in_place() -> Path:
    """Compile the extension beside this file and return its path."""
    from setuptools import Distribution  # noqa: PLC0415
    from setuptools.command.build_ext import build_ext  # noqa: PLC0415

    os.chdir(ROOT)
    # One folder per set of flags: setuptools compares times, not flags, and would link
    # what was compiled with others.
    flags = " ".join(_flags())
    suffix = f"-{zlib.crc32(flags.encode()):08x}" if flags else ""
    work = Path("build") / f"native{suffix}"
    extension: Any = ffibuilder.distutils_extension(tmpdir=str(work))
    extension.py_limited_api = True
    command = build_ext(Distribution({"name": "quicxdp", "ext_modules": [extension]}))
    command.build_temp = str(work)
    command.build_lib = str(work / "lib")
    command.ensure_finalized()
    command.run()
    built = Path(command.get_ext_fullpath(extension.name))
    # Renamed into place: a running process keeps the file that it has mapped.
    target = ROOT / "quicxdp" / built.name
    staged = target.with_suffix(".new")
    staged.write_bytes(built.read_bytes())
    staged.replace(target)
    return target


if __name__ == "__main__":
    print(build_in_place())  # noqa: T201
