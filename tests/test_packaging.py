"""The package installs with and without a compiler, and says which it was."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
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


def build(work: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Build into *work* as pip does, where the C compiler does not exist."""
    argv = [sys.executable, "setup.py", "--quiet", "build"]
    argv += ["--build-base", str(work / "base"), "--build-lib", str(work / "lib")]
    missing = str(work / "no-such-compiler")
    return subprocess.run(
        argv,
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "CC": missing, **env},
    )


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


def test_the_version_is_the_same_everywhere() -> None:
    """`quicxdp --version` and pip must not disagree."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert quicxdp.__version__ == pyproject["project"]["version"]
