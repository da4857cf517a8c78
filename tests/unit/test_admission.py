"""What a server admits: the options, the gate in Python, and that C's says the same."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from aioquic.quic.packet import QuicProtocolVersion
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quicxdp import _native_admission as native
from quicxdp import first_packet
from quicxdp.addresses import AddressBook
from quicxdp.admission import (
    DEFAULT,
    PREFIX_CNT,
    REFUSED,
    Admission,
    Refusal,
    Retry,
    Verdict,
)
from quicxdp.engine_gate import EngineGate
from quicxdp.errors import ConfigError
from quicxdp.plain_gate import PlainGate, PrefixLimit
from quicxdp.retry_tokens import LIFETIME_S, RetryTokens, TokenState

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = bytes(range(16))
VERSIONS = [int(QuicProtocolVersion.VERSION_1), int(QuicProtocolVersion.VERSION_2)]
CID_LEN_BYTES = 8
MS_NS = 1_000_000
START_NS = 100_000 * MS_NS
TIGHT = Admission(
    max_connections=40, max_handshakes=24, new_per_prefix_hz=100.0, retry=Retry.AUTO
)

# ---- Options ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "member"),
    [
        *((True, Retry.ALWAYS), (False, Retry.NEVER)),
        *(("auto", Retry.AUTO), (Retry.ALWAYS, Retry.ALWAYS)),
    ],
)
def test_retry_means_what_it_means_in_aioquic_and_more(
    value: bool | str | Retry,  # noqa: FBT001  # aioquic's type
    member: Retry,
) -> None:
    """Code that was written for aioquic passes True or False."""
    assert Retry.parse(value) is member


@pytest.mark.parametrize(
    "options",
    [
        *({"max_connections": 0}, {"max_handshakes": -1}),
        *({"handshake_timeout_s": 0.0}, {"handshake_timeout_s": float("nan")}),
        *({"new_per_prefix_hz": -1.0}, {"new_per_prefix_hz": 1e9}),
        {"new_per_prefix_hz": float("nan")},
    ],
)
def test_limits_without_sense_are_refused_and_named(options: dict[str, Any]) -> None:
    """A server with a limit of nothing would be silent."""
    name = next(iter(options)).removesuffix("_s").removesuffix("_hz")
    with pytest.raises(ConfigError, match=name):
        Admission(**options)


def test_retry_of_another_name_is_refused() -> None:
    """A slip must not leave a server without protection."""
    with pytest.raises(ConfigError, match="auto"):
        Retry.parse("sometimes")


def test_both_sides_have_the_same_names_for_refusals() -> None:
    """They are keys of the statistics, whichever gate has counted."""
    names = [why.name.lower() for why in Refusal if why is not Refusal.QUEUE_FULL]

    assert native.refusal_names() == names


# ---- Two gates, one answer -------------------------------------------------------------


class Twins:
    """The gate in C and the one in Python, told the same."""

    def __init__(self, admission: Admission) -> None:
        self.known: set[bytes] = set()
        self.tokens = RetryTokens(KEY)
        self.plain = PlainGate(
            admission,
            self.tokens,
            versions=VERSIONS,
            known=self.known,
            cid_len_bytes=CID_LEN_BYTES,
        )
        self.c = EngineGate(
            admission,
            retry_key=KEY,
            token_lifetime_s=LIFETIME_S,
            versions=VERSIONS,
            cid_len_bytes=CID_LEN_BYTES,
            book=AddressBook(socket.AF_INET6),
        )

    def judge(self, data: bytes, addr: Any, now_ns: int) -> int:  # noqa: ANN401
        """Return what both say."""
        verdict = self.c.judge(data, addr, now_ns)
        assert self.plain.judge(data, addr, now_ns) == verdict
        return verdict

    def know(self, cid: bytes) -> None:
        """Tell both of an ID."""
        self.known.add(cid)
        self.c.know(cid)

    def forget(self, cid: bytes) -> None:
        """Tell both that it is gone."""
        self.known.discard(cid)
        self.c.forget(cid)

    def set_load(self, connections: int, handshakes: int, *, closed: bool) -> None:
        """Tell both how much there is."""
        self.plain.set_load(connections, handshakes, closed=closed)
        self.c.set_load(connections, handshakes, closed=closed)

    def use_token(self, token: bytes) -> None:
        """Tell both that a token was used."""
        self.tokens.use(token)
        self.c.use_token(token)


@pytest.fixture
def twins() -> Iterator[Twins]:
    """Build them with tight limits."""
    made = Twins(TIGHT)
    yield made
    assert made.c.counts() == made.plain.counts()
    made.c.close()


def initial(
    dcid: bytes = b"12345678",
    *,
    token: bytes = b"",
    version: int = VERSIONS[0],
    size: int = 1200,
) -> bytes:
    """Return an Initial whose payload is noise."""
    first = 0xD0 if version == VERSIONS[1] else 0xC0
    head = bytes([first]) + version.to_bytes(4, "big")
    head += bytes([len(dcid)]) + dcid + b"\x04scid"
    head += (0x4000 | len(token)).to_bytes(2, "big") + token
    return (
        head
        + (0x4000 | size - len(head) - 2).to_bytes(2, "big")
        + bytes(size - len(head) - 2)
    )


def peer(network: int, port: int = 4000) -> tuple[str, int, int, int]:
    """Return an address in one of two times 256 networks, of either family."""
    if network % 2:
        return (f"2001:db8:0:{network // 2:x}00::1", port, 0, 0)
    return (f"::ffff:198.18.{network // 2}.7", port, 0, 0)


def ask_for_token(twins: Twins, addr: Any, now_ns: int) -> tuple[bytes, bytes]:  # noqa: ANN401
    """Return the token and the connection ID of a Retry packet that C writes."""
    twins.set_load(0, TIGHT.retry_from_cnt or 0, closed=False)
    assert twins.judge(initial(), addr, now_ns) == Verdict.RETRY
    packet = twins.c.answer()
    start = 1 + 4 + 1 + 4 + 1
    return packet[start + 8 : -16], packet[start : start + 8]


def test_python_reads_the_tokens_that_c_writes(twins: Twins) -> None:
    """aioquic's server opens the connection that C has let through."""
    for addr in (peer(0), peer(1)):
        token, cid = ask_for_token(twins, addr, START_NS)
        now_s = START_NS / 1e9 + 1

        assert twins.tokens.state(addr, cid, token, now_s) is TokenState.VALID
        assert (
            twins.tokens.validate_token(
                address=addr, destination_cid=cid, token=token, now=now_s
            )
            == b"12345678"
        )
        assert twins.tokens.state(addr, cid, token, now_s + 31) is TokenState.EXPIRED
        assert twins.tokens.state(peer(2), cid, token, now_s) is TokenState.ADDRESS
        assert twins.tokens.state(addr, b"x" * 8, token, now_s) is TokenState.ADDRESS
        damaged = token[:-1] + bytes([token[-1] ^ 1])
        assert twins.tokens.state(addr, cid, damaged, now_s) is TokenState.FOREIGN
        again = initial(cid, token=token)
        assert twins.judge(again, addr, START_NS + MS_NS) == Verdict.RETRIED
        twins.use_token(token)
        assert twins.tokens.state(addr, cid, token, now_s) is TokenState.REPLAYED
        assert twins.judge(again, addr, START_NS + MS_NS) == Verdict.BAD_TOKEN


