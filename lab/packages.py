"""Debian packages for the lab, fetched into a cache and unpacked there, never installed.

The kernel that runs in the guest, and a QEMU newer than the machine's own, come from a
second apt source with its own lists and state.  Its mirror is the one that the machine's
own apt uses, and the archive's key verifies it; the machine's sources are not touched.

Unpacking is all that is needed: a kernel is two files and its modules, and QEMU runs from
any folder with the libraries next to it.  So nothing here takes root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Kernel", "LabUnavailableError", "cache_dir", "kernel", "newer_qemu"]

# Where Debian publishes kernels that are newer than its stable release's.
SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# The first kernel in which virtio_net and igb bind AF_XDP in zero-copy.
OLDEST_KERNEL = (6, 18)
APT_TIMEOUT_S = 150.0


class LabUnavailableError(Exception):
    """Something that the lab needs cannot be had here; the text says what and why."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel, unpacked."""

    version: str
    vmlinuz: Path
    modules: Path


def cache_dir() -> Path:
    """Return the folder that outlives runs; deleting it costs only downloads."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "quicxdp-lab"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def kernel() -> Kernel:
    """Return the newest suitable kernel, from the cache where there is one."""
    folder = cache_dir() / "kernel"
    if not (folder / "done").exists():
        apt = _Apt(cache_dir() / "apt", [f"{SUITE}-backports"])
        version = _newest_kernel(apt)
        # Up to 6.18 all is in linux-image, later kernel and modules are apart.
        names = [f"linux-binary-{version}", f"linux-modules-{version}"]
        if not apt.has(names[1]):
            names = [f"linux-image-{version}"]
        _fill(folder, apt.download(names))
        (folder / "done").write_text(version, encoding="ascii")
    version = (folder / "done").read_text(encoding="ascii")
    images = [
        *folder.glob(f"boot/vmlinuz-{version}"),
        *folder.glob(f"usr/lib/modules/{version}/vmlinuz"),
    ]
    modules = [*folder.glob(f"*/modules/{version}"), *folder.glob("usr/lib/modules/*")]
    if not images or not modules:
        raise LabUnavailableError(
            f"the packages of Linux {version} hold no kernel and modules where Debian "
            f"used to put them; look into {folder}, or delete it to fetch them again"
        )
    return Kernel(version, images[0], modules[0])


def newer_qemu() -> Path:
    """Return a folder with Debian's newest QEMU and all its libraries, unpacked."""
    folder = cache_dir() / "qemu"
    if not (folder / "done").exists():
        apt = _Apt(cache_dir() / "apt-qemu", [SUITE, f"{SUITE}-backports"])
        wanted = ["qemu-system-x86", "libc6"]
        _fill(folder, apt.download_with_dependencies(wanted, f"{SUITE}-backports"))
        (folder / "done").write_text("done", encoding="ascii")
    return folder


def _fill(folder: Path, packages: list[Path]) -> None:
    """Unpack *packages* into a fresh *folder*, and delete them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for package in packages:
        _run(["dpkg-deb", "--extract", str(package), str(folder)], {})
        package.unlink()


def _newest_kernel(apt: _Apt) -> str:
    found = re.findall(
        r"^linux-(?:binary|image)-(([0-9.]+)\S*[0-9]-amd64) ", apt.search(), re.MULTILINE
    )
    versions: dict[tuple[int, ...], str] = {
        tuple(map(int, number.split("."))): version
        for version, number in found
        if "-cloud-" not in version and "-rt-" not in version
    }
    newest = max(versions, default=())
    if newest < OLDEST_KERNEL:
        raise LabUnavailableError(
            f"{apt.mirror} offers no kernel from {'.'.join(map(str, OLDEST_KERNEL))} on "
            f"in {SUITE}-backports (newest: {versions.get(newest, 'none')})"
        )
    return versions[newest]


class _Apt:
    """An apt of our own: own sources, own lists, and nothing installed."""

    def __init__(self, folder: Path, suites: list[str]) -> None:
        self.mirror = _mirror()
        self._folder = folder
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(
            "".join(
                f"deb [signed-by={KEYRING}] {self.mirror} {suite} main\n"
                for suite in suites
            ),
            encoding="utf-8",
        )
        (folder / "apt.conf").write_text(
            f"""\
Dir::State "{folder}";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Debug::NoLocking "true";
APT::Sandbox::User "";
""",
            encoding="utf-8",
        )
        self._env = {"APT_CONFIG": str(folder / "apt.conf")}
        self._run(["apt-get", "-q", "update", "--error-on=any"])

    def search(self) -> str:
        """Return the names of the kernel packages, one a line."""
        argv = ["apt-cache", "search", "--names-only", "^linux-(binary|image)-[0-9]"]
        return self._run(argv)

    def has(self, package: str) -> bool:
        """Say whether there is a package of exactly this name."""
        return bool(self._run(["apt-cache", "pkgnames", package]).strip())

    def download(self, packages: list[str]) -> list[Path]:
        """Fetch the packages alone."""
        self._run(["apt-get", "-q", "download", *packages])
        return sorted(self._folder.glob("*.deb"))

    def download_with_dependencies(self, packages: list[str], suite: str) -> list[Path]:
        """Fetch the packages, as of *suite*, with everything that they depend on."""
        argv = ["apt-get", "-q", "--yes", "--no-install-recommends", "--download-only"]
        self._run([*argv, "-t", suite, "install", *packages])
        return sorted((self._folder / "cache/archives").glob("*.deb"))

    def _run(self, argv: list[str]) -> str:
        return _run(argv, self._env, cwd=self._folder)


def _mirror() -> str:
    """Return the archive that this machine's own apt fetches Debian from."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise LabUnavailableError("this is no Debian: apt-get and dpkg-deb are missing")
    form = "$(ORIGIN) $(SUITE) $(COMPONENT) $(REPO_URI)"
    argv = ["apt-get", "indextargets", "--format", form, "Identifier: Packages"]
    for line in _run(argv, {}).splitlines():
        origin, suite, component, uri = line.split(" ", 3)
        if (origin, component) == ("Debian", "main") and "security" not in suite:
            return uri
    raise LabUnavailableError(
        "apt knows no Debian archive on this machine; run: apt-get update"
    )


def _run(argv: list[str], env: dict[str, str], cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(
            argv,
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=APT_TIMEOUT_S,
            env={**os.environ, **env},
            cwd=cwd,
        )
    except subprocess.TimeoutExpired:
        raise LabUnavailableError(
            f"{' '.join(argv)}: not finished after {APT_TIMEOUT_S:.0f} s"
        ) from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-1000:]
        raise LabUnavailableError(f"{' '.join(argv)}: {said}")
    return done.stdout
