"""The doctor: netlink, capabilities, and what follows from them."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quicxdp.cli import diagnosis, ethtool, host_facts, main, netlink_links, remedies
from quicxdp.cli.diagnosis import NativeXdp, judge
from quicxdp.cli.host_facts import Capability, Host
from quicxdp.cli.netlink_links import Link, XdpFeatures, XdpMode
from quicxdp.config import Io
from quicxdp.device import Device, DeviceKind
from quicxdp.lanes import RULES, Situation

SCHEMA = Path(__file__).parent.parent.parent / "docs" / "doctor.schema.json"


def validate(told: object) -> None:
    """Hold what was told to the documented schema."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(told)


ABLE = Host(
    kernel="6.18",
    machine="x86_64",
    cpu_cnt=2,
    udp_gso=True,
    udp_gro=True,
    ipv6=True,
    rmem_max_bytes=1,
    wmem_max_bytes=1,
    capabilities=frozenset(Capability),
    memlock_bytes=None,
)
LOCKED = replace(
    ABLE,
    capabilities=frozenset(Capability) - {Capability.CAP_IPC_LOCK},
    memlock_bytes=65536,
)
NIC = Link(
    index=2,
    name="eth1",
    is_up=True,
    mtu_bytes=1500,
    rx_queue_cnt=4,
    tx_queue_cnt=4,
    xdp_mode=None,
    xdp_program_id=None,
    xdp_features=XdpFeatures(127),
)


def verdict(
    link: Link = NIC,
    kind: DeviceKind = DeviceKind.NIC,
    host: Host = ABLE,
    *,
    driver: str = "igb",
    unavailable: str = "",
    virtio_forbids: bool = False,
) -> diagnosis.Interface:
    """Judge an interface that is all right but for what is told."""
    return judge(
        link,
        Device(link.name, kind, driver),
        host,
        unavailable=unavailable,
        rx_queue_cnt=None,
        virtio_forbids=virtio_forbids,
    )


def test_a_network_card_that_can_is_used() -> None:
    """Receiving over AF_XDP, sending as the rule table says; and the price is told."""
    found = verdict()

    assert found.choice.io is Io.XDP
    assert found.native_xdp is NativeXdp.PERHAPS
    assert found.blockers == ()
    assert any("reset the link" in cost for cost in found.attach_costs)
    assert found.zero_copy is NativeXdp.PERHAPS
    assert [item.command for item in found.remedies] == [
        "quicxdp serve DIR --interface eth1"
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"host": replace(ABLE, capabilities=frozenset({Capability.CAP_NET_RAW}))},
         "lacks CAP_BPF, CAP_NET_ADMIN"),
        ({"link": replace(NIC, xdp_mode=XdpMode.NATIVE, xdp_program_id=7)},
         "another XDP program is attached"),
        ({"link": replace(NIC, xdp_features=XdpFeatures(0))}, "has no native XDP"),
        ({"link": replace(NIC, mtu_bytes=9000)}, "MTU"),
        ({"host": LOCKED}, "may be locked"),
        ({"driver": "virtio_net", "virtio_forbids": True}, "virtual machine's host"),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_told_and_leads_to_the_socket(
    changes: dict[str, Any], said: str
) -> None:
    """The same fall-back as io="auto" takes, known without attaching."""
    found = verdict(**changes)

    assert found.choice.io is Io.SOCKET
    assert said in found.choice.reason
    assert any(said in blocker for blocker in found.blockers)


def test_sys_admin_stands_for_the_two_newer_capabilities() -> None:
    """Kernels before 5.8 had nothing else, and bpf(2) still accepts it."""
    host = replace(
        ABLE, capabilities=frozenset({Capability.CAP_NET_RAW, Capability.CAP_SYS_ADMIN})
    )

    assert host.missing == []


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({"link": replace(NIC, is_up=False)}, "ip link set dev eth1 up"),
        ({"link": replace(NIC, mtu_bytes=9000)}, "ip link set dev eth1 mtu 3498"),
        ({"link": replace(NIC, xdp_mode=XdpMode.NATIVE, xdp_program_id=7)},
         "bpftool net show dev eth1"),
        ({"driver": "virtio_net", "virtio_forbids": True}, "guest_tso4=off"),
        ({"link": replace(NIC, rx_queue_cnt=128)}, "ethtool -L eth1 combined 64"),
        ({"kind": DeviceKind.SOFTWARE, "driver": "veth"}, "ethtool -K eth1 gro on"),
    ],
)  # fmt: skip
def test_what_can_be_changed_comes_with_its_command(
    changes: dict[str, Any], command: str
) -> None:
    """A finding that nobody knows how to change is half a finding."""
    assert any(command in item.command for item in verdict(**changes).remedies)


def test_what_a_process_lacks_comes_with_the_ways_to_give_it() -> None:
    """By hand and as a service, and never with setcap on an interpreter."""
    host = replace(LOCKED, capabilities=frozenset(), rmem_max_bytes=4096)
    commands = [item.command for item in remedies.for_host(host)]

    assert any("setpriv" in command and "+net_raw" in command for command in commands)
    assert any("AmbientCapabilities=CAP_NET_RAW" in command for command in commands)
    assert any("--user USER" in command for command in commands)
    assert any("LimitMEMLOCK" in command for command in commands)
    assert any("net.core.rmem_max" in command for command in commands)
    assert not any("setcap" in command for command in commands)
    assert remedies.for_host(ABLE) == []


