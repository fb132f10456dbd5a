"""Bystanders: tasks that need not take a step for something to be brought about.

A counterexample of two tasks is easier to read than one of three with fewer switches, so
the fewest tasks come first; then the fewest preemptions, then the fewest steps. Steps that
the search takes alone before any real choice (daemons on their way to sleep, first steps
that touch nothing shared) are everybody's, and make nobody a participant.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import combinations

import attrs

from kmodel.explore.graph import NOWHERE, Graph
from kmodel.explore.preemption import forced

Rows = Callable[[int], Sequence[int]]
"""From a state: where a step of each task leads."""


def rows(graph: Graph, among: Collection[int]) -> Rows:
    """The graph with the steps of these tasks alone, and those that are everybody's."""
    before = set(_before_all(graph))

    def row(state: int) -> Sequence[int]:
        if state in before:
            return graph.succ[state]
        return [to if task in among else NOWHERE for task, to in enumerate(graph.succ[state])]

    return row


@attrs.frozen
class Participants:
    """Tasks that can come to ``states`` by their steps alone."""

    tasks: frozenset[int]
    states: frozenset[int]


def participants(
    graph: Graph, states: Collection[int], always: Collection[int] = ()
) -> list[Participants]:
    """The smallest sets of tasks, all of one size, that can come to some of ``states``.
    ``always`` are in each of them."""
    others = [task.index for task in graph.world.tasks if task.index not in always]
    for size in range(len(others)):
        found = []
        for chosen in combinations(others, size):
            tasks = frozenset((*always, *chosen))
            if reached := _reached(rows(graph, tasks), states):
                found.append(Participants(tasks, reached))
        if found:
            return found
    return [Participants(frozenset((*always, *others)), frozenset(states))]


def _before_all(graph: Graph) -> Iterator[int]:
    """The states in which the search had no choice."""
    state = 0
    while True:
        able = [task for task, to in enumerate(graph.succ[state]) if to != NOWHERE]
        if len(able) != 1 or not forced(graph, state, able[0]) or graph.succ[state][able[0]] < 0:
            return
        yield state
        state = graph.succ[state][able[0]]


def _reached(row: Rows, states: Collection[int]) -> frozenset[int]:
    seen, todo = {0}, [0]
    while todo:
        for to in row(todo.pop()):
            if to >= 0 and to not in seen:
                seen.add(to)
                todo.append(to)
    return frozenset(seen.intersection(states))
