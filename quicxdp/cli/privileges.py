"""--user and --group of `quicxdp serve`: root's rights given up once everything is open.

An AF_XDP socket works on without any capability: ring wake-ups, statistics and map
updates ask for none.  So the ports, the interface and the files are opened first, then
everything is given up at once and for good.  What would need the rights again later (an
interface that goes away and comes back) is left to the socket lane.

Linux keeps credentials per thread, and the kernel's own call changes one thread only.  So
this happens before there is a second one, and is verified afterwards by what the kernel
says of every thread.  Only this command does it; the library never touches credentials.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .exits import StartError, sentence
from .host_facts import Capability

if TYPE_CHECKING:
    from collections.abc import Iterable

# linux/prctl.h, linux/capability.h
_PR_SET_KEEPCAPS: Final = 8
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION_3: Final = 0x20080522

# What an AF_XDP lane is opened with.
KEPT: Final = (
    Capability.CAP_NET_RAW,
    Capability.CAP_NET_ADMIN,
    Capability.CAP_IPC_LOCK,
    Capability.CAP_BPF,
)

_TASKS: Final = Path("/proc/self/task")


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the process is to run as."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    text: str


def find(user: str | None, group: str | None) -> Account:
    """Return the account that --user and --group name.

    Raises:
        StartError: there is no such user or group.
    """
    uid, name = os.getuid(), ""
    gid, groups = os.getgid(), [*os.getgroups()]
    if user is not None:
        try:
            entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
        except KeyError:
            raise StartError(f"there is no user {user}; see `getent passwd`") from None
        uid, name = entry.pw_uid, entry.pw_name
        # Who already is that user, without root, has the groups that systemd gave.
        if uid != os.getuid() or os.geteuid() == 0:
            gid = entry.pw_gid
            groups = os.getgrouplist(name, gid)
    if group is not None:
        try:
            found = grp.getgrgid(int(group)) if group.isdecimal() else grp.getgrnam(group)
        except (KeyError, OverflowError):
            raise StartError(f"there is no group {group}; see `getent group`") from None
        gid = found.gr_gid
        groups = [gid]
    return Account(
        uid, gid, tuple(sorted(set(groups))), f"user {name or uid}, group {gid}"
    )


def give_up(account: Account, *, keep_capabilities: bool) -> None:
    """Become *account* for good, without capabilities or with those of `KEPT`.

    Raises:
        StartError: the kernel refused, or not every thread has obeyed.
    """
    threads = len(list(_TASKS.iterdir()))
    if threads != 1:
        raise StartError(
            f"--user and --group: there are {threads} threads already, and credentials "
            f"belong to threads; please report this"
        )
    wanted = _held() & _mask(KEPT) if keep_capabilities else 0
    try:
        if wanted:
            _prctl(_PR_SET_KEEPCAPS, 1)
        _change_ids(account)
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
        _set_capabilities(wanted)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    except PermissionError:
        raise StartError(
            f"cannot become {account.text}: that takes root, or CAP_SETUID and "
            f"CAP_SETGID; in a systemd unit, User= and Group= do it instead"
        ) from None
    except OSError as error:
        raise StartError(f"cannot become {account.text}: {sentence(error)}") from None
    verify(account, wanted)
    if not os.access(os.__file__, os.R_OK):
        raise StartError(
            f"{account.text} cannot read Python itself ({Path(os.__file__).parent}), "
            f"which is loaded piece by piece; install it where that user may look"
        )


def verify(account: Account, capabilities: int) -> None:
    """Ask the kernel what every thread of this process may do.

    Raises:
        StartError: one has other rights.
    """
    expected = {
        "Uid": [str(account.uid)] * 4,
        "Gid": [str(account.gid)] * 4,
        "Groups": [str(group) for group in account.groups],
        "CapInh": [f"{0:016x}"],
        "CapPrm": [f"{capabilities:016x}"],
        "CapEff": [f"{capabilities:016x}"],
        "CapAmb": [f"{0:016x}"],
        "NoNewPrivs": ["1"],
    }
    for task in _TASKS.iterdir():
        status = dict(
            line.split(":", 1)
            for line in (task / "status").read_text(encoding="utf-8").splitlines()
        )
        for name, values in expected.items():
            if status[name].split() != values:
                raise StartError(
                    f"giving up privileges did not work: thread {task.name} has "
                    f"{name} {status[name].strip()} instead of {' '.join(values)}"
                )


def _change_ids(account: Account) -> None:
    """Change what differs: systemd may have done it, and then we may not."""
    if sorted({*os.getgroups()}) != list(account.groups):
        os.setgroups(account.groups)
    if os.getresgid() != (account.gid,) * 3:
        os.setresgid(account.gid, account.gid, account.gid)
    if os.getresuid() != (account.uid,) * 3:
        os.setresuid(account.uid, account.uid, account.uid)


def _mask(capabilities: Iterable[Capability]) -> int:
    return sum(1 << capability for capability in capabilities)


def _held() -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == "CapPrm":
            return int(value, 16)
    return 0


class _Header(ctypes.Structure):
    """struct __user_cap_header_struct."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    """struct __user_cap_data_struct."""

    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _set_capabilities(mask: int) -> None:
    header = _Header(_CAPABILITY_VERSION_3, 0)
    data = (_Data * 2)()
    for index in range(2):
        word = mask >> 32 * index & 0xFFFFFFFF
        data[index] = _Data(effective=word, permitted=word, inheritable=0)
    _check(_libc().capset(ctypes.byref(header), ctypes.byref(data)), "capset")


def _prctl(option: int, value: int) -> None:
    numbers = [ctypes.c_ulong(number) for number in (value, 0, 0, 0)]
    _check(_libc().prctl(ctypes.c_int(option), *numbers), f"prctl {option}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(rc: int, doing: str) -> None:
    if rc != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{doing}: {os.strerror(code)}")
