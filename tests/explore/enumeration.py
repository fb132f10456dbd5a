"""The oracle: every schedule of a program, one after the other, by running it.

No keys, no memory of what was seen: what a schedule reaches is read off plain
objects. And the same facts, as a search finds them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from programs import Key, contents, plain

from kmodel.explore.execution import Execution
from kmodel.explore.graph import Graph, Limits, Order, Search
from kmodel.explore.history import DONE
from kmodel.table import Table
from kmodel.world import World

Done = tuple[bool, ...]
"""Which obliged tasks are done (a background task is cut wherever it stands)."""


@attrs.define
class Facts:
    """Where schedules end. ``finals`` and ``deadlocks`` are values and done tasks."""

    finals: set[tuple[Key, Done]] = attrs.Factory(set)
    deadlocks: set[tuple[Key, Done]] = attrs.Factory(set)
    panics: set[str] = attrs.Factory(set)


class TooMany(Exception):
    """A program has more schedules than the oracle has time for."""


def enumerate_all(build: Callable[[], World], most: int, fresh: bool = False) -> tuple[Facts, int]:
    """What all schedules reach, and how many there are. ``fresh`` builds a world for
    each; otherwise one world's objects are set back, which is faster."""
    facts, count = Facts(), 0
    world = build()
    saved = _save(world)
    prefix: list[int] | None = []
    while prefix is not None:
        if count >= most:
            raise TooMany
        count += 1
        if fresh:
            world = build()
        else:
            _restore(saved)
        prefix = _one(world, prefix, facts)
    return facts, count


def _one(world: World, prefix: list[int], facts: Facts) -> list[int] | None:
    """Run one schedule; return how the next one in order begins, if there is one."""
    execution = Execution(world)
    chosen: list[int] = []
    able: list[list[int]] = []
    while not execution.over():
        enabled = execution.enabled()
        if not enabled:
            break
        step = prefix[len(chosen)] if len(chosen) < len(prefix) else enabled[0]
        able.append(enabled)
        chosen.append(step)
        execution.step(step)
    where = (contents(world), _done(execution))
    if execution.outcome is None:
        facts.deadlocks.add(where)
    elif execution.outcome.kind == "done":
        facts.finals.add(where)
    else:
        facts.panics.add(execution.outcome.message)
    execution.close()
    for depth in reversed(range(len(chosen))):
        later = [one for one in able[depth] if one > chosen[depth]]
        if later:
            return [*chosen[:depth], later[0]]
    return None


def _done(execution: Execution) -> Done:
    tasks = execution.world.tasks
    return tuple(op is None for op, task in zip(execution.pending, tasks) if task.obliged)


def _save(world: World) -> list[tuple[Any, Any]]:
    return [
        (thing._cells, list(thing._cells))
        if isinstance(thing, Table)
        else (thing.__dict__, dict(thing.__dict__))
        for thing in world.objects
    ]


def _restore(saved: list[tuple[Any, Any]]) -> None:
    for held, before in saved:
        if isinstance(held, list):
            held[:] = before
        else:
            oid = held["_oid"]
            held.clear()
            held.update(before, _oid=oid)


def searched(
    world: World, order: Order = "dfs", limits: Limits | None = None, batch: int = 10_000
) -> Graph:
    """The complete graph of ``world``."""
    search = Search(world, limits or Limits(), order)
    while search.advance(batch):
        pass
    return search.graph


def values(graph: Graph, number: int) -> Key:
    """Every shared value in a state, in the order of ``contents``."""
    histories = graph.histories
    codes = graph.state(number)[: histories.locations]
    return tuple(plain(histories.recorder.values[code]) for code in codes)


def done(graph: Graph, number: int) -> Done:
    state, first = graph.state(number), graph.histories.locations
    return tuple(state[first + task.index] == DONE for task in graph.world.tasks if task.obliged)


def facts_of(graph: Graph) -> Facts:
    """What a search says about the same (a state that it has not looked at has no leaves)."""
    facts = Facts()
    for number in range(len(graph)):
        where = (values(graph, number), done(graph, number))
        if graph.final(number):
            facts.finals.add(where)
        elif graph.leaf[number] and all(leaf is None for leaf in graph.leaf[number]):
            facts.deadlocks.add(where)
        facts.panics |= {leaf.panic.message for leaf in graph.leaf[number] if leaf and leaf.panic}
    return facts
