"""What a Windows machine and this process can do for XDP, asked of PowerShell.

One script, run once, answers with one JSON object; it only looks.  Reading the answer is
apart from asking, so that it can be tested anywhere.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

# A fresh PowerShell that loads its network modules takes seconds.
_PATIENCE_S = 60

# The driver's service is called xdp; Get-Service does not list drivers, so WMI is asked.
SCRIPT = """
$ErrorActionPreference = 'SilentlyContinue'
$driver = Get-CimInstance Win32_SystemDriver -Filter "Name='xdp'"
$file = Get-Item "$env:SystemRoot\\System32\\drivers\\xdp.sys"
$me = [Security.Principal.WindowsIdentity]::GetCurrent()
$role = [Security.Principal.WindowsBuiltInRole]::Administrator
@{
  build = [Environment]::OSVersion.Version.Build
  caption = (Get-CimInstance Win32_OperatingSystem).Caption
  machine = $env:PROCESSOR_ARCHITECTURE
  cpu_cnt = [Environment]::ProcessorCount
  administrator = ([Security.Principal.WindowsPrincipal]$me).IsInRole($role)
  sid = $me.User.Value
  driver = if ($driver) { @{
    state = $driver.State
    version = if ($file) { $file.VersionInfo.ProductVersion } else { '' }
  } } else { $null }
  adapters = @(Get-NetAdapter | ForEach-Object { @{
    name = $_.Name
    description = $_.InterfaceDescription
    index = $_.ifIndex
    up = $_.Status -eq 'Up'
    ethernet = $_.MediaType -eq '802.3'
    hardware = [bool]$_.HardwareInterface
    mtu_bytes = (Get-NetIPInterface -InterfaceIndex $_.ifIndex |
      Select-Object -First 1).NlMtu
    queue_cnt = (Get-NetAdapterRss -Name $_.Name).NumberOfReceiveQueues
  } })
} | ConvertTo-Json -Depth 4 -Compress
"""


@dataclass(frozen=True, slots=True)
class Driver:
    """XDP for Windows as it is installed."""

    running: bool
    version: str  # "" if the file does not tell


@dataclass(frozen=True, slots=True)
class Adapter:
    """A network adapter."""

    name: str
    description: str
    index: int
    is_up: bool
    ethernet: bool
    hardware: bool
    mtu_bytes: int | None
    queue_cnt: int | None


@dataclass(frozen=True, slots=True)
class Host:
    """The machine, and this process on it."""

    caption: str
    build: int
    machine: str
    cpu_cnt: int
    administrator: bool
    sid: str
    driver: Driver | None  # None: not installed
    adapters: tuple[Adapter, ...]


def ask() -> str:
    """Run the script; return what it printed.

    Raises:
        OSError: there is no PowerShell, or it does not answer.
    """
    argv = ["powershell.exe", "-NoProfile", "-NonInteractive", "-Command", SCRIPT]
    try:
        done = subprocess.run(  # noqa: S603  # found as Windows finds programs
            argv, check=True, capture_output=True, text=True, timeout=_PATIENCE_S
        )
    except subprocess.SubprocessError as error:
        raise OSError(f"PowerShell did not answer: {error}") from error
    return done.stdout


def read(answer: str) -> Host:
    """Read what the script printed.

    Raises:
        ValueError: it is not what the script prints.
    """
    try:
        found: dict[str, Any] = json.loads(answer)
        return Host(
            caption=str(found["caption"] or "Windows").strip(),
            build=int(found["build"]),
            machine=str(found["machine"]),
            cpu_cnt=int(found["cpu_cnt"]),
            administrator=found["administrator"] is True,
            sid=str(found["sid"]),
            driver=_driver(found["driver"]),
            adapters=tuple(_adapter(item) for item in found["adapters"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"PowerShell's answer lacks {error}") from error


def _driver(found: dict[str, Any] | None) -> Driver | None:
    if found is None:
        return None
    return Driver(
        running=found["state"] == "Running", version=str(found["version"] or "")
    )


def _adapter(found: dict[str, Any]) -> Adapter:
    return Adapter(
        name=str(found["name"]),
        description=str(found["description"]),
        index=int(found["index"]),
        is_up=found["up"] is True,
        ethernet=found["ethernet"] is True,
        hardware=found["hardware"] is True,
        mtu_bytes=_number(found["mtu_bytes"]),
        queue_cnt=_number(found["queue_cnt"]),
    )


def _number(value: object) -> int | None:
    # 4294967295 is how the loopback adapter says "none".
    if not isinstance(value, int) or not 0 < value < 2**32 - 1:
        return None
    return value
