"""Network namespaces joined by a veth link: the little network of demo, tests and bench.

Some facts this file stands on:

* A veth made with numrxqueues/numtxqueues has that many *real* queues at once; native XDP
  wants no more transmit queues on the peer than receive queues here, so both ends get the
  same number (drivers/net/veth.c, veth_xdp_set).
* ``/proc/net`` is ``/proc/self/net``: the namespace of the process's first thread.  What
  a thread sees after setns(2) is ``/proc/thread-self/net``.
* ``ip netns exec`` ends in execve, so the pid of a started command is the command's own.

Every namespace is named after the process that made it, so that one which outlived a
``kill -9`` of its maker is recognised and swept away by the next run.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "Link",
    "Netns",
    "NetnsError",
    "UdpCounters",
    "adopted",
    "joined",
    "unavailable",
]

CLONE_NEWNET = 0x40000000
NETNS_DIR = Path("/run/netns")
COMMAND_TIMEOUT_S = 30.0
# Both ends would be number 2 of their namespace, and then the kernel takes the carrier's
# coming up for no urgent news and tells it up to a second late (net/core/link_watch.c,
# linkwatch_urgent_event compares ifindex with iflink).
SERVER_IFINDEX = 77

_libc = ctypes.CDLL(None, use_errno=True)
_serial = itertools.count()


class NetnsError(Exception):
    """A network namespace could not be made or asked; the text says which step failed."""


@dataclass(frozen=True, slots=True)
class UdpCounters:
    """What the kernel's own UDP stack of a namespace has moved, over IPv4 and IPv6."""

    in_datagrams: int
    out_datagrams: int
    no_ports: int
    in_errors: int

    def since(self, before: UdpCounters) -> UdpCounters:
        """Return the growth from *before* to this reading."""
        return UdpCounters(
            in_datagrams=self.in_datagrams - before.in_datagrams,
            out_datagrams=self.out_datagrams - before.out_datagrams,
            no_ports=self.no_ports - before.no_ports,
            in_errors=self.in_errors - before.in_errors,
        )


