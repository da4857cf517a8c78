"""The command line as a whole."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import quicxdp
from quicxdp.cli import main


def run_main(*arguments: str) -> int | str | None:
    """Run a command line that argparse ends itself."""
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return caught.value.code


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """For bug reports."""
    assert run_main("--version") == 0
    assert capsys.readouterr().out == f"quicxdp {quicxdp.__version__}\n"


@pytest.mark.parametrize("command", ["serve", "fetch", "cert", "doctor"])
def test_every_command_has_help_with_examples_and_exit_statuses(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever types --help finds something to copy."""
    assert run_main(command, "--help") == 0
    text = capsys.readouterr().out
    assert f"quicxdp {command}" in text
    assert "examples:" in text
    assert "exit status" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nope",),
        ("serve",),
        ("serve", ".", "--port", "70000"),
        ("serve", ".", "--port", "-1"),
        ("serve", ".", "--io", "nope"),
        ("serve", ".", "--grace", "nan"),
        ("serve", ".", "--allow", "10.0.0.1/8"),
        ("serve", ".", "--pcap-max", "0"),
        ("fetch", "https://h/", "--pcap-secrets"),
        ("serve", ".", "--keyfile", "key.pem"),
        ("fetch",),
        ("fetch", "https://h/", "-w", "%{nope}"),
        ("fetch", "https://h/", "-o", "a", "-o", "b"),
        ("fetch", "https://h/", "-4", "-6"),
        ("cert", "--name", "a b"),
    ],
)
def test_wrong_usage_ends_with_two(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Scripts tell it from failure."""
    assert run_main(*arguments) == 2
    assert "usage:" in capsys.readouterr().err


def test_python_dash_m_is_the_same_program() -> None:
    """Where the console script is not in the PATH."""
    done = subprocess.run(
        [sys.executable, "-m", "quicxdp", "--version"],
        check=True,
        capture_output=True,
        text=True,
    )

    assert re.fullmatch(r"quicxdp \d+\.\d+\.\d+\n", done.stdout)
