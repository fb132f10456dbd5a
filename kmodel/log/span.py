"""One thing that lasts longer than an event, and when during it its thread really could not go.

A thread that is asleep, spins or is stuck is *kept*: it cannot step. It is *ready* again once it
was woken, or the mutex is free, though others may be chosen for long before it goes on. Both
lie between the step that began the span and the one that ended it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import attrs

Kind = Literal["hold", "wait", "sleep", "spin", "stuck", "fault"]

DOES: Final[dict[Kind, str]] = {
    "wait": "asleep on",
    "sleep": "asleep on",
    "spin": "spins for",
    "stuck": "stuck at",
}
"""Kinds of span in which the thread cannot go on, in words."""

Part = tuple[bool, int, int]
"""Kept or ready, from which step on, up to and without which."""


@attrs.define
class Span:
    """``obj`` is the lock, the channel or the process, or where a thread is stuck the operation
    and what it is on; ``va`` is a fault's address.

    ``until`` is ``None`` while the span is open. ``write`` is how a sleeping lock is held
    or wanted (``None``: a mutex). ``began`` and ``ended`` are the ``seq`` of its records.
    ``kept`` are the stretches of steps, each up to and without its second number, in which the
    thread could not step; one that goes on has ``None`` there. ``tried`` are the steps in
    between in which it was refused again. Who was woken and then spun for its interlock has
    a span for that: from step ``then`` on that one tells what it did.
    """

    kind: Kind
    cpu: int
    task: str
    obj: str
    since: int
    began: int
    until: int | None = None
    ended: int | None = None
    write: bool | None = None
    va: str | None = None
    kept: list[tuple[int, int | None]] = attrs.field(factory=list)
    tried: list[int] = attrs.field(factory=list)
    then: int | None = None

    def steps(self, now: int) -> int:
        """How long it lasted; one that is open, until step ``now``. Of a spin only the steps
        count in which another had the mutex."""
        if self.kind == "spin":
            return self.kept_within(0, now)
        return (now if self.until is None else self.until) - self.since

    def kept_within(self, first: int, stop: int) -> int:
        """In how many of the steps from ``first`` up to and without ``stop`` it could not go."""
        ends = ((since, stop if end is None else min(end, stop)) for since, end in self.kept)
        return sum(max(end - max(since, first), 0) for since, end in ends)

    def keeps(self, step: int) -> bool:
        """Could the thread not go in ``step``?"""
        return self.kept_within(step, step + 1) > 0

    @property
    def ready_since(self) -> int | None:
        """The first step in which it could have gone on, if it is ready and was not chosen yet."""
        return None if self.until is not None or not self.kept else self.kept[-1][1]

    def parts(self, now: int) -> Iterator[Part]:
        """Its steps in order, without those that began or ended it or in which it tried."""
        stop = now if self.until is None else self.until
        stop, at = stop if self.then is None else self.then, self.since + 1
        for since, until in self.kept:
            yield from self._ready(at, since)
            at = stop if until is None else min(until, stop)
            if at > since:
                yield True, since, at
        yield from self._ready(at, stop)

    def _ready(self, first: int, stop: int) -> Iterator[Part]:
        stop -= stop - 1 in self.tried
        if first < stop:
            yield False, first, stop

    def let_go(self, step: int) -> None:
        """Whatever kept the thread ended with ``step``."""
        if self.kept:
            first = self.kept[-1][0]
            self.kept[-1] = first, max(first, step + 1)
