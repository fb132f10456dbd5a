"""Paths through a state graph: stems that are easy to read (few preemptions, then few
steps), and loops that show a component once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

from kmodel.explore.bystander import Participants, participants, rows
from kmodel.explore.cycle import Component
from kmodel.explore.graph import Graph, Violation
from kmodel.explore.preemption import Fewest

Edge = tuple[int, int]
"""A state, and the task that steps in it."""


class Paths:
    """Ways through ``graph``: the fewest preemptions first, then the fewest steps. (``easiest``
    puts the fewest tasks before that.)"""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @cached_property
    def fewest(self) -> Fewest:
        return Fewest(self.graph)

    @cached_property
    def _tree(self) -> list[Edge]:
        """Breadth first from the start: how each state is first reached."""
        came = [(-1, -1)] * len(self.graph)
        came[0] = (0, -1)
        queue = deque([0])
        while queue:
            state = queue.popleft()
            for task, to in enumerate(self.graph.succ[state]):
                if to >= 0 and came[to][0] < 0:
                    came[to] = (state, task)
                    queue.append(to)
        return came

    def nearest(self, states: Iterable[int]) -> int:
        """The one of ``states`` whose schedule is the easiest to read."""
        return self.fewest.nearest(states)

    def depth(self, state: int) -> int:
        """How far it is: the number of states that are nearer."""
        return self.fewest.rank(state)

    def to(self, state: int, then: bytes = b"") -> bytes:
        """A schedule from the start to ``state`` with the fewest preemptions, and of those
        the fewest steps. ``then`` is what comes after it, so that the switch to it counts."""
        return self.fewest.to(state, then)

    def preemptions(self, choices: bytes) -> int:
        """How many there are in a schedule from the start."""
        return self.fewest.count(choices)

    def shortest(self, state: int) -> bytes:
        """A schedule from the start to ``state`` with the fewest steps."""
        steps = bytearray()
        while state:
            state, task = self._tree[state]
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

    def forward(self, states: Iterable[int]) -> Iterator[int]:
        """Everything that can be reached, the nearest first."""
        seen = set(states)
        queue = deque(seen)
        while queue:
            state = queue.popleft()
            yield state
            for to in self.graph.succ[state]:
                if to >= 0 and to not in seen:
                    seen.add(to)
                    queue.append(to)


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


def easiest(paths: Paths, violation: Violation) -> bytes | None:
    """The schedule that is the easiest to read of all that end in the same violation: the
    fewest tasks, then the fewest preemptions, then the fewest steps. A search notes only
    the first that it meets. ``None`` if no schedule in the graph ends so."""
    graph = paths.graph
    ends: dict[bytes, list[int]] = {}
    if violation.task is None:
        ends[b""] = list(_broken(graph, violation))
    else:
        for state, task in _panics(graph, violation):
            ends.setdefault(bytes([task]), []).append(state)
    ends = {then: states for then, some in ends.items() if (states := graph.reached(some))}
    if not ends:
        return None
    needed = _needed(graph, violation)
    who = [
        (group, then)
        for then, states in ends.items()
        for group in participants(graph, states, needed | set(then))
    ]
    fewest = min(len(group.tasks) for group, _ in who)
    found = [
        choices
        for group, then in who
        if len(group.tasks) == fewest
        for choices in _ways(paths, group, then)
    ]
    return min(found, key=lambda choices: (paths.preemptions(choices), len(choices)))


def _needed(graph: Graph, violation: Violation) -> set[int]:
    """What is checked at the end needs all that must end."""
    for check in graph.world.checks:
        if check.name == violation.property and check.when == "end":
            return {task.index for task in graph.world.tasks if task.obliged}
    return set()


def _ways(paths: Paths, group: Participants, then: bytes) -> Iterator[bytes]:
    graph = paths.graph
    everybody = len(group.tasks) == len(graph.world.tasks)
    ways = paths.fewest if everybody else Fewest(graph, rows(graph, group.tasks))
    for state in sorted(group.states) if then else [ways.nearest(group.states)]:
        yield ways.to(state, then) + then


def _broken(graph: Graph, violation: Violation) -> Iterator[int]:
    """The states in which a check fails, and says the same."""
    for check in graph.world.checks:
        if check.name == violation.property:
            for state, wrong in graph.broken(check):
                if wrong == violation.message:
                    yield state


def _panics(graph: Graph, violation: Violation) -> Iterator[Edge]:
    """The steps that panic and say the same."""
    for state, task, leaf in graph.panics():
        if leaf.panic is not None and leaf.panic.message == violation.message:
            yield state, task
