"""Judges a searched graph: what breaks, and a run that shows each.

Stage by stage, the cheap ones first, so that who has no time left still has something:
the checks of single states, then liveness, races and lock order. In a graph that a search
did not finish all that is found is real; what is not found says nothing.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import Final

import attrs

from kmodel.explore.absent import LEFT_OUT
from kmodel.explore.alarm import OutOfTime, deadline
from kmodel.explore.aside import Aside
from kmodel.explore.cycle import Fairness
from kmodel.explore.found import Found, hang_message
from kmodel.explore.graph import Graph, Search, Violation
from kmodel.explore.lasso import easiest
from kmodel.explore.liveness import SEVERITY, Hang, Liveness
from kmodel.explore.order import LockOrder
from kmodel.explore.race import RACE, races
from kmodel.explore.tree import Predicate
from kmodel.world import tested

ENDS: Final = "ends"
"""The property that every obliged task ends."""
RACE_FREE: Final = "no data race"
FAIR: Final = Fairness("weak", True)
"""What liveness is judged under."""
STRONG: Final = Fairness("strong", True)
"""What a check of where a run hangs is asked under: it is about what is waited for, and
weak fairness lets a CPU spin for ever on a mutex that others keep taking."""
NO_VERDICT: Final = ("scenario-error", LEFT_OUT)
"""Kinds of findings that say nothing about what is modelled."""
STAGES: Final = {
    "violated": "panics and checks",
    "hanging": "hangs",
    "repeating": "restarts for ever",
    "staying": "checks of where it hangs",
    "racing": "data races",
    "inverted": "lock order",
    "excluded": "what lock-grant rules out",
}
"""What is judged, in this order, and what it is called."""
LIVENESS: Final = ("hanging", "repeating", "excluded")
"""The stages that a second process takes over."""
WORTH_IT: Final = 20_000
"""States from which on it does."""


class Judgement:
    """What a finished, or stopped, search found. ``again`` is an event that must not come
    for ever of an unfinished obliged task, ``never`` the name of that property. ``graph`` is
    what is judged, if that is not the one that the search filled."""

    def __init__(
        self, search: Search, again: str = "", never: str = "", graph: Graph | None = None
    ) -> None:
        self.search, self.graph = search, search.graph if graph is None else graph
        self.live = Liveness(self.graph, again)
        self.never = never
        self.strategy: str = search.order
        self.stages = STAGES
        self.unjudged: list[str] = []
        self.cut: str | None = None
        self.names = [task.name for task in self.graph.world.tasks]

    def judge(self, seconds: float | None, jobs: int = 1) -> None:
        """Judge every stage, or (after so many seconds, or at a Ctrl-C) only the first ones;
        the others are then ``unjudged``, and ``cut`` says why. With two ``jobs`` liveness
        is judged in a process beside this one."""
        apart = LIVENESS if jobs > 1 and len(self.graph) >= WORTH_IT else ()
        here = [stage for stage in self.stages if stage not in apart]
        there = [stage for stage in self.stages if stage in apart]
        if there:
            with Aside(lambda: self._stages(there, seconds)) as aside:
                found = self._stages(here, seconds)
                told = None if self.cut == "interrupted" else self._fetched(aside)
            if told is None and not self.cut:
                told = self._stages(there, seconds)
            found |= told or {}
        else:
            found = self._stages(here, seconds)
        self.unjudged = [stage for stage in self.stages if stage not in found]
        self.__dict__.update({stage: [] for stage in self.unjudged} | found)

    def _stages(self, stages: list[str], seconds: float | None) -> dict[str, list[Found]]:
        """What these stages find, as far as time allows."""
        found: dict[str, list[Found]] = {}
        try:
            with deadline(seconds):
                for stage in stages:
                    found[stage] = getattr(self, stage)
        except OutOfTime:
            self.cut = "out of time"
        except KeyboardInterrupt:
            self.cut = "interrupted"
        return found

    def _fetched(self, aside: Aside) -> dict[str, list[Found]] | None:
        try:
            found: dict[str, list[Found]] | None = aside.result()
        except KeyboardInterrupt:
            self.cut = "interrupted"
            return None
        if found is not None and len(found) < len(LIVENESS):
            self.cut = "out of time"
        return found

    @cached_property
    def violated(self) -> list[Found]:
        """Panics, and the checks of the world."""
        return [self.of_violation(violation) for violation in self.graph.violations]

    @cached_property
    def hanging(self) -> list[Found]:
        """Ways for an obliged task not to end, one of each kind."""
        return [self.of_hang(hang, ENDS) for hang in self.live.hangs(FAIR)]

    @cached_property
    def repeating(self) -> list[Found]:
        """A fair run that says ``again`` for ever, if there is one."""
        hang = self.live.repeats(FAIR) if self.live.again else None
        return [self.of_hang(hang, self.never)] if hang else []

    @cached_property
    def staying(self) -> list[Found]:
        """Ways to hang among the states that a check with ``when="hang"`` finds something
        wrong with: each is a hang too, and told of for the name of the check."""
        found = []
        for check in self.graph.world.checks:
            if check.when == "hang":
                wrong = Predicate(partial(tested, check, check.test))
                hangs = self.live.hangs(STRONG, partial(self._wrong, wrong))
                found += [self.of_hang(hang, check.name) for hang in hangs]
        return found

    def _wrong(self, predicate: Predicate, state: int) -> bool:
        graph = self.graph
        return predicate.value(graph.state(state), graph.world) is not None

    @cached_property
    def racing(self) -> list[Found]:
        """Data races, one for each location."""
        return [
            self._with_stem(
                Found(
                    kind=RACE,
                    property=RACE_FREE,
                    message=race.message(self.names),
                    culprits=(race.location, self.names[race.first], self.names[race.second]),
                    stem=self.live.paths.to(race.state, race.path) + race.path,
                )
            )
            for race in races(self.graph, order=self.live.order)
        ]

    @cached_property
    def inverted(self) -> list[Found]:
        """Cycles in the lock order. A confirmed one is judged, unless an obliged task is in
        it: then it is a deadlock, and judged as that."""
        found = []
        for cycle in LockOrder(self.graph, self.live.paths).inversions:
            stuck = cycle.deadlock
            tasks = stuck.tasks if stuck else [taking.task for taking in cycle.takings]
            who = [self.names[task] for task in dict.fromkeys(tasks)]
            obliged = any(self.graph.world.tasks[task].obliged for task in tasks)
            found.append(
                self._with_stem(
                    Found(
                        kind="lock-order",
                        property="lock order",
                        message=cycle.message(self.names),
                        culprits=(*who, *cycle.locks),
                        judged=stuck is not None and not obliged,
                        stem=self.live.paths.to(stuck.state) if stuck else None,
                    )
                )
            )
        return found

    @cached_property
    def excluded(self) -> list[Found]:
        """Hangs that lock-grant alone rules out. That all can wait for locks for ever is told
        also where such a loop lies within one that lets them go on."""
        if not self.graph.complete:
            return []  # what lock-grant would rule out may also hold without it
        granted = {found.kind for found in self.hanging}
        weak, live = Fairness("weak", False), self.live
        hangs = [*live.hangs(weak), *live.hangs(weak, live.all_wait)]
        nearest = {hang.kind: hang for hang in reversed(hangs) if hang.kind not in granted}
        return [self.of_hang(nearest[kind], ENDS) for kind in SEVERITY if kind in nearest]

    def everything(self) -> list[Found]:
        """All that breaks, the worst first, what decides the verdict before all else. A loop
        of restarts that is also a hang is told once."""
        found = [*self.violated, *self.racing, *self.inverted, *self.repeating]
        told = {one.kind for one in self.repeating}
        found += [one for one in self.hanging if one.kind not in told]
        return sorted(found, key=lambda one: (not one.judged, one.rank()))

    def reached(self) -> dict[str, bool]:
        """Which of the places that must be reached were."""
        leaves = self.graph.histories.leaves
        said = {
            fields["text"] for _, leaf in leaves for event, fields in leaf.said if event == "mark"
        }
        return {text: text in said for text in self.graph.world.sometimes}

    def conclude(self, judged: list[Found], holds: str) -> tuple[str, str | None, str]:
        """The verdict, its kind and what to say, when ``judged`` is all that broke (the worst
        first). ``holds`` is what to say if nothing did."""
        if judged:
            worst = judged[0]
            verdict = "inconclusive" if worst.kind in NO_VERDICT else "violated"
            return verdict, worst.kind, worst.message
        if not self.graph.complete:
            early = f"nothing found, and the search ended early: {self.graph.stopped_by}"
            return "inconclusive", None, early + self._not_judged()
        if self.cut:
            return "inconclusive", None, f"nothing found, and judging was cut{self._not_judged()}"
        missing = [text for text, hit in self.reached().items() if not hit]
        if missing:
            vacuous = f"no run reached {missing[0]!r}: the scenario does not show what it is about"
            return "inconclusive", "vacuous", vacuous
        return "holds", None, holds

    def _not_judged(self) -> str:
        left = ", ".join(self.stages[stage] for stage in self.unjudged)
        return f" ({self.cut}; not judged: {left})" if self.cut else ""

    @property
    def bound(self) -> str:
        """What ended it early, ``"none"`` if nothing."""
        said = [self.graph.stopped_by, f"judging: {self.cut}" if self.cut else None]
        return "; ".join(filter(None, said)) or "none"

    @property
    def states(self) -> int:
        """How many the search kept."""
        return len(self.search.graph)

    @property
    def countable(self) -> bool:
        """Does the graph hold whole runs, so that what happens in one can be counted?"""
        return True

    @property
    def complete(self) -> bool:
        """Every state was seen, and all of it judged."""
        return self.graph.complete and not self.cut

    def of_violation(self, violation: Violation) -> Found:
        """A violation, with the run that is the easiest to read."""
        return self._with_stem(
            Found(
                kind=violation.kind,
                property=violation.property,
                message=violation.message,
                culprits=violation.culprits,
                judged=violation.judged,
                stem=easiest(self.live.paths, violation),
            )
        )

    def of_hang(self, hang: Hang, prop: str) -> Found:
        """A hang in words."""
        who = [self.names[task] for task in hang.tasks]
        return self._with_stem(
            Found(
                kind=hang.kind,
                property=prop,
                message=hang_message(hang, who, self.names),
                culprits=(*who, *sorted({wait.split(" ", 1)[-1] for wait in hang.waits})),
                survives=str(hang.survives) if hang.survives else None,
                can_end=tuple(self.names[task] for task in hang.can_end),
                stem=hang.stem,
                loop=hang.loop,
            )
        )

    def _with_stem(self, found: Found) -> Found:
        if found.stem is None:
            return found
        return attrs.evolve(found, preemptions=self.live.paths.preemptions(found.stem))
