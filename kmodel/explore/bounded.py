"""The bounded search: every schedule with up to so many preemptions, or delays.

The bound grows from 0. After each the search knows that no schedule within it breaks
anything: a theorem about that bound, and no more, unless the schedules within it take
every step that there is. A state is met again by each way to it that leaves another task
running, and the cheapest of those ways counts (the key is state and running task).

Iterative context bounding: Musuvathi and Qadeer 2007. Delay bounding: Emmi, Qadeer
and Rakamaric 2011.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import attrs

from kmodel.explore.graph import NOWHERE, PANIC, Limits, Search
from kmodel.explore.preemption import Cheapest, delays, preemptions
from kmodel.explore.tree import BLOCKED, Leaf
from kmodel.recorder import LimitReached
from kmodel.world import World, leave

Kind = Literal["bounded", "delay"]
BEYOND: Final = -3
"""Successor of a step that no schedule within the bound takes."""
PRICES: Final = {"bounded": preemptions, "delay": delays}
UNITS: Final = {"bounded": "preemption", "delay": "delay"}


@attrs.frozen
class Level:
    """What all schedules within one bound reach, and whether some of it is wrong."""

    bound: int
    unit: str
    states: int
    steps: int
    found: bool

    def __str__(self) -> str:
        said = "found" if self.found else "none"
        size = f"{self.states:,} states, {self.steps:,} steps"
        return f"{said} within {counted(self.bound, self.unit)}: {size}"


def counted(number: int, unit: str) -> str:
    """``1 preemption``, ``2 preemptions``."""
    return f"{number} {unit}{'' if number == 1 else 's'}"


class Bounded(Search):
    """Fills a graph in order of cost, up to ``bound`` or the first level that shows
    something wrong (``go_on``: not stopped by that). ``levels`` are the bounds that were
    covered entirely.

    ``graph.complete`` says that the levels took every step that any schedule can take;
    else some steps of the graph lead ``BEYOND``.
    """

    def __init__(
        self, world: World, limits: Limits, kind: Kind, bound: int, go_on: bool = False
    ) -> None:
        super().__init__(world, limits)
        self.unit, self.bound, self._go_on = UNITS[kind], bound, go_on
        self.levels: list[Level] = []
        self.stuck = False
        self._left = 0
        self._ways = Cheapest(self.graph, PRICES[kind], self._row, self._follow)
        self._level: Iterator[int] = self._ways.level()

    @property
    def found(self) -> bool:
        """Was something wrong met that is to be judged?"""
        return self.stuck or any(violation.judged for violation in self.graph.violations)

    def advance(self, expansions: int) -> bool:
        """Settle up to so many places; ``False`` when there is nothing left to do. Ends
        with a level too, so that whoever drives it can report each."""
        graph, more = self.graph, True
        try:
            for _ in range(expansions):
                if next(self._level, None) is None:
                    more = self._next_level()
                    break
        except LimitReached as limit:
            leave()
            graph.stopped_by = str(limit)
        graph.seconds = time.monotonic() - self._began
        if more:
            self._check_limits()
        if not more or graph.stopped_by:
            self.histories.close()
        return more and graph.stopped_by is None

    def _next_level(self) -> bool:
        """A bound is covered: note it. Is there another to come?"""
        graph, bound = self.graph, len(self.levels)
        self.levels.append(Level(bound, self.unit, len(graph), graph.transitions, self.found))
        graph.complete = not self._left
        if graph.complete or bound == self.bound or (self.found and not self._go_on):
            return False
        cost = self._ways.next_cost()
        self._level = self._ways.level() if cost == bound + 1 else iter(())
        return True

    def _row(self, number: int) -> Sequence[int]:
        """Who can step in a state, which is looked at when it is first met."""
        if self.graph.unexpanded(number):
            self._look(number)
        return self.graph.succ[number]

    def _look(self, number: int) -> None:
        graph, histories = self.graph, self.histories
        state = graph.state(number)
        if not graph.keys.packed[number] & self._unfinished:
            graph.succ[number], graph.leaf[number] = (), ()
            self._test(self._end, number, state)
            return
        only = self._before_all(state) if 1 in state[histories.locations :] else None
        leaves: list[Leaf | None] = []
        for task in range(len(histories.nodes)):
            node = histories.node(state, task)
            leaf = BLOCKED
            if node.op is not None and (only is None or only == task):
                leaf = histories.leaf(node, state)
            leaves.append(None if leaf is BLOCKED else leaf)
        graph.succ[number] = tuple(NOWHERE if leaf is None else BEYOND for leaf in leaves)
        graph.leaf[number] = tuple(leaves)
        able = sum(leaf is not None for leaf in leaves)
        self._left += able
        self.stuck = self.stuck or not (able or graph.rests(number))

    def _follow(self, number: int, task: int) -> int:
        """Where a step leads that a schedule within the bound takes."""
        graph = self.graph
        row = graph.succ[number]
        if row[task] != BEYOND:
            return row[task]
        leaf = graph.leaf[number][task]
        assert leaf is not None
        to = PANIC
        if leaf.next is None:
            self._panicked(number, task, leaf)
        else:
            graph.transitions += 1
            state = graph.state(number)
            for where, code in leaf.stores:
                state[where] = code
            state[self.histories.locations + task] = leaf.next.index
            after = graph.keys.pack(state)
            known = graph.keys.number.get(after)
            to = known if known is not None else self._discover(after)
        graph.succ[number] = (*row[:task], to, *row[task + 1 :])
        self._left -= 1
        return to
