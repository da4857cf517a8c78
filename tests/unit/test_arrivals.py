from __future__ import annotations

import pytest

from quicxdp.arrivals import BYTES_MAX, DATAGRAM_CNT_MAX, Arrival, Arrivals, Handshakes

ADDR = ("192.0.2.1", 4000)


def arrival(data: bytes) -> Arrival:
    """Return a datagram that was let through."""
    return Arrival(data, ADDR, 0)


def test_what_came_for_one_id_is_taken_together_and_in_order() -> None:
    """A connection then transmits once, and its Finished is not overtaken."""
    arrivals = Arrivals()
    for number in range(6):
        assert arrivals.add(b"ab"[number % 2 : number % 2 + 1], arrival(bytes([number])))

    assert (len(arrivals), arrivals.cid_cnt) == (6, 2)
    cid, taken = arrivals.pop()
    assert (cid, [one.data[0] for one in taken]) == (b"a", [0, 2, 4])
    cid, taken = arrivals.pop()
    assert (cid, [one.data[0] for one in taken]) == (b"b", [1, 3, 5])
    assert not arrivals
    with pytest.raises(KeyError):
        arrivals.pop()


def test_the_queue_is_bounded_in_number_and_size() -> None:
    """A flood costs what is allowed, and no more."""
    arrivals = Arrivals()
    for number in range(DATAGRAM_CNT_MAX):
        assert arrivals.add(b"%d" % number, arrival(b"x"))
    assert not arrivals.add(b"more", arrival(b"x"))
    arrivals.pop()
    assert arrivals.add(b"more", arrival(b"x"))
    arrivals.clear()
    assert (len(arrivals), arrivals.cid_cnt) == (0, 0)
    assert arrivals.add(b"a", arrival(bytes(BYTES_MAX)))
    assert not arrivals.add(b"b", arrival(b"x"))
    arrivals.pop()
    assert arrivals.add(b"b", arrival(b"x"))


def test_the_time_of_handshakes_runs_out_in_their_order() -> None:
    """One timer for the first of them is enough."""
    handshakes: Handshakes[str] = Handshakes(10.0)
    assert handshakes.next_s() is None
    for number, name in enumerate("abc"):
        handshakes.begin(name, float(number))
    handshakes.end("b")
    handshakes.end("b")

    assert ("a" in handshakes, "b" in handshakes, len(handshakes)) == (True, False, 2)
    assert handshakes.next_s() == 10.0
    assert handshakes.take_expired(9.9) == []
    assert handshakes.take_expired(10.0) == ["a"]
    assert handshakes.next_s() == 12.0
    assert handshakes.take_expired(100.0) == ["c"]
    assert len(handshakes) == 0
