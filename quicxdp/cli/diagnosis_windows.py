"""From facts about a Windows machine to what would happen: the doctor's reasoning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quicxdp.config import Io

from . import windows_facts
from .exits import CommandError

if TYPE_CHECKING:
    from quicxdp.lanes import Lane

    from .windows_facts import Adapter, Host

SCHEMA = 1

# Version 3 of the driver's interface, which the back end speaks, came with it.
_DRIVER_MIN = (1, 1)
# Builds of Windows from which sockets can do these.
_USO_BUILD_MIN = 19041
_ECN_BUILD_MIN = 20348

SIMULATED = (
    "XDP for Windows has been tried in simulation only, not on a Windows driver "
    '(docs/windows.md): io="auto" uses sockets, --io xdp asks for it.'
)
INSTALL = (
    "Install XDP for Windows 1.1 or newer, as Administrator: unpack the NuGet package "
    "Microsoft.XDP-for-Windows.Runtime.x64 and run `xdp-setup.ps1 -Install xdp`, or "
    "`msiexec.exe /i xdp.msi /quiet` with the file from https://aka.ms/xdp-v1.msi."
)
_FIREWALL = (
    "Packets that XDP takes pass no firewall: Windows Defender Firewall and WFP do not "
    "see them.  Everything else on the adapter still does."
)


@dataclass(frozen=True, slots=True)
class Interface:
    """What the doctor says about one adapter."""

    adapter: Adapter
    blockers: tuple[str, ...]
    notes: tuple[str, ...]

    def as_json(self, choice: Lane) -> dict[str, Any]:
        """Return the element of "interfaces"."""
        adapter = self.adapter
        return {
            "name": adapter.name,
            "kind": "network card" if adapter.hardware else "software device",
            "driver": adapter.description,
            "is_up": adapter.is_up,
            "mtu_bytes": adapter.mtu_bytes,
            "rx_queue_cnt": adapter.queue_cnt,
            "tx_queue_cnt": adapter.queue_cnt,
            "attached": None,
            "native_xdp": "unknown",
            "generic_xdp": adapter.ethernet,
            "zero_copy_offered": None,
            "blockers": list(self.blockers),
            "notes": list(self.notes),
            "choice": {"io": choice.io.value, "reason": choice.reason, "tx": "socket"},
        }


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that the doctor says."""

    versions: dict[str, str | None]
    host: Host
    choice: Lane
    interfaces: tuple[Interface, ...]
    advice: tuple[str, ...]

    @property
    def native_works(self) -> bool:
        """Whether the C extension does."""
        return self.choice.io is not Io.ASYNCIO

    def as_json(self) -> dict[str, Any]:
        """Return the object that --json prints; `quicxdp doctor --help` explains it."""
        host = self.host
        driver = host.driver
        return {
            "schema": SCHEMA,
            "versions": self.versions,
            "native": {
                "works": self.native_works,
                "reason": "" if self.native_works else self.choice.reason,
            },
            "host": {
                "kernel": f"{host.caption} build {host.build}",
                "machine": host.machine,
                "cpu_cnt": host.cpu_cnt,
                "udp_gso": host.build >= _USO_BUILD_MIN,
                "udp_gro": host.build >= _USO_BUILD_MIN,
                "udp_ecn": host.build >= _ECN_BUILD_MIN,
                "administrator": host.administrator,
                "xdp_driver": None
                if driver is None
                else {"running": driver.running, "version": driver.version},
            },
            "choice": {"io": self.choice.io.value, "reason": self.choice.reason},
            "interfaces": [item.as_json(self.choice) for item in self.interfaces],
            "advice": list(self.advice),
        }

    def as_text(self) -> list[str]:
        """Return what a person reads, up to the advice; bullets begin with "  - "."""
        host = self.host
        sockets = ", ".join(
            f"{name} {'yes' if host.build >= build else 'no'}"
            for name, build in (
                ("USO", _USO_BUILD_MIN),
                ("URO", _USO_BUILD_MIN),
                ("ECN", _ECN_BUILD_MIN),
            )
        )
        lines = [
            f"{host.caption} build {host.build} {host.machine}, {host.cpu_cnt} CPUs",
            "C extension       " + ("works" if self.native_works else self.choice.reason),
            f"sockets           {sockets}",
            f"XDP driver        {_driver_text(host)}",
            f"rights            {'Administrator' if host.administrator else 'a user'}",
            f"lane              {self.choice.io.value}: {self.choice.reason}",
        ]
        for item in self.interfaces:
            adapter = item.adapter
            lines += [
                "",
                _adapter_text(adapter),
                *(f"  - {text}" for text in (*item.blockers, *item.notes)),
            ]
        return lines


