"""Looking for datagrams before sleeping, for as long as that pays.

A process that sleeps is woken some 40 us late (halted virtual CPU, measured), so an
answer that is 10 us away is worth looking for.  One that is not coming is not: after a
spin that found nothing, twice as many turns go without one, and the first that finds
something starts over.  So a quiet endpoint spins seldom, and a busy one does not sleep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# Turns without a spin after a long series of vain ones: a 64th of the turns still spins,
# which finds out when it pays again.
_SKIP_MAX: Final = 63


class Spin:
    """Decides whether to look, and looks.

    Attributes:
        spin_ns: how long a look may take.
    """

    __slots__ = ("_look", "_skip_cnt", "_skip_next", "spin_ns")

    def __init__(self, look: Callable[[int], bool], spin_ns: int) -> None:
        self._look = look
        self.spin_ns = spin_ns
        self._skip_cnt = 0  # turns that go without a spin now
        self._skip_next = 0  # turns that will, after a spin that finds nothing

    def look(self) -> bool:
        """Look, unless that has not paid lately; tell whether there is something."""
        if self._skip_cnt:
            self._skip_cnt -= 1
            return False
        if self._look(self.spin_ns):
            self._skip_next = 0
            return True
        self._skip_next = min(2 * self._skip_next + 1, _SKIP_MAX)
        self._skip_cnt = self._skip_next
        return False
