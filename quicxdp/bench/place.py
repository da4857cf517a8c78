"""Where server and client run, and which of the measuring rules that place keeps.

The rules: traffic stays in namespaces of our own, whose loopback has an MTU of 1500 (with
its usual 65,536 a datagram is as long as 45 of a real network); server and client have a
core each.  What cannot be kept is said, in `Place.broken_rules`.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from quicxdp.config import Io

from . import namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .netem import Shape

MTU_BYTES: Final = 1500
_CORES_WANTED: Final = 2
# What takes an interface.
_RINGS: Final = (Io.XDP, Io.HYBRID)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a benchmark takes place.

    Attributes:
        link: "loopback" or "veth"; "network" if the server is somebody else's.
        host: the address that our server listens on; "" without one.
        interface: of the server, for AF_XDP; None where that is not in use.
        namespaces: the server's and the client's; None is the one we are in.
        cores: the server's and the client's; None is any.
        shaper: what of the kernel delays or drops packets, in words; None: nothing.
        broken_rules: which rules are not kept, in sentences.
    """

    link: str
    host: str
    interface: str | None
    namespaces: tuple[int | None, int | None]
    cores: tuple[int | None, int | None]
    shaper: str | None
    broken_rules: tuple[str, ...]


@contextmanager
def own(
    *, io: Io, is_ipv6: bool, cores: tuple[int, int] | None, shape: Shape | None = None
) -> Iterator[Place]:
    """Find a place for a server of ours and its client.

    Raises:
        OSError: AF_XDP needs a link of its own, which cannot be made; or the kernel
            cannot do to it what *shape* says.
    """
    broken: list[str] = []
    chosen = _cores(cores, broken)
    with ExitStack() as stack:
        if io in _RINGS or shape is not None:
            server, client = stack.enter_context(namespaces.joined(mtu_bytes=MTU_BYTES))
            shaper = None
            if shape is not None:
                ends = (
                    (server, namespaces.SERVER_INTERFACE),
                    (client, namespaces.CLIENT_INTERFACE),
                )
                for namespace, interface in ends:
                    with namespaces.entered(namespace):
                        shaper = shape.apply(interface)
            yield Place(
                "veth",
                namespaces.SERVER_ADDRESSES[is_ipv6],
                namespaces.SERVER_INTERFACE if io in _RINGS else None,
                (server, client),
                chosen,
                shaper,
                tuple(broken),
            )
            return
        host = "::1" if is_ipv6 else "127.0.0.1"
        both: int | None = None
        try:
            both = stack.enter_context(namespaces.new())
            with namespaces.entered(both):
                namespaces.ip("link", "set", "lo", "mtu", str(MTU_BYTES))
        except OSError as error:
            broken.append(
                f"no namespace of its own ({error.strerror}): this machine's loopback, "
                f"whose MTU of 65536 flatters large datagrams and whose other traffic "
                f"counts as busy time"
            )
        yield Place("loopback", host, None, (both, both), chosen, None, tuple(broken))


def elsewhere(cores: tuple[int, int] | None) -> Place:
    """Return where the client of somebody else's server runs."""
    broken = ["the server is not ours: its CPU time and memory are not known"]
    available = sorted(os.sched_getaffinity(0))
    core = cores[1] if cores else available[-1]
    return Place("network", "", None, (None, None), (None, core), None, tuple(broken))


def _cores(
    wanted: tuple[int, int] | None, broken: list[str]
) -> tuple[int | None, int | None]:
    if wanted is not None:
        if wanted[0] == wanted[1]:
            broken.append("server and client share a core")
        return wanted
    available = sorted(os.sched_getaffinity(0))
    if len(available) < _CORES_WANTED:
        broken.append("server and client share the only core there is")
        return None, None
    return available[0], available[1]
