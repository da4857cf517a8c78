"""Looking before sleeping: when it is done, and that nothing else changes."""

from __future__ import annotations

import asyncio
import errno
import itertools
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import uvloop

import quicxdp
from quicxdp.datapath import Datapath
from quicxdp.errors import DatapathError
from quicxdp.spin import Spin
from tests.unit.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable

LOCALHOST = "127.0.0.1"
SPIN_US = 50
PATIENCE_S = 10
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def test_vain_spins_become_rare_and_a_lucky_one_starts_over() -> None:
    """A quiet endpoint must not burn a core, and must notice when it pays again."""
    answers = [False] * 8 + [True, False, False]
    looked_at = []

    def look(spin_ns: int) -> bool:
        assert spin_ns == 20_000
        looked_at.append(turn)
        return answers[len(looked_at) - 1]

    spin = Spin(look, 20_000)
    for turn in range(1000):  # look() reads it
        found = spin.look()
        assert found == (turn in looked_at and answers[len(looked_at) - 1])
        if len(looked_at) == len(answers):
            break

    gaps = [after - before for before, after in itertools.pairwise(looked_at)]
    assert gaps == [2, 4, 8, 16, 32, 64, 64, 64, 1, 2]


@pytest.mark.parametrize("loop", list(LOOPS))
def test_a_spinning_endpoint_delivers_everything_in_order_without_a_thread(
    loop: str,
) -> None:
    """It only looks more often; the loop's other callbacks get their turn too."""

    async def main() -> None:
        inboxes = []
        for _ in range(2):
            _, inbox = await quicxdp.create_datagram_endpoint(
                Inbox, (LOCALHOST, 0), io="socket", spin_us=SPIN_US
            )
            inboxes.append(inbox)
        a, b = inboxes
        to_b = b.transport.get_extra_info("sockname")
        for number in range(300):
            a.transport.sendto(b"%d" % number, to_b)
            await b.until(lambda: len(b.got) > number)  # noqa: B023  (awaited in the loop)
        assert [data for data, _ in b.got] == [b"%d" % i for i in range(300)]
        assert "quicxdp waiter" not in [t.name for t in threading.enumerate()]
        for inbox in inboxes:
            inbox.transport.close()
            await inbox.lost

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(asyncio.wait_for(main(), PATIENCE_S))


def test_a_ping_that_comes_at_once_is_taken_without_sleeping() -> None:
    """What the spin is for, counted: the loop's select() has nothing to wait for."""
    waits: list[float | None] = []

    class Counting(asyncio.SelectorEventLoop):
        def __init__(self) -> None:
            super().__init__()
            select = self._selector.select  # type: ignore[attr-defined]

            def counted(timeout: float | None = None) -> Any:  # noqa: ANN401
                waits.append(timeout)
                return select(timeout)

            self._selector.select = counted  # type: ignore[attr-defined]

    async def main() -> None:
        transport, inbox = await quicxdp.create_datagram_endpoint(
            Inbox, (LOCALHOST, 0), io="socket", spin_us=1000
        )
        me = transport.get_extra_info("sockname")

        class Again(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, _: Any) -> None:  # noqa: ANN401
                inbox.got.append((data, me))
                if len(inbox.got) < 100:
                    transport.sendto(data, me)
                else:
                    done.set()

        done = asyncio.Event()
        transport.set_protocol(Again())
        waits.clear()
        transport.sendto(b"ping", me)
        await done.wait()
        # The first wake-up is the loop's; all others were found by looking.
        assert sum(wait is None or wait > 0 for wait in waits) <= 2
        transport.set_protocol(inbox)
        transport.close()
        await inbox.lost

    with asyncio.Runner(loop_factory=Counting) as runner:
        runner.run(asyncio.wait_for(main(), PATIENCE_S))


def test_a_look_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As any other failure of receiving: the transport ends with it."""

    def fail(_: Datapath, _spin_ns: int) -> NoReturn:
        raise DatapathError(errno.EBADF, "looking for datagrams")

    async def main() -> None:
        transport, inbox = await quicxdp.create_datagram_endpoint(
            Inbox, (LOCALHOST, 0), io="socket", spin_us=SPIN_US
        )
        transport.sendto(b"x", transport.get_extra_info("sockname"))
        error = await inbox.lost
        assert isinstance(error, DatapathError)

    monkeypatch.setattr(Datapath, "spin", fail)
    with asyncio.Runner() as runner:
        runner.run(asyncio.wait_for(main(), PATIENCE_S))
