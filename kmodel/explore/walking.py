"""Random runs through a graph, by what its search remembers of each step.

A run is the one that the same strategy gives on plain objects, choice for choice; it only
costs less. In a graph that is whole, a run is broken off where it comes into a component that
it cannot leave and that has no end: it will go round there for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any, Final

import attrs

from kmodel.explore.cycle import Component
from kmodel.explore.execution import Strategy
from kmodel.explore.graph import NOWHERE, Graph
from kmodel.explore.tree import BLOCKED, Leaf, State
from kmodel.recorder import LimitReached

HANGS: Final = "hangs"
"""How a run ended that goes round for ever."""
ROOT: Final = 1
"""The node of a task that has not begun."""
Hear = Callable[[str, dict[str, Any]], None]


@attrs.frozen
class Walked:
    """How a run ended (as ``Outcome.kind``, or ``HANGS``), and its schedule."""

    kind: str
    choices: bytes


class Walks:
    """Walks through ``graph`` and, where its search was stopped, beyond. ``order`` are its
    components, each after those that it leads to."""

    def __init__(self, graph: Graph, order: Iterable[Component]) -> None:
        self.graph = graph
        self._daemons = [task.index for task in graph.world.tasks if task.daemon]
        self._trapped = traps(graph, order) if graph.complete else bytearray(len(graph))

    def run(self, strategy: Strategy, hear: Hear, max_steps: int) -> Walked:
        """One run, drawn by ``strategy``; ``hear`` is told what it says."""
        graph, choices = self.graph, bytearray()
        at: int | State[int] = graph.histories.initial[:]
        settling, chosen = self._daemons, None
        while True:
            try:
                leaves = self._leaves(at)
            except LimitReached:  # more histories than a search can keep
                return Walked("limit", bytes(choices))
            able = [task for task, leaf in enumerate(leaves) if leaf is not None]
            settling = [task for task in settling if task in able] if settling else settling
            kind = self._over(at, able, len(choices) >= max_steps)
            if kind is not None:
                return Walked(kind, bytes(choices))
            chosen = strategy.choose(settling[:1] or able, chosen)
            leaf = leaves[chosen]
            assert leaf is not None
            choices.append(chosen)
            for event, fields in leaf.said:
                hear(event, fields)
            if leaf.panic is not None:
                return Walked(leaf.panic.kind, bytes(choices))
            at = self._after(at, chosen, leaf)

    def _over(self, at: int | State[int], able: list[int], given_up: bool) -> str | None:
        """How the run ends here, if it does."""
        if self._done(at):
            return "done"
        if given_up:
            return "limit"
        if not able:
            state = self.graph.state(at) if isinstance(at, int) else at
            return "done" if self.graph.resting(state) else "deadlock"
        return HANGS if isinstance(at, int) and self._trapped[at] else None

    def _done(self, at: int | State[int]) -> bool:
        if isinstance(at, int):
            return self.graph.final(at)
        histories = self.graph.histories
        obliged = [task.index for task in self.graph.world.tasks if task.obliged]
        return all(histories.node(at, task).op is None for task in obliged)

    def _leaves(self, at: int | State[int]) -> tuple[Leaf | None, ...]:
        """What each task would do, ``None`` where it can do nothing."""
        if isinstance(at, int):
            return self.graph.leaf[at]
        histories, found = self.graph.histories, []
        for task in self.graph.world.tasks:
            node = histories.node(at, task.index)
            leaf = None if node.op is None else histories.leaf(node, at)
            found.append(None if leaf is BLOCKED else leaf)
        return tuple(found)

    def _after(self, at: int | State[int], task: int, leaf: Leaf) -> int | State[int]:
        """Where a step leads: a state of the graph by its number, if it is one whose steps
        are all known. The search lets tasks begin one by one, so that before all have
        begun it is none."""
        graph = self.graph
        if isinstance(at, int):
            to = graph.succ[at][task]
            return graph.state(to) if graph.unexpanded(to) else to
        assert leaf.next is not None
        locations = graph.histories.locations
        for where, code in leaf.stores:
            at[where] = code
        at[locations + task] = leaf.next.index
        if ROOT in at[locations:]:
            return at
        number = graph.keys.find(at)
        return at if number is None or graph.unexpanded(number) else number


def traps(graph: Graph, order: Iterable[Component]) -> bytearray:
    """For each state of a complete graph: is it in a component that no run leaves, be it by an
    end? ``order`` are the components."""
    found = bytearray(len(graph))
    for part in order:
        inside = set(part) if len(part) > 1 else part
        if all(_stays(graph.succ[state], inside) for state in part):
            for state in part:
                found[state] = 1
    return found


def _stays(row: tuple[int, ...], inside: Container[int]) -> bool:
    return bool(row) and all(to == NOWHERE or to in inside for to in row)
