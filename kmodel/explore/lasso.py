"""Paths through a state graph: shortest stems, and loops that show a component once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import cached_property

from kmodel.explore.cycle import Component
from kmodel.explore.graph import Graph

Edge = tuple[int, int]
"""A state, and the task that steps in it."""


class Paths:
    """Shortest ways through ``graph``, counted in steps."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @cached_property
    def _tree(self) -> tuple[list[Edge], list[int]]:
        """Breadth first from the start: how each state is first reached, and how deep."""
        came = [(-1, -1)] * len(self.graph)
        depth = [-1] * len(self.graph)
        depth[0] = 0
        queue = deque([0])
        while queue:
            state = queue.popleft()
            for task, to in enumerate(self.graph.succ[state]):
                if to >= 0 and depth[to] < 0:
                    depth[to] = depth[state] + 1
                    came[to] = (state, task)
                    queue.append(to)
        return came, depth

    def nearest(self, states: Iterable[int]) -> int:
        """The one of ``states`` with the shortest schedule."""
        depth = self._tree[1]
        return min(states, key=lambda state: (depth[state], state))

    def depth(self, state: int) -> int:
        return self._tree[1][state]

    def to(self, state: int) -> bytes:
        """A shortest schedule from the start to ``state``."""
        came = self._tree[0]
        steps = bytearray()
        while state:
            state, task = came[state]
            steps.append(task)
        return bytes(reversed(steps))

    def loop(self, part: Component, once: Callable[[int, int], bool] | None) -> tuple[int, bytes]:
        """A closed walk in ``part`` that takes a step of every task that can step in it
        (so that it is as fair as the whole part), and one that is ``once``, if given.

        Returns where it begins, and its steps. Short, not always shortest: from each
        place it goes to the nearest step that is still missing.
        """
        inside = set(part)
        start = here = self.nearest(part)
        steps = bytearray()
        missing = {task for s in part for task, to in enumerate(self.graph.succ[s]) if to in inside}
        while missing or once:
            for state, task in self._walk(here, inside, _wanted(missing, once)):
                missing.discard(task)
                if once is not None and once(state, task):
                    once = None
                steps.append(task)
                here = self.graph.succ[state][task]
        if here != start:
            back = self._walk(here, inside, lambda s, t: self.graph.succ[s][t] == start)
            steps.extend(task for _, task in back)
        return start, bytes(steps)

    def _walk(self, start: int, inside: set[int], good: Callable[[int, int], bool]) -> list[Edge]:
        """The shortest walk inside whose last step is ``good``."""
        came: dict[int, Edge | None] = {start: None}
        queue = deque([start])
        while queue:
            state = queue.popleft()
            for task, to in enumerate(self.graph.succ[state]):
                if to not in inside:
                    continue
                if good(state, task):
                    return [*_trace(came, state), (state, task)]
                if to not in came:
                    came[to] = (state, task)
                    queue.append(to)
        raise AssertionError("no such step inside the component")

    def forward(self, states: Iterable[int]) -> set[int]:
        """Everything that can be reached."""
        seen = set(states)
        queue = deque(seen)
        while queue:
            for to in self.graph.succ[queue.popleft()]:
                if to >= 0 and to not in seen:
                    seen.add(to)
                    queue.append(to)
        return seen


def _wanted(
    missing: set[int], once: Callable[[int, int], bool] | None
) -> Callable[[int, int], bool]:
    return lambda state, task: task in missing or (once is not None and once(state, task))


def _trace(came: dict[int, Edge | None], state: int) -> list[Edge]:
    steps: list[Edge] = []
    while (edge := came[state]) is not None:
        steps.append(edge)
        state = edge[0]
    return steps[::-1]