def diagnose(
    interface: str | None, probed: Lane, versions: dict[str, str | None]
) -> Diagnosis:
    """Look at the machine and at *interface*, or at all of them.

    Raises:
        CommandError: there is no such adapter, or PowerShell cannot be asked.
    """
    try:
        host = windows_facts.read(windows_facts.ask())
    except (OSError, ValueError) as error:
        raise CommandError(f"looking at this machine: {error}") from error
    return judge(interface, probed, versions, host)


def judge(
    interface: str | None, probed: Lane, versions: dict[str, str | None], host: Host
) -> Diagnosis:
    """Say what would happen on *host*.

    Raises:
        CommandError: there is no such adapter.
    """
    adapters = host.adapters
    if interface is not None:
        adapters = tuple(a for a in adapters if interface in (a.name, str(a.index)))
        if not adapters:
            raise CommandError(
                f"there is no adapter {interface!r}; see `Get-NetAdapter` for names and "
                f"indices"
            )
    stop = _machine_blockers(host)
    return Diagnosis(
        versions=versions,
        host=host,
        choice=probed,
        interfaces=tuple(_judge_adapter(adapter, stop) for adapter in adapters),
        advice=tuple(_advice(host, probed)),
    )


def driver_version(text: str) -> tuple[int, ...]:
    """Read "1.1.3+f0a2..." as numbers; empty if it has none."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _machine_blockers(host: Host) -> list[str]:
    driver = host.driver
    stop = []
    if driver is None:
        stop.append("XDP for Windows is not installed")
    elif not driver.running:
        stop.append("the xdp driver is installed and not running")
    elif (version := driver_version(driver.version)) and version < _DRIVER_MIN:
        stop.append(f"the xdp driver is version {driver.version}; 1.1 or newer is needed")
    if not host.administrator:
        stop.append("this process is not an Administrator's, so the driver may refuse it")
    return stop


def _judge_adapter(adapter: Adapter, stop: list[str]) -> Interface:
    blockers = list(stop)
    notes = []
    if not adapter.ethernet:
        blockers.append("not an Ethernet adapter")
    if adapter.ethernet:
        notes.append(
            "generic XDP works on any Ethernet adapter; whether this one's driver has "
            "native XDP shows only when it is bound"
        )
    return Interface(adapter, tuple(blockers), tuple(notes))


def _adapter_text(adapter: Adapter) -> str:
    return (
        f"{adapter.name} (index {adapter.index}): {adapter.description}, "
        f"{'up' if adapter.is_up else 'down'}, MTU {adapter.mtu_bytes or '?'}, "
        f"{adapter.queue_cnt or '?'} RX queues"
    )


def _driver_text(host: Host) -> str:
    if host.driver is None:
        return "not installed"
    version = host.driver.version or "of unknown version"
    return f"{version}, {'running' if host.driver.running else 'not running'}"


def _advice(host: Host, probed: Lane) -> list[str]:
    advice = [SIMULATED, _FIREWALL]
    if probed.io is Io.ASYNCIO:
        advice.append(
            "Without the C extension datagrams go one by one: docs/windows.md says how "
            "to build it."
        )
    driver = host.driver
    version = driver_version(driver.version) if driver else ()
    if driver is None or (version and version < _DRIVER_MIN):
        advice.append(INSTALL)
    elif not driver.running:
        advice.append("Start the driver, as Administrator: net.exe start xdp")
    if not host.administrator:
        advice.append(
            "XDP without Administrator's rights: let an Administrator run `xdpcfg.exe "
            f'SetDeviceSddl "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;{host.sid})"` and '
            "restart the driver.  With XDP for Windows 1.4 a type (program, xsk, "
            "interface) before the SDDL narrows it, but the common device goes past "
            "stricter types."
        )
    return advice
