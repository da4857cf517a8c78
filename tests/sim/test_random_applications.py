"""Whatever two applications do to each other over whatever network: all of it arrives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, note, reject, settings
from hypothesis import strategies as st
from qxapps import Action, Do, Play
from qxsim import Kind, World

from quicxdp.simulation import LinkConfig

if TYPE_CHECKING:
    from tests.sim.conftest import Configurations

# Virtual time; with a fifth of all packets lost, timers back off for long.
HANDSHAKE_S = 120
PATIENCE_S = 240
REST_S = 30

PAIRS = [
    (client, server)
    for client in (Kind.NATIVE, Kind.AIOQUIC)
    for server in (Kind.NATIVE, Kind.AIOQUIC)
]


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything but what the applications do."""

    link: LinkConfig
    max_data: int
    max_stream_data: int
    max_datagram_size: int
    form: Kind  # of our connections
    read_late: bool  # of our connections: credit is given by hand
    closer: int


windows = st.sampled_from([1500, 20_000, 1_000_000])

settings_of_worlds = st.builds(
    Setting,
    link=st.builds(
        LinkConfig,
        seed=st.integers(1, 2**32),
        delay_ns=st.sampled_from([100_000, 5_000_000, 40_000_000]),
        reorder_delay_ns=st.sampled_from([1_000_000, 20_000_000]),
        rate_bytes_per_s=st.sampled_from([0, 0, 200_000, 5_000_000]),
        # On either of two links: a fifth together.
        loss_ppm=st.sampled_from([0, 0, 10_000, 50_000, 100_000]),
        duplicate_ppm=st.sampled_from([0, 50_000]),
        reorder_ppm=st.sampled_from([0, 100_000]),
    ),
    max_data=windows,
    max_stream_data=windows,
    max_datagram_size=st.sampled_from([1200, 1252, 1452]),
    form=st.sampled_from([Kind.NATIVE, Kind.NATIVE, Kind.SANS_IO, Kind.CARRIED]),
    read_late=st.booleans(),
    closer=st.integers(0, 1),
)

scripts = st.lists(
    st.builds(
        Action,
        do=st.sampled_from([Do.OPEN, Do.OPEN, Do.WRITE, Do.WRITE, *Do]),
        side=st.integers(0, 1),
        after_ms=st.sampled_from([0, 0, 1, 30, 400]),
        size=st.sampled_from([0, 1, 100, 1200, 5000, 40_000]),
        number=st.integers(0, 9),
    ),
    min_size=3,
    max_size=16,
)


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: f"{p[0].value}-{p[1].value}")
@settings(
    max_examples=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(setting=settings_of_worlds, script=scripts)
def test_every_byte_arrives(
    pair: tuple[Kind, Kind],
    configurations: Configurations,
    setting: Setting,
    script: list[Action],
) -> None:
    """Streams, resets, stops, stalls, datagrams, new keys, addresses and MTUs mixed."""
    note(f"seed of the links: {setting.link.seed}")
    client, server = (setting.form if kind is Kind.NATIVE else kind for kind in pair)
    both = configurations(
        max_data=setting.max_data,
        max_stream_data=setting.max_stream_data,
        max_datagram_size=setting.max_datagram_size,
    )
    with World((client, server), both, setting.link) as world:
        play = Play(world, read_late=setting.read_late)
        if not play.handshake(at_most_s=HANDSHAKE_S):
            # Handshakes are aioquic's.  Some losses at the worst places are too much for
            # it, and then it has to be the same without us.
            with World((Kind.AIOQUIC, Kind.AIOQUIC), both, setting.link) as theirs:
                assert not Play(theirs).handshake(at_most_s=HANDSHAKE_S)
            reject()
        for action in script:
            play.act(action)

        assert play.finish(at_most_s=PATIENCE_S) == []
        play.check_datagrams(all_of_them=False)
        assert not any(play.streams_left(after_s=REST_S))
        play.close(setting.closer, at_most_s=PATIENCE_S)


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: f"{p[0].value}-{p[1].value}")
def test_a_path_that_dies_ends_both_sides_by_their_idle_timeout(
    pair: tuple[Kind, Kind], configurations: Configurations
) -> None:
    """Whoever waits for bytes that cannot come is told, and of nothing else."""
    link = LinkConfig(delay_ns=5_000_000)
    with World(pair, configurations(), link) as world:
        play = Play(world)
        assert play.handshake(at_most_s=HANDSHAKE_S)
        for side in (0, 1):
            play.act(Action(Do.OPEN, side, after_ms=100, size=40_000, number=1))
        world.configure(replace(link, loss_ppm=1_000_000))
        play.act(Action(Do.OPEN, 0, after_ms=0, size=40_000, number=0))

        assert play.finish(at_most_s=1) != []
        # Three probe timeouts may be longer than the configured time (RFC 9000 10.1).
        world.run(lambda: all(s.terminated for s in play.sides), at_most_s=4 * 60)

        for each in play.sides:
            assert each.terminated is not None
            assert each.terminated.reason_phrase == "Idle timeout"
