"""Small worlds, and ways to look at them: all orders, one order, or a chosen one.

Three ways to run a world: ``search`` visits every reachable state, ``run`` takes
one order by chance, ``Steered`` lets the test say who goes next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs

from kmodel import fixes
from kmodel.explore.execution import Execution, Outcome
from kmodel.explore.execution import run as run_loop
from kmodel.explore.graph import Graph, Limits, Search, Violation
from kmodel.explore.history import Node
from kmodel.explore.strategy import Random
from kmodel.explore.tree import Leaf
from kmodel.machine import Machine
from kmodel.param import KernelParams
from kmodel.shared import shared
from kmodel.world import World

MOST_STEPS = 5_000
"""No run here is that long: one that is will never end."""


@shared
class Cell:
    """One value: what a task found out, for the test to look at."""

    value: object

    def __init__(self, value: object = None) -> None:
        self.value = value


def boot(fix: str = "wait", **params: Any) -> Machine:
    """A machine with that fix; the page daemon is there only after ``finish``."""
    loaded = fixes.load(fix)
    return Machine(KernelParams(**(dict(loaded.params) | params)), loaded)


class Refused(Exception):
    """The engine refused what a step did; the message is the engine's."""


def refuse(kind: str, message: str) -> None:
    """Raise what a verdict would only report: refusals, and asserts that failed in a task."""
    if kind == "scenario-error":
        raise Refused(message)
    assert not message.startswith("assertion failed"), message


def search(world: World, states: int = 100_000) -> Graph:
    """Every reachable state of ``world``, whose objects are recorded from then on."""
    found = Search(world, Limits(states=states))
    while found.advance(1000):
        pass
    for wrong in found.graph.violations:
        refuse(wrong.kind, wrong.message)
    assert found.graph.complete, found.graph.stopped_by
    return found.graph


def look(graph: Graph, number: int, value: Callable[[], Any]) -> Any:
    """``value()`` with the world's objects as they are in that state."""
    recorder = graph.histories.recorder
    recorder.load(graph.state(number)[: graph.histories.locations])
    recorder.operating = None
    return value()


def everywhere(graph: Graph, value: Callable[[], Any]) -> set[Any]:
    """What ``value()`` is in any reachable state."""
    return {look(graph, number, value) for number in range(len(graph))}


def at_end(graph: Graph, value: Callable[[], Any]) -> set[Any]:
    """What ``value()`` is in any state in which every obliged task is done."""
    return {look(graph, number, value) for number in range(len(graph)) if graph.final(number)}


def stuck(graph: Graph) -> list[int]:
    """States in which nobody can step although an obliged task is not done."""
    return [
        number
        for number, row in enumerate(graph.succ)
        if not graph.final(number) and all(to == -1 for to in row)
    ]


@attrs.frozen
class Edge:
    """One transition: ``task`` does ``node``'s operation in state ``at``."""

    at: int
    task: str
    node: Node
    to: int
    leaf: Leaf

    @property
    def event(self) -> str:
        return self.node.op[0].event if self.node.op else ""

    @property
    def target(self) -> Any:
        """The object of the operation."""
        return self.node.op[1] if self.node.op else None


def edges(graph: Graph) -> Iterator[Edge]:
    """Every transition of the graph."""
    for at, task, to, leaf in graph.edges():
        node = graph.histories.node(graph.state(at), task)
        yield Edge(at, graph.world.tasks[task].name, node, to, leaf)


def done(graph: Graph) -> set[tuple[str, str]]:
    """(event, name of the object) of every operation that any task ever does."""
    return {(edge.event, getattr(edge.target, "name", "")) for edge in edges(graph)}


def past(node: Node) -> list[tuple[str, dict[str, Any]]]:
    """What a task has said on one way to ``node``."""
    said: list[tuple[str, dict[str, Any]]] = []
    while node.parent is not None and node.via is not None:
        said = [*node.via.said, *said]
        node = node.parent
    return said


def marks(graph: Graph) -> set[str]:
    """Every sentence that some task reaches in some order."""
    return {
        fields["text"]
        for edge in edges(graph)
        for event, fields in edge.leaf.said
        if event == "mark"
    }


def panics(graph: Graph) -> list[Violation]:
    """The broken rules of the kernel that the search has met."""
    return [wrong for wrong in graph.violations if wrong.property == "no panic"]


@attrs.define
class Run:
    """One run: how it ended, what each task returned, what was said."""

    outcome: Outcome
    results: dict[str, Any]
    events: list[tuple[str, str, dict[str, Any]]]  # task, event, fields

    def named(self, event: str) -> list[dict[str, Any]]:
        """The fields of every such event, in order."""
        return [fields for _, name, fields in self.events if name == event]


def run(world: World, seed: int = 0, steps: int = MOST_STEPS) -> Run:
    """One order, by chance: on plain objects, so statistics can be read after it."""
    events: list[tuple[str, str, dict[str, Any]]] = []
    execution = Execution(world, _listen(world, events), checks=True)
    outcome = run_loop(execution, Random(seed), steps)
    refuse(outcome.kind, outcome.message)
    results = {task: fields["result"] for task, event, fields in events if event == "task.end"}
    return Run(outcome, results, events)


def alone(world: World, start: Any, *args: Any) -> Any:
    """What ``start`` returns with every CPU to itself; it must come to an end."""
    world.task("A", start, *args)
    found = run(world)
    assert found.outcome.kind == "done", found.outcome
    return found.results["A"]


def _listen(world: World, events: list[tuple[str, str, dict[str, Any]]]) -> Any:
    def observer(
        step: int, task: int, cause: int | None, event: str, fields: dict[str, Any]
    ) -> int:
        events.append((world.tasks[task].name, event, fields))
        return len(events) - 1

    return observer


class Steered:
    """A run in the order that the test asks for. Use as a context manager."""

    def __init__(self, world: World) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self._names = [task.name for task in world.tasks]
        self._execution = Execution(world, _listen(world, self.events), checks=True)

    def __enter__(self) -> Steered:
        return self

    def __exit__(self, *_: object) -> None:
        self._execution.close()

    @property
    def outcome(self) -> Outcome | None:
        self._execution.over()
        return self._execution.outcome

    def go(self, *names: str) -> None:
        """Let each task step for as long as it can, one after the other."""
        for name in names:
            while self.can(name):
                self.step(name)

    def step(self, name: str) -> None:
        """Let one task take one step."""
        assert self.can(name), f"{name} cannot step: {self._execution.waiting()}"
        assert len(self._execution.choices) < MOST_STEPS, "this goes on for ever"
        self._execution.step(self._names.index(name))
        if self._execution.outcome:
            refuse(self._execution.outcome.kind, self._execution.outcome.message)

    def until(self, name: str, event: str) -> None:
        """Let one task step until it is about to do an operation called ``event``."""
        while self.about_to(name) != event:
            self.step(name)

    def about_to(self, name: str) -> str:
        op = self._execution.pending[self._names.index(name)]
        return op[0].event if op else "ended"

    def can(self, name: str) -> bool:
        return self._names.index(name) in self._execution.enabled()
