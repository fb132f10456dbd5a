"""The two accesses of a data race, found again in the schedule that shows it.

The schedule is run once more on recorded objects, to learn what each step touched. Its
last step is the second access; the first is in the last step of another task, and no
step since then took a lock that was released after it (see ``kmodel.explore.race``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any

import attrs

from kmodel.explore.execution import Execution
from kmodel.explore.moment import held_by
from kmodel.explore.tree import spans_of
from kmodel.recorder import Recorder
from kmodel.table import Table
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
    last = [pair for pair in _conflicts(steps) if pair[2] == len(steps) - 1]
    return _accesses(world, steps, max(last, key=itemgetter(0))) if last else None


def raced(world: World, schedule: bytes) -> tuple[Access, Access] | None:
    """The first two accesses of one run, anywhere in it, that conflict and that no lock
    orders. ``world`` is a fresh one, and is used up."""
    steps = _touched(world, schedule)
    first = next(_conflicts(steps), None)
    return _accesses(world, steps, first) if first else None


def races(world: World, schedule: bytes) -> bool:
    """Are there two accesses anywhere in ``schedule`` of which ``raced`` would tell? ``world``
    is a fresh one, and is used up."""
    return raced(world, schedule) is not None


@attrs.frozen
class Touch:
    """``location`` is read, or written, and ``value`` is what was found or left there."""

    location: str
    writes: bool
    value: Any


def touches(world: World, schedule: bytes, of: Callable[[Any], bool]) -> list[list[Touch]]:
    """What each step of ``schedule`` read and then wrote of the objects that ``of`` is true
    for, operations (whose events say so) and what nobody writes left out. ``world`` is a
    fresh one, and is used up."""
    mine = [thing for thing in world.objects if of(thing)]
    found: list[list[Touch]] = []

    def look(recorder: Recorder) -> None:
        where = {at for thing in mine for at in _places(thing)} - recorder.atomic - recorder.hidden
        names, values = recorder.names, recorder.values
        both = [(recorder.read, False), (recorder.wrote, True)]
        found.append(
            [
                Touch(names[at], writes, values[code])
                for codes, writes in both
                for at, code in codes.items()
                if at in where
            ]
        )

    _touched(world, schedule, look)
    changing = {one.location for step in found for one in step if one.writes}
    return [[one for one in step if one.location in changing] for step in found]


def _places(thing: Any) -> Iterable[int]:
    """The locations of a recorded object, or of a table."""
    if isinstance(thing, Table):
        return range(thing._first, thing._first + len(thing))
    return thing._place.values()  # type: ignore[no-any-return]


def _conflicts(steps: list[_Touched]) -> Iterator[tuple[int, Span, int, Span]]:
    """Each access of a step that conflicts with one in the last step of another task, and
    where: number and span of the one, of the other."""
    still: dict[int, tuple[int, list[Span]]] = {}
    for second, step in enumerate(steps):
        for task, (first, spans) in still.items():
            if task == step.task:
                continue
            spans = [span for span in spans if not step.taken & span[2]]
            still[task] = first, spans
            for one in spans:
                for other in step.spans:
                    if _both(one, other):
                        yield first, one, second, other
        still[step.task] = second, list(step.spans)


def _both(one: Span, other: Span) -> int:
    """The locations that both touch and one of them writes."""
    return (one[1] & (other[0] | other[1])) | (one[0] & other[1])


def _accesses(
    world: World, steps: list[_Touched], pair: tuple[int, Span, int, Span]
) -> tuple[Access, Access]:
    first, one, second, other = pair
    bit = _both(one, other) & -_both(one, other)
    return _access(world, steps, first, one, bit), _access(world, steps, second, other, bit)


def _touched(
    world: World, schedule: bytes, look: Callable[[Recorder], None] | None = None
) -> list[_Touched]:
    """``look`` is called after each step, while the record of it is fresh."""
    execution = Execution(world)
    recorder = world.record()
    found = []
    try:
        for task in schedule:
            op = execution.pending[task]
            things = (op[1], *op[2]) if op else ()
            recorder.begin()
            execution.step(task)
            if look:
                look(recorder)
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
