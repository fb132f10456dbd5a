"""The explorer as a library: a function that builds a world, and questions about it.

``search`` looks at every schedule, ``sample`` at some, ``replay`` runs one again. The
function gets a fresh ``World`` each time: it makes shared objects, puts tasks on CPUs,
and says what must hold. It must do the same each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, get_args

import attrs

from kmodel.explore.access import raced
from kmodel.explore.bounded import Bounded, Kind
from kmodel.explore.drive import Tick, drive, recheck
from kmodel.explore.execution import Execution, Observer, Outcome, run
from kmodel.explore.found import Found
from kmodel.explore.graph import Limits, Order, Search
from kmodel.explore.judgement import ENDS, FAIR, RACE_FREE, Judgement
from kmodel.explore.purity import building, pure
from kmodel.explore.race import RACE, race_message
from kmodel.explore.recipe import NAMES, recipe
from kmodel.explore.snapshot import snapshot
from kmodel.explore.symmetry import up_to_symmetry
from kmodel.explore.traces import Traced, Traces, next_new
from kmodel.explore.tree import Divergence
from kmodel.explore.within import WithinBound
from kmodel.remembered import Remembered
from kmodel.world import World

Build = Callable[[World], None]
NO_CHECK: Final = (ENDS, "no panic", RACE_FREE, "lock order")
"""Properties that every world is held to; all others are names of its checks."""


@attrs.frozen
class Schedule:
    """Whose step is next, by number of task: ``steps``, and then ``loop`` for ever."""

    steps: bytes
    loop: bytes = b""

    def __str__(self) -> str:
        """``0,0,1`` or, with a loop, ``0,0,1(0,1)``."""
        loop = f"({','.join(map(str, self.loop))})" if self.loop else ""
        return ",".join(map(str, self.steps)) + loop

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """What ``str`` gave. ``ValueError`` if it is no schedule."""
        steps, paren, loop = text.partition("(")
        if bool(paren) != loop.endswith(")"):
            raise ValueError(f"{text!r} is no schedule: write 0,0,1 or 0,0,1(0,1)")
        return cls(_numbers(steps), _numbers(loop.removesuffix(")")))


def _numbers(text: str) -> bytes:
    return bytes(int(word) for word in text.split(",")) if text else b""


@attrs.frozen(kw_only=True)
class Result:
    """What a search says. ``verdict`` is ``holds``, ``violated`` or ``inconclusive``.

    ``found`` is all that breaks, the worst first; ``excluded`` what only lock-grant rules
    out. ``bound`` says what ended the search early (``none`` if nothing), ``reached``
    which marked places (``World.sometimes``) some run came to. ``within``: nothing breaks
    within the bound on preemptions or delays that was asked for, and all of that was
    searched. Seconds are wall time.
    """

    verdict: str
    kind: str | None
    message: str
    found: tuple[Found, ...]
    excluded: tuple[Found, ...]
    complete: bool
    bound: str
    states: int
    steps: int
    seconds: float
    tasks: tuple[str, ...]
    within: bool
    reached: dict[str, bool]

    @property
    def schedule(self) -> Schedule | None:
        """The run that shows the worst; ``None`` where nothing breaks."""
        worst = self.found[0] if self.found else None
        return Schedule(worst.stem, worst.loop) if worst and worst.stem is not None else None

    def __str__(self) -> str:
        """For people: the verdict, the schedule that shows it, and how much was covered."""
        worst = self.found[0].property if self.found else ""
        check = "" if worst in ("", *NO_CHECK) else f"check {worst!r}: "
        kind = f": {self.kind}" if self.kind else ""
        lines = [self.verdict + kind, f"  {check}{self.message}"]
        if self.verdict == "violated" and self.schedule is not None:
            who = ", ".join(f"{number} is {name}" for number, name in enumerate(self.tasks))
            lines.append(f"  schedule: {self.schedule} ({who})")
        reach = "complete" if self.complete else f"bound: {self.bound}"
        lines.append(f"  {reach}; {self.states:,} states, {self.steps:,} steps")
        lines.append(f"  assumed: sequential consistency, liveness under {FAIR}")
        return "\n".join(lines)


def search(
    build: Build,
    *,
    order: Order = "dfs",
    preemptions: int | None = None,
    delays: int | None = None,
    symmetric: bool = False,
    states: int = 1_000_000,
    seconds: float = 60.0,
    memory: int = 4 << 30,
    tick: Tick | None = None,
) -> Result:
    """Every schedule of the world that ``build`` makes, to a verdict.

    With ``preemptions`` or ``delays`` only the schedules with at most so many; ``symmetric``:
    one of all states that differ in which of like tasks is which, and safety only (where no
    tasks are alike it says so, and looks at every state). Gives up at
    so many states, seconds (a third of them is kept for judging) or bytes of memory; a
    first Ctrl-C ends the search and keeps what it has. What is found has been run again.

    Raises ``ScenarioError`` or ``SharedStateError`` if the world is wrong, ``Divergence`` if
    it does not do the same each time.
    """
    _refuse(preemptions=preemptions, delays=delays, states=states, seconds=seconds, memory=memory)
    if sum((preemptions is not None, delays is not None, symmetric)) > 1:
        raise ValueError("give one of preemptions, delays and symmetric")
    if order not in get_args(Order):
        raise ValueError(f"order must be one of {', '.join(get_args(Order))}, not {order!r}")
    limits = Limits(states=states, seconds=seconds, memory=memory)
    fresh = _fresh(build)
    found: Judgement
    with pure():
        if preemptions is not None or delays is not None:
            kind: Kind = "bounded" if preemptions is not None else "delay"
            bounded = Bounded(
                fresh(), limits, kind, preemptions if preemptions is not None else delays or 0
            )
            drive(bounded, tick)
            found = WithinBound(bounded, kind)
        elif symmetric:
            found = up_to_symmetry(fresh, limits, tick)
        else:
            whole = Search(fresh(), limits, order)
            drive(whole, tick)
            found = Judgement(whole)
        if found.graph.complete:
            recheck(fresh, found.graph)
        found.judge(seconds - found.graph.seconds)
        everything = found.everything()
        for one in (*everything, *found.excluded):
            _check(fresh, one)
    judged = [one for one in everything if one.judged]
    verdict, kind_, message = found.conclude(judged, "no schedule breaks anything")
    return Result(
        verdict=verdict,
        kind=kind_,
        message=message,
        found=tuple(everything),
        excluded=tuple(found.excluded),
        complete=found.complete,
        bound=found.bound,
        states=found.states,
        steps=found.graph.transitions,
        seconds=found.graph.seconds,
        tasks=tuple(found.names),
        within=not judged and not found.cut and not found.graph.stopped_by,
        reached=found.reached(),
    )


def _refuse(**given: float | None) -> None:
    """Raise ``ValueError`` for limits that are none."""
    for name, value in given.items():
        least = 0 if name in ("preemptions", "delays", "seed") else 1e-9
        if value is not None and not value >= least:  # also refuses nan
            raise ValueError(
                f"{name} must be {'at least' if least == 0 else 'above'} 0, not {value}"
            )


def _fresh(build: Build) -> Callable[[], World]:
    def make() -> World:
        with building(), World() as world:
            build(world)
        return world

    return make


def fresh(build: Build) -> World:
    """The world that ``build`` makes, as it is before a run."""
    return _fresh(build)()


def _check(fresh: Callable[[], World], found: Found) -> None:
    """Run what shows ``found`` on unrecorded objects: it must be possible, and its loop close.
    No check is asked: the way to one thing that breaks may lead past another."""
    if found.stem is not None:
        _run(fresh(), Schedule(found.stem, found.loop), None, checks=False)


def replay(build: Build, schedule: Schedule | str, observer: Observer | None = None) -> Outcome:
    """The same run again. ``observer(step, task, cause, event, fields)`` hears all that
    happens, and returns a number for it. Where the run is not over with its schedule the
    outcome is ``loop`` or ``open``.

    Raises ``Divergence`` if the run cannot go so, or its loop does not come back.
    """
    if isinstance(schedule, str):
        schedule = Schedule.parse(schedule)
    with pure():
        world = _fresh(build)()
        remembered = Remembered(world.checks)
        outcome = _run(world, schedule, observer)
        remembered.refuse_changed()
    return outcome


def _run(
    world: World, schedule: Schedule, observer: Observer | None, checks: bool = True
) -> Outcome:
    execution = Execution(world, observer, checks=checks)
    try:
        _follow(execution, schedule.steps)
        before = snapshot(execution)
        _follow(execution, schedule.loop)
        if schedule.loop and snapshot(execution) != before:
            raise Divergence("the loop of the schedule does not come back to where it began")
        if not execution.over():
            if not execution.enabled():
                execution.stick()
            execution.stop("loop" if schedule.loop else "open", "the schedule is over, the run not")
    finally:
        execution.close()
    assert execution.outcome is not None
    return execution.outcome


def race_in(build: Build, schedule: Schedule) -> tuple[Outcome, Schedule] | None:
    """The first data race of one run (its loop taken once), as an outcome and the run that
    ends with it. Of other runs it says nothing."""
    with pure():
        return race_of(_fresh(build)(), schedule.steps + schedule.loop)


def race_of(world: World, steps: bytes) -> tuple[Outcome, Schedule] | None:
    """``race_in``, with a fresh ``world``, which is used up."""
    found = raced(world, steps)
    if found is None:
        return None
    one, other = found
    names = [task.name for task in world.tasks]
    message = race_message(names[one.task], names[other.task], one.location)
    culprits = (one.location, names[one.task], names[other.task])
    length = other.step + 1
    return Outcome(RACE, length, message, RACE_FREE, culprits), Schedule(steps[:length])


def _follow(execution: Execution, steps: bytes) -> None:
    for task in steps:
        if execution.over() or task not in execution.enabled():
            at = len(execution.choices)
            raise Divergence(f"the run cannot go so: at step {at} task {task} cannot step")
        execution.step(task)


@attrs.frozen(kw_only=True)
class Sample:
    """What some runs showed; never a proof. ``ended`` counts the kinds of outcome, ``broken``
    has the first run of each kind that is wrong, ``next_new`` is the estimated chance
    (Good and Turing) that one more run is of a new trace."""

    runs: int
    ended: dict[str, int]
    broken: dict[str, tuple[Outcome, Schedule]]
    traces: int
    next_new: float


def sample(
    build: Build,
    *,
    strategy: str = "random",
    runs: int = 1000,
    seed: int = 0,
    max_steps: int = 20_000,
    races: bool = False,
) -> Sample:
    """So many runs with ``strategy`` (random, pct, pos, fair, round-robin); run N has seed
    ``seed + N``. A run that is not over after ``max_steps`` counts as ``limit``. With
    ``races`` each is looked through for data races, until one is found."""
    _refuse(runs=runs, max_steps=max_steps, seed=seed)
    if strategy not in NAMES:
        raise ValueError(f"strategy must be one of {', '.join(NAMES)}, not {strategy!r}")
    fresh, recipes, traces = _fresh(build), recipe(strategy), Traces()
    ended: Counter[str] = Counter()
    broken: dict[str, tuple[Outcome, Schedule]] = {}
    numbers: list[int] = []
    with pure():
        for number in range(seed, seed + runs):
            world = fresh()
            remembered = None if numbers else Remembered(world.checks)
            execution = Execution(world, checks=True)
            chosen = recipes.strategy(number)
            traced = Traced(chosen, traces)
            outcome = run(execution, traced, max_steps)
            if remembered:  # only of the first run: one that changes things does so in each
                remembered.refuse_changed()
            recipes.learn(chosen)
            numbers.append(traced.trace.number())
            ended[outcome.kind] += 1
            if outcome.kind not in ("done", "limit") and outcome.kind not in broken:
                broken[outcome.kind] = outcome, Schedule(bytes(execution.choices))
            if races and RACE not in broken:
                race = race_of(fresh(), bytes(execution.choices))
                if race is not None:
                    broken[RACE] = race
    return Sample(
        runs=runs,
        ended=dict(ended),
        broken=broken,
        traces=len(traces),
        next_new=next_new(numbers),
    )
