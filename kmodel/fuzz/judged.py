"""One workload, judged: every schedule of it with few preemptions, or, where those are too
many, some runs, the broken ones made smaller."""

from __future__ import annotations

from typing import Final

import attrs

from kmodel.explore.execution import Execution
from kmodel.explore.found import Found
from kmodel.explore.result import Result, Schedule, sample, search
from kmodel.explore.shrink import shrink
from kmodel.explore.signature import Signature, places, shown
from kmodel.fuzz.target import Target
from kmodel.fuzz.workload import Workload
from kmodel.world import ScenarioError, World

FOREVER: Final = 1e6
"""Seconds: what ends a search here is a number of states, so that it is the same anywhere."""
RUNS: Final = 60
"""Sampled where a search was too large."""
STEPS: Final = 2_000


@attrs.frozen
class Shown:
    """Something that breaks, with the run that shows it."""

    signature: Signature
    message: str
    schedule: Schedule
    preemptions: int


@attrs.frozen
class Judged:
    """``shown`` is all that breaks, the worst first; ``whole``: all schedules within the
    bound were searched."""

    shown: tuple[Shown, ...]
    states: int
    steps: int
    whole: bool

    def of(self, signature: Signature) -> Shown | None:
        return next((one for one in self.shown if one.signature == signature), None)


def judge(target: Target, workload: Workload) -> Judged:
    """Raises ``KeyboardInterrupt`` at a Ctrl-C, ``ScenarioError`` or ``SharedStateError`` if
    the target is wrong, ``Divergence`` if it does not do the same each time."""

    def build(world: World) -> None:
        target.build(world, workload)

    result = search(build, preemptions=target.preemptions, states=target.states, seconds=FOREVER)
    if "interrupted" in result.bound:
        raise KeyboardInterrupt
    if result.kind == "scenario-error":
        raise ScenarioError(result.message)
    found = [_shown(target, workload, result, one) for one in result.found if _counts(one)]
    whole = result.complete or result.within or bool(found)
    if not whole:
        found = _sampled(target, workload)
    return Judged(tuple(found), result.states, result.steps, whole)


def _counts(found: Found) -> bool:
    return found.judged and found.stem is not None


def world(target: Target, workload: Workload) -> World:
    """A fresh one."""
    with World() as made:
        target.build(made, workload)
    return made


def _shown(target: Target, workload: Workload, result: Result, found: Found) -> Shown:
    assert found.stem is not None
    signature = Signature.of(
        found.kind,
        found.property,
        found.message,
        found.culprits,
        result.tasks,
        places(world(target, workload), found.stem, found.loop, found.culprits),
        f"{found.survives}, {'can' if found.can_end else 'cannot'} end",
    )
    schedule = Schedule(found.stem, found.loop)
    return Shown(wide(signature), found.message, schedule, found.preemptions or 0)


def wide(signature: Signature) -> Signature:
    """The same for all values: of a result that nothing explains only the operation counts, of
    a check that compares only which."""
    if signature.kind == "not-linearizable":
        said = signature.message.partition("(")[0].rpartition(" ")[0]
        return attrs.evolve(signature, message=signature.message.partition("(")[0] or said)
    if ", and " in signature.message and signature.property != "no panic":
        return attrs.evolve(signature, message="")
    return signature


def _sampled(target: Target, workload: Workload) -> list[Shown]:
    def build(made: World) -> None:
        target.build(made, workload)

    found = []
    taken = sample(build, strategy="pct", runs=RUNS, max_steps=STEPS)
    for _, (_, schedule) in sorted(taken.broken.items()):
        execution = Execution(world(target, workload), checks=True)
        try:
            for task in schedule.steps:
                execution.enabled()
                execution.step(task)
            execution.over()
            if execution.outcome is None and not execution.enabled():
                execution.stick()
            signature = shown(execution)
        finally:
            execution.close()
        if signature is not None and signature.kind != "scenario-error":
            less = shrink(
                lambda: world(target, workload), schedule.steps, signature, seconds=FOREVER
            )
            found.append(Shown(wide(signature), less.message, Schedule(less.choices), less.cost[1]))
    return found
