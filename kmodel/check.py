"""The joint: a case is searched, and the search checked against real runs."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final

import attrs

from kmodel.case import Case
from kmodel.explore.bounded import Bounded, Kind, Level, counted
from kmodel.explore.cycle import Fairness
from kmodel.explore.execution import Execution
from kmodel.explore.graph import NOWHERE, Graph, Limits, Order, Search
from kmodel.explore.history import FalseLive, Histories
from kmodel.explore.interrupt import interruptible
from kmodel.explore.tree import Divergence
from kmodel.judge import Judge
from kmodel.point import START
from kmodel.shown import undecided
from kmodel.verdict import Evidence, Finding, Verdict

Tick = Callable[[Graph], None]
Told = Callable[[Level], None]
UNJUDGED: Final = "deadlock of some, livelock, starvation and data races"
"""What a search within a bound cannot judge: that takes the whole graph."""


def explore(case: Case, limits: Limits, order: Order = "dfs", tick: Tick | None = None) -> Judge:
    """Search every schedule of ``case``, as far as ``limits`` allow. A Ctrl-C stops the
    search and keeps what it has."""
    search = Search(case.build(), limits, order)
    _drive(search, tick)
    if search.graph.complete:
        recheck(case, search.graph, walks=4)
    return Judge(case, search)


def explore_within(
    case: Case, limits: Limits, kind: Kind, bound: int, tick: Tick | None, told: Told | None = None
) -> WithinBound:
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

    _drive(search, tell)
    if search.graph.complete:
        recheck(case, search.graph, walks=4)
    return WithinBound(case, search, kind)


class WithinBound(Judge):
    """Judges a bounded search: everything if the bound covers everything, else only what one
    state can show (panics, checks, leaks, a deadlock of all)."""

    def __init__(self, case: Case, search: Bounded, kind: Kind) -> None:
        super().__init__(case, search)
        self.search, self.kind = search, kind

    def verdict(self) -> Verdict:
        verdict = super().verdict() if self.graph.complete else self._of_safety()
        return attrs.evolve(verdict, strategy=self.kind, message=self._message(verdict))

    def _of_safety(self) -> Verdict:
        judged = [finding for finding, counts in self.violated if counts]
        others = [finding for finding, counts in self.violated if not counts]
        if self.search.stuck:
            hangs = self.live.hangs(Fairness("strong", False))
            judged += [self._hang(hang, "ends") for hang in hangs if not hang.loop]
        return self._document(sorted(judged, key=Finding.rank), others)

    def _message(self, verdict: Verdict) -> str:
        """What is wrong, and which bound misses it; or how far nothing is."""
        levels, stopped_by = self.search.levels, self.graph.stopped_by
        clean = [counted(one.bound, self.search.unit) for one in levels if not one.found]
        if self.graph.complete:
            said = [f"a bound of {self.reach} covers every step there is, so all is judged"]
            if clean and len(clean) < len(levels):
                said.insert(0, f"none within {clean[-1]}")
            return f"{verdict.message} ({'; '.join(said)})"
        if verdict.verdict == "violated":
            return verdict.message + (f" (none within {clean[-1]})" if clean else "")
        if not levels:
            return f"nothing found, and the search ended early: {stopped_by}"
        early = f"; then {stopped_by} ended the search" if stopped_by else ""
        return f"none within {self.reach}, and more lies beyond{early} (not judged: {UNJUDGED})"

    @property
    def reach(self) -> str:
        """The bound that was covered entirely."""
        levels = self.search.levels
        return counted(levels[-1].bound, self.search.unit) if levels else ""

    def evidence(self) -> Evidence:
        evidence = super().evidence()
        if self.graph.complete:
            return evidence
        bound = "; ".join(filter(None, (self.reach, self.graph.stopped_by)))
        return attrs.evolve(evidence, bound=bound)

    @cached_property
    def longest(self) -> dict[str, Any]:
        """Nothing: the most of any run takes the whole graph."""
        return super().longest if self.graph.complete else {}


def check_live(case: Case, limits: Limits, tick: Tick | None = None) -> Verdict:
    """Search with keys that forget nothing, and look for a ``Loop.head`` or ``procedure`` that
    forgets what still matters. Loops never close then, so that a limit ends it: a check
    within bounds, breadth first."""
    world = case.build()
    search = Search(world, limits, "bfs", Histories(world, forgetful=False))
    try:
        _drive(search, tick)
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


def _drive(search: Search | Bounded, tick: Tick | None) -> None:
    """Advance ``search`` to its end, with a ``tick`` after each piece of work; a Ctrl-C
    ends it there and keeps what it has."""
    with interruptible() as asked_to_stop, no_collector():
        more = True
        while more:
            more = search.advance(500)
            if tick:
                tick(search.graph)
            if more and asked_to_stop():
                search.interrupt("interrupted")
                more = False


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


def recheck(case: Case, graph: Graph, walks: int) -> None:
    """Take a few random walks through ``graph`` with real objects beside it.

    Raises ``Divergence`` at the first step at which other tasks can go than the graph
    says: then something shared is not seen, or the scenario is not deterministic.
    """
    for seed in range(walks):
        execution = Execution(case.build())
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
        if graph.final(state) or not onward:
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
