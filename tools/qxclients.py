"""Four HTTP/3 clients that nobody here wrote, behind one call each.

| function  | QUIC stack                      | from                  |
|-----------|---------------------------------|-----------------------|
| gtlsclient| ngtcp2 with GnuTLS              | Debian, ngtcp2-client |
| curl_cffi | ngtcp2 with BoringSSL (libcurl) | PyPI, curl-cffi       |
| aioquic   | aioquic on asyncio's sockets    | PyPI, aioquic         |
| chromium  | Google's quiche                 | Debian, chromium      |

Each returns the body that it got, or raises with what the client printed.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from qxserve import Certificate, Place

__all__ = [
    "FetchError",
    "FileClient",
    "aioquic",
    "chromium_dom",
    "curl_cffi",
    "gtlsclient",
]

CLIENTS = Path(__file__).resolve().parent / "clients"
FETCH_TIMEOUT_S = 40.0
GRACE_S = 5.0


class FetchError(Exception):
    """A client did not get what it asked for; the text is what the client said."""


class FileClient(Protocol):
    """Fetches one path of a server into *work* and returns the body."""

    def __call__(  # noqa: D102  # the class says it
        self,
        place: Place,
        authority: tuple[str, int],
        path: str,
        *,
        work: Path,
        certificate: Certificate,
        body: bytes | None = None,
        timeout_s: float = ...,
    ) -> bytes: ...


def url_of(authority: tuple[str, int], path: str) -> str:
    """Write a URL, with brackets around an IPv6 address."""
    host, port = authority
    return f"https://{f'[{host}]' if ':' in host else host}:{port}{path}"


def gtlsclient(
    place: Place,
    authority: tuple[str, int],
    path: str,
    *,
    work: Path,
    certificate: Certificate,  # noqa: ARG001  # this client verifies nothing
    body: bytes | None = None,
    timeout_s: float = FETCH_TIMEOUT_S,
    options: tuple[str, ...] = (),
) -> bytes:
    """Fetch with Debian's gtlsclient, which names the file after the path's last part."""
    folder = work / "gtlsclient"
    folder.mkdir(exist_ok=True)
    output = folder / path.rpartition("/")[2]
    output.unlink(missing_ok=True)
    host, port = authority
    sending: list[str] = []
    if body is not None:
        (work / "gtlsclient.body").write_bytes(body)
        sending = ["--http-method=POST", f"--data={work / 'gtlsclient.body'}"]
    argv = ["gtlsclient", "--quiet", "--exit-on-all-streams-close", *options, *sending]
    argv += [f"--download={folder}", host, str(port), url_of(authority, path)]
    done = place.run(argv, check=False, timeout_s=timeout_s)
    if done.returncode != 0 or not output.exists():
        raise FetchError(f"{' '.join(argv)}: status {done.returncode}: {done.stderr}")
    return output.read_bytes()


class _Scripted:
    """A client in Python, in a process of its own: HTTP/3 only, certificate verified."""

    def __init__(self, name: str) -> None:
        self.__name__ = name  # as of the other clients, which are functions
        self._script = CLIENTS / f"{name}_fetch.py"

    def __call__(
        self,
        place: Place,
        authority: tuple[str, int],
        path: str,
        *,
        work: Path,
        certificate: Certificate,
        body: bytes | None = None,
        timeout_s: float = FETCH_TIMEOUT_S,
    ) -> bytes:
        """Let the script fetch into a file of *work*."""
        output = work / f"{self._script.stem}.out"
        output.unlink(missing_ok=True)
        argv = [sys.executable, str(self._script), url_of(authority, path)]
        argv += [str(certificate.ca), str(output)]
        if body is not None:
            (work / f"{self._script.stem}.body").write_bytes(body)
            argv.append(str(work / f"{self._script.stem}.body"))
        env = {**os.environ, "FETCH_TIMEOUT_S": str(timeout_s)}
        # The client should say what it waited for, and so ends first.
        done = place.run(argv, check=False, timeout_s=timeout_s + GRACE_S, env=env)
        if done.returncode != 0:
            said = (done.stdout + done.stderr)[-2000:]
            raise FetchError(f"{' '.join(argv)}: status {done.returncode}: {said}")
        return output.read_bytes()


curl_cffi = _Scripted("curl_cffi")
aioquic = _Scripted("aioquic")


def chromium_dom(
    place: Place,
    authority: tuple[str, int],
    path: str,
    *,
    work: Path,
    certificate: Certificate,
    timeout_s: float = FETCH_TIMEOUT_S,
) -> str:
    """Load a page in headless Chromium over QUIC and return the DOM after its scripts.

    Chromium trusts the certificate by its public key, speaks QUIC to this authority from
    the first packet on, and gives virtual time to the page's scripts.
    """
    host, port = authority
    profile = work / "chromium"
    shutil.rmtree(profile, ignore_errors=True)
    argv = [
        "chromium",
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={profile}",
        f"--origin-to-force-quic-on={host}:{port}",
        f"--ignore-certificate-errors-spki-list={certificate.spki_sha256}",
        "--virtual-time-budget=8000",
        "--dump-dom",
        url_of(authority, path),
    ]
    env = {**os.environ, "HOME": str(work)}
    done = place.run(argv, check=False, timeout_s=timeout_s, env=env)
    if done.returncode != 0 or not done.stdout.strip():
        said = (done.stdout + done.stderr)[-2000:]
        raise FetchError(f"{' '.join(argv)}: status {done.returncode}: {said}")
    return done.stdout
