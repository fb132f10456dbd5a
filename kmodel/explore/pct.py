"""Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi and Nagarakatte,
"A randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010).

Tasks have distinct random priorities and the highest that can go goes; at d - 1 random
places among the first k steps, whoever would go falls below all others. A bug that
needs d ordering constraints shows in a run with a chance of at least 1/(n k^(d-1)).

Changes from the paper, as others make them: only steps at which two tasks or more can
go are counted; d is drawn for each run; a task that spins falls below all others,
because else the run never ends. A spinner is one that failed twice at the same
operation while nobody else stepped, or went on longer alone than a whole run should.
"""

from __future__ import annotations

import random
from typing import Any, Final

from kmodel.explore.execution import Execution
from kmodel.explore.fair import Fair
from kmodel.explore.strategy import Random
from kmodel.point import Kind, Op

DEEPEST: Final = 3
"""Depths are drawn from 1 to this, unless one is given."""
PATIENCE: Final = 200
"""Contended steps in a row that are no spinning, whatever k is."""
LONG: Final = 1000
"""Contended steps after which a run becomes fair, or 2 k if that is more."""


class Pct:
    """One run. ``length`` is k (0: unknown, so no change points and depth 1).

    ``counted`` are the contended steps so far, without spinning: the k of this run.
    ``lowered`` counts the spinners that fell, ``fair`` says that the run became fair:
    in such a run no bound holds.
    """

    def __init__(self, seed: int, length: int, depth: int | None = None) -> None:
        self._seed, self._draw = seed, random.Random(seed).random
        drawn = 1 + int(self._draw() * DEEPEST)
        self.depth = (depth or drawn) if length else 1
        self.length, self.counted, self.lowered = length, 0, 0
        self._changes = self._places(min(self.depth - 1, length), length)
        self._patience, self._long = max(PATIENCE, length), max(LONG, 2 * length)
        self._suffix: Fair | None = None
        self._in_a_row = 0
        self._failed: list[tuple[Kind, Any]] = []
        self._op: Op | None = None

    def _places(self, count: int, length: int) -> dict[int, int]:
        """Contended step -> the priority that whoever would take it falls to."""
        places: dict[int, int] = {}
        while len(places) < count:
            places.setdefault(1 + int(self._draw() * length), len(places) + 1)
        return places

    def begin(self, execution: Execution) -> None:
        self._execution = execution
        self.tasks = len(execution.pending)
        order = sorted((self._draw(), task) for task in range(self.tasks))
        self._priority = [0] * self.tasks
        for rank, (_, task) in enumerate(order):
            self._priority[task] = self.depth + rank

    @property
    def fair(self) -> bool:
        return self._suffix is not None

    def choose(self, enabled: list[int], current: int | None) -> int:
        if self._suffix is not None:
            return self._suffix.choose(enabled, current)
        if self.counted >= self._long:
            self._suffix = Fair(Random(self._seed))
            self._suffix.begin(self._execution)
            return self._suffix.choose(enabled, None)
        return self._by_priority(enabled, current)

    def _by_priority(self, enabled: list[int], current: int | None) -> int:
        if current is not None:
            self._lower_spinner(current)
        chosen = max(enabled, key=self._priority.__getitem__)
        if len(enabled) > 1:
            self.counted += 1
            if self.counted in self._changes:
                self._priority[chosen] = self._changes.pop(self.counted)
                chosen = max(enabled, key=self._priority.__getitem__)
        if chosen != current:
            self._failed, self._in_a_row = [], 0
        self._in_a_row += len(enabled) > 1
        self._op = self._execution.pending[chosen]
        return chosen

    def _lower_spinner(self, task: int) -> None:
        spins = self._in_a_row > self._patience
        if self._execution.answer is False and self._op is not None:
            what = self._op[0], self._op[1]
            spins = spins or any(what[0] is kind and what[1] is on for kind, on in self._failed)
            self._failed.append(what)
        if spins:
            self.lowered += 1
            self._priority[task] = -self.lowered
            if self._in_a_row > self._patience:
                self.counted -= self._in_a_row
            self._failed, self._in_a_row = [], 0
