"""Network namespaces without a name: nobody else can reach them, and they end with us.

What is started inside `entered` stays in the namespace, sockets and processes alike.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET: Final = 0x40000000
_TIMEOUT_S: Final = 20.0
_HERE: Final = "/proc/thread-self/ns/net"

SERVER_ADDRESSES: Final = ("10.77.0.1", "fd77::1")
CLIENT_ADDRESSES: Final = ("10.77.0.2", "fd77::2")
SERVER_INTERFACE: Final = "qxbench0"
CLIENT_INTERFACE: Final = "qxbench1"
_PREFIXES: Final = ("/24", "/64")


@contextmanager
def new() -> Iterator[int]:
    """Make a namespace whose loopback is up; give a descriptor of it.

    Raises:
        OSError: not permitted, or the tools are missing.
    """
    if shutil.which("ip") is None:
        raise OSError(errno.ENOENT, "the command ip is missing (Debian: iproute2)")
    home = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
            raise OSError(
                ctypes.get_errno(), "making network namespaces is for root only"
            )
        namespace = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
        _set(home)
    finally:
        os.close(home)
    try:
        with entered(namespace):
            ip("link", "set", "lo", "up")
        yield namespace
    finally:
        os.close(namespace)


@contextmanager
def joined(*, mtu_bytes: int = 1500) -> Iterator[tuple[int, int]]:
    """Make two namespaces joined by a veth pair; give descriptors of them.

    The first has `SERVER_INTERFACE` with `SERVER_ADDRESSES`, the second the client's.

    Raises:
        OSError: not permitted, or the tools are missing.
    """
    with ExitStack() as stack:
        server, client = stack.enter_context(new()), stack.enter_context(new())
        with entered(client):
            mtu = ("mtu", str(mtu_bytes))
            ip("link", "add", CLIENT_INTERFACE, *mtu, "type", "veth",
               "peer", "name", SERVER_INTERFACE, *mtu,
               "netns", f"/proc/{os.getpid()}/fd/{server}")  # fmt: skip
        for namespace, interface, addresses in (
            (client, CLIENT_INTERFACE, CLIENT_ADDRESSES),
            (server, SERVER_INTERFACE, SERVER_ADDRESSES),
        ):
            with entered(namespace):
                for address, prefix in zip(addresses, _PREFIXES, strict=True):
                    # Duplicate address detection would delay it by a second.
                    nodad = ("nodad",) if ":" in address else ()
                    ip("address", "add", address + prefix, "dev", interface, *nodad)
                ip("link", "set", interface, "up")
        yield server, client


@contextmanager
def entered(namespace: int | None) -> Iterator[None]:
    """Move the calling thread, and only it, into a namespace; None is where it is."""
    if namespace is None:
        yield
        return
    home = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set(namespace)
        try:
            yield
        finally:
            _set(home)
    finally:
        os.close(home)


def ip(*arguments: str) -> None:
    """Run the command ip.

    Raises:
        OSError: it failed; with what it said.
    """
    command("ip", *arguments)


def command(*argv: str) -> None:
    """Run a command of the system that sets up networks.

    Raises:
        OSError: it failed, or is not there; with what it said.
    """
    done = subprocess.run(  # noqa: S603  (words of ours)
        argv, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    if done.returncode != 0:
        raise OSError(errno.EOPNOTSUPP, f"{' '.join(argv)}: {done.stderr.strip()}")


def _set(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "entering a network namespace failed")
