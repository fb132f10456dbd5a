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

from collections.abc import Callable, Iterable, Iterator

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


def components(
    graph: Graph, states: Iterable[int], inside: set[int] | None = None
) -> Iterator[Component]:
    """Strongly connected components of the states (Tarjan 1972), each after all that it
    leads to. ``inside`` keeps to those states; ``None`` means the whole graph."""
    succ = graph.succ
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    for root in states:
        if root in index:
            continue
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        work = [(root, iter(succ[root]))]
        while work:
            here, ahead = work[-1]
            for to in ahead:
                if to < 0 or (inside is not None and to not in inside):
                    continue
                if to not in index:
                    index[to] = low[to] = len(index)
                    stack.append(to)
                    on_stack.add(to)
                    work.append((to, iter(succ[to])))
                    break
                if to in on_stack and index[to] < low[here]:
                    low[here] = index[to]
            else:
                work.pop()
                if work and low[here] < low[work[-1][0]]:
                    low[work[-1][0]] = low[here]
                if low[here] == index[here]:
                    found = []
                    while True:
                        state = stack.pop()
                        on_stack.discard(state)
                        found.append(state)
                        if state == here:
                            break
                    yield found


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
            work += [c for c in components(self.graph, rest, rest) if is_cycle(self.graph, c)]

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
        histories = graph.histories
        where = histories.locations + task
        nodes = histories.nodes[task]
        found = []
        for state in part:
            key = graph.state(state)
            node = nodes[key[where]]
            if node.grant is None:
                return []
            if node.grant.value(key, graph.world):
                found.append(state)
        return found
