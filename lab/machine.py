"""A guest: which devices it has, and one run of it from start to power-off.

The guest runs one command in the host's own root (init.sh says how that is kept safe).
It shares one folder with the host: console, captures and results lie there afterwards.

Some facts about QEMU's network devices
 - virtio_net binds in zero-copy only behind the DMA API, hence iommu_platform=on, and the
   DMA API needs disable-legacy=on (drivers/net/virtio_net.c, virtnet_xsk_pool_enable).
 - Ports of one hub hear each other at once, without a host interface or privileges.
 - igb came with QEMU 8.  Two on the root bus collide with their virtual functions, so
   each gets a root port of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from lab.initramfs import initramfs
from lab.packages import Kernel, LabUnavailableError, kernel, newer_qemu

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Driver", "Machine", "Outcome", "run"]

BOOT_TIMEOUT_S = 60.0
KILL_GRACE_S = 5.0
CONSOLE_TAIL_LINES = 25
CAPTURE_BYTES_PER_PACKET = 1600
RUNNING = ["-accel", "tcg,thread=multi", "-cpu", "max"]
# One instruction is one nanosecond, and idle time passes at once.  QEMU counts a byte of
# "rep movsb" as an instruction, so the kernel must not be told that it is quick.
COUNTING = [
    *("-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"),
    *("-rtc", "clock=vm,base=2026-01-01", "-cpu", "max,-erms,-fsrm,-fsrs,-fzrm,-fsrc"),
]


class Driver(Enum):
    """The network devices that bind AF_XDP in zero-copy in a guest."""

    VIRTIO = "virtio_net"
    IGB = "igb"


@dataclass(frozen=True, slots=True)
class Machine:
    """What a scenario asks for: NICs named eth0, eth1, ..., pairwise on one cable."""

    driver: Driver = Driver.VIRTIO
    nic_cnt: int = 2
    cpu_cnt: int = 1
    memory_mib: int = 1024
    # Properties of every NIC, over what its driver needs.
    nic_properties: str = ""
    # Pairs of NICs whose cable is captured into eth0.pcap, eth2.pcap, ...
    captured: bool = True
    # One instruction is one nanosecond of the guest's time (count.py).
    counting: bool = False
    # After the guest is up, for all that it runs.
    limit_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the command's exit status, or why there is none."""

    status: int | None
    reason: str
    console: Path
    took_s: float

    def tail(self) -> str:
        """Return the console's last lines."""
        lines = self.console.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-CONSOLE_TAIL_LINES:])


def run(machine: Machine, command: list[str], folder: Path) -> Outcome:
    """Boot *machine*, run *command* in it, and wait for the power-off.

    *folder* is the run's own; the guest sees it as /run/lab.  Whatever happens, no
    process is left when this returns, nor when its caller is killed.

    Raises:
        LabUnavailableError: QEMU, a package or a device is missing.
    """
    using = kernel()
    ends_with_us = ["setpriv", "--pdeathsig", "KILL"]
    argv = [*ends_with_us, *_qemu(machine), *_arguments(machine, using, folder)]
    quoted = " ".join("'" + part.replace("'", "'\\''") + "'" for part in command)
    (folder / "command").write_text(f"exec {quoted}\n", encoding="utf-8")
    console = folder / "console.log"
    started = time.monotonic()
    with console.open("wb") as out:
        guest = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_environment(machine)},
        )
        try:
            reason = _wait(guest, machine, console, started)
        finally:
            _end(guest)
    return _judge(reason, console, time.monotonic() - started, guest.returncode)


def _wait(
    guest: subprocess.Popen[bytes], machine: Machine, console: Path, started: float
) -> str:
    """Wait for the guest's end; return why it had to be ended, or "" if it did itself."""
    ready = False
    deadline = started + BOOT_TIMEOUT_S
    while True:
        try:
            guest.wait(0.2)
        except subprocess.TimeoutExpired:
            pass
        else:
            return ""
        if not ready and b"lab: ready" in console.read_bytes():
            ready = True
            deadline = time.monotonic() + machine.limit_s
        if time.monotonic() > deadline:
            if ready:
                return f"hung: ended after {machine.limit_s:.0f} s"
            return f"did not come up within {BOOT_TIMEOUT_S:.0f} s"


