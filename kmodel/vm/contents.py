"""What is in the pages: one number each, so that a write that is lost can be noticed.

No kernel structure: the memory itself, and what each process must find in its private
memory. Nothing is kept unless the story asks for it (``watched``). Left out: parts of a
page, caches of the CPU.
"""

from __future__ import annotations

from typing import Any

from kmodel.shared import Hidden, shared
from kmodel.table import observe

Place = tuple[str, int]


@shared
class Contents:
    """Value of each place that holds something else than zero: ("page", number), or
    ("swap", address of the anon) for a page that is on swap. ``expected`` are the values
    that a process, by name, must find at its addresses; ``lost`` says what it did not."""

    watched: bool  # boot
    values: Hidden[tuple[tuple[Place, int], ...]]
    expected: Hidden[tuple[tuple[Place, int], ...]]
    lost: Hidden[str]

    def __init__(self) -> None:
        self.watched, self.values, self.expected, self.lost = False, (), (), ""

    def _set(self, place: Place, value: int) -> None:
        if self.watched:
            self.values = _with(self.values, place, value)

    def expect(self, process: str, va: int, more: int) -> None:
        """The process has added to private memory."""
        if self.watched:
            value = dict(self.expected).get((process, va), 0) + more
            self.expected = _with(self.expected, (process, va), value)

    def found(self, process: str, va: int, value: int) -> None:
        """The process has read private memory."""
        want = dict(self.expected).get((process, va), 0)
        if self.watched and value != want and not self.lost:
            self.lost = f"{process} read {value} at {va:#x}, and should find {want}"

    def inherit(self, parent: str, child: str) -> None:
        """The child finds what the parent would."""
        for (process, va), value in self.expected:
            if process == parent:
                self.expect(child, va, value)

    def forget(self, process: str, start: int, end: int) -> None:
        """[start, end) of the process is unmapped."""
        for (name, va), _ in self.expected:
            if name == process and start <= va < end:
                self.expected = _with(self.expected, (name, va), 0)

    def value(self, place: Place) -> int:
        """What is there; for checks, which see everything."""
        return dict(self.values).get(place, 0)

    def zero(self, page: int) -> None:
        """uvm_pagezero."""
        self._set(("page", page), 0)

    def copy(self, old: int, new: int) -> None:
        """uvm_pagecopy."""
        self._set(("page", new), self.value(("page", old)))

    def store(self, page: int, value: int) -> None:
        """A disk fills the page."""
        self._set(("page", page), value)

    def add(self, page: int, more: int) -> None:
        """A CPU changes a part of the page, and leaves the rest as it is."""
        self._set(("page", page), self.value(("page", page)) + more)

    def load(self, page: int) -> int:
        """A CPU reads the page."""
        return int(observe(self.value(("page", page))))

    def swap_out(self, page: int, anon: int) -> None:
        self._set(("swap", anon), self.value(("page", page)))

    def swap_in(self, anon: int, page: int) -> None:
        self._set(("page", page), self.value(("swap", anon)))
        self._set(("swap", anon), 0)


def _with(cells: tuple[tuple[Place, int], ...], place: Place, value: int) -> Any:
    """``cells`` with that value at ``place``, in order; zeroes are left out."""
    rest = [cell for cell in cells if cell[0] != place]
    return tuple(sorted([*rest, (place, value)] if value else rest))
