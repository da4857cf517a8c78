"""The tables say what may follow what; these walk every cell."""

from __future__ import annotations

from itertools import product

import pytest

from quicxdp.h3.codes import ErrorCode
from quicxdp.h3.states import RECV, RECV_ROWS, SEND, SEND_ROWS, Got, Put, Recv, Send


@pytest.mark.parametrize(("state", "got"), list(product(Recv, Got)))
def test_every_cell_of_the_receiving_table_is_decided(state: Recv, got: Got) -> None:
    """A frame in a state that nobody thought of would be whatever the code does."""
    cell = RECV[state][got]

    assert isinstance(cell, Recv | ErrorCode)
    assert RECV_ROWS[state][got] is cell


@pytest.mark.parametrize(("state", "put"), list(product(Send, Put)))
def test_every_cell_of_the_sending_table_is_decided(state: Send, put: Put) -> None:
    """What an application may send is not left to what QUIC makes of it."""
    cell = SEND[state][put]

    assert cell is None or isinstance(cell, Send)
    assert SEND_ROWS[state][put] is cell


def test_nothing_leaves_the_last_states_of_both_tables() -> None:
    """A message that is over stays over."""
    assert not any(isinstance(cell, Recv) for cell in RECV[Recv.DONE].values())
    assert {SEND[Send.GONE][put] for put in Put} == {Send.GONE}
    assert {SEND[Send.ENDED][put] for put in Put} == {None}


def test_each_state_is_reached_and_each_message_can_end() -> None:
    """A state without a way out would keep its stream for ever."""
    for table, start, ends in (
        (RECV, Recv.WAIT, {Recv.DONE}),
        (SEND, Send.WAIT, {Send.ENDED}),
    ):
        seen = {start}
        while True:
            more = {
                cell
                for state in seen
                for cell in table[state].values()  # type: ignore[index]
                if isinstance(cell, Recv | Send)
            }
            if more <= seen:
                break
            seen |= more
        assert ends <= seen
