from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from quicxdp import device, lanes
from quicxdp.config import Io, Sending, XdpMode, XdpOptions
from quicxdp.device import Device, DeviceKind
from quicxdp.errors import ConfigError, DatapathError
from quicxdp.lanes import RULES, Situation
from quicxdp.stats import InterfaceStats


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be one interface of each kind, named after it, and a second card."""
    kinds = {kind.name.lower(): kind for kind in DeviceKind} | {"nic2": DeviceKind.NIC}

    def inspect(interface: str) -> Device:
        return Device(interface, kinds[interface], "")

    monkeypatch.setattr(lanes, "inspect", inspect)


IF_ZEROCOPY = Sending.XDP_IF_ZEROCOPY
ZEROCOPY = InterfaceStats(modes=("zerocopy", "zerocopy"))
COPY = InterfaceStats(modes=("copy", "copy"), sends=False)


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize(
    ("io", "interface", "expected"),
    [
        (Io.AUTO, None, (Io.SOCKET, (), Sending.XDP)),
        (Io.AUTO, "loopback", (Io.SOCKET, (), Sending.XDP)),
        (Io.AUTO, "software", (Io.SOCKET, (), Sending.XDP)),
        (Io.AUTO, "nic", (Io.XDP, ("nic",), IF_ZEROCOPY)),
        (Io.AUTO, ("nic", "software", "nic2"), (Io.XDP, ("nic", "nic2"), IF_ZEROCOPY)),
        (Io.AUTO, ("software", "loopback"), (Io.SOCKET, (), Sending.XDP)),
        (Io.SOCKET, None, (Io.SOCKET, (), Sending.XDP)),
        (Io.SOCKET, "nic", (Io.SOCKET, (), Sending.XDP)),
        (Io.XDP, "loopback", (Io.XDP, ("loopback",), Sending.XDP)),
        (Io.XDP, "software", (Io.XDP, ("software",), Sending.XDP)),
        (Io.XDP, "nic", (Io.XDP, ("nic",), Sending.XDP)),
        (Io.XDP, ["nic", "nic", "software"], (Io.XDP, ("nic", "software"), Sending.XDP)),
        (Io.HYBRID, "nic", (Io.HYBRID, ("nic",), Sending.SOCKET)),
        (Io.HYBRID, "software", (Io.HYBRID, ("software",), Sending.SOCKET)),
        (Io.ASYNCIO, None, (Io.ASYNCIO, (), Sending.XDP)),
        (Io.ASYNCIO, "nic", (Io.ASYNCIO, (), Sending.XDP)),
    ],
)
def test_the_lane_follows_the_table(
    io: Io,
    interface: str | list[str] | None,
    expected: tuple[Io, tuple[str, ...], Sending],
) -> None:
    """What is chosen, and that XDP needs a name, is a promise of the documentation."""
    lane = lanes.choose(io, interface)

    assert (lane.io, lane.interfaces, lane.sending) == expected
    assert lane.is_settled is (lane.sending is not IF_ZEROCOPY)
    assert lane.reason or not lane.is_settled


def test_every_kind_of_device_and_every_situation_has_a_rule() -> None:
    """A new one means deciding its lane."""
    assert set(lanes._BY_KIND) == set(DeviceKind)
    assert set(RULES) == set(Situation)


@pytest.mark.parametrize(
    ("situation", "io"),
    [
        (Situation.NO_EXTENSION, Io.ASYNCIO),
        (Situation.NO_INTERFACE, Io.SOCKET),
        (Situation.UNTRIED, Io.SOCKET),
        (Situation.LOOPBACK, Io.SOCKET),
        (Situation.SOFTWARE, Io.SOCKET),
        (Situation.NIC_ZEROCOPY, Io.XDP),
        (Situation.NIC_COPY, Io.HYBRID),
        (Situation.NO_RIGHTS, Io.SOCKET),
        (Situation.NO_DRIVER, Io.SOCKET),
        (Situation.ATTACHED, Io.SOCKET),
        (Situation.TROUBLE, Io.SOCKET),
    ],
)
def test_the_table_says_what_the_documentation_says(situation: Situation, io: Io) -> None:
    """docs/deployment.md has it in words, and the doctor reads it."""
    assert RULES[situation].io is io
    assert lanes.predicted("eth1", situation, "why").io is io


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize(
    ("found", "io", "said"),
    [
        ({"nic": ZEROCOPY}, Io.XDP, ["nic is a network card with zero-copy"]),
        ({"nic": COPY}, Io.HYBRID, ["nic is a network card that copies"]),
        ({"nic": InterfaceStats(modes=("zerocopy", "copy"))}, Io.HYBRID, ["copies"]),
        (
            {"nic": COPY, "nic2": ZEROCOPY},
            Io.XDP,
            [
                "nic is a network card that copies",
                "nic2 is a network card with zero-copy",
            ],
        ),
    ],
)
def test_a_card_is_settled_by_what_was_had(
    found: dict[str, InterfaceStats], io: Io, said: list[str]
) -> None:
    """Neither the driver's promise nor what we asked for is proof."""
    lane = lanes.choose(Io.AUTO, [*found, "software"])

    settled = lanes.settle(lane, found)

    assert settled.io is io
    assert settled.interfaces == tuple(found)
    assert all(words in settled.reason for words in said)
    # What was left out is told as well.
    assert "software is a software device" in settled.reason
    assert lanes.settle(settled, {}) == settled


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.EPERM, "not permitted"),
        (errno.EOPNOTSUPP, "driver does not support"),
        (errno.EBUSY, "in use by somebody else"),
        (errno.ENOBUFS, "was not possible"),
    ],
)
def test_what_cannot_be_opened_leads_to_the_socket_with_the_reason(
    code: int, said: str
) -> None:
    """Falling back is normal and always explained."""
    error = DatapathError(code, "opening the datapath: nic: the remedy")

    lane = lanes.retreat(lanes.choose(Io.AUTO, "nic"), error)

    assert (lane.io, lane.interfaces) == (Io.SOCKET, ())
    assert said in lane.reason
    assert "nic: the remedy" in lane.reason


