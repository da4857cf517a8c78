"""aioquic's own tests over FastConnection, in the place of aioquic's QuicConnection.

engine_views.py lets them look into the engine and put frames into it.  What cannot pass
is listed here, by name and with its reason, and nothing else fails.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import qxupstream

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

# Of aioquic 1.7.2: how many tests each file has, so that one that vanished must show.
TEST_CNT: Final = {
    "test_asyncio.py": 31,
    "test_connection.py": 210,
    "test_h0.py": 3,
    "test_h3.py": 93,
    "test_webtransport.py": 9,
}

TIMELINE: Final = "QuicConnectionTimelineTest"
CONNECTION: Final = "QuicConnectionTest"

# Of test_connection.py.
LEFT_OUT: Final = {
    f"{TIMELINE}::test_connect_with_0rtt_and_amplification_limited_paced_response": (
        "holds aioquic's pacer to its own numbers; the engine's has others"
    ),
    f"{TIMELINE}::test_migrate_amplification_limit_with_pacing": (
        "holds aioquic's pacer to its own numbers; the engine's has others"
    ),
    f"{TIMELINE}::test_connect_with_lost_server_handshake_done": (
        "aioquic counts a PTO from the last packet of any space; the engine from the "
        "last of its own, which may be due as soon as the handshake is confirmed"
    ),
    f"{TIMELINE}::test_migrate_to_spoofed_address_with_many_ack_ranges": (
        "aioquic assumes the largest size for each ACK range; the engine's ACK frames "
        "hold as many ranges as fit"
    ),
    f"{CONNECTION}::test_send_max_data_blocked_by_cc": (
        "the engine's window does not grow while it is not used (RFC 9002 section 7.8)"
    ),
    f"{CONNECTION}::test_send_max_stream_data_retransmit": (
        "expects windows to double when half of them has come; the engine's follow what "
        "was used up"
    ),
    f"{CONNECTION}::test_send_max_streams_retransmit": (
        "expects ended streams to count until the next packet but one"
    ),
}


@pytest.fixture(scope="session")
def tests() -> Path:
    """Return the folder of the installed aioquic's tests."""
    try:
        return qxupstream.sources() / "tests"
    except qxupstream.UnreachableError as error:
        pytest.skip(f"aioquic's sources cannot be downloaded: {error}")


@pytest.fixture(scope="module")
def runs(tests: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Run them all."""
    env = {"PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT)])}
    with qxupstream.running(
        TEST_CNT, lambda name: (tests / name, "engine_views", env)
    ) as started:
        yield started


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", TEST_CNT)
def test_aioquics_own_tests_pass_over_the_engine(
    runs: dict[str, subprocess.Popen[str]], name: str
) -> None:
    """All of them but for those on the list, and those do fail."""
    expected = set(LEFT_OUT) if name == "test_connection.py" else set()

    said, _ = runs[name].communicate()

    failed = set(re.findall(rf"^FAILED \S*{name}::(\S+)", said, re.MULTILINE))
    assert failed == expected, said[-20_000:]
    assert f"{TEST_CNT[name] - len(expected)} passed" in said, said[-5000:]
