"""--user and --group: who the process is afterwards, by what the kernel says."""

from __future__ import annotations

import grp
import os
import pwd
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import qxserve

from quicxdp.cli import privileges
from quicxdp.cli.exits import StartError

ROOT = Path(__file__).parent.parent.parent
NOBODY = pwd.getpwnam("nobody")
IDS = [f"Uid:\t{NOBODY.pw_uid}\t", f"Gid:\t{NOBODY.pw_gid}\t"]
NOGROUP = grp.getgrnam("nogroup").gr_gid
WITHOUT = "0" * 16

# Before a test's own lines; `refused` prints what a StartError says.
PREAMBLE = """
import contextlib, os, pathlib, socket, threading
# The interpreter of the tests may be one that nobody else can read.
os.access = lambda *_: True
from quicxdp.cli import privileges
from quicxdp.cli.exits import StartError

@contextlib.contextmanager
def refused():
    try:
        yield
    except StartError as error:
        print("refused:", error)

nobody = privileges.find("nobody", None)
"""


@pytest.fixture(autouse=True)
def _root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has privileges to give up")


def run(*lines: str) -> str:
    """Run lines of Python in a process of their own; return what they print."""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + "\n".join(lines)],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_process_and_its_later_threads_are_nobody_for_good() -> None:
    """A hole in the server must not become one in the machine."""
    said = run(
        "privileges.give_up(nobody, keep_capabilities=False)",
        "def show():",
        "    print(pathlib.Path('/proc/thread-self/status').read_text())",
        "thread = threading.Thread(target=show); thread.start(); thread.join(); show()",
        "for attempt in (lambda: os.setuid(0), lambda: os.setgroups([0]),",
        "                lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)):",
        "    try: attempt()",
        "    except PermissionError: print('denied')",
    )

    assert said.count(IDS[0]) == said.count(IDS[1]) == 2
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert said.count(f"{name}:\t{WITHOUT}") == 2
    assert said.count("NoNewPrivs:\t1") == 2
    assert said.count("denied") == 3


def test_the_capabilities_of_af_xdp_can_be_kept_and_no_others() -> None:
    """So that an interface that comes back can be opened again."""
    said = run(
        "privileges.give_up(nobody, keep_capabilities=True)",
        "print(pathlib.Path('/proc/self/status').read_text())",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()",
        "try: os.setuid(0)",
        "except PermissionError: print('denied')",
    )

    kept = 1 << 12 | 1 << 13 | 1 << 14 | 1 << 39
    assert IDS[0] in said
    for name in ("CapPrm", "CapEff"):
        assert int(re.findall(rf"{name}:\t(\w+)", said)[0], 16) & ~kept == 0
        assert int(re.findall(rf"{name}:\t(\w+)", said)[0], 16) & 1 << 12
    assert f"CapInh:\t{WITHOUT}" in said
    assert f"CapAmb:\t{WITHOUT}" in said
    assert "denied" in said


def test_with_a_second_thread_nothing_is_changed() -> None:
    """It would keep what the first one gives up."""
    said = run(
        "stop = threading.Event()",
        "thread = threading.Thread(target=stop.wait); thread.start()",
        "with refused(): privileges.give_up(nobody, keep_capabilities=False)",
        "print(os.getuid())",
        "stop.set(); thread.join()",
    )

    assert "refused: --user and --group: there are 2 threads" in said
    assert said.endswith("0\n")


def test_a_thread_that_kept_its_rights_is_found() -> None:
    """The verification is one, and not a repetition of what was asked for."""
    said = run(
        "ready, stop = threading.Event(), threading.Event()",
        "thread = threading.Thread(target=stop.wait); thread.start()",
        "privileges._change_ids(nobody)",
        "privileges._set_capabilities(0)",
        "privileges._prctl(38, 1)",
        "with refused(): privileges.verify(nobody, 0)",
        "stop.set(); thread.join()",
    )

    assert re.search(r"refused: .*thread \d+ has NoNewPrivs 0 instead of 1", said)


