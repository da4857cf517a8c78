"""The demo's verdict: every contradiction to "this went over AF_XDP" is found."""

from __future__ import annotations

import dataclasses

import demo
import pytest
import qxnet

FETCHED_BYTES = 3_000_000
STILL = qxnet.UdpCounters(in_datagrams=0, out_datagrams=0, no_ports=0, in_errors=0)
GOOD = demo.Measured(rx_xdp=1000, tx_xdp=2600, driver_redirects=1000, kernel=STILL)


def kernel(*, in_datagrams: int = 0, out_datagrams: int = 0) -> qxnet.UdpCounters:
    """Return what the kernel's UDP stack has moved."""
    return dataclasses.replace(
        STILL, in_datagrams=in_datagrams, out_datagrams=out_datagrams
    )


@pytest.mark.parametrize(
    "measured",
    [
        GOOD,
        dataclasses.replace(GOOD, kernel=kernel(in_datagrams=9, out_datagrams=9)),
        dataclasses.replace(GOOD, tx_xdp=2000),
    ],
)
def test_a_proved_lane_is_called_proved(measured: demo.Measured) -> None:
    """A few datagrams through the kernel (under one in a hundred) are no objection."""
    assert demo.judge(measured, FETCHED_BYTES) == []


@pytest.mark.parametrize(
    ("measured", "objection"),
    [
        (demo.Measured(0, 0, 0, STILL), "no packet came in"),
        (dataclasses.replace(GOOD, driver_redirects=1001), "the driver redirected 1001"),
        (dataclasses.replace(GOOD, rx_xdp=1001), "the RX rings have 1001"),
        (dataclasses.replace(GOOD, tx_xdp=1999), "cannot have carried"),
        (
            dataclasses.replace(GOOD, kernel=kernel(in_datagrams=10)),
            "moved 10 datagrams in",
        ),
        (dataclasses.replace(GOOD, kernel=kernel(out_datagrams=10)), "moved 10"),
    ],
)
def test_every_contradiction_is_said(measured: demo.Measured, objection: str) -> None:
    """The demo may only say OK when all who count agree."""
    assert objection in "\n".join(demo.judge(measured, FETCHED_BYTES))
