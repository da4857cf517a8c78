"""The lab's own promises: whatever a guest does, it ends, and the reason is told."""

from __future__ import annotations

import multiprocessing
import os
import select
from pathlib import Path

import pytest

from lab import __main__ as lab
from lab import machine, packages

NAMES = """\
linux-binary-7.2.11+deb13-amd64 - Linux 7.2.11 for 64-bit PCs (kernel image)
linux-binary-7.3.4+deb13-amd64 - Linux 7.3.4 for 64-bit PCs (kernel image)
linux-binary-7.3.4+deb13-cloud-amd64 - Linux 7.3.4 for x86-64 cloud (kernel image)
linux-binary-7.9.9+deb13-rt-amd64 - Linux 7.9.9 for 64-bit PCs, PREEMPT_RT
linux-image-6.18.15+deb13-amd64 - Linux 6.18.15 for 64-bit PCs (signed)
"""
OLD_NAMES = """\
linux-image-6.12.9+deb13-amd64 - Linux 6.12.9 for 64-bit PCs (signed)
linux-image-6.16.3+deb13-amd64 - Linux 6.16 for 64-bit PCs (signed)
"""


class Mirror(packages._Apt):
    """An apt that offers these kernels."""

    def __init__(self, names: str) -> None:
        self.mirror = "http://mirror.invalid/debian"
        self._names = names

    def search(self) -> str:
        """Return the names."""
        return self._names


def guest_of(
    script: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, limit_s: float = 30
) -> machine.Outcome:
    """Run a shell script in QEMU's place, found in the PATH as QEMU is."""
    tools = folder / "bin"
    tools.mkdir()
    qemu = tools / "qemu-system-x86_64"
    qemu.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    qemu.chmod(0o755)
    without_guest(folder, monkeypatch)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    return machine.run(machine.Machine(limit_s=limit_s), ["true"], folder)


def without_guest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the lab believe that it has a kernel and an initramfs."""
    kernel = packages.Kernel("7.3.4", folder / "vmlinuz", folder / "modules")
    monkeypatch.setattr(machine, "kernel", lambda: kernel)
    monkeypatch.setattr(machine, "initramfs", lambda _: folder / "initramfs")


def test_the_status_of_the_command_is_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing command in the guest must be one here."""
    outcome = guest_of("echo lab: ready; echo lab: status 3", tmp_path, monkeypatch)
    assert (outcome.status, outcome.reason) == (3, "")


def test_a_guest_that_prints_nothing_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for a guest that never comes up, and none is left behind."""
    monkeypatch.setattr(machine, "BOOT_TIMEOUT_S", 0.3)
    script = f"echo $$ >{tmp_path}/pid; exec sleep 60"
    outcome = guest_of(script, tmp_path, monkeypatch)

    assert "did not come up" in outcome.reason
    pid = (tmp_path / "pid").read_text(encoding="ascii").strip()
    assert not Path("/proc", pid).exists()


def test_a_guest_that_hangs_is_ended_by_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One hanging scenario does not take the others with it; its last words are kept."""
    script = "echo lab: ready; echo the last words; exec sleep 60"
    outcome = guest_of(script, tmp_path, monkeypatch, limit_s=0.3)

    assert outcome.status is None
    assert outcome.reason.startswith("hung")
    assert "the last words" in outcome.tail()


def test_a_guest_ends_with_who_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CI that kills its step must not be left with a machine that runs on."""
    os.mkfifo(tmp_path / "pid")
    script = f"echo $$ >{tmp_path}/pid; exec sleep 60"
    fork = multiprocessing.get_context("fork")
    lab_run = fork.Process(target=guest_of, args=(script, tmp_path, monkeypatch))
    lab_run.start()
    guest = os.pidfd_open(int((tmp_path / "pid").read_text(encoding="ascii")))
    try:
        lab_run.kill()
        lab_run.join()
        ended, _, _ = select.select([guest], [], [], 10)
        assert ended
    finally:
        lab_run.close()
        os.close(guest)


def test_a_panic_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's own words are the reason."""
    script = "echo '[ 1.0] Kernel panic - not syncing: no init found'"
    outcome = guest_of(script, tmp_path, monkeypatch)
    assert outcome.reason == "Kernel panic - not syncing: no init found"