@dataclass(eq=False, slots=True)
class Netns:
    """One network namespace and its end of the link."""

    name: str
    interface: str
    address4: str
    address6: str
    _children: list[subprocess.Popen[str]] = field(default_factory=list)
    # What an adopted device had counted before.
    _redirects_before: list[int] = field(default_factory=list)

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return *argv* wrapped so that it runs inside this namespace."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        timeout_s: float = COMMAND_TIMEOUT_S,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command here to its end, its output captured as text.

        With *check*, a non-zero exit is a `NetnsError` that quotes what the command said.
        """
        return _run(
            self.command(argv), check=check, timeout_s=timeout_s, env=env, cwd=cwd
        )

    def start(
        self,
        argv: Sequence[str],
        *,
        stdout: IO[str] | int | None = None,
        stderr: IO[str] | int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.Popen[str]:
        """Start a command here; it is killed at the latest when the namespace goes."""
        child = subprocess.Popen(
            self.command(argv),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=None if env is None else dict(env),
            cwd=cwd,
            text=True,
        )
        self._children.append(child)
        return child

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Move the calling thread, and only it, into this namespace for a while.

        Sockets and datapaths opened inside stay in the namespace for good.
        """
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            there = os.open(NETNS_DIR / self.name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _setns(there)
            finally:
                os.close(there)
            try:
                yield
            finally:
                _setns(home)
        finally:
            os.close(home)

    def udp_counters(self) -> UdpCounters:
        """Read the namespace's /proc/net/snmp and snmp6."""
        with self.entered():
            snmp = Path("/proc/thread-self/net/snmp").read_text(encoding="ascii")
            snmp6 = Path("/proc/thread-self/net/snmp6").read_text(encoding="ascii")
        names, values = (
            line.split()[1:] for line in snmp.splitlines() if line.startswith("Udp:")
        )
        udp4 = dict(zip(names, map(int, values), strict=True))
        udp6 = {key: int(value) for key, value in map(str.split, snmp6.splitlines())}
        return UdpCounters(
            in_datagrams=udp4["InDatagrams"] + udp6["Udp6InDatagrams"],
            out_datagrams=udp4["OutDatagrams"] + udp6["Udp6OutDatagrams"],
            no_ports=udp4["NoPorts"] + udp6["Udp6NoPorts"],
            in_errors=udp4["InErrors"] + udp6["Udp6InErrors"],
        )

    def driver_counters(self) -> dict[str, int]:
        """Read ``ethtool -S`` of the interface: the driver's own view."""
        text = self.run(["ethtool", "-S", self.interface]).stdout
        found = re.findall(r"^\s*([^:\n]+): (-?\d+)$", text, re.MULTILINE)
        return {name: int(value) for name, value in found}

    def xdp_redirect_cnt(self) -> int:
        """Sum what the driver's receive queues handed to an XDP_REDIRECT."""
        return sum(self.xdp_redirects_by_queue())

    def xdp_redirects_by_queue(self) -> list[int]:
        """Count XDP_REDIRECTs of each receive queue, in queue order.

        The drivers of veth and virtio_net do.
        """
        counters = self.driver_counters()
        by_queue: list[int] = []
        for queue in itertools.count():
            names = {f"rx_queue_{queue}_xdp_redirect", f"rx{queue}_xdp_redirects"}
            found = names & counters.keys()
            if not found:
                break
            by_queue.append(counters[found.pop()])
        before = itertools.chain(self._redirects_before, itertools.repeat(0))
        return [now - then for now, then in zip(by_queue, before, strict=False)]

    def start_counting(self) -> None:
        """Count XDP_REDIRECTs from now on, on a device that may have seen some."""
        self._redirects_before = []
        self._redirects_before = self.xdp_redirects_by_queue()

    def xdp_attached(self) -> bool:
        """Say whether any XDP program sits on the interface."""
        text = self.run(["ip", "-json", "link", "show", "dev", self.interface]).stdout
        return any("xdp" in link for link in json.loads(text))

    def close(self) -> None:
        """Kill what runs here and delete the namespace; never raises."""
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for stream in (child.stdout, child.stderr):
                if stream is not None:
                    stream.close()
        self._children.clear()
        _delete(self.name)


@dataclass(frozen=True, slots=True)
class Link:
    """Two namespaces, each with one end of a veth pair that is up and addressed."""

    server: Netns
    client: Netns
    queue_cnt: int
    mtu_bytes: int = 1500

    def cut(self) -> None:
        """Delete the cable, both ends of it."""
        self.server.run(["ip", "link", "delete", self.server.interface])

    def lay(self) -> None:
        """Lay the cable: both ends with their names, addresses and up."""
        server, client = self.server, self.client
        mtu = ["mtu", str(self.mtu_bytes)]
        queues = ["numrxqueues", str(self.queue_cnt), "numtxqueues", str(self.queue_cnt)]
        _run(
            [
                *("ip", "-netns", server.name, "link", "add", "name", server.interface),
                *("index", str(SERVER_IFINDEX), *mtu, *queues, "type", "veth"),
                *("peer", "name", client.interface, "netns", client.name),
                *(*mtu, *queues),
            ]
        )
        for netns in (server, client):
            _configure(netns)


def unavailable() -> str | None:
    """Return why this process cannot make namespaces, or None when it can."""
    for tool in ("ip", "ethtool"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed (apt-get install iproute2 ethtool)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"qx{os.getpid()}-probe{next(_serial)}"
    try:
        _run(["ip", "netns", "add", name])
    except NetnsError as error:
        return str(error)
    _delete(name)
    return None


@contextlib.contextmanager
def joined(*, queue_cnt: int = 1, mtu_bytes: int = 1500) -> Iterator[Link]:
    """Make two namespaces joined by veth for the time of a ``with`` block.

    The server's end has 10.77.0.1/24 and fd77::1/64, the client's 10.77.0.2 and fd77::2;
    both are up when the block starts.  Everything, processes included, is gone after it.
    """
    _sweep()
    tag = f"qx{os.getpid()}-{next(_serial)}"
    server = Netns(f"{tag}-server", "qxserver", "10.77.0.1", "fd77::1")
    client = Netns(f"{tag}-client", "qxclient", "10.77.0.2", "fd77::2")
    link = Link(server, client, queue_cnt, mtu_bytes)
    with contextlib.ExitStack() as undo:
        for netns in (server, client):
            _run(["ip", "netns", "add", netns.name])
            undo.callback(netns.close)
            _prepare(netns)
        link.lay()
        yield link


@contextlib.contextmanager
def adopted(server_nic: str, client_nic: str) -> Iterator[Link]:
    """As `joined`, of two devices of this namespace that one cable joins already.

    They keep their names, and are back here after the block.
    """
    tag = f"qx{os.getpid()}-{next(_serial)}"
    server = Netns(f"{tag}-server", server_nic, "10.77.0.1", "fd77::1")
    client = Netns(f"{tag}-client", client_nic, "10.77.0.2", "fd77::2")
    with contextlib.ExitStack() as undo:
        for netns in (server, client):
            _run(["ip", "netns", "add", netns.name])
            undo.callback(netns.close)
            _prepare(netns)
            _run(["ip", "link", "set", netns.interface, "netns", netns.name])
            undo.callback(_give_back, netns)
            _configure(netns)
            netns.start_counting()
        yield Link(server, client, queue_cnt=1)


def _give_back(netns: Netns) -> None:
    """Move a device home before its namespace goes, which would take a while to."""
    link = ["ip", "-netns", netns.name, "link", "set", netns.interface]
    _run([*link, "netns", str(os.getpid())], check=False)


def _prepare(netns: Netns) -> None:
    """Switch off duplicate address detection, which delays addresses by a second."""
    with netns.entered():
        for scope in ("all", "default"):
            conf = Path("/proc/sys/net/ipv6/conf", scope)
            (conf / "accept_dad").write_text("0", encoding="ascii")
            (conf / "router_solicitations").write_text("0", encoding="ascii")


def _configure(netns: Netns) -> None:
    """Give a link end its addresses and bring it, and loopback, up."""
    ip = ["ip", "-netns", netns.name]
    device = ["dev", netns.interface]
    _run([*ip, "address", "add", f"{netns.address4}/24", *device])
    _run([*ip, "address", "add", f"{netns.address6}/64", *device, "nodad"])
    _run([*ip, "link", "set", "lo", "up"])
    _run([*ip, "link", "set", netns.interface, "up"])


def _setns(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise NetnsError(f"setns: {os.strerror(code)}")


def _run(
    argv: Sequence[str],
    *,
    check: bool = True,
    timeout_s: float = COMMAND_TIMEOUT_S,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(
            argv,
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout_s,
            env=env,
            cwd=cwd,
        )
    except subprocess.TimeoutExpired as error:
        raise NetnsError(
            f"{' '.join(argv)}: still running after {timeout_s} s"
        ) from error
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise NetnsError(f"{' '.join(argv)}: exit status {done.returncode}: {said}")
    return done


def _delete(name: str) -> None:
    """Delete a namespace of ours after killing what still runs in it."""
    pids = _run(["ip", "netns", "pids", name], check=False).stdout.split()
    for pid in map(int, pids):
        # A thread of this very process may still be inside; it is not ours to end.
        if pid != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    _run(["ip", "netns", "delete", name], check=False)


def _sweep() -> None:
    """Delete namespaces whose maker is gone, as after a kill -9."""
    if not NETNS_DIR.is_dir():
        return
    for path in NETNS_DIR.iterdir():
        found = re.fullmatch(r"qx(\d+)-\d+-(?:server|client)", path.name)
        if found and not Path("/proc", found[1]).exists():
            _delete(path.name)
