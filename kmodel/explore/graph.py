"""The graph of reachable states, and the search that fills it.

A state is exact: the code of every shared location and the node (history) of
every task. Two runs that reach equal states can only go on alike, so a state is
expanded once. The graph keeps every transition, and liveness is judged on it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from functools import partial
from typing import Literal

import attrs

from kmodel.explore.history import DONE, Histories, Node
from kmodel.explore.keys import NODE, PART, Keys, place
from kmodel.explore.tree import BLOCKED, Leaf, Predicate, State, walk
from kmodel.recorder import LimitReached
from kmodel.world import Check, World, leave, tested

Order = Literal["dfs", "bfs"]
NOWHERE = -1
"""Successor of a task that cannot step: blocked, or done."""
PANIC = -2
"""Successor of a step that panicked."""


@attrs.frozen
class Limits:
    """When to give up: states kept, seconds, bytes of memory used. A third of the seconds
    is kept for judging what a search found. ``earlier`` are those that a search which is
    taken up again took before; they do not count."""

    states: int = 1_000_000
    seconds: float = 60.0
    memory: int = 4 << 30
    earlier: float = 0.0

    @property
    def search_seconds(self) -> float:
        return self.earlier + self.seconds * 2 / 3


@attrs.frozen
class Violation:
    """A check that failed in ``state``, or a step of ``task`` from it that panicked."""

    kind: str
    property: str
    message: str
    state: int
    task: int | None = None
    judged: bool = True
    culprits: tuple[str, ...] = ()


class Graph:
    """States as numbers; ``0`` is the initial one.

    ``succ[s][t]`` is where task ``t`` leads from ``s`` (or ``NOWHERE``/``PANIC``), and
    ``leaf[s][t]`` what that step does. A *final* state (every obliged task done) has
    neither: background tasks are cut there. ``complete`` says that nothing is missing.
    """

    def __init__(self, world: World, histories: Histories) -> None:
        self.world, self.histories = world, histories
        self.keys = Keys(histories.locations, len(world.tasks))
        self.succ: list[tuple[int, ...]] = []
        self.leaf: list[tuple[Leaf | None, ...]] = []
        self.violations: list[Violation] = []
        self.complete = False
        self.stopped_by: str | None = None
        self.transitions = 0
        self.seconds = 0.0
        self._rests = Predicate(world.rests) if world.rests else None

    def __len__(self) -> int:
        return len(self.keys)

    def state(self, number: int) -> State[int]:
        return self.keys.state(number)

    def part(self, number: int) -> Hashable:
        """What the shared part of a state is known by."""
        return self.keys.packed[number] & PART

    def node(self, number: int, task: int) -> Node:
        """Where ``task`` stands in a state."""
        return self.histories.nodes[task][self.keys.packed[number] >> place(task) & NODE]

    def final(self, number: int) -> bool:
        return self.succ[number] == ()

    def unexpanded(self, number: int) -> bool:
        """Was the search stopped before it looked at what this state leads to?"""
        return bool(self.succ[number]) and not self.leaf[number]

    def done(self, number: int, task: int) -> bool:
        return self.node(number, task).index == DONE

    def edges(self) -> Iterator[tuple[int, int, int, Leaf]]:
        """Every transition: from, task, to, what it does."""
        for number, (row, leaves) in enumerate(zip(self.succ, self.leaf)):
            for task, (to, leaf) in enumerate(zip(row, leaves)):
                if to >= 0 and leaf is not None:
                    yield number, task, to, leaf

    def panics(self) -> Iterator[tuple[int, int, Leaf]]:
        """Every step that panics: from, task, what it does."""
        for number, row in enumerate(self.succ):
            if PANIC in row:
                for task, leaf in enumerate(self.leaf[number]):
                    if row[task] == PANIC and leaf is not None:
                        yield number, task, leaf

    def broken(self, check: Check) -> Iterator[tuple[int, str]]:
        """The states in which ``check`` fails, and what it says. A check sees the shared part of
        a state only, so it is asked once for each."""
        predicate = Predicate(partial(tested, check, check.test))
        said: dict[Hashable, str | None] = {}
        for number in range(len(self)):
            if check.when == "always" or self.final(number):
                part = self.part(number)
                if part not in said:
                    said[part] = predicate.value(self.state(number), self.world)
                wrong = said[part]
                if wrong is not None:
                    yield number, wrong

    def reached(self, states: Iterable[int]) -> list[int]:
        """Those of ``states`` that some schedule comes to: here all."""
        return list(states)

    def dead_ends(self) -> Iterator[int]:
        """States in which nobody can step though an obliged task has not ended, and the world
        may not rest so."""
        nobody = (NOWHERE,) * len(self.world.tasks)
        for number, row in enumerate(self.succ):
            if row == nobody and self.leaf[number] and not self.rests(number):
                yield number

    def rests(self, number: int) -> bool:
        """Is a state in which nobody can step an end like any other?"""
        return self.resting(self.state(number))

    def resting(self, state: State[int]) -> bool:
        """The same of a state that need not be one of the graph."""
        return self._rests is not None and bool(self._rests.value(state, self.world))


class Search:
    """Fills a graph, ``advance`` by ``advance``, so that whoever drives it keeps
    control between two (progress, deadlines, Ctrl-C)."""

    def __init__(
        self, world: World, limits: Limits, order: Order = "dfs", histories: Histories | None = None
    ) -> None:
        self.histories = histories or Histories(world)
        self.graph = Graph(world, self.histories)
        self.limits = limits
        self.order = order
        self._pop_left = order == "bfs"
        self._places = [(of_task, place(task)) for task, of_task in enumerate(self.histories.nodes)]
        self._roots = {of_task[1] for of_task in self.histories.nodes}
        self._frontier: deque[int] = deque()
        obliged = [task.index for task in world.tasks if task.obliged]
        self._unfinished = sum(NODE << place(task) for task in obliged)
        asked = [(check, Predicate(partial(tested, check, check.test))) for check in world.checks]
        self._always = [pair for pair in asked if pair[0].when == "always"]
        self._end = [pair for pair in asked if pair[0].when == "end"]
        self._tested: set[int] = set()
        self._broken: set[tuple[str, str]] = set()
        self._began = time.monotonic()
        self._discover(self.graph.keys.pack(self.histories.initial))

    def advance(self, expansions: int) -> bool:
        """Expand up to so many states; ``False`` when there is nothing left to do."""
        graph, frontier = self.graph, self._frontier
        pop = frontier.popleft if self._pop_left else frontier.pop
        for _ in range(expansions):
            if not frontier:
                break
            try:
                self._expand(pop())
            except LimitReached as limit:
                leave()
                graph.stopped_by = str(limit)
                break
        graph.complete = not frontier and graph.stopped_by is None
        if not frontier or graph.stopped_by:
            self.histories.close()
        graph.seconds = time.monotonic() - self._began
        self._check_limits()
        return bool(frontier) and graph.stopped_by is None

    def interrupt(self, why: str) -> None:
        """Stop here; the graph so far stays usable."""
        self.graph.stopped_by = why
        self.histories.close()

    def _expand(self, number: int) -> None:
        graph, histories, keys = self.graph, self.histories, self.graph.keys
        packed, met, parts, roots = keys.packed[number], keys.number, keys.parts, self._roots
        if not packed & self._unfinished:
            graph.succ[number] = ()
            graph.leaf[number] = ()
            self._test(self._end, number, keys.state(number))
            return
        shared = keys.shared(packed)
        nodes = [of_task[packed >> low & NODE] for of_task, low in self._places]
        only = self._before_all(keys.state(number)) if not roots.isdisjoint(nodes) else None
        row: list[int] = []
        leaves: list[Leaf | None] = []
        for node in nodes:
            to, leaf = NOWHERE, None
            if node.op is not None and (only is None or only == node.task.index):
                leaf = walk(node.tree, shared)
                if leaf is None:
                    leaf = histories.leaf(node, keys.state(number))
                if leaf is BLOCKED:
                    leaf = None
                elif leaf.next is None:
                    to = PANIC
                    self._panicked(number, node.task.index, leaf)
                else:
                    graph.transitions += 1
                    after = packed + leaf.moves
                    if leaf.stores:
                        then = shared[:]
                        for where, code in leaf.stores:
                            then[where] = code
                        key = then.tobytes()
                        part = parts.get(key)
                        after += (part if part is not None else keys.part(key)) - (packed & PART)
                    found = met.get(after)
                    to = found if found is not None else self._discover(after)
            row.append(to)
            leaves.append(leaf)
        graph.succ[number] = tuple(row)
        graph.leaf[number] = tuple(leaves)

    def _before_all(self, state: State[int]) -> int | None:
        """The task that goes alone now, if there is one: a daemon until it sleeps, while
        nobody else has begun; then the first task that has yet to begin and whose first
        step touches nothing shared, so that its order against all else cannot matter
        (unless it is its last: then it may end the run)."""
        histories = self.histories
        begun = [state[histories.locations + t.index] != 1 for t in self.graph.world.tasks]
        daemons = [t.index for t in self.graph.world.tasks if t.daemon]
        if not any(b for t, b in enumerate(begun) if t not in daemons):
            for task in daemons:
                node = histories.node(state, task)
                if node.op is not None and histories.leaf(node, state) is not BLOCKED:
                    return task
        for task, of_task in enumerate(histories.nodes):
            if state[histories.locations + task] == 1:
                leaf = histories.leaf(of_task[1], state)
                onward = leaf.next is not None and leaf.next.op is not None
                if onward and not leaf.stores and not leaf.inputs:
                    return task
        return None

    def _discover(self, packed: int) -> int:
        """Enter a state that was not met before. The checks of every state see its shared
        part only, so they are asked once for each."""
        graph = self.graph
        number = graph.keys.add(packed)
        graph.succ.append((NOWHERE,))
        graph.leaf.append(())
        self._frontier.append(number)
        part = packed & PART
        if self._always and part not in self._tested:
            self._tested.add(part)
            self._test(self._always, number, graph.state(number))
        return number

    def _test(self, checks: list[tuple[Check, Predicate]], number: int, state: State[int]) -> None:
        for check, predicate in checks:
            self._note(check, predicate.value(state, self.graph.world), number)

    def _note(self, check: Check, wrong: str | None, number: int) -> None:
        if wrong is not None and (check.name, wrong) not in self._broken:
            self._broken.add((check.name, wrong))
            self.graph.violations.append(
                Violation(check.kind, check.name, wrong, number, judged=check.judged)
            )

    def _panicked(self, number: int, task: int, leaf: Leaf) -> None:
        panic = leaf.panic
        assert panic is not None
        if ("panic", panic.message) not in self._broken:
            self._broken.add(("panic", panic.message))
            self.graph.violations.append(
                Violation(
                    panic.kind, "no panic", panic.message, number, task, culprits=panic.culprits
                )
            )

    def _check_limits(self) -> None:
        graph, limits = self.graph, self.limits
        if graph.stopped_by or not self._frontier:
            return
        if len(graph) >= limits.states:
            graph.stopped_by = f"{limits.states} states"
        elif graph.seconds >= limits.search_seconds:
            graph.stopped_by = f"{limits.seconds:g} s (a third of them kept for judging)"
        elif _resident() >= limits.memory:
            graph.stopped_by = f"{limits.memory >> 20} MiB of memory"


def _resident() -> int:
    """Bytes of memory that this process holds now (0 where the system does not say)."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * 4096
    except OSError:
        return 0
