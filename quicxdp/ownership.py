"""One endpoint, one thread, one process; checked.

The datapath takes no locks, and the memory that it shares with the kernel is not
inherited by a forked child.  Every entry compares the calling thread with the owner's; in
a forked child that comparison fails too, because the owner is forgotten there.
"""

from __future__ import annotations

import os
from threading import get_ident
from typing import NoReturn
from weakref import WeakSet

from . import _native


class Owner:
    """The thread that may use an endpoint; `thread` is 0 in a forked child."""

    __slots__ = ("__weakref__", "thread")

    def __init__(self) -> None:
        self.thread = get_ident()
        _owners.add(self)

    @property
    def forked(self) -> bool:
        """Whether this process is a child of the one that opened the endpoint."""
        return not self.thread

    def refuse(self, what: str) -> NoReturn:
        """Raise the error of a caller that is not the owner.

        Raises:
            RuntimeError: always.
        """
        if self.forked:
            raise RuntimeError(
                f"{what} belongs to the parent of this forked process; open a new one"
            )
        raise RuntimeError(
            f"{what} may only be used by the thread that opened it; use "
            f"loop.call_soon_threadsafe() to reach it"
        )

    def check(self, what: str) -> None:
        """Refuse unless the caller is the owner."""
        if get_ident() != self.thread:
            self.refuse(what)


_owners: WeakSet[Owner] = WeakSet()


def _after_fork_in_child() -> None:
    for owner in list(_owners):
        owner.thread = 0
    _native.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
