"""How much a campaign may do, and whose turn it is.

Examples are shared evenly. Where minutes are the budget each target gets its share of the
time, in slices: who has had least is next, so that a target with large searches has no more
of the night than one with small ones, and what one cannot use goes to the others.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import attrs

TURN: Final = 100
"""Examples of one target before the next has its turn."""
SLICE: Final = (1.0, 30.0)
"""Seconds of a turn where time is shared: the least and the most."""
LONGER: Final = 0.1
"""What making the last finds smaller may take on top of the time, of it."""


@attrs.define
class Tally:
    """What was done to one target. ``judging`` of its ``seconds`` went into searches,
    ``reducing`` into making bugs smaller; the rest is Hypothesis' own."""

    examples: int = 0
    repeated: int = 0
    states: int = 0
    steps: int = 0
    cut: int = 0
    seconds: float = 0.0
    judging: float = 0.0
    reducing: float = 0.0
    turns: int = 0

    @property
    def drawn(self) -> int:
        return self.examples + self.repeated


@attrs.define
class Budget:
    """``examples`` in all, or ``minutes`` (both: what ends first)."""

    examples: int | None
    minutes: float | None
    tallies: dict[str, Tally]
    _began: float = attrs.field(factory=time.monotonic)

    def passed(self) -> float:
        """Seconds."""
        return time.monotonic() - self._began

    def over(self, more: float = 0.0) -> bool:
        """Is the time up, and that share of it on top?"""
        return self.minutes is not None and self.passed() > self.minutes * 60 * (1 + more)

    def left(self, name: str) -> int:
        """Examples of this target's share; as many as fill a slice, if there is no such share."""
        if self.examples is None:
            return TURN * TURN
        share, more = divmod(self.examples, len(self.tallies))
        return share + (list(self.tallies).index(name) < more) - self.tallies[name].drawn

    def next_round(self, able: Sequence[str]) -> list[tuple[str, int, float | None]]:
        """Whose turn it is, how many examples it may take, and how many seconds. Empty when
        nothing is left to do."""
        ready = [name for name in able if self.left(name) > 0]
        if self.minutes is None:
            return [(name, min(TURN, self.left(name)), None) for name in ready]
        if not ready or self.over():
            return []
        least = min(ready, key=lambda name: self.tallies[name].seconds)
        shortest, longest = SLICE
        seconds = max(shortest, min(longest, self.minutes * 60 / len(self.tallies) / 4))
        return [(least, self.left(least), seconds)]
