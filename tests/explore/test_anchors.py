"""Anchors: a schedule becomes blocks and comes back, and is followed past edits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from programs import build, program

from kmodel.explore.anchors import END, SPARE, THROUGH, Follower, Labelled, Vanished
from kmodel.explore.execution import Execution, run
from kmodel.explore.schedule import Block, spread
from kmodel.explore.strategy import Random, Replay
from kmodel.panic import Panic
from kmodel.point import pause
from kmodel.sync.mutex import Mutex
from kmodel.world import World

PROGRAMS, SEEDS, STEPS = 150, 3, 200

Body = Callable[..., Awaitable[Any]]


def blocks(world: World, choices: bytes, first: int | None = None) -> tuple[Block, ...]:
    """The blocks of that schedule; from step ``first`` on, those of its loop."""
    execution = Execution(world)
    labelled = Labelled(execution, Replay(choices))
    run(execution, labelled, len(choices))
    stem, loop = labelled.blocks(len(choices) if first is None else first)
    return stem if first is None else loop


def follow(world: World, recorded: tuple[Block, ...]) -> str:
    """Who steps now, a letter a step."""
    execution = Execution(world)
    try:
        Follower(execution, range(len(world.tasks))).follow(recorded)
    finally:
        execution.close()
    return "".join(world.tasks[task].name for task in execution.choices)


def small(*bodies: Body, names: str = "AB") -> World:
    """A world with two mutexes; each body gets both."""
    with World() as world:
        one, two = Mutex("one", tried=True), Mutex("two", tried=True)
    for name, body in zip(names, bodies):
        world.task(name, body, one, two)
    return world


def lettered(choices: str) -> bytes:
    return bytes("AB".index(c) for c in choices)


async def both(one: Mutex, two: Mutex) -> None:
    await one.enter()
    await two.enter()
    await two.leave()
    await one.leave()


async def crosswise(one: Mutex, two: Mutex) -> None:
    await both(two, one)


CROSSED = "AABB"
"""After it A stands before two, which B holds, and B before one."""


def test_blocks_of_random_programs_come_back_exactly(fuzz_seed: int, fuzz_scale: int) -> None:
    """Spread they are the schedule, and in the same model their anchors lead the same way:
    with locks, sleep, panics and deadlocks, and wherever the loop is said to begin."""
    panics = ends = 0
    for number in range(fuzz_seed, fuzz_seed + PROGRAMS * fuzz_scale):
        for seed in range(SEEDS):
            execution = Execution(build(program(number)))
            labelled = Labelled(execution, Random(seed))
            outcome = run(execution, labelled, STEPS)
            choices = bytes(execution.choices)
            first = number % (len(choices) + 1)
            stem, loop = labelled.blocks(first)
            assert (spread(stem), spread(loop)) == (choices[:first], choices[first:])
            again = Execution(build(program(number)))
            follower = Follower(again, range(len(again.world.tasks)))
            follower.follow(stem + loop)
            again.close()
            assert bytes(again.choices) == choices, (number, seed)
            panics += any((b.label or "").startswith(THROUGH) for b in stem + loop)
            ends += any(b.label == END for b in stem + loop)
            assert (outcome.property == "no panic") == any(
                (b.label or "").startswith(THROUGH) for b in stem + loop
            )
    assert panics
    assert ends


def test_a_block_ends_where_its_task_stands() -> None:
    """Before an operation, named with its object, or at its end; a first step that is followed
    by another task's has no name."""
    assert blocks(small(both, crosswise), lettered("ABAAAABB")) == (
        Block(0),
        Block(1),
        Block(0, 4, "task.end"),
        Block(1, 2, "mutex.leave one"),
    )
    assert blocks(small(both, crosswise), lettered(CROSSED)) == (
        Block(0, 2, "mutex.enter two"),
        Block(1, 2, "mutex.enter one"),
    )


def test_a_block_counts_how_often_its_task_comes_there() -> None:
    """The third pause of a block is another place than the first."""

    async def pauses(one: Mutex, two: Mutex) -> None:
        for _ in range(5):
            await pause()

    assert blocks(small(pauses, both), lettered("AAAB")) == (
        Block(0, 3, "task.pause", 3),
        Block(1, 1, "mutex.enter one"),
    )


def test_the_loop_has_blocks_of_its_own() -> None:
    """Also where no other task steps between it and what came before."""

    async def pauses(one: Mutex, two: Mutex) -> None:
        for _ in range(5):
            await pause()

    assert blocks(small(pauses), lettered("AAAA"), first=2) == (Block(0, 2, "task.pause", 2),)


