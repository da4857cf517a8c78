from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import quicxdp


def test_the_version_is_the_one_that_is_published() -> None:
    """`quicxdp --version` and pip must agree."""
    pyproject = Path(__file__).parents[2] / "pyproject.toml"

    published = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["version"]

    assert quicxdp.__version__ == published


def test_importing_the_package_does_not_import_aioquic() -> None:
    """A DNS server over create_datagram_endpoint should not wait for a QUIC stack."""
    code = "import quicxdp, sys; print([m for m in sys.modules if 'aioquic' in m])"

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(quicxdp.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "[]"


def test_what_is_not_there_is_an_attribute_error() -> None:
    """Names that are loaded late must not change what a typo looks like."""
    assert not hasattr(quicxdp, "connnect")
    assert all(hasattr(quicxdp, name) for name in quicxdp.__all__)
