"""Data races: accesses of two tasks to one location, one of them a write, that no lock
orders.

An access of a task races with one that the others can come to while the task stands
still after that step, unless they first take a lock that it released in between. (A
step begins with its operation, so what a task touched in a step it can only have made
known by releasing something later.) Without races no schedule with points between single
accesses reaches anything new, which is what makes "step = point to point" exact; so
a race ends the guarantee, and is a verdict.

Exact on a complete graph for what obliged tasks do. What it cannot see: an order that
only a *failed* try gives, where no lock says who came first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import attrs

from kmodel.explore.graph import Graph
from kmodel.explore.tree import Leaf

Locks = frozenset[int]


@attrs.frozen
class Race:
    """From ``state`` the steps ``path`` end with two unordered accesses to ``location``:
    the first step is ``first``'s, the last ``second``'s."""

    location: str
    state: int
    path: bytes
    first: int
    second: int

    def message(self, names: list[str]) -> str:
        return (
            f"{names[self.first]} and {names[self.second]} touch {self.location} with nothing "
            "to order them, and one of them writes it"
        )


def races(graph: Graph, most: int = 16) -> list[Race]:
    """Every location with a race (up to ``most``), each with one that shows it."""
    found: dict[int, Race] = {}
    judge = _Judge(graph)
    for state, row in enumerate(graph.leaf):
        for task, leaf in enumerate(row):
            if leaf is not None and leaf.spans and graph.succ[state][task] >= 0:
                for where in judge.conflicts(state, task, leaf):
                    if where not in found:
                        found[where] = judge.race(where, state, task, leaf)
                        if len(found) >= most:
                            return list(found.values())
    return list(found.values())


class _Judge:
    """Answers what others can come to touch while a task stands still."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._ahead: dict[tuple[int, Locks], tuple[list[int], list[int]] | None] = {}

    def conflicts(self, state: int, task: int, leaf: Leaf) -> Iterator[int]:
        """The locations of ``leaf``, ``task``'s step from ``state``, that race."""
        after = self.graph.succ[state][task]
        for reads, writes, released in leaf.spans:
            ahead = self._look(task, released)
            if ahead is not None:
                conflict = (writes & ahead[0][after]) | (reads & ahead[1][after])
                while conflict:
                    yield (conflict & -conflict).bit_length() - 1
                    conflict &= conflict - 1

    def _look(self, task: int, released: Locks) -> tuple[list[int], list[int]] | None:
        key = (task, released)
        if key not in self._ahead:
            self._ahead[key] = self._others(task, released)
        return self._ahead[key]

    def _others(self, task: int, released: Locks) -> tuple[list[int], list[int]] | None:
        """For each state, what the others can come to touch and to write without a step of
        ``task`` and without taking ``released``; ``None`` where none of it matters."""
        leaves = self.graph.histories.leaves
        mine = [leaf for one, leaf in leaves if one == task]
        theirs = [f for one, f in leaves if one != task and not f.taken & released]
        relevant = 0
        for leaf in mine:
            for reads, writes, freed in leaf.spans:
                if freed == released:
                    for other in theirs:
                        relevant |= (writes & other.touched) | (reads & other.wrote)
        if not relevant:
            return None
        return self._spread(task, released, relevant)

    def _spread(self, task: int, released: Locks, relevant: int) -> tuple[list[int], list[int]]:
        graph = self.graph
        touched, wrote = [0] * len(graph), [0] * len(graph)
        before: list[list[int]] = [[] for _ in range(len(graph))]
        for state, (row, leaves) in enumerate(zip(graph.succ, graph.leaf)):
            for other, leaf in enumerate(leaves):
                if leaf is not None and other != task and not leaf.taken & released:
                    touched[state] |= leaf.touched & relevant
                    wrote[state] |= leaf.wrote & relevant
                    if row[other] >= 0:
                        before[row[other]].append(state)
        todo = [state for state in range(len(graph)) if touched[state]]
        while todo:
            here = todo.pop()
            for state in before[here]:
                if touched[here] & ~touched[state] or wrote[here] & ~wrote[state]:
                    touched[state] |= touched[here]
                    wrote[state] |= wrote[here]
                    todo.append(state)
        return touched, wrote

    def race(self, where: int, state: int, task: int, leaf: Leaf) -> Race:
        """The race at ``where``, with the shortest way to the other access."""
        bit = 1 << where
        name = self.graph.histories.recorder.names[where]
        for reads, writes, released in leaf.spans:
            start = self.graph.succ[state][task]
            path = self._path(start, task, released, bit, bool(writes & bit))
            if (reads | writes) & bit and path:
                return Race(name, state, bytes([task]) + path, task, path[-1])
        raise AssertionError("a conflict without a way to it")

    def _path(self, start: int, task: int, released: Locks, bit: int, any_access: bool) -> bytes:
        came = {start: b""}
        queue = deque([start])
        while queue:
            state = queue.popleft()
            for other, leaf in enumerate(self.graph.leaf[state]):
                if leaf is None or other == task or leaf.taken & released:
                    continue
                if (leaf.touched if any_access else leaf.wrote) & bit:
                    return came[state] + bytes([other])
                to = self.graph.succ[state][other]
                if to >= 0 and to not in came:
                    came[to] = came[state] + bytes([other])
                    queue.append(to)
        return b""
