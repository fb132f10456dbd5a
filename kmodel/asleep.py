"""Who sleeps where, and holding what: read off the states of a searched graph."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import attrs

from kmodel.explore.graph import Graph
from kmodel.explore.keys import NODE, place
from kmodel.explore.tree import Predicate
from kmodel.hand import Hand, Hands, Kind, in_place
from kmodel.point import Task

SLEEPS: Final = ("chan.woken", "lock.contended")
"""What a thread is about to do that sleeps: on a channel, or on a sleeping lock. One that
spins for a mutex does not sleep."""


@attrs.frozen(order=True)
class Asleep:
    """Threads of a kind (``fault``, or a daemon's name) sleep ``at`` a channel or lock,
    with the locks ``holds``, in the order taken, and so many items of pools and pages
    ``in_hand`` (``kmodel.hand``)."""

    who: str
    at: str
    holds: tuple[str, ...]
    in_hand: tuple[Kind, ...] = ()

    def document(self) -> dict[str, Any]:
        return attrs.asdict(self) | {"in_hand": dict(self.in_hand)}


def asleep(graph: Graph) -> tuple[Asleep, ...]:
    """Every way to sleep that some state shows, of threads that must end and of daemons. For
    each point of a thread's history one state is looked at: what a CPU holds, and its thread
    has in hand, is a matter of its own."""
    return tuple(sorted(set(_found(graph))))


def _found(graph: Graph) -> Iterator[Asleep]:
    packed = graph.keys.packed
    for task, nodes in zip(graph.world.tasks, graph.histories.nodes):
        if not (task.obliged or task.daemon):
            continue
        sleeping = {node.index: node for node in nodes if node.op and _sleeps(node.op)}
        held, low, hands = Predicate(_holding(task)), place(task.index), Hands()
        for number, state in enumerate(packed):
            if not sleeping:
                break
            node = sleeping.pop(state >> low & NODE, None)
            if node is not None and node.op is not None:
                holds = held.value(graph.state(number), graph.world)
                in_hand = _left(hands.at(node), graph, number)
                who = "fault" if task.obliged else task.name
                yield Asleep(who, node.op[1].name, holds, in_hand)


def _left(hand: Hand, graph: Graph, number: int) -> tuple[Kind, ...]:
    """What of it is in no place where it belongs, in that state."""
    if hand == Hand():
        return ()
    there = Predicate(partial(in_place, graph.world))  # kept by nobody: each hand is another
    return hand.without(*there.value(graph.state(number), graph.world))


def _sleeps(op: Any) -> bool:
    return op[0].event in SLEEPS


def _holding(task: Task) -> Any:
    return lambda: tuple(lock.name for lock in task.cpu.held)
