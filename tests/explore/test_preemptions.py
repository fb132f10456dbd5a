"""Preemptions: counts by hand, how many a bug needs, and counterexamples with the fewest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from enumeration import TooMany, done, searched, values
from programs import build, contents, program
from switches import cheapest, levels, runs

from kmodel.explore.bounded import Bounded
from kmodel.explore.execution import Execution
from kmodel.explore.graph import Limits
from kmodel.explore.lasso import Paths, easiest
from kmodel.panic import Panic
from kmodel.point import pause
from kmodel.shared import shared
from kmodel.world import World


@shared
class Number:
    value: int

    def __init__(self) -> None:
        self.value = 0


def counters(tasks: int, steps: int) -> World:
    """Each task has so many steps, the first of them its implicit start, and counts the
    others in a number of its own."""
    with World() as world:
        numbers = [Number() for _ in range(tasks)]

    async def count(number: Number) -> None:
        for _ in range(steps - 1):
            await pause()
            number.value += 1

    for task, number in enumerate(numbers):
        world.task(f"t{task}", count, number)
    return world


@pytest.mark.parametrize(
    ("tasks", "steps", "schedules"), [(2, 3, (2, 6, 14, 18, 20)), (3, 2, (6, 24, 60, 90))]
)
def test_schedules_by_preemptions(tasks: int, steps: int, schedules: tuple[int, ...]) -> None:
    """Complete schedules of independent tasks with at most 0, 1, 2, ... preemptions."""
    costs = [run.cost[0] for run in runs(lambda: counters(tasks, steps), 1000)]
    counted = tuple(sum(cost <= bound for cost in costs) for bound in range(len(schedules)))
    assert counted == schedules


def reached(make: Callable[[], World], choices: bytes) -> list[tuple[Any, int]]:
    """The values after each step of a schedule, and its preemptions so far."""
    execution, switches, last = Execution(make()), 0, None
    found = [(contents(execution.world), 0)]
    for choice in choices:
        switches += last is not None and choice != last and last in execution.enabled()
        execution.step(choice)
        last = choice
        found.append((contents(execution.world), switches))
    execution.close()
    return found


@pytest.mark.parametrize(("tasks", "steps"), [(2, 3), (2, 5), (3, 2), (3, 3)])
def test_states_by_preemptions(tasks: int, steps: int) -> None:
    """Every state on the way of a schedule within the bound is found, and no other."""

    def make() -> World:
        return counters(tasks, steps)

    seen = [one for run in runs(make, 2000) for one in reached(make, run.choices)]
    for bound, (_, graph) in enumerate(levels(make(), "bounded", 5)):
        within = {where for where, cost in seen if cost <= bound}
        assert {values(graph, state) for state in range(len(graph))} == within, bound


def ladder(first: int, second: int) -> Callable[[], World]:
    """Two tasks that panic at the end if they took their steps in turn."""

    def make() -> World:
        with World() as world:
            place = Number()

        async def climb(turn: int, steps: int) -> None:
            for step in range(steps):
                await pause()
                place.value = place.value + 1 if place.value == 2 * step + turn else -1
                if place.value == first + second:
                    raise Panic("in turn")

        world.task("a", climb, 0, first)
        world.task("b", climb, 1, second)
        return world

    return make


LADDER = [(2, 1, 1), (2, 2, 2), (3, 2, 3), (3, 3, 4), (4, 3, 5)]


@pytest.mark.parametrize(("first", "second", "needed"), LADDER)
def test_the_ladder_needs_its_preemptions(first: int, second: int, needed: int) -> None:
    """Missed by all schedules with one preemption less, and found with so many."""
    search = Bounded(ladder(first, second)(), Limits(), "bounded", needed - 1)
    while search.advance(100):
        pass
    assert [level.found for level in search.levels] == [False] * needed
    assert not search.graph.violations
    assert not search.graph.complete
    search = Bounded(ladder(first, second)(), Limits(), "bounded", needed)
    while search.advance(100):
        pass
    assert search.levels[-1].bound == needed
    assert [v.message for v in search.graph.violations] == ["in turn"]


@pytest.mark.parametrize("order", ["dfs", "bfs"])
@pytest.mark.parametrize(("first", "second", "needed"), LADDER)
def test_the_ladder_is_shown_with_its_preemptions(
    first: int, second: int, needed: int, order: Any
) -> None:
    """And replays."""
    graph = searched(ladder(first, second)(), order)
    paths = Paths(graph)
    choices = easiest(paths, graph.violations[0])
    assert paths.preemptions(choices) == needed
    assert len(choices) == first + second + 2
    execution = Execution(ladder(first, second)())
    for choice in choices:
        execution.step(choice)
    assert execution.outcome is not None
    assert execution.outcome.message == "in turn"
    execution.close()


def test_what_is_shown_has_the_fewest_preemptions(fuzz_seed: int) -> None:
    """Of random programs each end is shown as cheaply as the cheapest of all schedules
    shows it, and its replay comes to it."""
    compared = needed = 0
    for seed in range(fuzz_seed + 710_000, fuzz_seed + 710_300):
        tried = program(seed)
        try:
            oracle = cheapest(lambda tried=tried: build(tried), 200)
        except TooMany:
            continue
        graph = searched(build(tried))
        paths = Paths(graph)
        of: dict[Any, list[int]] = {}
        for state in range(len(graph)):
            dead = graph.leaf[state] and all(leaf is None for leaf in graph.leaf[state])
            kind = "final" if graph.final(state) else "deadlock" if dead else ""
            of.setdefault((kind, (values(graph, state), done(graph, state))), []).append(state)
        shown = {end: paths.to(paths.nearest(of[end])) for end in oracle if end[0] != "panic"}
        for violation in graph.violations:
            shown["panic", violation.message] = easiest(paths, violation)
        assert shown.keys() == oracle.keys(), seed
        for end, choices in shown.items():
            cost = paths.preemptions(choices), len(choices)
            # a run may end before a background task began, or panic before any other did
            comparable = all(tried.obliged) and end[0] != "panic"
            assert cost[: 1 + comparable] == oracle[end][: 1 + comparable], (seed, end)
            assert replayed(tried, choices) == end, (seed, choices)
            compared, needed = compared + 1, needed + bool(cost[0])
    assert compared > 200
    assert needed > 20


def replayed(tried: Any, choices: bytes) -> tuple[str, Any]:
    execution = Execution(build(tried))
    for choice in choices:
        assert choice in execution.enabled()
        execution.step(choice)
    over, left = execution.over(), execution.enabled()
    tasks = zip(execution.pending, tried.obliged)
    where = (contents(execution.world), tuple(op is None for op, counts in tasks if counts))
    execution.close()
    if not over:
        assert not left
        return "deadlock", where
    assert execution.outcome is not None
    if execution.outcome.kind == "done":
        return "final", where
    return "panic", execution.outcome.message


def test_shortest_stays_available(fuzz_seed: int) -> None:
    """The shortest way is never longer than the one with the fewest preemptions."""
    shorter = 0
    for seed in range(fuzz_seed + 711_000, fuzz_seed + 711_060):
        graph = searched(build(program(seed)))
        paths = Paths(graph)
        for state in range(len(graph)):
            short, easy = paths.shortest(state), paths.to(state)
            assert len(short) <= len(easy)
            assert paths.preemptions(easy) <= paths.preemptions(short)
            shorter += len(short) < len(easy)
    assert shorter


def test_the_switch_to_the_panic_counts() -> None:
    """The shortest way to the state before it leaves the task that then panics."""
    with World() as world:
        number = Number()

    async def panic_at_the_end() -> None:
        for _ in range(3):
            await pause()
        if number.value == 2:
            raise Panic("late")

    async def add() -> None:
        for _ in range(2):
            await pause()
            number.value += 1

    world.task("a", panic_at_the_end)
    world.task("b", add)
    graph = searched(world)
    paths = Paths(graph)
    state = graph.violations[0].state
    assert paths.preemptions(paths.shortest(state) + b"\0") == 1
    choices = easiest(paths, graph.violations[0])
    assert paths.preemptions(choices) == 0
    assert choices == b"\0\1" + b"\1\1" + b"\0\0\0"
