"""`quicxdp doctor` where the interfaces are ours, and where the rights are missing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import qxecho
import qxserve

if TYPE_CHECKING:
    import qxnet

DOCTOR = [sys.executable, "-m", "quicxdp", "doctor", "--json"]
SCHEMA = qxserve.ROOT / "docs" / "doctor.schema.json"
# The user stays root, without a capability: the interpreter may be unreadable for others.
WITHOUT_RIGHTS = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]


def told(text: str) -> dict[str, Any]:
    """Read what --json printed, and hold it to its schema."""
    found: dict[str, Any] = json.loads(text)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(found)
    return found


def only(found: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the interface of that name."""
    interface: dict[str, Any]
    (interface,) = (item for item in found["interfaces"] if item["name"] == name)
    return interface


def test_a_namespace_with_veth_is_described(link: qxnet.Link) -> None:
    """Its interfaces and no others, with what attaching would cost and the way to it."""
    found = told(link.server.run(DOCTOR, cwd=qxserve.ROOT).stdout)
    veth = only(found, link.server.interface)

    assert {item["name"] for item in found["interfaces"]} == {"lo", link.server.interface}
    assert veth["driver"] == "veth"
    assert veth["modes"] == {"zero_copy": "no", "native": "perhaps", "generic": "yes"}
    assert veth["offloads"]["tx-udp-segmentation"] is True
    assert veth["choice"]["io"] == "socket"
    assert "TCP that passes" in veth["attach_costs"][0]
    assert any("--io xdp" in item["command"] for item in veth["commands"])
    assert found["measured"] is None


def test_an_attached_program_is_seen_and_stands_in_the_way(link: qxnet.Link) -> None:
    """Ours, this time; the doctor cannot know whose it is."""

    async def look() -> None:
        async with qxecho.echoing(link.server, "10.77.0.1"):
            found = told(link.server.run(DOCTOR, cwd=qxserve.ROOT).stdout)
        veth = only(found, link.server.interface)
        assert veth["attached"]["mode"] == "native"
        assert veth["attached"]["program_id"] > 0
        assert "another XDP program" in veth["blockers"][0]

    asyncio.run(look())


def test_without_privileges_it_says_what_is_missing_and_how_to_get_it(
    link: qxnet.Link,
) -> None:
    """Most people run it so first."""
    argv = [*WITHOUT_RIGHTS, *DOCTOR, "--measure"]
    found = told(link.server.run(argv, cwd=qxserve.ROOT).stdout)

    assert found["host"]["capabilities"] == []
    assert found["host"]["missing_capabilities"] == [
        "CAP_NET_RAW",
        "CAP_BPF",
        "CAP_NET_ADMIN",
    ]
    assert any("setpriv" in item["command"] for item in found["commands"])
    assert any("this process lacks" in text for text in
               only(found, link.server.interface)["blockers"])  # fmt: skip
    measured = found["measured"]
    assert [lane["lane"] for lane in measured["lanes"]] == ["asyncio", "socket"]
    assert "root" in measured["left_out"]["veth"]


def test_as_root_all_lanes_are_measured_and_nothing_is_left_behind(
    tmp_path: Path,
) -> None:
    """On a link of its own, so that the machine's interfaces stay as they are.

    And no module of the folder that root happens to stand in is run.
    """
    (tmp_path / "json.py").write_text("raise SystemExit('from that folder')\n")
    before = interfaces()
    done = subprocess.run(
        [DOCTOR[0], "-P", *DOCTOR[1:], "--measure"],
        check=True,
        capture_output=True,
        text=True,
        timeout=40,
        cwd=tmp_path,
    )
    measured = told(done.stdout)["measured"]

    assert measured["left_out"] == {}
    assert [(lane["lane"], lane["over"]) for lane in measured["lanes"]] == [
        ("asyncio", "loopback"),
        ("socket", "loopback"),
        ("socket", "veth"),
        ("xdp", "veth"),
    ]
    assert interfaces() == before


def interfaces() -> list[str]:
    """List the interfaces of this namespace."""
    lines = Path("/proc/net/dev").read_text(encoding="ascii").splitlines()[2:]
    return sorted(line.split(":")[0].strip() for line in lines)
