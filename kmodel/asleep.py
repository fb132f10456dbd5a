"""Who sleeps where, and holding what: read off the states of a searched graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs

from kmodel.explore.graph import Graph
from kmodel.explore.keys import NODE, place
from kmodel.explore.tree import Predicate
from kmodel.point import Task

SLEEPS: Final = ("chan.woken", "lock.contended")
"""What a thread is about to do that sleeps: on a channel, or on a sleeping lock. One that
spins for a mutex does not sleep."""


@attrs.frozen(order=True)
class Asleep:
    """Threads of a kind (``fault``, or a daemon's name) sleep ``at`` a channel or lock,
    with the locks ``holds``, in the order taken. Pool items, pages and map entries that they
    have got and not yet used are not told."""

    who: str
    at: str
    holds: tuple[str, ...]


def asleep(graph: Graph) -> tuple[Asleep, ...]:
    """Every way to sleep that some state shows, of threads that must end and of daemons. For
    each point of a thread's history one state is looked at: what a CPU holds is a
    matter of its own thread."""
    return tuple(sorted(set(_found(graph))))


def _found(graph: Graph) -> Iterator[Asleep]:
    packed = graph.keys.packed
    for task, nodes in zip(graph.world.tasks, graph.histories.nodes):
        if not (task.obliged or task.daemon):
            continue
        sleeping = {node.index: node.op for node in nodes if node.op and _sleeps(node.op)}
        held, low = Predicate(_holding(task)), place(task.index)
        for number, state in enumerate(packed):
            if not sleeping:
                break
            op = sleeping.pop(state >> low & NODE, None)
            if op is not None:
                holds = held.value(graph.state(number), graph.world)
                yield Asleep("fault" if task.obliged else task.name, op[1].name, holds)


def _sleeps(op: Any) -> bool:
    return op[0].event in SLEEPS


def _holding(task: Task) -> Any:
    return lambda: tuple(lock.name for lock in task.cpu.held)