def test_a_panic_is_anchored_in_its_step() -> None:
    """The run ends with the step of that operation, and not before one."""

    async def breaks(one: Mutex, two: Mutex) -> None:
        await one.enter()
        await one.leave()
        await one.enter()
        raise Panic("broken")

    recorded = blocks(small(both, breaks), lettered("ABBBB"))
    assert recorded[-1] == Block(1, 4, "through mutex.enter one", 2)
    assert follow(small(both, breaks), recorded) == "ABBBB"


# edits


async def paused(one: Mutex, two: Mutex) -> None:
    await pause()
    await one.enter()
    await pause()
    await two.enter()
    await two.leave()
    await one.leave()


def test_more_steps_on_the_way_are_taken() -> None:
    """Two pauses more: the task still stops before the same operation."""
    recorded = blocks(small(both, crosswise), lettered(CROSSED))
    assert follow(small(paused, crosswise), recorded) == "AAAABB"


def test_fewer_steps_on_the_way_are_taken() -> None:
    """And two pauses less."""
    recorded = blocks(small(paused, crosswise), lettered("AAAABB"))
    assert follow(small(both, crosswise), recorded) == CROSSED


def test_tasks_are_found_by_the_numbers_that_are_given() -> None:
    """A task more, and another order: the caller says who is who now."""
    recorded = blocks(small(both, crosswise), lettered(CROSSED))
    world = small(both, crosswise, both, names="XBA")
    execution = Execution(world)
    try:
        assert Follower(execution, [2, 1]).follow(recorded)
    finally:
        execution.close()
    assert bytes(execution.choices) == bytes([2, 2, 1, 1])


def test_a_new_daemon_goes_to_sleep_first() -> None:
    """Nobody may step before it sleeps, whatever the blocks say."""
    recorded = blocks(small(both, crosswise), lettered(CROSSED))
    world = small(both, crosswise)

    async def doze() -> None:
        await pause()

    world.task("d", doze, obliged=False, daemon=True)
    assert follow(world, recorded) == "dd" + CROSSED


async def without_two(one: Mutex, two: Mutex) -> None:
    await one.enter()
    await one.leave()


async def for_ever(one: Mutex, two: Mutex) -> None:
    while True:
        await pause()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            without_two,
            "A never comes to 'mutex.enter two' again, as it did in block 1 (steps 0 to 1) of the "
            "recorded run: it has ended, by way of 'mutex.enter one', 'mutex.leave one'",
        ),
        (for_ever, f"it stands at 'task.pause' after {SPARE:,} steps more than it took then"),
    ],
)
def test_an_operation_that_vanished_is_named(body: Body, words: str) -> None:
    """Which task, which event, in which block, and where the task is instead."""
    recorded = blocks(small(both, crosswise), lettered(CROSSED))
    with pytest.raises(Vanished) as gone:
        follow(small(body, crosswise), recorded)
    assert words in str(gone.value)


def test_a_task_that_is_blocked_on_its_way_is_named() -> None:
    """It stands before another operation, and cannot step."""
    recorded = (Block(1, 2, "mutex.leave one"), Block(0, 3, "mutex.leave two"))
    with pytest.raises(Vanished, match=r"A never comes to 'mutex.leave two'") as gone:
        follow(small(both, without_two), recorded)
    assert str(gone.value).endswith("it stands at 'mutex.enter one' and cannot step")


def test_a_place_that_is_come_to_less_often_is_named() -> None:
    """The first time is there, the second is not."""

    async def twice(one: Mutex, two: Mutex) -> None:
        for _ in range(2):
            await one.enter()
            await one.leave()
        await pause()

    async def once(one: Mutex, two: Mutex) -> None:
        await one.enter()
        await one.leave()

    recorded = blocks(small(twice, both), lettered("AAAAB"))
    assert recorded[0] == Block(0, 4, "mutex.leave one", 2)
    with pytest.raises(
        Vanished, match=r"A never comes to 'mutex.leave one' for the 2nd time again"
    ):
        follow(small(once, both), recorded)


def test_a_run_that_breaks_early_is_over() -> None:
    """Following ends there: what it shows is for others to say."""

    async def breaks(one: Mutex, two: Mutex) -> None:
        await one.enter()
        raise Panic("broken")

    recorded = blocks(small(both, crosswise), lettered(CROSSED))
    assert follow(small(breaks, crosswise), recorded) == "AA"


def test_a_run_in_which_nobody_can_step_is_over() -> None:
    """A deadlock that comes earlier than what was recorded."""
    recorded = (*blocks(small(both, crosswise), lettered(CROSSED)), Block(0, 5, END))
    assert follow(small(both, crosswise), recorded) == CROSSED
