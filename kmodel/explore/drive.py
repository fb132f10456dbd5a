"""Drives a search to its end, and checks the finished graph against real runs."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kmodel.explore.execution import Execution
from kmodel.explore.graph import NOWHERE, Graph, Search
from kmodel.explore.interrupt import interruptible
from kmodel.explore.tree import Divergence
from kmodel.point import START
from kmodel.world import World

Tick = Callable[[Graph], None]
WALKS = 4
"""Random walks by which a finished graph is checked."""


def drive(search: Search, tick: Tick | None = None) -> None:
    """Advance ``search`` to its end, with a ``tick`` after each piece of work; a Ctrl-C
    ends it there and keeps what it has. Raises ``ScenarioError`` if model code changed what
    the engine does not see."""
    with interruptible() as asked_to_stop, no_collector():
        more = True
        while more:
            more = search.advance(500)
            if tick:
                tick(search.graph)
            if more and asked_to_stop():
                search.interrupt("interrupted")
                more = False
    search.histories.unseen.refuse_changed()


@contextmanager
def no_collector() -> Iterator[None]:
    """The cycle collector off: a graph is large, lives on, and has no cycles to collect,
    so that looking through it again and again only takes time (a fifth of a search)."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def recheck(build: Callable[[], World], graph: Graph, walks: int = WALKS) -> None:
    """Take a few random walks through ``graph`` with real objects beside it.

    Raises ``Divergence`` at the first step at which other tasks can go than the graph
    says: then something shared is not seen, or the scenario is not deterministic.
    """
    for seed in range(walks):
        execution = Execution(build())
        try:
            _walk(execution, graph, random.Random(seed))
        finally:
            execution.close()


def _walk(execution: Execution, graph: Graph, chance: random.Random) -> None:
    state = 0
    for step in range(400):
        row = graph.succ[state]
        said = [task for task, to in enumerate(row) if to != NOWHERE]
        onward = [task for task in said if row[task] >= 0]
        if graph.final(state):
            if execution.over():
                return
            raise Divergence(
                f"not deterministic: after the same {step} steps the run goes on, and it was "
                "over before"
            )
        if not onward:
            return
        able = execution.enabled()
        # until every task has begun the search takes silent first steps in order
        begun = all(op is None or op[0] is not START for op in execution.pending)
        if not set(said) <= set(able) or (begun and said != able):
            raise Divergence(
                f"not deterministic: after the same {step} steps {_named(graph, able)} can step, "
                f"and {_named(graph, said)} could before"
            )
        task = onward[int(chance.random() * len(onward))]
        execution.step(task)
        state = row[task]


def _named(graph: Graph, tasks: list[int]) -> str:
    return ", ".join(graph.world.tasks[task].name for task in tasks) or "nobody"
