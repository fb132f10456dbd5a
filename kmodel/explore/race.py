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
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from kmodel.explore.cycle import Component, components
from kmodel.explore.graph import Graph
from kmodel.explore.tree import Leaf

Locks = frozenset[int]
RACE: Final = "data-race"
"""The kind."""


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
        return race_message(names[self.first], names[self.second], self.location)


def race_message(one: str, other: str, location: str) -> str:
    """A race in words: who, and what they touch."""
    return (
        f"{one} and {other} touch {location} with nothing to order them, and one of them writes it"
    )


def races(graph: Graph, most: int = 16, order: Iterable[Component] | None = None) -> list[Race]:
    """Every location with a race (up to ``most``), each with one that shows it.

    ``order`` are all components, each after those that it leads to, if known already.
    """
    found: dict[int, Race] = {}
    judge = _Judge(graph, order)
    for state, row in enumerate(graph.leaf):
        if judge.suspects.isdisjoint(row):
            continue
        for task, leaf in enumerate(row):
            if leaf is not None and graph.succ[state][task] >= 0:
                for where in judge.conflicts(state, task, leaf):
                    if where not in found:
                        found[where] = judge.race(where, state, task, leaf)
                        if len(found) >= most:
                            return list(found.values())
    return list(found.values())


class _Question:
    """What the others can come to touch and to write without a step of one task and
    without taking some locks: two bits for each location where that matters."""

    def __init__(self, relevant: int, base: int) -> None:
        self.places = list(_bits(relevant))
        self.base = base
        self.all = ((1 << 2 * len(self.places)) - 1) << base

    def pack(self, touched: int, wrote: int) -> int:
        packed = 0
        for at, where in enumerate(self.places):
            packed |= ((touched >> where & 1) | (wrote >> where & 1) << 1) << (self.base + 2 * at)
        return packed

    def locations(self, packed: int) -> Iterator[int]:
        for at, where in enumerate(self.places):
            if packed >> (self.base + 2 * at) & 3:
                yield where


class _Judge:
    """Answers what others can come to touch while a task stands still.

    All questions are answered in one pass, a bit field for each: a step adds what it
    touches itself to what can be touched after it, and lets through the answers of those
    questions that it is no end of.
    """

    def __init__(self, graph: Graph, order: Iterable[Component] | None) -> None:
        self.graph = graph
        self._questions = _questions(graph)
        self._bad = {leaf: self._conflicting(task, leaf) for task, leaf in graph.histories.leaves}
        self.suspects = {leaf for leaf, bad in self._bad.items() if bad}
        if self.suspects:
            every = components(graph) if order is None else order
            self._ahead = self._spread(every)

    def conflicts(self, state: int, task: int, leaf: Leaf) -> Iterator[int]:
        """The locations of ``leaf``, ``task``'s step from ``state``, that race."""
        racing = self._ahead[self.graph.succ[state][task]] & self._bad[leaf]
        if racing:
            for _, _, released in leaf.spans:
                if question := self._questions.get((task, released)):
                    yield from question.locations(racing)

    def _conflicting(self, task: int, leaf: Leaf) -> int:
        """The answers that would make a race with this step."""
        bad = 0
        for reads, writes, released in leaf.spans:
            if question := self._questions.get((task, released)):
                bad |= question.pack(writes, reads)
        return bad

    def _passes(self, task: int, leaf: Leaf) -> tuple[int, int]:
        """What a step adds to the answers, and which answers hold across it."""
        own = through = 0
        for (still, released), question in self._questions.items():
            if task != still and not leaf.taken & released:
                own |= question.pack(leaf.touched, leaf.wrote)
                through |= question.all
        return own, through

    def _spread(self, order: Iterable[Component]) -> list[int]:
        """For each state the answers to all questions."""
        succ, rows = self.graph.succ, self.graph.leaf
        passes = {leaf: self._passes(task, leaf) for task, leaf in self.graph.histories.leaves}
        ahead = [0] * len(self.graph)
        same: dict[int, int] = {}
        for part in order:
            changed = True
            while changed:
                changed = False
                for state in part:
                    answers = 0
                    for to, leaf in zip(succ[state], rows[state]):
                        if leaf is not None:
                            own, through = passes[leaf]
                            answers |= own
                            if to >= 0:
                                answers |= ahead[to] & through
                    if answers != ahead[state]:
                        ahead[state] = same.setdefault(answers, answers)
                        changed = len(part) > 1
        return ahead

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


def _questions(graph: Graph) -> dict[tuple[int, Locks], _Question]:
    """By task and the locks released since: what to ask, where two steps could conflict."""
    by_key: dict[tuple[int, Locks], list[tuple[int, int]]] = {}
    for task, leaf in graph.histories.leaves:
        for reads, writes, released in leaf.spans:
            by_key.setdefault((task, released), []).append((reads, writes))
    found: dict[tuple[int, Locks], _Question] = {}
    base = 0
    for (task, released), spans in by_key.items():
        touched = wrote = relevant = 0
        for other, leaf in graph.histories.leaves:
            if other != task and not leaf.taken & released:
                touched |= leaf.touched
                wrote |= leaf.wrote
        for reads, writes in spans:
            relevant |= (writes & touched) | (reads & wrote)
        if relevant:
            found[task, released] = question = _Question(relevant, base)
            base += 2 * len(question.places)
    return found


def _bits(mask: int) -> Iterator[int]:
    while mask:
        yield (mask & -mask).bit_length() - 1
        mask &= mask - 1