def test_c_reads_the_tokens_that_aioquic_writes_and_takes_them_for_old(
    twins: Twins,
) -> None:
    """One form of token; but C knows only its own numbers, so that none is used twice."""
    token = twins.tokens.create_token(
        address=peer(0),
        original_destination_connection_id=b"12345678",
        retry_source_connection_id=b"retrycid",
        now=START_NS / 1e9,
    )

    verdict = twins.c.judge(initial(b"retrycid", token=token), peer(0), START_NS + MS_NS)

    assert verdict == Verdict.BAD_TOKEN
    assert twins.c.counts().refused[Refusal.TOKEN_EXPIRED] == 1
    twins.plain.counts().refused[Refusal.TOKEN_EXPIRED] += 1


steps = st.lists(
    st.tuples(
        st.sampled_from(["new", "known", "small", "version", "junk", "load", "forget"]),
        st.integers(0, 5),  # networks, or who
        st.integers(0, 40),  # how much
        st.integers(0, 30),  # milliseconds
        st.binary(max_size=60),
    ),
    max_size=120,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps)
def test_the_gates_in_c_and_in_python_say_the_same(steps: list[Any]) -> None:
    """Which engine handles a connection must not decide who may have one."""
    twins = Twins(TIGHT)
    now_ns = START_NS
    for kind, number, amount, ms, noise in steps:
        now_ns += ms * MS_NS
        cid = bytes([number, amount]) * 5
        if kind == "load":
            twins.set_load(amount, amount * 2 // 3, closed=number == 0)
        elif kind == "known":
            twins.know(cid)
            assert twins.judge(initial(cid, size=300), peer(number), now_ns) == 0
        elif kind == "forget":
            twins.forget(cid)
        elif kind == "small":
            twins.judge(initial(cid, size=1199), peer(number), now_ns)
        elif kind == "version":
            twins.judge(initial(cid, version=amount << 8), peer(number), now_ns)
        elif kind == "new":
            twins.judge(initial(cid, token=noise), peer(number), now_ns)
        else:
            twins.judge(noise, peer(number), now_ns)
            twins.judge(noise + bytes(1200), peer(number), now_ns)
            head = initial(cid)[: amount + 1]
            twins.judge(head + noise + bytes(1200), peer(number), now_ns)
    assert twins.c.counts() == twins.plain.counts()
    twins.c.close()


@given(st.binary(max_size=80))
def test_any_bytes_are_read_as_a_first_packet_or_refused(noise: bytes) -> None:
    """These are the first bytes of a stranger that Python looks at."""
    packet = first_packet.read(noise)
    if packet is not None:
        token = first_packet.token(noise, packet)
        assert token is None or token in noise
        assert first_packet.destination(noise) == packet.dcid


def test_many_networks_cost_bounded_memory() -> None:
    """A flood has as many as it likes."""
    limit = PrefixLimit(MS_NS, 1)

    for number in range(3 * PREFIX_CNT):
        limit.passes(f"10.{number >> 8 & 255}.{number & 255}.1", number)
        assert len(limit) <= PREFIX_CNT


def test_a_closed_gate_is_told_in_vain_and_remembers_its_counters(twins: Twins) -> None:
    """A server's connections end after its transport is gone."""
    assert twins.judge(b"\x40", peer(0), START_NS) == REFUSED + Refusal.MALFORMED
    twins.c.close()
    twins.c.know(b"12345678")
    twins.c.forget(b"12345678")
    twins.c.set_load(1, 1, closed=True)
    twins.c.use_token(bytes(40))
    twins.c.close()


def test_the_defaults_ask_for_proof_at_an_eighth_of_the_handshakes() -> None:
    """What the documentation says."""
    assert DEFAULT.retry_from_cnt == DEFAULT.max_handshakes // 8
    assert Admission(retry=Retry.ALWAYS).retry_from_cnt == 0
    assert Admission(retry=Retry.NEVER).retry_from_cnt is None
