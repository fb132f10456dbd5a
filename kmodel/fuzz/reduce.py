"""Makes a workload smaller that shows a bug: fewer CPUs, then fewer operations, then fewer
failures that are injected, then fewer preemptions, then simpler values.

Each smaller workload is judged again in full, and counts only if it shows the same bug
(the same signature). Blocks of operations are left out from halves down to single ones
(delta debugging, Zeller and Hildebrandt 2002); values become simpler ones of their choices;
where few operations are left, another one is tried in place of two.
Hypothesis' own shrinker is not used: it has an order of its own (short, then small), and
its deadline is one of the clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations
from math import comb
from typing import Final, TypeVar

import attrs

from kmodel.explore.linear import Plain
from kmodel.explore.signature import Signature
from kmodel.fuzz.judged import Known, Shown, judge
from kmodel.fuzz.target import Choices, Target
from kmodel.fuzz.workload import Operation, Workload

MOST: Final = 250
"""Workloads judged for one bug."""
ORDERS: Final = 10
"""Of the operations of two CPUs on one: so many are all tried."""
EXCHANGED: Final = 5
"""So few operations are also exchanged for others."""
Cost = tuple[int, ...]
T = TypeVar("T")


@attrs.frozen
class Reduced:
    """``minimal``: none of the ways to make it smaller gets any further. ``symptoms``: all that
    the workload shows."""

    workload: Workload
    shown: Shown
    minimal: bool
    judged: int
    symptoms: tuple[Signature, ...]


def size(workload: Workload) -> tuple[int, int, int]:
    """CPUs, operations, injected failures (one that goes on counts twice)."""
    failing = sum(1 + one.on for one in workload.injected)
    return len(workload.cpus), len(workload.operations), failing


def cost(target: Target, workload: Workload, shown: Shown) -> Cost:
    """What counts, in this order."""
    return *size(workload), shown.preemptions, _plainness(target, workload)


def _plainness(target: Target, workload: Workload) -> int:
    """How far all values are from the simplest choices."""
    far = sum(_rank(target.params[name], value) for name, value in workload.params)
    for one in workload.operations:
        choices = target.operations[one.name]
        far += sum(map(_rank, choices, one.args))
    return far + sum(one.nth for one in workload.injected) + sum(workload.cpus)


def _rank(among: Choices, value: Plain) -> int:
    """0 is the simplest; what is none of the choices comes after all of them."""
    return among.index(value) if value in among else len(among)


def reduce(target: Target, workload: Workload, shown: Shown, known: Known = frozenset()) -> Reduced:
    """``shown`` is what ``workload`` shows, apart from what hangs by a ``known`` cause."""
    *_, last = reducing(target, workload, shown, known)
    return last


def reducing(
    target: Target, workload: Workload, shown: Shown, known: Known = frozenset()
) -> Iterator[Reduced]:
    """The same, try by try: the smallest so far. The last is ``minimal`` unless it took more
    than ``MOST`` tries."""
    wanted, seen = shown.signature, {workload}
    less = Reduced(workload, shown, False, 1, (wanted,))
    least, progress = cost(target, workload, shown), True
    while progress:
        progress = False
        for smaller in _smaller(target, less.workload, less.shown.preemptions):
            if smaller in seen:
                continue
            if len(seen) > MOST:
                return
            seen.add(smaller)
            judged = judge(target, smaller, known)
            now = judged.of(wanted)
            less = attrs.evolve(less, judged=len(seen))
            if now is not None and cost(target, smaller, now) < least:
                symptoms = tuple(one.signature for one in judged.shown)
                less = Reduced(smaller, now, False, len(seen), symptoms)
                wanted = now.signature  # of a hang perhaps a part: no way back, nor to another
                least, progress = cost(target, smaller, now), True
            yield less
            if progress:
                break
    yield attrs.evolve(less, minimal=True)


def _smaller(target: Target, workload: Workload, preemptions: int) -> Iterator[Workload]:
    """All one step smaller, the greatest steps first, and some that may take fewer
    preemptions."""
    yield from _fewer_cpus(workload)
    yield from _fewer_operations(workload)
    for one, rest in zip(workload.injected, _but_one(workload.injected)):
        yield attrs.evolve(workload, injected=rest)
        if one.on:
            yield attrs.evolve(workload, injected=(*rest, attrs.evolve(one, on=False)))
        if one.nth > 1:
            yield attrs.evolve(workload, injected=(*rest, attrs.evolve(one, nth=one.nth - 1)))
    yield from _simpler(target, workload)
    if len(workload.operations) <= EXCHANGED:
        yield from _exchanged(target, workload)
        yield from _elsewhere(target, workload)
        if preemptions:
            yield from _otherwise(target, workload)


def _fewer_cpus(workload: Workload) -> Iterator[Workload]:
    for cpu in workload.cpus:
        rest = tuple(one for one in workload.operations if one.cpu != cpu)
        if rest:
            others = tuple(one for one in workload.injected if one.of != f"cpu{cpu}")
            yield attrs.evolve(workload, operations=rest, injected=others)
    for cpu in workload.cpus:
        for other in workload.cpus:
            if other < cpu:
                yield from _merged(workload, cpu, other)
    yield _moved(workload, {cpu: number for number, cpu in enumerate(workload.cpus)})


def _merged(workload: Workload, cpu: int, other: int) -> Iterator[Workload]:
    """All on ``other``: as they are queued, then in any order that keeps those of each in
    theirs, if those are few."""
    moved = _moved(workload, {cpu: other})
    yield moved
    mine, theirs = len(workload.of_cpu(cpu)), len(workload.of_cpu(other))
    if comb(mine + theirs, mine) > ORDERS:
        return
    rest = tuple(one for one in moved.operations if one.cpu != other)
    for places in combinations(range(mine + theirs), mine):
        queues = iter(workload.of_cpu(cpu)), iter(workload.of_cpu(other))
        both = (next(queues[at not in places]) for at in range(mine + theirs))
        ordered = tuple(attrs.evolve(one, cpu=other) for one in both)
        yield attrs.evolve(moved, operations=(*rest, *ordered))


def _moved(workload: Workload, to: dict[int, int]) -> Workload:
    operations = tuple(attrs.evolve(o, cpu=to.get(o.cpu, o.cpu)) for o in workload.operations)
    injected = tuple(one.moved(to) for one in workload.injected)
    return attrs.evolve(workload, operations=operations, injected=injected)


def _fewer_operations(workload: Workload) -> Iterator[Workload]:
    every = workload.operations
    block = len(every) // 2
    while block:
        for at in range(len(every) - block + 1):
            rest = (*every[:at], *every[at + block :])
            if rest:
                yield attrs.evolve(workload, operations=rest)
        block //= 2


def _exchanged(target: Target, workload: Workload) -> Iterator[Workload]:
    """One other operation about the same things in place of two: what takes two may be done by
    one that this workload does not have."""
    every = workload.operations
    for gone, number in permutations(range(len(every)), 2):
        for other in _others(target, every[number], every[gone]):
            rest = [*every[:number], other, *every[number + 1 :]]
            del rest[gone]
            yield attrs.evolve(workload, operations=tuple(rest))


def _elsewhere(target: Target, workload: Workload) -> Iterator[Workload]:
    """Another machine in place of an operation, or of what goes wrong."""
    less = [attrs.evolve(workload, injected=injected) for injected in _but_one(workload.injected)]
    if len(workload.operations) > 1:
        operations = _but_one(workload.operations)
        less += [attrs.evolve(workload, operations=rest) for rest in operations]
    for number, name, value in _free(target, workload):
        for choice in target.params[name]:
            if choice != value:
                params = (*workload.params[:number], (name, choice), *workload.params[number + 1 :])
                yield from (attrs.evolve(one, params=params) for one in less)


def _otherwise(target: Target, workload: Workload) -> Iterator[Workload]:
    """One other operation in place of one, about what another is about."""
    every = workload.operations
    for number, like in permutations(range(len(every)), 2):
        for other in _others(target, every[number], every[like]):
            rest = (*every[:number], other, *every[number + 1 :])
            yield attrs.evolve(workload, operations=rest)


def _but_one(things: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    for number in range(len(things)):
        yield (*things[:number], *things[number + 1 :])


def _others(target: Target, one: Operation, like: Operation) -> Iterator[Operation]:
    """With one other argument; of each other name, with arguments of ``one`` or of ``like``."""
    for number, among in enumerate(target.operations[one.name]):
        for choice in among:
            if choice != one.args[number]:
                args = (*one.args[:number], choice, *one.args[number + 1 :])
                yield attrs.evolve(one, args=args)
    for name in target.operations:
        if name != one.name:
            yield _like(target, name, one, like)


def _like(target: Target, name: str, *likes: Operation) -> Operation:
    """With the arguments of the first of those that has such an argument; the simplest where
    none has."""
    known: dict[Choices, Plain] = {}
    for one in reversed(likes):
        known |= dict(zip(target.operations[one.name], one.args))
    args = (known.get(among, among[0]) for among in target.operations[name])
    return Operation(likes[0].cpu, name, tuple(args))


def _free(target: Target, workload: Workload) -> Iterator[tuple[int, str, Plain]]:
    """The parameters that may change: where each stands, its name and value."""
    for number, (name, value) in enumerate(workload.params):
        if name not in target.pinned:
            yield number, name, value


def _simpler(target: Target, workload: Workload) -> Iterator[Workload]:
    for number, name, value in _free(target, workload):
        for choice in target.params[name][: _rank(target.params[name], value)]:
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
        for choice in among[: _rank(among, one.args[number])]:
            yield attrs.evolve(one, args=(*one.args[:number], choice, *one.args[number + 1 :]))
