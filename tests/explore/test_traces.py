"""Traces: runs that differ only in the order of independent steps are one; Good-Turing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from enumeration import searched
from programs import build, program
from toys import chain, spinner, tries

from kmodel.explore.execution import Execution, run
from kmodel.explore.footprint import conflict, footprint
from kmodel.explore.race import races
from kmodel.explore.recipe import NAMES, recipe
from kmodel.explore.strategy import Random, Replay
from kmodel.explore.traces import Traced, Traces, next_new
from kmodel.point import PAUSE
from kmodel.sync.mutex import Mutex
from kmodel.world import World


def every_schedule(build: Callable[[], World], most: int = 3000) -> list[bytes]:
    """All of them, by plain enumeration; nothing if there are more than ``most``."""
    found: list[bytes] = []
    open_ = [b""]
    while open_:
        prefix = open_.pop()
        execution = Execution(build())
        for choice in prefix:
            execution.step(choice)
        if execution.over() or not execution.enabled():
            found.append(prefix)
        else:
            open_ += [prefix + bytes([task]) for task in execution.enabled()]
        execution.close()
        if len(found) > most:
            return []
    return found


def traces_of(build: Callable[[], World], schedules: list[bytes]) -> list[int]:
    """The number of the trace of each."""
    traces = Traces()
    return [_trace(build(), Traced(Replay(s), traces), len(s)) for s in schedules]


def _trace(world: World, strategy: Traced, steps: int) -> int:
    run(Execution(world), strategy, steps)
    return strategy.trace.number()


def takers(tasks: int, times: int) -> World:
    """Each takes and leaves one mutex so many times; leaving is no step of its own."""
    with World() as world:
        mutex = Mutex("m")

    async def take() -> None:
        for _ in range(times):
            await mutex.enter()
            await mutex.leave()

    for number in range(tasks):
        world.task(f"t{number}", take)
    return world


@pytest.mark.parametrize(
    ("build_", "schedules", "traces"),
    [
        (lambda: chain(2, 1), 6, 1),
        (lambda: chain(3, 1), 90, 1),
        (lambda: takers(2, 1), 6, 2),
        (lambda: takers(3, 1), 90, 6),
        (lambda: takers(2, 2), 20, 6),
    ],
)
def test_traces_worked_out_by_hand(
    build_: Callable[[], World], schedules: int, traces: int
) -> None:
    """Independent tasks have one; users of one lock one for each order of taking it."""
    every = every_schedule(build_)
    assert len(every) == schedules
    assert len(set(traces_of(build_, every))) == traces


def swapped(build: Callable[[], World], schedules: list[bytes]) -> list[int]:
    """The definition: schedules that swaps of independent neighbours lead to are one class."""
    place = {schedule: number for number, schedule in enumerate(schedules)}
    above = list(range(len(schedules)))

    def root(number: int) -> int:
        while above[number] != number:
            number = above[number]
        return number

    for schedule in schedules:
        footprints = _footprints(build(), schedule)
        for step in range(len(schedule) - 1):
            one, other = schedule[step], schedule[step + 1]
            if one != other and not conflict(footprints[step], footprints[step + 1]):
                swap = schedule[:step] + bytes([other, one]) + schedule[step + 2 :]
                if swap in place:
                    above[root(place[schedule])] = root(place[swap])
    return [root(number) for number in range(len(schedules))]


def _footprints(world: World, schedule: bytes) -> list[tuple[int, ...]]:
    execution = Execution(world)
    found = []
    for choice in schedule:
        op = execution.pending[choice]
        assert op is not None
        found.append(footprint(op))
        execution.step(choice)
    execution.close()
    return found


def same_partition(one: list[int], other: list[int]) -> bool:
    return len(set(one)) == len(set(other)) == len(set(zip(one, other)))


@pytest.mark.parametrize("crossed", [False, True])
def test_traces_are_classes_of_swaps(crossed: bool) -> None:
    """Two locks: exactly the definition."""

    def build_() -> World:
        with World() as world:
            locks = [Mutex("m"), Mutex("n")]

        async def both(one: Mutex, other: Mutex) -> None:
            await one.enter()
            await other.enter()
            await other.leave()
            await one.leave()

        world.task("a", both, *locks)
        world.task("b", both, *(locks[::-1] if crossed else locks))
        return world

    every = every_schedule(build_)
    traces = traces_of(build_, every)
    assert same_partition(traces, swapped(build_, every))
    assert len(set(traces)) == (3 if crossed else 2)


def test_traces_of_random_programs_are_classes_of_swaps(fuzz_seed: int) -> None:
    """Programs without a race, and few schedules: exactly the definition."""
    tried = merged = 0
    for number in range(fuzz_seed, fuzz_seed + 250):
        code = program(number, tries=False)
        every = every_schedule(partial(build, code), 60)
        if every and not races(searched(build(code))):
            traces = traces_of(partial(build, code), every)
            assert same_partition(traces, swapped(partial(build, code), every)), number
            tried += 1
            merged += 1 < len(set(traces)) < len(every)
    assert tried > 20
    assert merged > 5


def test_a_sample_of_everything_sees_every_trace() -> None:
    """All schedules sampled: as many traces as plain enumeration has, and none left."""
    every = every_schedule(lambda: takers(2, 2))
    wanted = len(set(traces_of(lambda: takers(2, 2), every)))
    traces = Traces()
    numbers = [_trace(takers(2, 2), Traced(Random(seed), traces), 100) for seed in range(400)]
    assert len(traces) == wanted == len(set(numbers))
    assert next_new(numbers) == 0


def test_no_two_polls_are_alike() -> None:
    """A poll conflicts with the step it waits for, so how often it failed when is told."""
    every = [s for s in (_fairly(seed) for seed in range(60)) if s]
    assert len(set(traces_of(lambda: spinner(1), every))) == len({_polls(s) for s in every})


def _fairly(seed: int) -> bytes:
    execution = Execution(spinner(1))
    run(execution, recipe("fair").strategy(seed), 50)
    return bytes(execution.choices)


def _polls(schedule: bytes) -> bytes:
    """Without the starts: the first step of each task."""
    return bytes(task for at, task in enumerate(schedule) if task in schedule[:at])


@pytest.mark.parametrize(
    ("numbers", "chance"),
    [
        ([], 1.0),
        ([0], 1.0),
        ([0, 0], 0.0),
        ([0, 1, 0], 1 / 3),
        ([0, 1, 2, 3], 1.0),
        ([0, 0, 1, 1, 2, 3, 3, 4, 5, 0], 0.3),
    ],
)
def test_good_turing(numbers: list[int], chance: float) -> None:
    """The share of runs whose trace came once."""
    assert next_new(numbers) == pytest.approx(chance)


def test_good_turing_foretells() -> None:
    """On average over many samples, what it says of the next run comes true."""
    foretold = came = 0.0
    for sample in range(60):
        traces = Traces()
        numbers = [
            _trace(takers(3, 2), Traced(Random(1000 * sample + run_), traces), 100)
            for run_ in range(31)
        ]
        foretold += next_new(numbers[:-1])
        came += numbers[-1] not in numbers[:-1]
    assert came > 20
    assert foretold == pytest.approx(came, rel=0.35)


@pytest.mark.parametrize("name", NAMES)
def test_noting_the_trace_changes_nothing(name: str) -> None:
    """Every strategy takes the same steps with and without it."""
    for seed in range(20):
        taken = []
        for wrap in (False, True):
            strategy = recipe(name, length=15 if name == "pct" else None).strategy(seed)
            execution = Execution(tries(crossed=True))
            run(execution, Traced(strategy, Traces()) if wrap else strategy, 100)
            taken.append(bytes(execution.choices))
        assert taken[0] == taken[1]


def test_footprints() -> None:
    """Target and arguments, tuples too, each once; tasks and numbers are no objects."""
    with World() as world:
        one, other = Mutex("m"), Mutex("n")
    world.task("t", lambda: None)
    world.seal()
    task = world.tasks[0]
    assert footprint((PAUSE, None, ())) == ()
    assert footprint((PAUSE, one, (task, 3, None))) == (one._oid,)  # type: ignore[attr-defined]
    both = footprint((PAUSE, other, ((task, (one,)), other, True)))
    assert both == tuple(sorted((one._oid, other._oid)))  # type: ignore[attr-defined]
    assert conflict(both, footprint((PAUSE, one, ())))
    assert not conflict(footprint((PAUSE, other, ())), footprint((PAUSE, one, ())))