@pytest.mark.usefixtures("devices")
def test_one_card_that_fails_leaves_the_others() -> None:
    """Each has its own driver and its own troubles."""
    error = DatapathError(errno.EBUSY, "opening the datapath: nic: a program is attached")

    lane = lanes.retreat(lanes.choose(Io.AUTO, ["nic", "nic2"]), error)
    settled = lanes.settle(lane, {"nic2": ZEROCOPY})

    assert (settled.io, settled.interfaces) == (Io.XDP, ("nic2",))
    assert "nic: a program is attached" in settled.reason


@pytest.mark.parametrize("io", [Io.AUTO, Io.SOCKET, Io.ASYNCIO])
def test_generic_mode_needs_its_lane_to_be_asked_for(io: Io) -> None:
    """It is slower than a socket, and nobody should get it by accident."""
    with pytest.raises(ConfigError, match="generic mode"):
        lanes.choose(io, "nic", xdp=XdpOptions(mode=XdpMode.GENERIC))


def test_too_many_interfaces_are_refused() -> None:
    """Before anything is opened."""
    with pytest.raises(ConfigError, match="9 interfaces"):
        lanes.choose(Io.XDP, [f"eth{number}" for number in range(9)])


@pytest.mark.parametrize("io", [Io.XDP, Io.HYBRID])
@pytest.mark.parametrize("interface", [None, ""])
def test_xdp_without_an_interface_is_refused(io: Io, interface: str | None) -> None:
    """Attaching can reset a link: only to one that the user named."""
    with pytest.raises(ConfigError, match="interface="):
        lanes.choose(io, interface)


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