def test_attaching_costs_what_is_on_now() -> None:
    """Only offloads that are in use are a loss."""
    nic = Device("eth1", DeviceKind.NIC, "ixgbe")

    assert len(remedies.attach_costs(nic, {"rx-lro": False, "rx-gro": True})) == 1
    assert "rx-lro" in remedies.attach_costs(nic, {"rx-lro": True})[1]


def test_offloads_are_read_by_name_and_bit() -> None:
    """The kernel numbers them differently from version to version."""
    names = [b"x%d" % number for number in range(40)]
    names[3], names[35] = b"rx-gro", b"rx-lro"
    raw = b"".join(name.ljust(32, b"\0") for name in names)
    states = struct.pack("=8I", 0, 0, 1 << 3, 0, 0, 0, 0, 0)

    assert ethtool.parse_offloads(raw, states) == {"rx-gro": True, "rx-lro": False}
    assert ethtool.parse_offloads(raw[:-1], b"") == {}
    assert ethtool.offloads("no such one") is None
    assert ethtool.rx_queue_cnt("no such one") is None
    assert ethtool.offloads("lo") is not None


def test_loopback_and_software_devices_get_sockets() -> None:
    """Where GSO crosses unsegmented, sockets are faster."""
    assert verdict(kind=DeviceKind.LOOPBACK).choice.io is Io.SOCKET
    assert verdict(kind=DeviceKind.SOFTWARE, driver="veth").choice.io is Io.SOCKET


def test_without_the_extension_everything_is_asyncio() -> None:
    """And the reason is the extension's."""
    found = verdict(unavailable="the C extension is not built")

    assert found.choice.io is Io.ASYNCIO
    assert found.choice.reason == "the C extension is not built"


def test_an_old_kernel_does_not_tell_and_we_do_not_guess() -> None:
    """Before Linux 6.3 there is no list of features."""
    found = verdict(replace(NIC, xdp_features=None))

    assert found.native_xdp is NativeXdp.UNKNOWN
    assert found.choice.io is Io.HYBRID
    assert "if binding shows zero-copy" in found.notes[0]


def test_a_card_without_zero_copy_sends_by_the_socket() -> None:
    """As the rule table of io="auto" says; with it, AF_XDP sends too."""
    features = XdpFeatures.BASIC | XdpFeatures.REDIRECT
    copying = verdict(replace(NIC, xdp_features=features))

    assert copying.choice.io is Io.HYBRID
    assert copying.choice.reason == "eth1 " + RULES[Situation.NIC_COPY].reason
    assert copying.as_json()["choice"]["tx"] == "socket"
    assert copying.notes == ()
    assert verdict().choice.reason == "eth1 " + RULES[Situation.NIC_ZEROCOPY].reason
    assert verdict().as_json()["choice"]["tx"] == "xdp"


def test_capabilities_are_read_from_proc() -> None:
    """The effective ones, by bit."""
    status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000008000003000\n"

    assert host_facts.parse_capabilities(status) == {
        Capability.CAP_BPF,
        Capability.CAP_NET_ADMIN,
        Capability.CAP_NET_RAW,
    }
    assert host_facts.parse_capabilities("") == frozenset()


def attribute(kind: int, data: bytes) -> bytes:
    """Pack a netlink attribute."""
    return struct.pack("=HH", len(data) + 4, kind) + data + bytes(-len(data) % 4)


def test_attached_programs_are_found_in_netlink_messages() -> None:
    """The message of a kernel with a program on eth1."""
    xdp = attribute(2, b"\x01") + attribute(4, struct.pack("=I", 42))
    message = struct.pack("=BxHiII", 0, 1, 5, 1, 0) + (
        attribute(3, b"eth1\0")
        + attribute(4, struct.pack("=I", 1500))
        + attribute(32, struct.pack("=I", 4))
        + attribute(43 | 0x8000, xdp)
    )

    link = netlink_links.parse_link(
        message, {5: XdpFeatures.BASIC | XdpFeatures.REDIRECT}
    )

    assert (link.name, link.index, link.is_up, link.mtu_bytes) == ("eth1", 5, True, 1500)
    assert (link.xdp_mode, link.xdp_program_id) == (XdpMode.NATIVE, 42)
    assert link.rx_queue_cnt == 4
    assert link.xdp_features == XdpFeatures.BASIC | XdpFeatures.REDIRECT


@given(st.binary(max_size=200))
def test_cut_off_messages_end_quietly(data: bytes) -> None:
    """A kernel newer than we know may say more than we understand."""
    netlink_links.attributes(data)
    list(netlink_links.messages(data))


def test_this_machine_is_described_and_nothing_is_attached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The JSON has the documented names, and loopback looks as it did before."""
    before = netlink_links.links()

    assert main(["doctor", "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1
    validate(told)
    loopback = next(item for item in told["interfaces"] if item["name"] == "lo")
    assert loopback["kind"] == "loopback"
    assert loopback["choice"]["io"] in ("socket", "asyncio")
    assert netlink_links.links() == before


def test_the_text_names_lane_reason_and_the_firewall(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For people."""
    assert main(["doctor", "--interface", "lo"]) == 0

    text = capsys.readouterr().out
    assert "lo: loopback" in text
    assert "firewall" in text


def test_an_interface_that_is_not_there_is_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With where to look."""
    assert main(["doctor", "--interface", "nope"]) == 1
    assert "ip -brief link" in capsys.readouterr().err
