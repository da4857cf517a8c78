from __future__ import annotations

import os
import subprocess
import sys

import pytest

from quicxdp import device, lanes
from quicxdp.config import Io
from quicxdp.device import Device, DeviceKind
from quicxdp.errors import ConfigError, DatapathError
from quicxdp.lanes import RULES


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be one interface of each kind, named after it."""
    kinds = {kind.name.lower(): kind for kind in DeviceKind}

    def inspect(interface: str) -> Device:
        return Device(interface, kinds[interface], "")

    monkeypatch.setattr(lanes, "inspect", inspect)


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize(
    ("io", "interface", "expected"),
    [
        (Io.AUTO, None, (Io.SOCKET, "", False)),
        (Io.AUTO, "loopback", (Io.SOCKET, "", False)),
        (Io.AUTO, "software", (Io.SOCKET, "", False)),
        (Io.AUTO, "nic", (Io.XDP, "nic", True)),
        (Io.SOCKET, None, (Io.SOCKET, "", False)),
        (Io.SOCKET, "nic", (Io.SOCKET, "", False)),
        (Io.XDP, "loopback", (Io.XDP, "loopback", False)),
        (Io.XDP, "software", (Io.XDP, "software", False)),
        (Io.XDP, "nic", (Io.XDP, "nic", False)),
        (Io.ASYNCIO, None, (Io.ASYNCIO, "", False)),
        (Io.ASYNCIO, "nic", (Io.ASYNCIO, "", False)),
    ],
)
def test_the_lane_follows_the_table(
    io: Io, interface: str | None, expected: tuple[Io, str, bool]
) -> None:
    """What is chosen, and that XDP needs a name, is a promise of the documentation."""
    lane = lanes.choose(io, interface)

    assert (lane.io, lane.interface, lane.tx_socket) == expected
    assert lane.reason


def test_every_kind_of_device_has_a_rule() -> None:
    """A new kind means deciding its lane."""
    assert set(RULES) == set(DeviceKind)


@pytest.mark.parametrize("interface", [None, ""])
def test_xdp_without_an_interface_is_refused(interface: str | None) -> None:
    """Attaching can reset a link: only to one that the user named."""
    with pytest.raises(ConfigError, match="interface="):
        lanes.choose(Io.XDP, interface)


@pytest.mark.parametrize("io", [Io.AUTO, Io.SOCKET, Io.XDP])
def test_without_the_c_extension_asyncio_carries_on(io: Io) -> None:
    """It always works; the reason says what is missing."""
    lane = lanes.choose(io, "eth0", unavailable="no compiler")

    assert lane == lanes.Lane(Io.ASYNCIO, "no compiler")


def test_loopback_is_recognised() -> None:
    """XDP on lo is never what one wants."""
    assert device.inspect("lo") == Device("lo", DeviceKind.LOOPBACK, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make interfaces")
def test_software_devices_are_recognised_in_the_namespace_one_is_in() -> None:
    """/sys shows another namespace's interfaces after nsenter; ioctls do not."""
    make = (
        "ip link add qxveth0 type veth peer name qxveth1 && "
        "ip link add qxbridge type bridge && ip tuntap add qxtap mode tap && "
    )
    ask = (
        "from quicxdp import device as devices\n"
        "for name in ('qxveth0', 'qxbridge', 'qxtap'):\n"
        "    device = devices.inspect(name)\n"
        "    print(device.driver, device.kind.name)\n"
    )

    done = subprocess.run(
        [
            "unshare",
            "--net",
            "sh",
            "-c",
            f'{make} exec "$0" -c "$1"',
            sys.executable,
            ask,
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "veth SOFTWARE",
        "bridge SOFTWARE",
        "tun SOFTWARE",
    ]


@pytest.mark.parametrize("io", [Io.AUTO, Io.XDP])
def test_an_interface_that_does_not_exist_is_an_error_with_its_name(io: Io) -> None:
    """Silently using sockets would hide a typo for months."""
    with pytest.raises(DatapathError, match=r"qxnone.*ip -brief link") as caught:
        lanes.choose(io, "qxnone")

    assert caught.value.errno == 19
