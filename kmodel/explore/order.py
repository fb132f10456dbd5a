"""Lock order: who was about to wait for a lock while it held others, and whether the
cycles in that order can happen.

Source: witness(4), sys/kern/subr_witness.c: locks by name, an edge from each lock held
to the one wanted, a cycle is a reversal. witness must guess whether a cycle can lock
up; a complete graph knows: it is *confirmed* by a state in which the tasks wait for one
another and none of them can ever step again, or it is *unreachable*, say because an
outer lock is held each time, and then no more than a potential inversion.

An edge is an event ``witness.order`` with ``held`` (names) and ``wanted``. A lock whose
``readers`` hold a task is shared by it. A cycle of readers alone still counts: it locks
up as soon as writers wait in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

from kmodel.explore.graph import NOWHERE, Graph
from kmodel.explore.inversion import Deadlock, Inversion, Pair, Taking
from kmodel.explore.lasso import Paths
from kmodel.explore.site import ORDER
from kmodel.explore.tree import Leaf, Predicate
from kmodel.point import Task


class LockOrder:
    """The lock-order graph of a searched graph, and the cycles in it."""

    def __init__(self, graph: Graph, paths: Paths | None = None) -> None:
        self.graph = graph
        self._paths = paths or Paths(graph)
        self.pairs: dict[Pair, list[Taking]] = {}
        for task, leaf in graph.histories.leaves:
            for taking in _takings(task, leaf):
                for held in taking.held:
                    known = self.pairs.setdefault((held, taking.wanted), [])
                    if taking not in known:
                        known.append(taking)

    @cached_property
    def inversions(self) -> list[Inversion]:
        """Every cycle that is the shortest through some pair, the short ones first."""
        return [self._inversion(locks) for locks in cycles(self.pairs)]

    def _inversion(self, locks: tuple[str, ...]) -> Inversion:
        pairs = _around(locks)
        every = [taking for pair in pairs for taking in self.pairs[pair]]
        gates = set.intersection(*(set(taking.held) for taking in every)) - set(locks)
        return Inversion(
            locks,
            self._examples(pairs),
            tuple(sorted(gates)),
            all(self._shared(pair) for pair in pairs),
            self._deadlock(pairs),
            self.graph.complete,
            len(self.graph),
        )

    def _examples(self, pairs: list[Pair]) -> tuple[Taking, ...]:
        """One taking for each pair, of different tasks as far as that goes."""
        found: list[Taking] = []
        for pair in pairs:
            used = {taking.task for taking in found}
            known = self.pairs[pair]
            found.append(next((one for one in known if one.task not in used), known[0]))
        return tuple(found)

    # -- does it happen?

    def _deadlock(self, pairs: list[Pair]) -> Deadlock | None:
        """The nearest state in which tasks wait round ``pairs`` and never step again."""
        found = None
        for state, tasks in self._waiting(pairs):
            nearer = found is None or self._paths.depth(state) < self._paths.depth(found.state)
            if nearer and all(state in self._never[task] for task in tasks):
                found = Deadlock(state, tasks)
        return found

    def _waiting(self, pairs: list[Pair]) -> Iterator[tuple[int, tuple[int, ...]]]:
        """States in which for each of ``pairs`` a task holds and cannot go on to take.
        Tasks differ, as each waits for one lock; two locks of one name need two tasks."""
        graph = self.graph
        least = max(2, len(pairs))
        for state, row in enumerate(graph.succ):
            if not graph.leaf[state] or row.count(NOWHERE) < least:
                continue
            waits: dict[Pair, list[int]] = {}
            for task, to in enumerate(row):
                op = graph.node(state, task).op if to == NOWHERE else None
                wanted = getattr(op[1], "name", "") if op else ""
                if any(wanted == pair[1] for pair in pairs):
                    for held in self._held[task].value(graph.state(state), graph.world):
                        waits.setdefault((held, wanted), []).append(task)
            if len(pairs) == 1 and len(waits.get(pairs[0], ())) > 1:
                yield state, tuple(waits[pairs[0]])
            elif len(pairs) > 1 and all(pair in waits for pair in pairs):
                yield state, tuple(waits[pair][0] for pair in pairs)

    @cached_property
    def _held(self) -> list[Predicate]:
        """By task: the names of the locks that it holds in a state."""
        return [_held_by(task) for task in self.graph.world.tasks]

    @cached_property
    def _before(self) -> list[list[int]]:
        before: list[list[int]] = [[] for _ in range(len(self.graph))]
        for state, _, to, _ in self.graph.edges():
            before[to].append(state)
        return before

    @cached_property
    def _never(self) -> list[set[int]]:
        """By task: the states from which it can never step (nobody knows that of what the
        search has not looked at)."""
        return [self._without(task.index) for task in self.graph.world.tasks]

    def _without(self, task: int) -> set[int]:
        graph = self.graph
        never = {state for state in range(len(graph)) if graph.leaf[state]}
        todo = [
            state
            for state, row in enumerate(graph.succ)
            if not graph.final(state) and (not graph.leaf[state] or row[task] != NOWHERE)
        ]
        never.difference_update(todo)
        while todo:
            for state in self._before[todo.pop()]:
                if state in never:
                    never.remove(state)
                    todo.append(state)
        return never

    # -- readers

    def _shared(self, pair: Pair) -> bool:
        """Was the first lock only shared, and the other one wanted so, each time?"""
        return bool(self._modes.get(pair)) and all(self._modes[pair])

    @cached_property
    def _modes(self) -> dict[Pair, set[bool]]:
        """By pair: whether both locks were shared, for each step that took them so."""
        graph = self.graph
        saying = {leaf for _, leaf in graph.histories.leaves if any(_takings(0, leaf))}
        found: dict[Pair, set[bool]] = {}
        for _, task, to, leaf in graph.edges():
            if leaf in saying:
                saying.remove(leaf)
                key = graph.state(to)
                shares = self._shares[task].value(key, graph.world)
                op = graph.node(to, task).op
                reads = op is not None and any(argument is False for argument in op[2])
                for taking in _takings(task, leaf):
                    for held in taking.held:
                        both = reads and held in shares
                        found.setdefault((held, taking.wanted), set()).add(both)
        return found

    @cached_property
    def _shares(self) -> list[Predicate]:
        """By task: the names of the locks that it holds as a reader in a state."""
        return [_shared_by(task) for task in self.graph.world.tasks]


def cycles(pairs: Iterable[Pair]) -> list[tuple[str, ...]]:
    """For each pair the shortest cycle through it, if there is one; each cycle once, from
    its first name in the alphabet on."""
    ahead: dict[str, list[str]] = {}
    for held, wanted in pairs:
        ahead.setdefault(held, []).append(wanted)
    found = set()
    for held, wanted in pairs:
        back = _shortest(ahead, wanted, held)
        if back:
            first = back.index(min(back))
            found.add((*back[first:], *back[:first]))
    return sorted(found, key=lambda locks: (len(locks), locks))


def _shortest(ahead: dict[str, list[str]], start: str, end: str) -> tuple[str, ...]:
    queue: deque[tuple[str, ...]] = deque([(start,)])
    seen = {start}
    while queue:
        way = queue.popleft()
        if way[-1] == end:
            return way
        for to in ahead.get(way[-1], ()):
            if to not in seen:
                seen.add(to)
                queue.append((*way, to))
    return ()


def _around(locks: tuple[str, ...]) -> list[Pair]:
    return list(zip(locks, (*locks[1:], locks[0])))


def _takings(task: int, leaf: Leaf) -> Iterator[Taking]:
    for event, fields in leaf.said:
        if event == ORDER:
            yield Taking(task, fields["held"], fields["wanted"], fields.get("at", ""))


def _held_by(task: Task) -> Predicate:
    return Predicate(lambda: tuple(lock.name for lock in task.cpu.held))


def _shared_by(task: Task) -> Predicate:
    def shares() -> tuple[Any, ...]:
        return tuple(lock.name for lock in task.cpu.held if task in getattr(lock, "readers", ()))

    return Predicate(shares)