def _end(guest: subprocess.Popen[bytes]) -> None:
    if guest.poll() is None:
        guest.send_signal(signal.SIGTERM)
        try:
            guest.wait(KILL_GRACE_S)
        except subprocess.TimeoutExpired:
            guest.kill()
            guest.wait()


def _judge(reason: str, console: Path, took_s: float, code: int) -> Outcome:
    text = console.read_text(encoding="utf-8", errors="replace")
    status = re.search(r"^lab: status (\d+)", text, re.MULTILINE)
    panic = re.search(r"Kernel panic[^\r\n]*", text)
    if panic:
        return Outcome(None, panic[0], console, took_s)
    if reason:
        return Outcome(None, reason, console, took_s)
    if status:
        return Outcome(int(status[1]), "", console, took_s)
    said = re.search(r"^lab: (cannot [^\r\n]*)", text, re.MULTILINE)
    if said:
        return Outcome(None, said[1], console, took_s)
    nothing = "" if text.strip() else ", having printed nothing"
    return Outcome(None, f"QEMU ended with status {code}{nothing}", console, took_s)


def _qemu(machine: Machine) -> list[str]:
    if machine.driver is Driver.IGB or machine.counting:
        root = newer_qemu()
        return [
            str(root / "usr/lib64/ld-linux-x86-64.so.2"),
            *("--library-path", f"{root}/usr/lib/x86_64-linux-gnu"),
            str(root / "usr/bin/qemu-system-x86_64"),
            *("-L", str(root / "usr/share/qemu"), "-L", str(root / "usr/share/seabios")),
        ]
    found = shutil.which("qemu-system-x86_64")
    if found is None:
        raise LabUnavailableError("no QEMU; apt-get install qemu-system-x86")
    return [found]


def _environment(machine: Machine) -> dict[str, str]:
    if machine.driver is Driver.VIRTIO and not machine.counting:
        return {}
    return {"QEMU_MODULE_DIR": f"{newer_qemu()}/usr/lib/x86_64-linux-gnu/qemu"}


def _arguments(machine: Machine, using: Kernel, folder: Path) -> list[str]:
    argv = ["-M", "q35", *(COUNTING if machine.counting else RUNNING)]
    argv += ["-smp", str(machine.cpu_cnt), "-m", str(machine.memory_mib)]
    argv += ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
    argv += ["-serial", "stdio", "-monitor", "none"]
    argv += ["-kernel", str(using.vmlinuz), "-initrd", str(initramfs(using))]
    # panic=-1 restarts at once, which -no-reboot turns into the end.
    # Without nokaslr, what a kernel's address costs to compute differs from boot to boot.
    fixed = " nokaslr" if machine.counting else ""
    line = f"console=ttyS0 panic=-1 net.ifnames=0 quiet loglevel=4{fixed}"
    argv += ["-append", line]
    for tag, path, readonly in (("host", "/", "on"), ("lab", folder, "off")):
        share = f"local,path={path},mount_tag={tag},security_model=none"
        argv += ["-virtfs", f"{share},readonly={readonly},multidevs=remap"]
    for nic in range(machine.nic_cnt):
        argv += _nic(machine, nic)
        if machine.captured and nic % 2 == 0:
            dump = (
                f"filter-dump,id=dump{nic},netdev=port{nic},file={folder}/eth{nic}.pcap"
            )
            argv += ["-object", f"{dump},maxlen={CAPTURE_BYTES_PER_PACKET}"]
    return argv


def _nic(machine: Machine, nic: int) -> list[str]:
    argv = ["-netdev", f"hubport,id=port{nic},hubid={nic // 2}"]
    common = f"netdev=port{nic},mac=02:00:00:00:00:{nic + 10:02x}"
    if machine.nic_properties:
        common += f",{machine.nic_properties}"
    if machine.driver is Driver.VIRTIO:
        needed = "" if "iommu_platform" in common else ",iommu_platform=on"
        if machine.counting:
            # Sending at a fixed time of the guest's, not when a host's thread gets to it.
            needed += ",tx=timer,x-txtimer=20000,ioeventfd=off"
        device = f"virtio-net-pci,{common},disable-legacy=on{needed}"
        return [*argv, "-device", device]
    port = f"pcie-root-port,id=root{nic},chassis={nic + 1},slot={nic + 1}"
    return [*argv, "-device", port, "-device", f"igb,bus=root{nic},{common}"]
