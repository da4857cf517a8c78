"""What can happen to a network while it is used: troubles, done and undone on a link.

Each is a pair of functions: what happens, and how it ends.  `dress` makes everything that
is configured on a link as it should be, however little was left of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    import qxnet

__all__ = ["HOSTS", "TROUBLES", "Trouble", "dress"]

# Where the server can be reached: on the link, and behind the client's routes.
HOSTS: Final = ("10.77.0.1", "fd77::1", "10.78.0.1", "fd78::1")
# Other addresses of the server, as gateways.
_GATEWAYS: Final = ("10.77.0.3", "fd77::3")
_MTU_BYTES: Final = 1500
# QUIC and IPv6 want 1280 (RFC 9000 section 14, RFC 8200 section 5).
_MTU_MIN_BYTES: Final = 1290
_NOBODY: Final = "02:00:00:00:de:ad"


def _ip(netns: qxnet.Netns, *commands: str, check: bool = True) -> None:
    for command in commands:
        netns.run(["ip", *command.split()], check=check)


def _route(host: str, *, via: int, mtu: str = "") -> str:
    """Return the command that routes *host* by the server's first or other address."""
    first, other = (
        ("fd77::1", _GATEWAYS[1]) if ":" in host else HOSTS[0:1] + _GATEWAYS[:1]
    )
    family, bits = ("-6", 128) if ":" in host else ("-4", 32)
    gateway = (first, other)[via]
    return f"{family} route replace {host}/{bits} via {gateway} {mtu}".rstrip()


def dress(link: qxnet.Link) -> None:
    """Give both ends what they should have; harmless when they do."""
    server, client = link.server, link.client
    for netns in (server, client):
        device = netns.interface
        _ip(
            netns,
            f"link set {device} up mtu {_MTU_BYTES}",
            f"address replace {netns.address4}/24 dev {device}",
            f"address replace {netns.address6}/64 dev {device} nodad",
        )
    device = server.interface
    _ip(
        server,
        *(f"address replace {_GATEWAYS[0]}/24 dev {device}",),
        *(f"address replace {_GATEWAYS[1]}/64 dev {device} nodad",),
        *(f"address replace {HOSTS[2]}/32 dev {device}",),
        *(f"address replace {HOSTS[3]}/128 dev {device} nodad",),
    )
    _ip(client, *(_route(host, via=0) for host in HOSTS[2:]))


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens, and how it ends."""

    name: str
    begin: Callable[[qxnet.Link, random.Random], None]
    end: Callable[[qxnet.Link], None] = dress


def _end(link: qxnet.Link, dice: random.Random) -> qxnet.Netns:
    return dice.choice((link.server, link.client))


def _link_down(link: qxnet.Link, dice: random.Random) -> None:
    netns = _end(link, dice)
    _ip(netns, f"link set {netns.interface} down")


def _cable_cut(link: qxnet.Link, _: random.Random) -> None:
    link.cut()


def _cable_laid(link: qxnet.Link) -> None:
    link.lay()
    dress(link)


def _link_mtu(link: qxnet.Link, dice: random.Random) -> None:
    netns = _end(link, dice)
    mtu = dice.randrange(_MTU_MIN_BYTES, _MTU_BYTES)
    _ip(netns, f"link set {netns.interface} mtu {mtu}")


def _neighbours_flushed(link: qxnet.Link, dice: random.Random) -> None:
    netns = _end(link, dice)
    _ip(netns, f"neigh flush dev {netns.interface}")


def _neighbours_wrong(link: qxnet.Link, _: random.Random) -> None:
    _ip(
        link.client,
        *(
            f"neigh replace {host} dev {link.client.interface} lladdr {_NOBODY} "
            f"nud permanent"
            for host in HOSTS[:2]
        ),
    )


def _neighbours_right(link: qxnet.Link) -> None:
    device = link.client.interface
    _ip(
        link.client,
        *(f"neigh del {host} dev {device}" for host in HOSTS[:2]),
        check=False,
    )
    dress(link)


def _mac_changed(link: qxnet.Link, dice: random.Random) -> None:
    address = f"02:00:00:00:{dice.randrange(256):02x}:{dice.randrange(256):02x}"
    _ip(link.server, f"link set {link.server.interface} address {address}")
    _ip(link.client, f"neigh flush dev {link.client.interface}")


def _route_mtu(link: qxnet.Link, dice: random.Random) -> None:
    mtu = f"mtu {dice.randrange(_MTU_MIN_BYTES, _MTU_BYTES)}"
    _ip(link.client, *(_route(host, via=0, mtu=mtu) for host in HOSTS[2:]))


def _route_moved(link: qxnet.Link, _: random.Random) -> None:
    _ip(link.client, *(_route(host, via=1) for host in HOSTS[2:]))


def _route_gone(link: qxnet.Link, _: random.Random) -> None:
    _ip(
        link.client,
        *(f"route del {HOSTS[2]}/32", f"-6 route del {HOSTS[3]}/128"),
    )


_RULES: Final = ("rule {} pref 100 lookup main", "-6 rule {} pref 100 lookup main")


def _rules_added(link: qxnet.Link, _: random.Random) -> None:
    _ip(link.client, *(rule.format("add") for rule in _RULES))


def _rules_removed(link: qxnet.Link) -> None:
    _ip(link.client, *(rule.format("del") for rule in _RULES), check=False)


TROUBLES: Final = (
    Trouble("link down", _link_down),
    Trouble("cable cut", _cable_cut, _cable_laid),
    Trouble("link MTU", _link_mtu),
    Trouble("neighbours flushed", _neighbours_flushed),
    Trouble("neighbours wrong", _neighbours_wrong, _neighbours_right),
    Trouble("MAC address changed", _mac_changed),
    Trouble("route MTU", _route_mtu),
    Trouble("route moved", _route_moved),
    Trouble("route gone", _route_gone),
    Trouble("policy rules", _rules_added, _rules_removed),
)
