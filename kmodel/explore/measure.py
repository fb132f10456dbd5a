"""The most of something that any run of a graph shows: restarts of one fault, say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache
from operator import add
from typing import Any

import attrs

from kmodel.explore.cycle import Component
from kmodel.explore.graph import Graph
from kmodel.explore.tree import Leaf

Sums = tuple[float, ...]
"""One for each measure."""


@attrs.frozen
class Measure:
    """Something to count in a run: the events that ``hit`` accepts, of ``task`` or of all."""

    hit: Callable[[str, dict[str, Any]], bool]
    task: int | None = None

    def count(self, mover: int, leaf: Leaf) -> int:
        if self.task is not None and mover != self.task:
            return 0
        return sum(self.hit(event, fields) for event, fields in leaf.said)


def longest(graph: Graph, order: Iterable[Component], measures: list[Measure]) -> list[int | None]:
    """For each measure the largest sum over the steps of any run; ``None`` where a run can
    go on adding for ever. ``order`` are all components, each after those that it leads to."""
    table = _Table(graph, measures)
    counted, larger = table.added.keys(), table.larger
    best = [table.nothing] * len(graph)
    for part in order:
        inside = set(part) if len(part) > 1 else part
        most = table.nothing
        for state in part:
            row, leaves = graph.succ[state], graph.leaf[state]
            if counted.isdisjoint(leaves):
                for to in row:  # one inside has nothing yet, and changes nothing
                    if to >= 0 and best[to] != most:
                        most = larger(most, best[to])
                continue
            for to, leaf in zip(row, leaves):
                if leaf is None:
                    continue
                if to in inside:
                    most = table.endless(most, leaf)
                else:
                    beyond = best[to] if to >= 0 else table.nothing
                    most = larger(most, table.after(leaf, beyond))
        for state in part:
            best[state] = most
    return [None if most == math.inf else int(most) for most in table.sums[best[0]]]


class _Table:
    """The sums that occur, as numbers: few differ, so each is computed once."""

    nothing = 0

    def __init__(self, graph: Graph, measures: list[Measure]) -> None:
        zero: Sums = (0,) * len(measures)
        self.added: dict[Leaf, Sums] = {}
        for task, leaf in graph.histories.leaves:
            if leaf.said and any(sums := tuple(m.count(task, leaf) for m in measures)):
                self.added[leaf] = sums
        self.sums = [zero]
        self._numbers = {zero: self.nothing}
        self.larger = cache(self._larger)
        self.after = cache(self._after)
        self.endless = cache(self._endless)

    def _number(self, sums: Sums) -> int:
        number = self._numbers.setdefault(sums, len(self.sums))
        if number == len(self.sums):
            self.sums.append(sums)
        return number

    def _larger(self, one: int, other: int) -> int:
        return self._number(tuple(map(max, self.sums[one], self.sums[other])))

    def _after(self, leaf: Leaf, beyond: int) -> int:
        more = self.added.get(leaf)
        return beyond if more is None else self._number(tuple(map(add, self.sums[beyond], more)))

    def _endless(self, most: int, leaf: Leaf) -> int:
        """With a step that can be taken again and again."""
        more = self.added.get(leaf)
        if more is None:
            return most
        old = self.sums[most]
        return self._number(tuple(math.inf if m else o for o, m in zip(old, more)))