def test_qemu_that_ends_by_itself_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when an option or the memory is missing."""
    outcome = guest_of("exit 1", tmp_path, monkeypatch)
    assert outcome.reason == "QEMU ended with status 1, having printed nothing"


def test_a_machine_without_qemu_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is a skip with its remedy, not a traceback."""
    without_guest(tmp_path, monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(packages.LabUnavailableError, match=r"apt-get install qemu"):
        machine.run(machine.Machine(), ["true"], tmp_path)


def test_the_newest_plain_kernel_is_taken() -> None:
    """Versions are numbers, not text; cloud kernels lack 9p and igb."""
    assert packages._newest_kernel(Mirror(NAMES)) == "7.3.4+deb13-amd64"


@pytest.mark.parametrize("names", ["", OLD_NAMES])
def test_a_mirror_without_a_suitable_kernel_is_told(names: str) -> None:
    """A kernel without zero-copy would make every scenario fail for a wrong reason."""
    with pytest.raises(packages.LabUnavailableError, match=r"no kernel from 6\.18 on"):
        packages._newest_kernel(Mirror(names))


def test_a_scenario_that_nobody_knows_is_told() -> None:
    """A misspelt one beside others must not be left out unseen."""
    assert lab.wanted(["zero_copy:igb", "queues"]) == [
        ("queues", "igb"),
        ("zero_copy", "igb"),
    ]
    with pytest.raises(SystemExit, match=r"no scenario is called qeues; see --list"):
        lab.wanted(["zero_copy", "qeues"])


@pytest.mark.parametrize(
    ("status", "failed"), [(0, []), (3, ["zero_copy on virtio: status 3"]), (5, [])]
)
def test_a_failing_command_is_no_pass_whatever_its_results_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, failed: list[str]
) -> None:
    """Pytest may write its results and fail all the same; 5 is that -k has left none."""

    def run(_: machine.Machine, __: list[str], folder: Path) -> machine.Outcome:
        (folder / "console.log").touch()
        (folder / "results.xml").write_text("<testsuite/>", encoding="ascii")
        return machine.Outcome(status, "", folder / "console.log", 1.0)

    monkeypatch.setattr(machine, "run", run)
    monkeypatch.setattr(lab, "RESULTS", tmp_path)
    assert [
        text.strip() for text in lab.boot("zero_copy", "virtio", None).failed
    ] == failed


PASSED = lab.Result("one", "virtio", passed=2, zerocopy=["virtio_net"])
SKIPPED = lab.Result("two", "igb", skipped=["no package"])
FAILED = lab.Result("three", "igb", failed=["it hung"])


@pytest.mark.parametrize(
    ("results", "skips_allowed", "status", "line"),
    [
        ([PASSED], False, 0, "lab: OK 2 passed, 0 skipped zerocopy=virtio_net"),
        ([PASSED, SKIPPED], True, 0, "lab: OK 2 passed, 1 skipped zerocopy=virtio_net"),
        (
            [PASSED, SKIPPED],
            False,
            77,
            "lab: SKIPPED 2 passed, 1 skipped zerocopy=virtio_net",
        ),
        ([SKIPPED], True, 77, "lab: SKIPPED 0 passed, 1 skipped zerocopy=none"),
        (
            [PASSED, FAILED],
            True,
            1,
            "lab: FAILED 1 failed, 2 passed, 0 skipped zerocopy=virtio_net",
        ),
    ],
)
def test_a_skip_is_never_a_pass(
    results: list[lab.Result],
    skips_allowed: bool,  # noqa: FBT001  # a case of the table
    status: int,
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The last line and the exit status say what was really shown."""
    assert lab.sum_up(results, skips_allowed=skips_allowed) == status
    assert capsys.readouterr().out == line + "\n"
