"""The one pair of events whose order decides: had they come the other way round, the same
run would have ended well.

A pair is a step ``p`` of one task and a later step ``q`` of another (or one that it never
came to, of those that it would have come to alone when all was over). It is *flipped* by
running the schedule up to ``p``, then the other task alone up to and with ``q``, then the
rest in the recorded order, as far as it goes, and then on, fairly and with few switches.
Where a lock is in the way, taken before ``p``, the other task goes from the last place
before from which it can (both critical sections come the other way round then). The pair
decides if the flipped run ends well: every obliged task ends, and nothing is wrong. Each
flip is really run on fresh objects; and so is the recorded run, carried on in the same way,
which must not end well.

In a loop that goes round for ever there is no end to carry on to, and carrying on would
be another schedule. So the pair is flipped in one lap, and the laps after it follow the
recorded order; if that does not lead out, it is flipped in every lap.

Pairs about the same object come first, then those that share one (a lock given up to
sleep). Of those, in a schedule: what did happen before what never came, and the last in the
run first, so that the pair told is the last moment at which it could have gone well. A
loop has no last moment: there come first one flip before one in every lap, where something
is refused, pairs within the lap, and close ones. It is one cause among several, and
where it takes two flips no pair will do.

After Hermit, which bisects a failing and a passing run down to two events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import attrs

from kmodel.explore.execution import Execution
from kmodel.explore.footprint import conflict, footprint
from kmodel.explore.lenient import Led
from kmodel.world import ScenarioError, World

Build = Callable[[], World]

STEPS: Final = 400_000
"""Steps that flipped runs take in all; pairs beyond that are not tried."""
WINDOW: Final = 300
"""Both steps of a pair are among so many, the last of the run (or of a lap)."""
BACK: Final = 8
"""Steps of its own before the earlier one of a pair, from where it may have to be flipped."""
AHEAD: Final = 20
"""Steps that a task would have come to are looked at, and no more."""
MANY: Final = 1 << 30
LAPS: Final = 50
ONWARD: Final = 2000
"""Steps that a flipped run is carried on for."""


@attrs.frozen
class Event:
    """``task`` did, or was about to do, ``event`` on the object called ``thing``. ``step`` is
    ``None`` if it never did, ``next_lap`` if that is one of the lap after; ``stands`` if the
    task is about to do it in the end."""

    task: int
    event: str
    thing: str
    step: int | None
    next_lap: bool = False
    stands: bool = False


@attrs.frozen
class Decisive:
    """Had ``late`` come before ``early``, all would have ended well. ``every_lap``: if it had
    in each lap of the loop. ``same``: both are about one and the same object."""

    early: Event
    late: Event
    same: bool
    every_lap: bool = False


@attrs.frozen
class Search:
    """``pair`` is ``None`` if none of the ``tried`` decides; ``all``: there are no others.
    None is tried where the run can be carried on to a good end as it is."""

    pair: Decisive | None
    tried: int
    all: bool


def decisive(build: Build, stem: bytes, loop: bytes, prop: str, stuck: bool) -> Search:
    """The pair that decides whether the run comes to what it shows.

    ``stem`` is the schedule; ``loop``, if any, then goes round. ``stuck``: what is wrong is
    wrong once the stem is over, whatever comes then; else the loop itself is. ``prop``
    is the check that fails, for one that does not end the run.
    """
    run = _Run(build, stem, b"" if stuck else loop, prop)
    if run.goes_well():
        return Search(None, 0, True)
    pairs = sorted(run.pairs(), key=run.rank)  # stable: else the last in the run first
    for tried, pair in enumerate(pairs):
        if run.taken >= STEPS:
            return Search(None, tried, False)
        if run.ends_well(pair):
            return Search(run.told(pair), tried + 1, False)
    return Search(None, len(pairs), max(len(loop), len(stem)) <= WINDOW)


@attrs.frozen
class _Step:
    """A step of a run, or what a task is about to do when it is over."""

    task: int
    event: str
    thing: str
    target: int | None
    footprint: tuple[int, ...]
    refused: bool = False


@attrs.frozen
class _Pair:
    """The steps of those numbers; ``q`` is ``None`` for what never came, and is then so many
    steps ``beyond`` the last of its task."""

    p: int
    q: int | None
    late: _Step
    beyond: int = 0
    every_lap: bool = False


class _Run:
    """The recorded run, and the same with a pair flipped. A loop is there three times, so
    that a pair of the second lap has a whole lap before and after it."""

    def __init__(self, build: Build, stem: bytes, loop: bytes, prop: str) -> None:
        self._build, self._prop = build, prop
        self._stem, self._loop = stem, loop
        self._line = stem + loop * 3
        self._settled = self.taken = 0
        self._steps: list[_Step] = []
        self._never: dict[int, list[_Step]] = {}
        self._record()
        for task in range(self._tasks):
            self._never[task] = self._alone(task)

    def _record(self) -> None:
        execution = Execution(self._build())
        try:
            led = Led(execution)
            self._settled = led.settled
            self._steps = [_Step(-1, "", "", None, ())] * led.settled
            for task in self._line[led.settled :]:
                step = _about(execution, task)
                led.step(task)
                self._steps.append(attrs.evolve(step, refused=execution.answer is False))
            self._tasks = len(execution.pending)
        finally:
            execution.close()

    def _alone(self, task: int) -> list[_Step]:
        """What ``task`` would come to when all is over."""
        execution = Execution(self._build())
        found: list[_Step] = []
        try:
            for choice in self._line:
                execution.step(choice)
            panicked = execution.outcome is not None and self._line[-1:] == bytes([task])
            while (op := execution.pending[task]) and not panicked and len(found) < AHEAD:
                found.append(_about(execution, task))
                if task not in execution.enabled():
                    break
                execution.step(task)
                panicked = execution.pending[task] is op
        finally:
            execution.close()
        return found

    def pairs(self) -> Iterator[_Pair]:
        """Every pair of one lap, once and then in each lap; or all of the stem, and of a
        step in it with what never came. The last first."""
        length, steps = len(self._loop), self._steps
        if length:
            lap = range(len(self._stem) + length, len(self._stem) + 2 * length)
            for every in (False, True):
                for p in reversed(lap[-WINDOW:]):
                    for q in range(p + 1, p + min(length, WINDOW)):
                        if steps[q].task != steps[p].task:
                            yield _Pair(p, q, steps[q], every_lap=every)
            return
        for p in reversed(range(max(self._settled, len(steps) - WINDOW), len(steps))):
            for q in range(p + 1, len(steps)):
                if steps[q].task != steps[p].task:
                    yield _Pair(p, q, steps[q])
            for task, never in self._never.items():
                if task != steps[p].task:
                    for beyond, late in enumerate(never, 1):
                        yield _Pair(p, None, late, beyond)

    def rank(self, pair: _Pair) -> tuple[int, ...]:
        """The order in which pairs are tried; pairs of equal rank as ``pairs`` has them."""
        near, q = -self._nearness(pair), pair.q
        if not self._loop or q is None:
            return near, pair.beyond
        calm = not (self._steps[pair.p].refused or pair.late.refused)
        return near, pair.every_lap, calm, q >= len(self._stem) + 2 * len(self._loop), q - pair.p

    def _nearness(self, pair: _Pair) -> int:
        early, late = self._steps[pair.p], pair.late
        if early.target is not None and early.target == late.target:
            return 2
        return int(conflict(early.footprint, late.footprint))

    def ends_well(self, pair: _Pair) -> bool:
        """Flip the pair, from the last place from which that is possible."""
        task = self._line[pair.p]
        before = [at for at in range(self._settled, pair.p + 1) if self._line[at] == task]
        for start in before[: -BACK - 2 : -1]:
            well = self._flipped(pair, start)
            if well is not None:
                return well
        return False

    def goes_well(self) -> bool:
        """Does it end well as it was recorded? Then no order is to blame."""
        end = self._line[: len(self._stem)]
        return bool(self._end(end, b"", None, b"", self._loop))

    def _flipped(self, pair: _Pair, start: int) -> bool | None:
        """``None`` if the other task cannot go to ``q`` from there."""
        task, line = pair.late.task, self._line
        window = line[start : None if pair.q is None else pair.q + 1]
        ahead = bytes([task]) * (window.count(task) + pair.beyond)
        rest = bytes(one for one in window if one != task)
        lap = line[start : start + len(self._loop)]
        rest += (lap if self._loop else line[start:])[len(window) :]
        laps = ahead + rest if pair.every_lap else lap
        return self._end(line[:start], ahead, pair.late, rest, laps)

    def _end(
        self, before: bytes, ahead: bytes, late: _Step | None, rest: bytes, laps: bytes
    ) -> bool | None:
        """Does a run end well that begins with ``before`` and ``ahead``, goes on by ``rest``, and
        then by ``laps`` or by itself? ``None`` if it cannot begin so."""
        execution = Execution(self._build(), checks=True)
        try:
            led = Led(execution, self._prop)
            if not self._ahead(led, before[self._settled :] + ahead, late):
                return None
            led.follow(rest + laps * LAPS, MANY)
            if not laps:
                led.carry_on(len(execution.choices) + ONWARD)
            return self._well(led)
        except ScenarioError:
            return False
        finally:
            self.taken += len(execution.choices)
            execution.close()

    def _ahead(self, led: Led, choices: bytes, late: _Step | None) -> bool:
        """Takes ``choices``; the last must be ``late``, as in the recorded run."""
        for number, task in enumerate(choices, 1):
            if task not in led.able():
                return False
            if late and number == len(choices):
                now = _about(led.execution, task)
                if (now.event, now.footprint) != (late.event, late.footprint):
                    return False
            led.step(task)
        return True

    def _well(self, led: Led) -> bool:
        led.able()  # decides whether the run is over
        outcome = led.execution.outcome
        return (
            outcome is not None
            and outcome.kind == "done"
            and self._prop not in led.execution.findings
        )

    def told(self, pair: _Pair) -> Decisive:
        early, first, length = self._steps[pair.p], len(self._stem), len(self._loop)
        p, q, late = pair.p, pair.q, pair.late
        next_lap = False
        if length and q is not None:
            next_lap = q >= first + 2 * length
            p, q = p - length, q - length * (1 + next_lap)
        return Decisive(
            Event(early.task, early.event, early.thing, p),
            Event(late.task, late.event, late.thing, q, next_lap, pair.beyond == 1),
            self._nearness(pair) > 0,
            pair.every_lap,
        )


def _about(execution: Execution, task: int) -> _Step:
    op = execution.pending[task]
    assert op is not None
    thing = str(getattr(op[1], "name", None) or "")
    target = getattr(op[1], "_oid", None)
    return _Step(task, op[0].event, thing, target, footprint(op))
