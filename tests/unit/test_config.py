from __future__ import annotations

import pytest

from quicxdp.config import DatapathConfig, Io, SendLimits
from quicxdp.errors import ConfigError, DatapathError, QuicxdpError


@pytest.mark.parametrize("io", list(Io))
def test_io_is_given_by_name_or_as_the_enum(io: Io) -> None:
    """A command line has the name, a program may have the member."""
    assert Io.parse(io.value) is io
    assert Io.parse(io) is io


def test_an_unknown_io_is_refused_with_the_names_that_exist() -> None:
    """A typo must not silently mean "auto"."""
    with pytest.raises(ConfigError, match="auto, socket, xdp, hybrid, asyncio"):
        Io.parse("xpd")


@pytest.mark.parametrize("name", ["a" * 16, "ä" * 8])
def test_an_interface_name_that_linux_would_cut_is_refused(name: str) -> None:
    """XDP must never attach to another interface than the one that was named."""
    with pytest.raises(ConfigError, match="15 bytes"):
        DatapathConfig(interfaces=(name,))


@pytest.mark.parametrize("count", [3, -1, 2047])
def test_frame_counts_are_powers_of_two(count: int) -> None:
    """The rings of the kernel are."""
    with pytest.raises(ConfigError, match="power of two"):
        DatapathConfig(rx_frame_cnt=count)


@pytest.mark.parametrize("count", [0, 257])
def test_a_send_batch_fits_one_call(count: int) -> None:
    """One qx_send takes at most QX_BATCH_MAX datagrams."""
    with pytest.raises(ConfigError, match="between 1 and 256"):
        SendLimits(batch_datagram_cnt=count)


def test_a_datapath_error_is_an_os_error_with_its_number() -> None:
    """Code written for sockets catches OSError and looks at errno."""
    error = DatapathError(16, "opening: busy")

    assert isinstance(error, OSError)
    assert isinstance(error, QuicxdpError)
    assert error.errno == 16
    assert error.strerror == "opening: busy"
