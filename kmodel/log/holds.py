"""When a mutex was held: who stood at it meanwhile could not enter."""

from __future__ import annotations

from array import array
from bisect import bisect_right

from kmodel.log.waker import LARGEST


class Holds:
    """When a mutex was held for longer than a step, however long ago: 16 bytes a time."""

    def __init__(self) -> None:
        self._since, self._until = array("q"), array("q")

    def add(self, since: int, until: int) -> None:
        if 0 <= since < until < LARGEST:
            self._since.append(since)
            self._until.append(until)

    def after(self, reached: int) -> list[tuple[int, int | None]]:
        """The stretches of steps in which who stood there since ``reached`` could not enter."""
        first = bisect_right(self._until, reached)
        pairs = zip(self._since[first:], self._until[first:])
        return [(max(since, reached) + 1, until + 1) for since, until in pairs]
