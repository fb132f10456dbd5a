"""Recipes: how the runs of a sample get their strategies, by name.

Run N of a sample has the seed ``first + N``; all but ``pct`` need nothing else. That one
learns from each run how long a run is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from kmodel.explore.execution import Strategy
from kmodel.explore.fair import Fair
from kmodel.explore.pct import LONG, Pct
from kmodel.explore.pos import Pos
from kmodel.explore.strategy import Random, RoundRobin


class Recipe:
    """Strategies that depend on their seed alone."""

    def __init__(self, name: str, make: Callable[[int], Strategy]) -> None:
        self.name, self._make = name, make

    def strategy(self, seed: int) -> Strategy:
        return self._make(seed)

    def learn(self, strategy: Strategy) -> None:
        """A run with ``strategy`` is over."""

    def report(self) -> dict[str, Any] | None:
        """What a reader must know to judge the sample: plain data, if there is any."""
        return None


class Deepening(Recipe):
    """``pct``. A given ``length`` (k) is kept; else it is the longest run so far that did not
    have to be made fair, and the first run, for which there is none, has depth 1."""

    def __init__(self, depth: int | None = None, length: int | None = None) -> None:
        super().__init__("pct", self._draw)
        self.depth, self.length, self._given = depth, length or 0, length is not None
        self._depths: Counter[int] = Counter()
        self._tasks, self._longest, self._unbounded = 0, 0, 0

    def _draw(self, seed: int) -> Strategy:
        return Pct(seed, self.length, self.depth)

    def learn(self, strategy: Strategy) -> None:
        assert isinstance(strategy, Pct)
        self._depths[strategy.depth] += 1
        self._tasks = strategy.tasks
        self._unbounded += strategy.fair or strategy.lowered > 0
        if not strategy.fair:
            self._longest = max(self._longest, strategy.counted)
        if not self._given:
            self.length = self._longest or LONG

    def report(self) -> dict[str, Any] | None:
        """n, k as it stands now, how many runs had which depth, and in how many no bound
        holds because a spinner fell or the run was made fair."""
        return {
            "tasks": self._tasks,
            "length": self.length,
            "learned": not self._given,
            "depths": {str(depth): runs for depth, runs in sorted(self._depths.items())},
            "unbounded": self._unbounded,
        }


MAKERS: Final[dict[str, Callable[[int], Strategy]]] = {
    "random": Random,
    "pos": Pos,
    "fair": lambda seed: Fair(Random(seed)),
    "round-robin": RoundRobin,
}
NAMES: Final = ("random", "pct", "pos", "fair", "round-robin")


def recipe(name: str, depth: int | None = None, length: int | None = None) -> Recipe:
    """The recipe called ``name``; ``depth`` and ``length`` are for pct."""
    return Deepening(depth, length) if name == "pct" else Recipe(name, MAKERS[name])
