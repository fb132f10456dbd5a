"""Cycles of a state graph, and which of them a fair scheduler allows.

Fairness of a run that goes round for ever:

    none    anything goes
    weak    a task that could step from some time on without a break steps again and again
    strong  a task that could step again and again does so
    lock-grant (beside any of these)  a thread asleep on a lock that comes free
            again and again gets it some time

A component is *fair* if some run stays in it, visits all of it, and is fair
(Emerson and Lei 1987 for the refinement under strong fairness).
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import attrs

from kmodel.explore.graph import NOWHERE, Graph

Component = list[int]


@attrs.frozen
class Fairness:
    """What is assumed of the scheduler and, with ``grant``, of sleeping locks."""

    level: str  # "none", "weak" or "strong"
    grant: bool

    def __str__(self) -> str:
        said = {"none": "no fairness"}.get(self.level, f"{self.level} fairness")
        return f"{said} and lock-grant" if self.grant else said


LEVELS = ("none", "weak", "strong")
UNSEEN: Final = 0
LEFT: Final = sys.maxsize
"""What Tarjan's algorithm notes of a state that it has not met, and of one whose
component is known."""


def components(graph: Graph, states: Iterable[int] | None = None) -> Iterator[Component]:
    """Strongly connected components of the graph (Tarjan 1972), each after all that it
    leads to; with ``states``, of the part of the graph that these are."""
    succ = graph.succ
    index: list[int] | dict[int, int]
    low: list[int] | dict[int, int]
    if states is None:
        index, low = [UNSEEN] * len(graph), [0] * len(graph)
    else:
        index, low = dict.fromkeys(states, UNSEEN), {}
    whole = states is None
    count = UNSEEN
    stack: list[int] = []
    for root in range(len(graph)) if whole else list(index):
        if index[root] != UNSEEN:
            continue
        count += 1
        index[root] = low[root] = count
        stack.append(root)
        work = [(root, iter(succ[root]))]
        while work:
            here, ahead = work[-1]
            for to in ahead:
                if to < 0 or not (whole or to in index):
                    continue
                met = index[to]
                if met == UNSEEN:
                    count += 1
                    index[to] = low[to] = count
                    stack.append(to)
                    work.append((to, iter(succ[to])))
                    break
                if met < low[here]:
                    low[here] = met
            else:
                work.pop()
                least = low[here]
                if work and least < low[work[-1][0]]:
                    low[work[-1][0]] = least
                if least == index[here]:
                    found = []
                    while True:
                        state = stack.pop()
                        index[state] = LEFT
                        found.append(state)
                        if state == here:
                            break
                    yield found


class Order:
    """All components of a graph, each after those that it leads to, in little memory."""

    def __init__(self, graph: Graph) -> None:
        self._states, self._ends = array("I"), bytearray()
        for part in components(graph):
            self._states.extend(part)
            self._ends.extend(b"\0" * (len(part) - 1) + b"\1")

    def __iter__(self) -> Iterator[Component]:
        part = []
        for state, ends in zip(self._states, self._ends):
            part.append(state)
            if ends:
                yield part
                part = []


def is_cycle(graph: Graph, component: Component) -> bool:
    """Can a run stay in it?"""
    return len(component) > 1 or component[0] in graph.succ[component[0]]


class Fair:
    """Finds the fair parts of components, for one fairness."""

    def __init__(self, graph: Graph, fairness: Fairness) -> None:
        self.graph, self.fairness = graph, fairness
        self._tasks = range(len(graph.world.tasks))

    def refine(
        self, cycles: Iterable[Component], wanted: Callable[[Component], bool]
    ) -> Iterator[Component]:
        """The fair components inside ``cycles`` that are also ``wanted``.

        ``wanted`` must be monotone: if it rejects a set of states it rejects its parts.
        """
        work = list(cycles)
        while work:
            part = work.pop()
            if not wanted(part):
                continue
            excluded = self._excluded(part)
            if excluded is None:
                continue
            if not excluded:
                yield part
                continue
            rest = set(part) - excluded
            work += [c for c in components(self.graph, rest) if is_cycle(self.graph, c)]

    def _excluded(self, part: Component) -> set[int] | None:
        """States that no fair run within ``part`` visits for ever; ``None`` if no run in
        it is fair at all."""
        level = self.fairness.level
        inside = set(part)
        succ = self.graph.succ
        moves = [False] * len(self._tasks)
        always = [True] * len(self._tasks)
        for state in part:
            for task, to in enumerate(succ[state]):
                if to == NOWHERE:
                    always[task] = False
                elif to in inside:
                    moves[task] = True
        excluded: set[int] = set()
        for task in self._tasks:
            if not moves[task]:
                if level != "none" and always[task]:
                    return None
                if level == "strong":
                    excluded.update(s for s in part if succ[s][task] != NOWHERE)
            if self.fairness.grant:
                excluded.update(self._grantable(part, task))
        return excluded

    def _grantable(self, part: Component, task: int) -> list[int]:
        """Where the lock that ``task`` sleeps on throughout ``part`` is free."""
        graph = self.graph
        found = []
        for state in part:
            grant = graph.node(state, task).grant
            if grant is None:
                return []
            if grant.value(graph.state(state), graph.world):
                found.append(state)
        return found


def cycle(ahead: dict[int, list[int]]) -> list[int]:
    """A shortest way from one back to itself, where ``ahead`` says whom each waits for;
    empty if there is none."""
    ways = [[start] for start in ahead]
    for _ in ahead:
        longer = []
        for way in ways:
            for one in ahead.get(way[-1], []):
                if one == way[0]:
                    return way
                if one not in way:
                    longer.append([*way, one])
        ways = longer
    return []
