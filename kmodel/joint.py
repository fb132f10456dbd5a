"""The joint: a case is searched and judged, within limits that cover both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from kmodel.case import Case
from kmodel.explore.bounded import Bounded, Kind, Level
from kmodel.explore.drive import Tick, drive, recheck
from kmodel.explore.graph import Graph, Limits, Order, Search
from kmodel.explore.history import FalseLive, Histories
from kmodel.explore.judgement import Judgement
from kmodel.explore.symmetry import up_to_symmetry
from kmodel.explore.within import WithinBound
from kmodel.judge import RESTART, Judge
from kmodel.properties import NO_LIVELOCK
from kmodel.shown import undecided
from kmodel.verdict import Verdict

Told = Callable[[Level], None]
IN_HASTE: Final = 2.0
"""Seconds of judging after a Ctrl-C."""


def explore(
    case: Case, limits: Limits, order: Order = "dfs", tick: Tick | None = None, jobs: int = 1
) -> Judge:
    """Search every schedule of ``case``, as far as ``limits`` allow, and judge it, in so many
    processes (two at most are of use). A Ctrl-C stops the search and keeps what it has."""
    return go_on(case, Search(case.build(), limits, order), tick, jobs)


def go_on(case: Case, search: Search, tick: Tick | None = None, jobs: int = 1) -> Judge:
    """``explore`` with a search of ``case`` that was begun elsewhere."""
    drive(search, tick)
    return _judge(case, Judgement(search, RESTART, NO_LIVELOCK), search.limits, jobs)


def explore_within(
    case: Case, limits: Limits, kind: Kind, bound: int, tick: Tick | None, told: Told | None = None
) -> Judge:
    """Search the schedules of ``case`` with at most ``bound`` preemptions or delays, a bound
    at a time; ``told`` hears of each that is covered."""
    search = Bounded(case.build(), limits, kind, bound)
    heard = 0

    def tell(graph: Graph) -> None:
        nonlocal heard
        for level in search.levels[heard:]:
            heard += 1
            if told:
                told(level)
        if tick:
            tick(graph)

    drive(search, tell)
    return _judge(case, WithinBound(search, kind, RESTART, NO_LIVELOCK), limits)


def explore_orbits(case: Case, limits: Limits, tick: Tick | None = None) -> Judge:
    """Search ``case`` up to the symmetry of like tasks: safety only. Where no tasks are alike
    every state is searched, and everything judged."""
    found = up_to_symmetry(case.build, limits, tick, RESTART, NO_LIVELOCK)
    return _judge(case, found, limits)


def _judge(case: Case, found: Judgement, limits: Limits, jobs: int = 1) -> Judge:
    """Judge in the time that is left."""
    graph = found.graph
    if graph.complete:
        recheck(case.build, graph)
    if graph.stopped_by == "interrupted":
        return Judge(case, found, IN_HASTE, jobs)
    return Judge(case, found, limits.earlier + limits.seconds - graph.seconds, jobs)


def check_live(case: Case, limits: Limits, tick: Tick | None = None) -> Verdict:
    """Search with keys that forget nothing, and look for a ``Loop.head`` or ``procedure`` that
    forgets what still matters. Loops never close then, so that a limit ends it: a check
    within bounds, breadth first."""
    world = case.build()
    search = Search(world, limits, "bfs", Histories(world, forgetful=False))
    try:
        drive(search, tick)
    except FalseLive as lie:
        return undecided(case, "check-live", "scenario-error", str(lie))
    graph = search.graph
    how = "all states" if graph.complete else f"the first {len(graph):,} states"
    message = f"nothing that loops and procedures forget matters later, in {how} with full keys"
    kept = undecided(case, "check-live", "", message)
    evidence = attrs.evolve(
        kept.evidence,
        complete=graph.complete,
        bound=graph.stopped_by or "none",
        states=len(graph),
        steps=graph.transitions,
        seconds=round(graph.seconds, 3),
    )
    return attrs.evolve(kept, kind=None, evidence=evidence)
