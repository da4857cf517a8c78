"""`quicxdp serve module:app` as a process."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.processes import QUICXDP, options, running

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["said"] = b"hello"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("the application has ended", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": scope["state"]["said"]})

def make():
    return app
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with an application."""
    (tmp_path / "qx_served.py").write_text(SOURCE)
    return tmp_path


def test_an_application_is_served_over_all_protocols_until_a_signal(
    folder: Path, pki: Path
) -> None:
    """`quicxdp serve module:app`, and the same address works for everybody."""
    arguments = ["qx_served:make", "--factory", "--app-dir", str(folder), *options(pki)]
    log = ["--access-log", "--access-log-format", "json"]
    with running(*arguments, *log) as server:
        url = f"https://localhost:{server.port}/path"
        ca = ["--cacert", str(pki / "ca.pem")]
        fetched = subprocess.run(
            [*QUICXDP, "fetch", *ca, url], check=True, capture_output=True
        )
        over_tcp = subprocess.run(
            ["curl", "-sS", "-D", "-", *ca, url], check=True, capture_output=True
        )
        status, text = server.stop()

    assert fetched.stdout == b"hello"
    assert over_tcp.stdout.startswith(b"HTTP/2 200")
    assert f'alt-svc: h3=":{server.port}"'.encode() in over_tcp.stdout
    assert over_tcp.stdout.endswith(b"hello")
    assert status == 0
    assert "the application has ended" in text
    assert "Alt-Svc" in text
    logged = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert [entry["protocol"] for entry in logged] == ["HTTP/3", "HTTP/2"]


def test_a_hangup_reads_the_certificate_again(folder: Path, pki: Path) -> None:
    """As certbot's hooks do it; what cannot be used is told and not used."""
    for name in ("cert.pem", "key.pem"):
        (folder / name).write_bytes((pki / name).read_bytes())
    with running("qx_served:app", "--app-dir", str(folder), *options(folder)) as server:
        assert server.process.stdout is not None
        server.process.send_signal(signal.SIGHUP)
        assert any("from here on" in line for line in server.process.stdout)
        (folder / "key.pem").write_text("half a file")
        server.process.send_signal(signal.SIGHUP)
        assert any("stays as it was" in line for line in server.process.stdout)
        status, _ = server.stop()

    assert status == 0


def refused(*arguments: str) -> tuple[int, str]:
    """Return exit status and complaint of a command that does not start."""
    done = subprocess.run(
        [*QUICXDP, "serve", *arguments], check=False, capture_output=True, text=True
    )
    return done.returncode, done.stderr


def test_what_hinders_the_start_is_told_in_a_sentence(folder: Path, pki: Path) -> None:
    """Not in a traceback, and with a status that a supervisor can tell apart."""
    where = ["--app-dir", str(folder), *options(pki)]

    status, told = refused("qx_served:absent", *where)
    assert (status, "has no 'absent'" in told) == (3, True)
    status, told = refused("qx_served:make", *where)
    assert (status, "--factory" in told) == (3, True)
    for one_sided in (["--listing"], ["--user", "nobody"]):
        status, told = refused("qx_served:app", *one_sided, *where)
        assert (status, "goes with a folder" in told) == (2, True)
    status, told = refused(str(folder), "--http3-only", *options(pki))
    assert (status, "goes with an application" in told) == (2, True)


@pytest.mark.parametrize("suffix", ["json", "ini"])
def test_logging_is_set_up_by_a_file(folder: Path, pki: Path, suffix: str) -> None:
    """A file that cannot be used ends the start; so do both kinds of it."""
    path = folder / f"log.{suffix}"
    path.write_text("nonsense")
    status, told = refused(
        "qx_served:app",
        "--app-dir",
        str(folder),
        "--log-config",
        str(path),
        *options(pki),
    )

    assert (status, "cannot be used" in told) == (3, True)
