"""The package installs with and without a compiler, and says which it was."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import quicxdp

ROOT = Path(__file__).parent.parent

# What a pure-Python installation must still do: carry a datagram.
ECHO_ONCE = """
import asyncio, quicxdp

class Protocol(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.got = asyncio.get_running_loop().create_future()
    def datagram_received(self, data, addr):
        self.got.set_result(data)

async def main():
    transport, protocol = await quicxdp.create_datagram_endpoint(
        Protocol, local_addr=("127.0.0.1", 0))
    transport.sendto(b"to myself", transport.get_extra_info("sockname"))
    print((await asyncio.wait_for(protocol.got, 5)).decode())
    print(quicxdp.__file__, transport.get_extra_info("quicxdp").io.value)
    transport.close()
    await asyncio.sleep(0)

asyncio.run(main())
"""


# A compiler without complaints, which makes what it is asked for, but empty.
COMPILER = """#!/bin/sh
while test $# -gt 0; do
	test "$1" != -o || : >"$2"
	shift
done
"""


def build(work: Path, *more: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Build into *work* as pip does, where the C compiler does not exist."""
    argv = [sys.executable, "setup.py", "--quiet", "egg_info", "--egg-base", str(work)]
    argv += ["build", "--build-base", str(work / "base")]
    argv += ["--build-lib", str(work / "lib"), *more]
    missing = str(work / "no-such-compiler")
    return subprocess.run(
        argv,
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "CC": missing, **env},
    )


def wheel(work: Path, **env: str) -> tuple[str, set[str]]:
    """Build a wheel; return its name's tags, and what of it is compiled."""
    options = ("--bdist-dir", str(work / "bdist"), "--dist-dir", str(work / "dist"))
    built = build(work, "bdist_wheel", *options, **env)
    assert built.returncode == 0, built.stderr
    (made,) = (work / "dist").iterdir()
    _, _, tags = made.stem.split("-", maxsplit=2)
    with zipfile.ZipFile(made) as archive:
        return tags, {name for name in archive.namelist() if name.endswith(".so")}


@pytest.mark.slow
def test_without_a_compiler_the_package_works_in_pure_python(tmp_path: Path) -> None:
    """A machine without a compiler gets a working package, and one clear line."""
    built = build(tmp_path, QUICXDP_REQUIRE_NATIVE="")

    assert built.returncode == 0, built.stderr
    said = [line for line in built.stderr.splitlines() if line.startswith("quicxdp: ")]
    assert len(said) == 1
    assert "pure-Python mode" in said[0]
    assert not list((tmp_path / "lib" / "quicxdp").glob("_native_ext*.so"))
    # -S: an editable install would lend the package the extension of the checkout.
    ran = subprocess.run(
        [sys.executable, "-S", "-c", ECHO_ONCE],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "lib")},
    )
    assert ran.returncode == 0, ran.stderr
    echoed, where = ran.stdout.splitlines()
    assert echoed == "to myself"
    assert where == f"{tmp_path / 'lib' / 'quicxdp' / '__init__.py'} asyncio"


@pytest.mark.slow
def test_a_build_that_must_be_native_fails_without_a_compiler(tmp_path: Path) -> None:
    """Whoever builds for speed wants an error, not a slow package."""
    built = build(tmp_path, QUICXDP_REQUIRE_NATIVE="1")

    assert built.returncode != 0
    assert "no-such-compiler" in built.stderr


@pytest.mark.slow
def test_a_wheel_without_the_extension_is_for_every_machine(tmp_path: Path) -> None:
    """A wheel of Python alone must not claim a platform, nor replace a faster one."""
    assert wheel(tmp_path, QUICXDP_REQUIRE_NATIVE="") == ("py3-none-any", set())


@pytest.mark.slow
def test_a_wheel_with_the_extension_is_for_all_pythons_of_one_platform(
    tmp_path: Path,
) -> None:
    """One wheel serves Python 3.11 and all after it, but only where its code runs."""
    compiler = tmp_path / "compiler"
    compiler.write_text(COMPILER, encoding="utf-8")
    compiler.chmod(0o755)
    shared = f"{compiler} -shared"

    tags, compiled = wheel(
        tmp_path, CC=str(compiler), LDSHARED=shared, QUICXDP_REQUIRE_NATIVE="1"
    )

    assert tags.startswith("cp311-abi3-linux_")
    assert compiled == {"quicxdp/_native_ext.abi3.so"}


def test_the_version_is_the_same_everywhere() -> None:
    """`quicxdp --version` and pip must not disagree."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert quicxdp.__version__ == pyproject["project"]["version"]
