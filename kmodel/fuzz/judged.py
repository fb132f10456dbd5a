"""One workload, judged: every schedule of it with few preemptions, or, where those are too
many, some runs, the broken ones made smaller."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Final

import attrs

from kmodel.explore.absent import LEFT_OUT
from kmodel.explore.execution import Execution
from kmodel.explore.found import Found
from kmodel.explore.judgement import ENDS, NO_VERDICT
from kmodel.explore.race import RACE
from kmodel.explore.result import Result, Schedule, race_of, sample, search
from kmodel.explore.severity import severity
from kmodel.explore.shrink import shrink
from kmodel.explore.signature import Signature, of_found, shown
from kmodel.fuzz.target import Target, Why
from kmodel.fuzz.workload import Workload
from kmodel.world import ScenarioError, World

FOREVER: Final = 1e6
"""Seconds: what ends a search here is a number of states, so that it is the same anywhere."""
RUNS: Final = 60
"""Sampled where a search was too large."""
STEPS: Final = 2_000
SHRINKS: Final = 300
"""Runs to make a sampled one smaller."""
STUCK: Final = ("deadlock", "lost-wakeup")
"""Hangs whose cause a target can name: nobody steps any more."""


Known = frozenset[str]
"""Causes of hangs that have been found."""


@attrs.frozen
class Shown:
    """Something that breaks, with the run that shows it; of a hang, its cause if the target
    names one."""

    signature: Signature
    message: str
    schedule: Schedule
    preemptions: int
    cause: str = ""


@attrs.frozen
class Judged:
    """``shown`` is all that breaks, the worst first; ``whole``: all schedules within the
    bound were searched."""

    shown: tuple[Shown, ...]
    states: int
    steps: int
    whole: bool

    def of(self, signature: Signature) -> Shown | None:
        """The same bug, or that part of a hang that hangs by itself."""
        same = (one for one in self.shown if one.signature == signature)
        part = (one for one in self.shown if _part(one.signature, signature))
        return next(chain(same, part), None)


def _part(one: Signature, whole: Signature) -> bool:
    """A hang in some of the places of ``whole``: the others waited beside it, not for it."""
    alike = attrs.evolve(one, places=whole.places) == whole
    return alike and one.kind in STUCK and set() < {*one.places} < {*whole.places}


@attrs.define
class Example:
    """Worlds of one workload, in which a hang by a ``known`` cause is a rest. ``why`` names the
    cause of a hang in the last of them."""

    target: Target
    workload: Workload
    known: Known
    why: Why | None = None

    def build(self, made: World) -> None:
        self.why = why = self.target.build(made, self.workload)
        rests = made.rests
        if why is not None and self.known:
            made.rests = lambda: (rests is not None and rests()) or why() in self.known

    def world(self) -> World:
        """A fresh one."""
        with World() as made:
            self.build(made)
        return made

    def run(self, steps: bytes) -> tuple[Execution, str]:
        """So far, with all checks, or to where one of them fails; and the cause that the
        target names, should it hang there. The execution is closed."""
        execution = Execution(self.world(), checks=True)
        try:
            for task in steps:
                execution.enabled()
                execution.step(task)
                if execution.over():
                    break
            else:
                if not execution.enabled():
                    execution.stick()
            cause = self.why() if self.why is not None else ""
        finally:
            execution.close()
        return execution, cause


def judge(target: Target, workload: Workload, known: Known = frozenset()) -> Judged:
    """A hang by a cause that is ``known`` counts as a rest, and the search goes on past it.

    Raises ``KeyboardInterrupt`` at a Ctrl-C, ``ScenarioError`` or ``SharedStateError`` if
    the target is wrong, ``Divergence`` if it does not do the same each time."""
    example = Example(target, workload, known)
    result = search(
        example.build, preemptions=target.preemptions, states=target.states, seconds=FOREVER
    )
    if "interrupted" in result.bound:
        raise KeyboardInterrupt
    if result.kind == "scenario-error":
        raise ScenarioError(result.message)
    found = [shown for one in result.found if (shown := _shown(example, result, one)) is not None]
    whole = result.complete or result.within or bool(found)
    if not whole:
        found = _sampled(example)
    return Judged(_once(_root(example, one) for one in found), result.states, result.steps, whole)


def _once(found: Iterable[Shown]) -> tuple[Shown, ...]:
    """Each signature once, with the fewest preemptions; the worst first."""
    least: dict[Signature, Shown] = {}
    for one in sorted(found, key=lambda one: one.preemptions):
        least.setdefault(one.signature, one)
    return tuple(sorted(least.values(), key=lambda one: severity(one.signature.kind)))


def _root(example: Example, one: Shown) -> Shown:
    """What comes after a data race may come of it: if two accesses race on the way to what is
    no worse, it is they that are told of. A search that is bounded does not look for them."""
    if severity(one.signature.kind) <= severity(RACE):
        return one
    race = race_of(example.world(), one.schedule.steps + one.schedule.loop)
    if race is None:
        return one
    outcome, schedule = race
    names = [task.name for task in example.world().tasks]
    said = outcome.kind, outcome.property, outcome.message, outcome.culprits
    return Shown(wide(Signature.of(*said, names)), outcome.message, schedule, one.preemptions)


def _shown(example: Example, result: Result, found: Found) -> Shown | None:
    """``None`` if it does not count, or something else is broken on the way to it: what follows
    from that is no bug of its own."""
    if not found.judged or found.stem is None or found.kind == LEFT_OUT:
        return None
    execution, cause = example.run(found.stem)
    if len(execution.choices) < len(found.stem):
        return None
    signature = of_found(found, result.tasks, example.world)
    cause = cause if found.kind in STUCK else ""
    schedule = Schedule(found.stem, found.loop)
    return Shown(by(cause, wide(signature)), found.message, schedule, found.preemptions or 0, cause)


def as_searched(signature: Signature) -> Signature:
    """A run that stuck, called what a search calls it."""
    if signature.kind not in STUCK:
        return signature
    there = any("though what is slept for is true" in place for place in signature.places)
    return attrs.evolve(signature, kind=STUCK[there], property=ENDS)


def by(cause: str, signature: Signature) -> Signature:
    """A hang of another cause is another bug, and one of the same cause is the same, wherever it
    waits, and whether or not what it waits for is there by then."""
    if not cause:
        return signature
    return attrs.evolve(signature, kind=STUCK[0], message=cause, places=())


def wide(signature: Signature) -> Signature:
    """The same for all values: of a result that nothing explains only the operation counts, of
    a check that compares only which."""
    if signature.kind == "not-linearizable":
        said = signature.message.partition("(")[0].rpartition(" ")[0]
        return attrs.evolve(signature, message=signature.message.partition("(")[0] or said)
    if ", and " in signature.message and signature.property != "no panic":
        return attrs.evolve(signature, message="")
    return signature


def _sampled(example: Example) -> list[Shown]:
    found = []
    taken = sample(example.build, strategy="pct", runs=RUNS, max_steps=STEPS)
    for _, (_, schedule) in sorted(taken.broken.items()):
        execution, _ = example.run(schedule.steps)
        signature = shown(execution)
        if signature is not None and signature.kind not in NO_VERDICT:
            less = shrink(example.world, schedule.steps, signature, SHRINKS, FOREVER)
            cause = example.run(less.choices)[1] if signature.kind in STUCK else ""
            signature = by(cause, wide(as_searched(signature)))
            run = Schedule(less.choices)
            found.append(Shown(signature, less.message, run, less.cost[1], cause))
    return found
