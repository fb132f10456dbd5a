"""The oracle of bounded searches: schedules one after the other, with their preemptions.

Costs are counted on plain runs, every implicit first step included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
from enumeration import TooMany, _done, _restore, _save
from programs import contents

from kmodel.explore.bounded import Bounded, Kind
from kmodel.explore.execution import Execution
from kmodel.explore.graph import Graph, Limits
from kmodel.world import World

Cost = tuple[int, int]
"""Preemptions, then steps."""


@attrs.frozen
class Run:
    """One schedule: how it ended, where, and what it cost."""

    kind: str
    where: Any
    cost: Cost
    choices: bytes


def runs(build: Callable[[], World], most: int) -> Iterator[Run]:
    """Every schedule; ``TooMany`` after ``most``."""
    world, count = build(), 0
    saved = _save(world)
    prefix: list[int] | None = []
    while prefix is not None:
        count += 1
        if count > most:
            raise TooMany
        _restore(saved)
        run, prefix = _one(world, prefix)
        yield run


def _one(world: World, prefix: list[int]) -> tuple[Run, list[int] | None]:
    execution = Execution(world)
    able: list[list[int]] = []
    chosen: list[int] = []
    switches = 0
    while not execution.over():
        enabled = execution.enabled()
        if not enabled:
            break
        step = prefix[len(chosen)] if len(chosen) < len(prefix) else enabled[0]
        switches += bool(chosen) and chosen[-1] != step and chosen[-1] in enabled
        able.append(enabled)
        chosen.append(step)
        execution.step(step)
    kind, where = "deadlock", (contents(world), _done(execution))
    if execution.outcome is not None:
        kind = "final" if execution.outcome.kind == "done" else "panic"
        where = execution.outcome.message if kind == "panic" else where
    execution.close()
    run = Run(kind, where, (switches, len(chosen)), bytes(chosen))
    for depth in reversed(range(len(chosen))):
        later = [one for one in able[depth] if one > chosen[depth]]
        if later:
            return run, [*chosen[:depth], later[0]]
    return run, None


def cheapest(build: Callable[[], World], most: int) -> dict[tuple[str, Any], Cost]:
    """Each end that schedules come to, with the least cost of any."""
    found: dict[tuple[str, Any], Cost] = {}
    for run in runs(build, most):
        end = (run.kind, run.where)
        found[end] = min(found.get(end, run.cost), run.cost)
    return found


def levels(world: World, kind: Kind, bound: int) -> Iterator[tuple[Bounded, Graph]]:
    """A bounded search as it stands after each bound; it goes on after what it finds."""
    search = Bounded(world, Limits(), kind, bound, go_on=True)
    covered, more = 0, True
    while more:
        more = search.advance(1000)
        if len(search.levels) > covered:
            covered += 1
            yield search, search.graph
