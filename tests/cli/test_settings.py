from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from quicxdp.cli import make_parser
from quicxdp.cli.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILE = """
target = "main:app"
port = 8443
host = ["192.0.2.1", "192.0.2.2"]
access_log = true
log-level = "debug"
limit_concurrency = 5
grace = 2.5
"""


@pytest.fixture
def parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return what reads a command line, with a file and variables if wanted."""

    def run(*arguments: str, file: str | None = None, **variables: str) -> dict[str, Any]:
        for name, value in variables.items():
            monkeypatch.setenv(PREFIX + name, value)
        given = list(arguments)
        if file is not None:
            (tmp_path / "settings.toml").write_text(file)
            given += ["--config", str(tmp_path / "settings.toml")]
        return vars(make_parser().parse_args(["serve", *given]))

    return run


def test_a_file_says_what_the_command_line_would(parse: Callable[..., Any]) -> None:
    """A deployment is a file, not a line of two hundred characters."""
    options = parse(file=FILE)

    assert (options["target"], options["port"]) == ("main:app", 8443)
    assert options["host"] == ["192.0.2.1", "192.0.2.2"]
    assert options["access_log"] is True
    assert options["log_level"].value == "debug"
    assert (options["limit_concurrency"], options["grace"]) == (5, 2.5)


def test_the_environment_goes_before_the_file_and_the_command_line_before_both(
    parse: Callable[..., Any],
) -> None:
    """What is nearer to the person who starts it counts more."""
    both = {"file": FILE, "PORT": "9443", "HOST": "192.0.2.3, ::1", "ACCESS_LOG": "no"}
    options = parse(**both)
    assert (options["port"], options["access_log"]) == (9443, False)
    assert options["host"] == ["192.0.2.3", "::1"]

    options = parse("--port", "10443", "--host", "localhost", "other:app", **both)
    assert (options["port"], options["host"]) == (10443, ["localhost"])
    assert options["target"] == "other:app"


def test_other_names_of_an_option_work_too(parse: Callable[..., Any]) -> None:
    """uvicorn's names are good everywhere."""
    options = parse(file='ssl_certfile = "a.pem"', SSL_KEYFILE="b.pem")

    assert (str(options["certfile"]), str(options["keyfile"])) == ("a.pem", "b.pem")


@pytest.mark.parametrize(
    ("file", "variables", "told"),
    [
        ("prot = 1", {}, "prot is no option"),
        ("port = 70000", {}, "70000"),
        ("port = [1]", {}, "no single value"),
        ("access-log = 'maybe'", {}, "true or false"),
        ("engine = 'fast'", {}, "engine"),
        ("loop = 'fast'", {}, "choices"),
        ("port", {}, "not TOML"),
        (None, {"PORT": "x"}, "QUICXDP_PORT"),
        (None, {"CONFIG": "/no/such/file"}, "cannot be read"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    parse: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
    file: str | None,
    variables: dict[str, str],
    told: str,
) -> None:
    """A misspelt key must not be a default by accident."""
    with pytest.raises(SystemExit):
        parse(file=file, **variables)
    assert told in capsys.readouterr().err
