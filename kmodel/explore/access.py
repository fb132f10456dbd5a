"""The two accesses of a data race, found again in the schedule that shows it.

The schedule is run once more on recorded objects, to learn what each step touched. Its
last step is the second access; the first is in the last step of another task, and no
step since then took a lock that was released after it (see ``kmodel.explore.race``).
"""

from __future__ import annotations

from typing import Any

import attrs

from kmodel.explore.execution import Execution
from kmodel.explore.moment import held_by
from kmodel.explore.tree import spans_of
from kmodel.world import World

Span = tuple[int, int, frozenset[int]]


@attrs.frozen
class Access:
    """``task`` read or wrote ``location`` in ``step``, holding ``held`` (names)."""

    step: int
    task: int
    location: str
    writes: bool
    held: tuple[str, ...]


@attrs.frozen
class _Touched:
    task: int
    spans: tuple[Span, ...]
    taken: frozenset[int]
    held: tuple[Any, ...]


def conflict(world: World, schedule: bytes) -> tuple[Access, Access] | None:
    """The last two conflicting accesses of ``schedule`` that no lock orders. ``world`` is
    a fresh one, and is used up."""
    steps = _touched(world, schedule)
    return _before(world, steps, len(steps) - 1)


def races(world: World, schedule: bytes) -> bool:
    """Are there two accesses anywhere in ``schedule`` of which ``conflict`` would tell?
    ``world`` is a fresh one, and is used up."""
    steps = _touched(world, schedule)
    return any(_before(world, steps, second) for second in range(len(steps)))


def _before(world: World, steps: list[_Touched], second: int) -> tuple[Access, Access] | None:
    """An access of another task's last step before ``second`` that races with one of it."""
    seen = {steps[second].task} if steps else set()
    for first in range(second - 1, -1, -1):
        if steps[first].task in seen:
            continue
        seen.add(steps[first].task)
        for reads, writes, released in steps[first].spans:
            if any(step.taken & released for step in steps[first + 1 : second + 1]):
                continue
            for span in steps[second].spans:
                both = (writes & (span[0] | span[1])) | (reads & span[1])
                if both:
                    bit = both & -both
                    one = (reads, writes, released)
                    return (
                        _access(world, steps, first, one, bit),
                        _access(world, steps, second, span, bit),
                    )
    return None


def _touched(world: World, schedule: bytes) -> list[_Touched]:
    execution = Execution(world)
    recorder = world.record()
    found = []
    try:
        for task in schedule:
            op = execution.pending[task]
            things = (op[1], *op[2]) if op else ()
            recorder.begin()
            execution.step(task)
            spans = spans_of(recorder)
            taken = frozenset(t._oid for t in things if getattr(t, "_oid", -1) >= 0)
            held = held_by(world.tasks[task], world)
            found.append(_Touched(task, spans, taken, held))
    finally:
        execution.close()
    return found


def _access(world: World, steps: list[_Touched], number: int, span: Span, bit: int) -> Access:
    """Held at the access: what is held after the step, and what was released in between."""
    recorder = world.recorder
    assert recorder is not None
    step = steps[number]
    released = [thing for thing in world.objects if thing._oid in span[2]]
    locks = [*step.held, *released]
    return Access(
        number,
        step.task,
        recorder.names[bit.bit_length() - 1],
        bool(span[1] & bit),
        tuple(dict.fromkeys(lock.name for lock in locks)),
    )
