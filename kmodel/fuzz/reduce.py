"""Makes a workload smaller that shows a bug: fewer CPUs, then fewer operations, then fewer
failures that are injected, then fewer preemptions, then simpler values.

Each smaller workload is judged again in full, and counts only if it shows the same bug
(the same signature). Blocks of operations are left out from halves down to single ones
(delta debugging, Zeller and Hildebrandt 2002); values become simpler ones of their choices.
Hypothesis' own shrinker is not used: it has an order of its own (short, then small), and
its deadline is one of the clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from kmodel.explore.signature import Signature
from kmodel.fuzz.judged import Shown, judge
from kmodel.fuzz.target import Target
from kmodel.fuzz.workload import Operation, Workload

MOST: Final = 250
"""Workloads judged for one bug."""
Cost = tuple[int, ...]


@attrs.frozen
class Reduced:
    """``minimal``: none of the ways to make it smaller gets any further."""

    workload: Workload
    shown: Shown
    minimal: bool
    judged: int


def size(workload: Workload) -> tuple[int, int, int]:
    """CPUs, operations, injected failures (one that goes on counts twice)."""
    failing = sum(1 + one.on for one in workload.injected)
    return len(workload.cpus), len(workload.operations), failing


def cost(target: Target, workload: Workload, shown: Shown) -> Cost:
    """What counts, in this order."""
    return *size(workload), shown.preemptions, _plainness(target, workload)


def _plainness(target: Target, workload: Workload) -> int:
    """How far all values are from the simplest choices."""
    far = sum(target.params[name].index(value) for name, value in workload.params)
    for one in workload.operations:
        choices = target.operations[one.name]
        far += sum(among.index(value) for among, value in zip(choices, one.args))
    return far + sum(one.nth for one in workload.injected) + sum(workload.cpus)


def reduce(target: Target, workload: Workload, shown: Shown) -> Reduced:
    """``shown`` is what ``workload`` shows."""
    wanted, seen = shown.signature, {workload}
    best, best_cost = (workload, shown), cost(target, workload, shown)
    progress = True
    while progress:
        progress = False
        for smaller in _smaller(target, best[0]):
            if smaller in seen:
                continue
            if len(seen) > MOST:
                return Reduced(*best, False, len(seen))
            seen.add(smaller)
            now = _shows(target, smaller, wanted)
            if now is not None and cost(target, smaller, now) < best_cost:
                best, best_cost, progress = (smaller, now), cost(target, smaller, now), True
                break
    return Reduced(*best, True, len(seen))


def _shows(target: Target, workload: Workload, wanted: Signature) -> Shown | None:
    return judge(target, workload).of(wanted)


def _smaller(target: Target, workload: Workload) -> Iterator[Workload]:
    """All one step smaller, the greatest steps first."""
    yield from _fewer_cpus(workload)
    yield from _fewer_operations(workload)
    for number in range(len(workload.injected)):
        one = workload.injected[number]
        rest = (*workload.injected[:number], *workload.injected[number + 1 :])
        yield attrs.evolve(workload, injected=rest)
        if one.on:
            yield attrs.evolve(workload, injected=(*rest, attrs.evolve(one, on=False)))
        if one.nth > 1:
            yield attrs.evolve(workload, injected=(*rest, attrs.evolve(one, nth=one.nth - 1)))
    yield from _simpler(target, workload)


def _fewer_cpus(workload: Workload) -> Iterator[Workload]:
    for cpu in workload.cpus:
        rest = tuple(one for one in workload.operations if one.cpu != cpu)
        if rest:
            yield attrs.evolve(workload, operations=rest)
    for cpu in workload.cpus:
        for other in workload.cpus:
            if other < cpu:
                yield _moved(workload, {cpu: other})
    yield _moved(workload, {cpu: number for number, cpu in enumerate(workload.cpus)})


def _moved(workload: Workload, to: dict[int, int]) -> Workload:
    moved = tuple(attrs.evolve(o, cpu=to.get(o.cpu, o.cpu)) for o in workload.operations)
    return attrs.evolve(workload, operations=moved)


def _fewer_operations(workload: Workload) -> Iterator[Workload]:
    every = workload.operations
    block = len(every) // 2
    while block:
        for at in range(len(every) - block + 1):
            rest = (*every[:at], *every[at + block :])
            if rest:
                yield attrs.evolve(workload, operations=rest)
        block //= 2


def _simpler(target: Target, workload: Workload) -> Iterator[Workload]:
    for number, (name, value) in enumerate(workload.params):
        for choice in target.params[name][: target.params[name].index(value)]:
            params = (*workload.params[:number], (name, choice), *workload.params[number + 1 :])
            yield attrs.evolve(workload, params=params)
    for number, one in enumerate(workload.operations):
        for simpler in _simpler_arguments(target, one):
            every = workload.operations
            yield attrs.evolve(
                workload, operations=(*every[:number], simpler, *every[number + 1 :])
            )


def _simpler_arguments(target: Target, one: Operation) -> Iterator[Operation]:
    for number, among in enumerate(target.operations[one.name]):
        for choice in among[: among.index(one.args[number])]:
            yield attrs.evolve(one, args=(*one.args[:number], choice, *one.args[number + 1 :]))
