"""The doctor: netlink, capabilities, and what follows from them."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quicxdp.cli import diagnosis, host_facts, main, netlink_links
from quicxdp.cli.diagnosis import NativeXdp, judge
from quicxdp.cli.host_facts import Capability, Host
from quicxdp.cli.netlink_links import Link, XdpFeatures, XdpMode
from quicxdp.config import Io
from quicxdp.device import Device, DeviceKind

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
    assert any("reset the link" in note for note in found.notes)


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
    assert found.choice.io is Io.XDP


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
    assert told.keys() == {
        "schema", "versions", "native", "host", "choice", "interfaces", "advice",
    }  # fmt: skip
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
