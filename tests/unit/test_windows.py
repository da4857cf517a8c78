"""What the Python side promises on Windows, as far as it can be tried elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from quicxdp import _native_build, errors

ROOT = Path(__file__).parent.parent.parent
NATIVE = ROOT / "native"

# Hides what Windows lacks, once all that is not ours was imported, and says win32.
AS_ON_WINDOWS = """
import asyncio, importlib, os, pkgutil, signal, socket, sys

import quicxdp
LINUX_ONLY = {
    "quicxdp.device_linux",
    "quicxdp.cli.diagnosis",
    "quicxdp.cli.ethtool",
    "quicxdp.cli.host_facts",
    "quicxdp.cli.netlink_links",
    "quicxdp.cli.privileges",
    "quicxdp.cli.remedies",
}
found = pkgutil.walk_packages(quicxdp.__path__, "quicxdp.")
names = ["quicxdp", *(module.name for module in found)]
names = [name for name in names if not name.endswith(("_native_ext", "__main__"))]
for name in names:
    importlib.import_module(name)
for name in [name for name in sys.modules if name.split(".")[0] == "quicxdp"]:
    del sys.modules[name]
for name in (
    *("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"),
    *("uvloop", "quicxdp._native_ext"),
):
    sys.modules[name] = None
for module, attributes in (
    (os, "O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_PATH fork getuid geteuid getgid "
         "register_at_fork sched_getaffinity uname openat pread sendfile mkfifo"),
    (socket, "AF_NETLINK AF_PACKET SO_REUSEPORT SCM_RIGHTS"),
    (signal, "SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGPIPE"),
):
    for attribute in attributes.split():
        if hasattr(module, attribute):
            delattr(module, attribute)
os.process_cpu_count = os.cpu_count  # as Python 3.13 and newer have it there
os.supports_dir_fd = set()
sys.platform = "win32"
"""

IMPORT_ALL = """
for name in names:
    if name not in LINUX_ONLY:
        importlib.import_module(name)
print(len(names), "modules")
"""

ECHO = """
import quicxdp

class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport, self.got = transport, asyncio.get_running_loop().create_future()
    def datagram_received(self, data, addr):
        self.got.set_result(data)

async def main(io):
    transport, echo = await quicxdp.create_datagram_endpoint(
        Echo, ("127.0.0.1", 0), io=io)
    transport.sendto(b"to myself", transport.get_extra_info("sockname"))
    data = await asyncio.wait_for(echo.got, 5)
    info = transport.get_extra_info("quicxdp")
    transport.close()
    await asyncio.sleep(0)
    print(data.decode(), info.io.value, info.reason, sep="|")

asyncio.run(main("asyncio"))
asyncio.run(main("auto"))
"""

DOCTOR = """
from quicxdp.cli import main
import tests.cli.test_doctor_windows as example
from quicxdp.cli import windows_facts
windows_facts.ask = example.answer
sys.exit(main(["doctor"]))
"""


def run_as_on_windows(script: str) -> str:
    """Run *script* where what Windows lacks is hidden."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", AS_ON_WINDOWS + script],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_can_be_imported() -> None:
    """One POSIX-only import at the top of a module, and nothing works there at all."""
    assert run_as_on_windows(IMPORT_ALL).endswith("modules\n")


def test_the_pure_python_lane_works() -> None:
    """Without the extension datagrams still go, and the reason is told."""
    asked, chosen = run_as_on_windows(ECHO).splitlines()

    assert asked.startswith("to myself|asyncio|")
    assert chosen.startswith("to myself|asyncio|the C extension")


def test_the_doctor_speaks_of_windows() -> None:
    """The command itself, up to what PowerShell would answer."""
    said = run_as_on_windows(DOCTOR)

    assert "Windows Server 2022" in said
    assert "Ethernet (index 7)" in said


def test_the_python_build_takes_what_the_cross_build_takes() -> None:
    """A file that only one of the two compiles would first be missed on Windows."""
    told = subprocess.run(
        ["make", "-s", "-f", "windows.mk", "sources"],
        check=True,
        capture_output=True,
        text=True,
        cwd=NATIVE,
    ).stdout.split()

    ours = [
        str(path.resolve().relative_to(NATIVE))
        for path in _native_build.sources(windows=True)
    ]
    assert sorted(told) == sorted(ours)


def test_the_linux_build_takes_nothing_of_windows() -> None:
    """And the other way round; together they take every file."""
    linux, windows = (set(_native_build.sources(windows=w)) for w in (False, True))

    every = {path for folder in _native_build.FOLDERS for path in folder.glob("*.c")}
    assert not any("_win" in path.name or "winxdp" in path.name for path in linux)
    assert linux | windows == {p for p in every if not p.name.endswith(".bpf.c")}


def test_error_numbers_of_c_are_linux_numbers() -> None:
    """Here they are the platform's own, so nothing may be translated."""
    assert all(errors.host_errno(code) == code for code in range(1, 134))
