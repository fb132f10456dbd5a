"""Data races: two adjacent steps of different tasks that touch the same location.

A step begins with its operation, so what a task touches in one step is ordered
before another task's very next step only by a lock that it released in between
(a ``left_mover``) and that the other then takes. Without that, and with one of the
two accesses a write, the two are unordered: a race. Without any, no schedule
with points between single accesses reaches anything new (adjacent steps could be
swapped piece by piece), which is what makes "step = point to point" exact; so a
race ends the guarantee, and is a verdict.

What this cannot see: accesses ordered only by a *failed* try, where the order is
in the schedule and not in any lock. It cannot make a step divisible either.
"""

from __future__ import annotations

import attrs

from kmodel.explore.graph import Graph
from kmodel.explore.history import Leaf, Node


@attrs.frozen
class Race:
    """``first`` steps in ``state``, and ``second`` could have been as well: both touch
    ``location``, at least one of them writing."""

    location: str
    state: int
    first: int
    second: int

    def message(self, names: list[str]) -> str:
        return (
            f"{names[self.first]} and {names[self.second]} touch {self.location} with nothing "
            "to order them, and one of them writes it"
        )


def races(graph: Graph, most: int = 16) -> list[Race]:
    """Every location with a race (up to ``most``), each with the first place found."""
    found: dict[int, Race] = {}
    succ, leaves = graph.succ, graph.leaf
    for state, (row, mine) in enumerate(zip(succ, leaves)):
        for task, leaf in enumerate(mine):
            if leaf is None or not leaf.spans or row[task] < 0:
                continue
            for other, theirs in enumerate(leaves[row[task]]):
                if theirs is None or other == task or not theirs.spans:
                    continue
                if leaf.wrote & theirs.touched or leaf.touched & theirs.wrote:
                    where = _unordered(graph, leaf, theirs, row[task], other)
                    if where is not None and where not in found:
                        name = graph.histories.recorder.names[where]
                        found[where] = Race(name, state, task, other)
                        if len(found) >= most:
                            return list(found.values())
    return list(found.values())


def _unordered(graph: Graph, leaf: Leaf, theirs: Leaf, state: int, other: int) -> int | None:
    """The location of a conflict that no lock orders, if there is one."""
    node = graph.histories.node(graph.state(state), other)
    taken = _taken(node)
    for reads, writes, released in leaf.spans:
        conflict = (writes & theirs.touched) | (reads & theirs.wrote)
        if conflict and not released & taken:
            return (conflict & -conflict).bit_length() - 1
    return None


def _taken(node: Node) -> frozenset[int]:
    """The objects that a step's operation is about."""
    assert node.op is not None
    return frozenset(thing._oid for thing in (node.op[1], *node.op[2]) if hasattr(thing, "_oid"))
