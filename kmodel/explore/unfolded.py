"""The real states and steps behind a search of orbits, worked out as they are asked for.

A real state is the one that stands for its orbit, after some change of places; its number
is that of both. Where several changes lead to one state only the first of them counts, so
that some numbers stand for nothing that anything leads to. So do states in which tasks
have taken their silent first steps in another order than the one that a search takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from kmodel.explore.graph import Graph
from kmodel.explore.history import Node
from kmodel.explore.likeness import then
from kmodel.explore.orbit import Orbital
from kmodel.explore.tree import Leaf, State, walk
from kmodel.world import Check

Row = TypeVar("Row", bound=tuple[Any, ...])


class Unfolded(Graph):
    """The graph that a search of every state would have filled, as far as ``search`` came.
    To be looked at only."""

    def __init__(self, search: Orbital) -> None:
        self._search, self._like = search, search.like
        self._orbits = orbits = search.graph
        super().__init__(orbits.world, orbits.histories)
        self._ways = len(self._like.turns)
        self._back = [self._back_from(way) for way in range(self._ways)]
        self._onward: dict[int, list[tuple[int, int]]] = {}
        self._same: dict[int, list[int]] = {}
        self._failing: dict[Check, list[tuple[int, str]]] = {}
        self.succ = _Rows(len(self), self._row)  # type: ignore[assignment]
        self.leaf = _Rows(len(self), self._leaves)  # type: ignore[assignment]
        self.violations = orbits.violations
        self.complete, self.stopped_by = orbits.complete, orbits.stopped_by
        self.transitions, self.seconds = orbits.transitions, orbits.seconds

    def __len__(self) -> int:
        return len(self._orbits) * self._ways

    def state(self, number: int) -> State[int]:
        orbit, way = divmod(number, self._ways)
        state = self._orbits.state(orbit)
        return self._like.turns[way].state(state) if way else state

    def part(self, number: int) -> bytes:
        return self.state(number)[: self.histories.locations].tobytes()

    def node(self, number: int, task: int) -> Node:
        return self.histories.node(self.state(number), task)

    def final(self, number: int) -> bool:
        return self._orbits.final(number // self._ways)

    def unexpanded(self, number: int) -> bool:
        return self._orbits.unexpanded(number // self._ways)

    def panics(self) -> Iterator[tuple[int, int, Leaf]]:
        for orbit, task, _ in self._orbits.panics():
            for number in self._members(orbit):
                place = self._like.turns[number % self._ways].tasks[task]
                yield number, place, self.leaf[number][place]  # type: ignore[misc]

    def broken(self, check: Check) -> Iterator[tuple[int, str]]:
        if check not in self._failing:
            if self._search.tells_apart(check):
                self._failing[check] = list(super().broken(check))
            else:
                self._failing[check] = [
                    (number, self._like.turns[number % self._ways].text(wrong))
                    for orbit, wrong in self._orbits.broken(check)
                    for number in self._members(orbit)
                ]
        yield from self._failing[check]

    def reached(self, states: Iterable[int]) -> list[int]:
        seen, todo = {0}, [0]
        while todo:
            for to in self.succ[todo.pop()]:
                if to >= 0 and to not in seen:
                    seen.add(to)
                    todo.append(to)
        return [state for state in states if state in seen]

    def dead_ends(self) -> Iterator[int]:
        for orbit in self._orbits.dead_ends():
            yield from self._members(orbit)

    def _members(self, orbit: int) -> Iterator[int]:
        """The real states of an orbit."""
        for way in range(self._ways):
            if way == self._first(orbit, way):
                yield orbit * self._ways + way

    def _row(self, number: int) -> tuple[int, ...]:
        orbit, way = divmod(number, self._ways)
        row = list(self._orbits.succ[orbit])
        if not self._orbits.leaf[orbit]:
            return tuple(row)  # final, or not looked at
        for task, (to, back) in enumerate(self._steps(orbit)):
            place = self._like.turns[way].tasks[task]
            if to >= 0:
                row[place] = to * self._ways + self._first(to, self._after(back, way))
            else:
                row[place] = to
        return tuple(row)

    def _first(self, orbit: int, way: int) -> int:
        """The first turn that leads to the same real state as ``way``."""
        if orbit not in self._same:
            state = self._orbits.state(orbit)
            states = [bytes(turn.state(state)) for turn in self._like.turns]
            self._same[orbit] = [states.index(one) for one in states]
        return self._same[orbit][way]

    def _steps(self, orbit: int) -> list[tuple[int, int]]:
        """Where each task leads from the state that stands for ``orbit``: to which orbit,
        and the turn to it from the state that stands for that one."""
        if orbit not in self._onward:
            state, found = self._orbits.state(orbit), []
            for task, to in enumerate(self._orbits.succ[orbit]):
                way, leaf = 0, self._orbits.leaf[orbit][task]
                if leaf is not None and leaf.next is not None:
                    after = state[:]
                    for where, code in leaf.stores:
                        after[where] = code
                    after[self.histories.locations + task] = leaf.next.index
                    way = self._like.canonical(after)[1]
                found.append((to, self._back[way]))
            self._onward[orbit] = found
        return self._onward[orbit]

    def _leaves(self, number: int) -> tuple[Leaf | None, ...]:
        orbit, way = divmod(number, self._ways)
        if not way:
            return self._orbits.leaf[orbit]
        state = self.state(number)
        leaves: list[Leaf | None] = [None] * len(self._orbits.leaf[orbit])
        for task, leaf in enumerate(self._orbits.leaf[orbit]):
            if leaf is not None:
                place = self._like.turns[way].tasks[task]
                leaves[place] = walk(self.histories.node(state, place).tree, state)
        return tuple(leaves)

    def _after(self, first: int, second: int) -> int:
        """The turn that is the one and then the other."""
        turns = self._like.turns
        return self._like.number[then(turns[first].tasks, turns[second].tasks)]

    def _back_from(self, way: int) -> int:
        return next(back for back in range(self._ways) if self._after(way, back) == 0)


class _Rows(Sequence[Row]):
    """A row for each state, worked out once."""

    def __init__(self, states: int, row: Callable[[int], Row]) -> None:
        self._states, self._row = states, row
        self._known: dict[int, Row] = {}

    def __len__(self) -> int:
        return self._states

    def __getitem__(self, number: Any) -> Any:
        if number not in self._known:
            if not 0 <= number < self._states:
                raise IndexError(f"there is no state {number}")
            self._known[number] = self._row(number)
        return self._known[number]
