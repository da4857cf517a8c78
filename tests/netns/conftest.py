"""The network of these tests, and the check that each leaves it as it was."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import qxnet
import qxserve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_BYTES = 3_000_000


@pytest.fixture(scope="session", autouse=True)
def _namespaces_are_possible() -> None:
    reason = qxnet.unavailable()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def link() -> Iterator[qxnet.Link]:
    """Two namespaces joined by veth with one queue; nothing stays attached to it."""
    with qxnet.joined() as made:
        yield made
        assert not made.server.xdp_attached()


@pytest.fixture
def link2() -> Iterator[qxnet.Link]:
    """The same with two queues, among which the kernel spreads flows by their ports."""
    with qxnet.joined(queue_cnt=2) as made:
        yield made
        assert not made.server.xdp_attached()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> qxserve.Certificate:
    """Return a development certificate for both ends of a link."""
    names = ["localhost", "10.77.0.1", "fd77::1"]
    return qxserve.make_certificate(tmp_path_factory.mktemp("cert"), names)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with one file of random bytes to serve."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "file.bin").write_bytes(os.urandom(FILE_BYTES))
    return folder