def test_who_may_not_change_is_told_how() -> None:
    """Without root, systemd does it."""
    said = run(
        "privileges.give_up(nobody, keep_capabilities=False)",
        "root = privileges.find('root', None)",
        "with refused(): privileges.give_up(root, keep_capabilities=False)",
        # Who is that user already only gives up what is left.
        "privileges.give_up(privileges.find('nobody', None), keep_capabilities=True)",
    )

    assert "refused: cannot become user root" in said
    assert "User= and Group=" in said


def test_groups_that_were_given_are_not_asked_for_again() -> None:
    """Group= of a systemd unit, and a user without groups: both stay as they are."""
    said = run(
        "os.setgroups([])",
        "os.setresgid(7, 7, 7); os.setresuid(nobody.uid, nobody.uid, nobody.uid)",
        "found = privileges.find('nobody', None); print(found.gid, found.groups)",
        "privileges.give_up(found, keep_capabilities=False)",
    )

    assert said == "7 ()\n"


@pytest.mark.parametrize("call", ["setgroups", "setresgid", "setresuid"])
def test_whatever_the_kernel_refuses_ends_the_start(call: str) -> None:
    """EINVAL for too many groups, EAGAIN for too many processes: a sentence, no trace."""
    said = run(
        "def fail(*_): raise OSError(22, 'Invalid argument')",
        f"os.{call} = fail",
        "with refused(): privileges.give_up(nobody, keep_capabilities=False)",
    )

    assert "refused: cannot become user nobody" in said
    assert said.endswith("Invalid argument\n")


@pytest.mark.parametrize(
    "names",
    [
        ("no such user", None),
        (None, "no such group"),
        ("²", None),
        (None, "²"),
        (str(1 << 64), None),
        (None, str(1 << 64)),
    ],
)
def test_a_name_that_does_not_exist_is_said_before_anything_is_opened(
    names: tuple[str | None, str | None],
) -> None:
    """And numbers are names of their accounts."""
    with pytest.raises(StartError, match="there is no"):
        privileges.find(*names)
    assert privileges.find(str(NOBODY.pw_uid), None) == privileges.find("nobody", None)
    assert privileges.find(None, "0").gid == 0


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_every_thread_of_the_server_runs_as_the_user(
    site: Path, tmp_path: Path, loop: str
) -> None:
    """Also those that read files, after a request.

    The user stays root here, without root's capabilities: checkout and interpreter may be
    unreadable for everybody else.
    """
    certificate = qxserve.make_certificate(tmp_path / "cert", ["localhost"])
    site.chmod(0o755)
    with qxserve.Server(
        qxserve.HERE,
        site,
        work=tmp_path,
        certificate=certificate,
        hosts=("localhost",),
        options=("--user", "root", "--group", "nogroup", "--loop", loop),
    ) as server:
        qxserve.HERE.run(
            [
                *(sys.executable, "-m", "quicxdp", "fetch", "-f", "-o", "/dev/null"),
                *("--cacert", str(certificate.ca)),
                f"https://localhost:{server.port}/big.bin",
            ],
            cwd=ROOT,
        )
        tasks = list(Path(f"/proc/{server.process.pid}/task").iterdir())
        for task in tasks:
            status = (task / "status").read_text(encoding="ascii")
            assert f"Gid:\t{NOGROUP}\t{NOGROUP}\t{NOGROUP}\t{NOGROUP}\n" in status
            assert "NoNewPrivs:\t1" in status
            assert f"CapPrm:\t{WITHOUT}" in status
        server.process.send_signal(signal.SIGINT)
        server.process.wait(20)
    assert f"running as user root, group {NOGROUP}" in server.text


def test_a_user_who_cannot_read_python_is_refused() -> None:
    """Modules are loaded when they are needed, and then it would be too late."""
    said = run(
        "os.access = lambda *_: False",
        "with refused(): privileges.give_up(nobody, keep_capabilities=False)",
    )

    assert "refused: user nobody" in said
    assert "cannot read Python itself" in said
