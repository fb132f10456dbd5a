"""Partial order sampling (Yuan, Yang and Gu, CAV 2018).

Each pending *operation* holds a random priority, and the best one that can go goes.
Then its task's next operation gets a fresh one, and so does every pending operation
that conflicts with what just ran: their order is drawn anew, while steps that
conflict with nothing waste no luck. How good it is depends on the footprints; on one
hot lock it is little better than a random choice, and it gives no bound.
"""

from __future__ import annotations

import random

from kmodel.explore.execution import Execution
from kmodel.explore.footprint import conflict, footprint


class Pos:
    """Priorities on pending operations. Same seed, same choices."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed).random

    def begin(self, execution: Execution) -> None:
        self._pending = execution.pending
        self._priority = [self._draw() for _ in execution.pending]
        self._ran: tuple[int, ...] = ()

    def choose(self, enabled: list[int], current: int | None) -> int:
        if current is not None:
            self._redraw(current)
        chosen = max(enabled, key=self._priority.__getitem__)
        op = self._pending[chosen]
        assert op is not None
        self._ran = footprint(op)
        return chosen

    def _redraw(self, current: int) -> None:
        ran = self._ran
        for task, op in enumerate(self._pending):
            if op is None:
                continue
            if task == current or (ran and conflict(ran, footprint(op))):
                self._priority[task] = self._draw()
