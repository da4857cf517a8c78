"""The doctor on Windows: its reasoning, from what PowerShell would answer there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from quicxdp.cli import diagnosis_windows, doctor, windows_facts
from quicxdp.cli.exits import CommandError
from quicxdp.config import Io
from quicxdp.lanes import Lane

if TYPE_CHECKING:
    from pathlib import Path

SOCKET = Lane(Io.SOCKET, "no interface was named")
VERSIONS: dict[str, str | None] = {"python": "3.11.7", "quicxdp": "0", "uvloop": None}


def answer(**changes: object) -> str:
    """Return what the script prints on a Windows Server 2022 with the driver running."""
    ethernet = {
        "name": "Ethernet",
        "description": "Intel(R) Ethernet Controller X710",
        "index": 7,
        "up": True,
        "ethernet": True,
        "hardware": True,
        "mtu_bytes": 1500,
        "queue_cnt": 8,
    }
    wifi = {
        **ethernet,
        "name": "Wi-Fi",
        "description": "Some Wireless",
        "index": 12,
        "ethernet": False,
        "queue_cnt": None,
    }
    return json.dumps(
        {
            "build": 20348,
            "caption": "Microsoft Windows Server 2022 Standard",
            "machine": "AMD64",
            "cpu_cnt": 16,
            "administrator": True,
            "sid": "S-1-5-21-1-2-3-1001",
            "driver": {"state": "Running", "version": "1.3.0+abc"},
            "adapters": [ethernet, wifi],
            **changes,
        }
    )


def judged(
    interface: str | None = None, lane: Lane = SOCKET, **changes: object
) -> diagnosis_windows.Diagnosis:
    """Judge such a machine."""
    host = windows_facts.read(answer(**changes))
    return diagnosis_windows.judge(interface, lane, VERSIONS, host)


def test_a_ready_machine_has_nothing_in_the_way() -> None:
    """Whoever has done all the steps must be told so."""
    found = judged()

    ethernet, wifi = found.interfaces
    assert ethernet.blockers == ()
    assert wifi.blockers == ("not an Ethernet adapter",)
    assert diagnosis_windows.INSTALL not in found.advice


def test_it_never_claims_more_than_simulation() -> None:
    """Nobody may take a simulated back end for a proven one."""
    assert diagnosis_windows.SIMULATED in judged().advice
    assert "simulation only" in "\n".join(doctor.text(judged())).replace("\n  ", " ")


@pytest.mark.parametrize(
    ("changes", "blocker", "advice"),
    [
        ({"driver": None}, "not installed", "xdp-setup.ps1 -Install xdp"),
        (
            {"driver": {"state": "Stopped", "version": "1.3.0"}},
            "not running",
            "net.exe start xdp",
        ),
        (
            {"driver": {"state": "Running", "version": "1.0.4"}},
            "1.1 or newer is needed",
            "xdp-setup.ps1 -Install xdp",
        ),
        (
            {"administrator": False},
            "not an Administrator's",
            "(A;;GA;;;S-1-5-21-1-2-3-1001)",
        ),
    ],
)
def test_each_obstacle_is_named_with_its_remedy(
    changes: dict[str, Any], blocker: str, advice: str
) -> None:
    """A person must know what to run."""
    found = judged(**changes)

    assert any(blocker in text for text in found.interfaces[0].blockers)
    assert any(advice in text for text in found.advice)


def test_a_driver_of_unknown_version_is_given_the_benefit() -> None:
    """A file without a version is no reason to send somebody installing."""
    found = judged(driver={"state": "Running", "version": None})

    assert found.interfaces[0].blockers == ()
    assert diagnosis_windows.INSTALL not in found.advice


def test_without_the_extension_the_lane_and_the_remedy_are_told() -> None:
    """The slow lane works; that it is slow must not stay a secret."""
    found = judged(lane=Lane(Io.ASYNCIO, "the C extension did not load"))

    assert not found.native_works
    assert any("docs/windows.md" in text for text in found.advice)
    assert found.as_json()["native"]["reason"] == "the C extension did not load"


@pytest.mark.parametrize("name", ["Ethernet", "7"])
def test_one_adapter_is_found_by_name_or_index(name: str) -> None:
    """Both are what Windows' own tools print."""
    assert [item.adapter.index for item in judged(name).interfaces] == [7]


def test_an_adapter_that_is_not_there_is_an_error() -> None:
    """A typo must not read like "nothing to say"."""
    with pytest.raises(CommandError, match="Get-NetAdapter"):
        judged("Ethernet 9")


def test_json_has_the_same_names_as_on_linux() -> None:
    """Programs that read the answer need not care where it comes from."""
    told = judged(driver=None).as_json()

    assert told["schema"] == diagnosis_windows.SCHEMA
    assert told["host"]["xdp_driver"] is None
    assert told["interfaces"][0]["choice"]["io"] == "socket"
    assert told["interfaces"][1]["rx_queue_cnt"] is None
    json.dumps(told)


@pytest.mark.parametrize(
    "broken", ["", "{}", "[]", "null", '{"build": 1}', answer()[:-9]]
)
def test_an_answer_that_makes_no_sense_is_an_error_that_says_so(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PowerShell may be locked down; that is no traceback."""
    monkeypatch.setattr(windows_facts, "ask", lambda: broken)

    with pytest.raises(CommandError, match="looking at this machine"):
        diagnosis_windows.diagnose(None, SOCKET, VERSIONS)


def test_a_machine_without_powershell_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As here, or where policy has removed it."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(CommandError, match="looking at this machine"):
        diagnosis_windows.diagnose(None, SOCKET, VERSIONS)
