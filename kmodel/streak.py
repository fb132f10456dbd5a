"""How often in a row something happens to a thread: counted for whoever wants it bounded.

Nothing is counted until somebody asks, for each count is a state of its own; then up to one
more than the bound, which is enough to tell that it is broken.
"""

from __future__ import annotations

from typing import Final

from kmodel.point import Task, curtask, procedure
from kmodel.shared import Hidden, shared


@shared
class Streak:
    """One thread's are told from another's, and by ``what`` (an address, say). What happens
    has a ``size``; ``grown``: one was larger than the one before it in its streak."""

    name: Final[str]
    most: Final[int]  # boot; -1: nobody asks
    counts: Hidden[tuple[tuple[Task, int, int, int], ...]]  # who, what, how often, the last size
    grown: Hidden[bool]

    def __init__(self, name: str) -> None:
        self.name, self.most, self.counts, self.grown = name, -1, (), False

    def bound(self, most: int) -> None:
        """Count from now on. Boot."""
        self.most = max(self.most, most)  # type: ignore[misc]

    @procedure
    def again(self, what: int = 0, size: int = 0) -> None:
        """It happens to the running thread."""
        if self.most < 0:
            return
        me, times = curtask(), 0
        for who, about, before, last in self.counts:
            if (who, about) == (me, what):
                times = before
                self.grown = self.grown or size > last
        rest = (one for one in self.counts if one[:2] != (me, what))
        mine = (me, what, min(times, self.most) + 1, size)
        self.counts = tuple(sorted((*rest, mine), key=_order))

    @procedure
    def over(self, what: int = 0, *, for_all: bool = False) -> None:
        """Something else happens: the running thread's streak is over, or everybody's."""
        if self.most >= 0 and self.counts:
            me = curtask()
            self.counts = tuple(
                one for one in self.counts if one[1] != what or not (for_all or one[0] is me)
            )

    def broken(self) -> tuple[Task, int, int] | None:
        """Who, what and how often, if that is more than the bound. For checks."""
        return next((one[:3] for one in self.counts if one[2] > self.most >= 0), None)


def _order(one: tuple[Task, int, int, int]) -> tuple[int, int]:
    return one[0].index, one[1]
