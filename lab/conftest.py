"""What the scenarios share in the guest: its cable, and how zero-copy is proved."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import qxnet

from tests.netns.conftest import certificate, site
from tests.netns.serving import fetched, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import qxserve

__all__ = ["certificate", "site"]

# igb takes three seconds to bring its link up again; twice that is a failure.
LINK_UP_TIMEOUT_S = 10.0
LOOK_INTERVAL_S = 0.02


@dataclass(frozen=True, slots=True)
class Exchange:
    """A server on the cable's one end that is fetched from at the other."""

    link: qxnet.Link
    site: Path
    certificate: qxserve.Certificate

    @contextlib.contextmanager
    def serving(
        self,
        *,
        hosts: tuple[str, ...] = ("10.77.0.1", "fd77::1"),
        io: str = "xdp",
        options: tuple[str, ...] = (),
    ) -> Iterator[qxserve.Server]:
        """Run `quicxdp serve`; its link is up when the block starts."""
        with serving(
            self.link, self.site, self.certificate, hosts=hosts, io=io, options=options
        ) as server:
            wait_for_link(self.link)
            yield server

    def fetched(self, host: str = "10.77.0.1", *, options: tuple[str, ...] = ()) -> bytes:
        """Return what gtlsclient gets."""
        return fetched(self.link, self.site, self.certificate, host=host, options=options)

    @property
    def content(self) -> bytes:
        """Return the file that is served."""
        return (self.site / "file.bin").read_bytes()


def pytest_configure() -> None:
    """Refuse to run on the host: interfaces are moved about here."""
    if "LAB_DRIVER" not in os.environ:
        raise pytest.UsageError("scenarios run in a guest; see: make lab")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out tests that are about another driver than this guest's."""
    for item in items:
        only = item.get_closest_marker("driver")
        if only is not None and only.args[0] != os.environ["LAB_DRIVER"]:
            item.add_marker(pytest.mark.skip(reason=f"only on {only.args[0]}"))


@pytest.fixture
def driver() -> str:
    """Return which driver the guest's NICs have."""
    return os.environ["LAB_DRIVER"]


@pytest.fixture
def link() -> Iterator[qxnet.Link]:
    """Two namespaces, each with one NIC of the cable; nothing stays attached to it."""
    with qxnet.adopted("eth0", "eth1") as made:
        wait_for_link(made)
        yield made
        assert not made.server.xdp_attached()


def wait_for_link(link: qxnet.Link) -> None:
    """Wait until both ends have their carrier; binding takes igb's away for a while."""
    for netns in (link.server, link.client):
        deadline = time.monotonic() + LINK_UP_TIMEOUT_S
        while not _has_carrier(netns):
            assert time.monotonic() < deadline, f"{netns.interface} stays down"
            time.sleep(LOOK_INTERVAL_S)


def _has_carrier(netns: qxnet.Netns) -> bool:
    argv = ["cat", f"/sys/class/net/{netns.interface}/carrier"]
    with contextlib.suppress(qxnet.NetnsError):
        return netns.run(argv).stdout.strip() == "1"
    return False


@pytest.fixture
def proved(record_property: Callable[[str, object], None]) -> Callable[[], None]:
    """Return what a test calls once the kernel has told that zero-copy was obtained."""
    return lambda: record_property("zerocopy", os.environ["LAB_DRIVER"])


@pytest.fixture
def exchange(link: qxnet.Link, site: Path, certificate: qxserve.Certificate) -> Exchange:
    """Return what serves and fetches over the cable."""
    return Exchange(link, site, certificate)
