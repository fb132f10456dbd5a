"""What an observer of a run is told: of each event, which one let its task go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from kmodel.event import mark, say
from kmodel.explore.execution import Execution, run
from kmodel.explore.strategy import Replay
from kmodel.point import operation, pause
from kmodel.shared import Atomic, left_mover, shared
from kmodel.sync.mutex import Mutex
from kmodel.world import ScenarioError, World

Told = list[tuple[str, int | None]]
"""Each event, and the number of the one that let its task go."""


@shared
class Flag:
    name: Final[str]
    height: Atomic[int]

    def __init__(self) -> None:
        self.name, self.height = "flag", 1

    @operation(event="flag.set")
    def put(self, height: int) -> None:
        self.height = height

    @left_mover
    def put_now(self, height: int) -> None:
        self.height = height

    @operation(lambda self: 2 // self.height == 1, event="flag.wait")
    def wait(self) -> None:
        pass


def told(schedule: bytes, *bodies: Callable[[Any, Flag], Awaitable[Any]]) -> Told:
    with World() as world:
        mutex, flag = Mutex("m"), Flag()
    for name, body in zip("ABC", bodies):
        world.task(name, body, mutex, flag)
    found: Told = []

    def hear(step: int, task: int, cause: int | None, event: str, fields: dict[str, Any]) -> int:
        found.append((event, cause))
        return len(found) - 1

    run(Execution(world, hear), Replay(schedule), len(schedule))
    return found


async def waits(mutex: Mutex, flag: Flag) -> None:
    await flag.wait()


def test_the_cause_is_the_operation_and_not_what_its_step_said_last() -> None:
    async def raises(mutex: Mutex, flag: Flag) -> None:
        await flag.put(2)
        mark("that is done")
        await pause()

    assert told(bytes([0, 1, 1, 0]), waits, raises) == [
        ("task.start", None),
        ("task.start", None),
        ("flag.set", None),
        ("mark", None),
        ("flag.wait", 2),
        ("task.end", None),
    ]


def test_the_cause_is_the_release_in_the_midst_of_a_step() -> None:
    async def enters(mutex: Mutex, flag: Flag) -> None:
        await mutex.enter()
        await pause()
        mark("before")
        await mutex.leave()
        mark("after")

    found = told(bytes([0, 0, 1, 0, 1]), enters, enters)
    assert found[-1] == ("mutex.enter", 5)
    assert [event for event, _ in found[3:7]] == ["task.pause", "mark", "mutex.leave", "mark"]


def test_what_nobody_said_is_laid_to_what_was_said_before_it() -> None:
    async def silent(mutex: Mutex, flag: Flag) -> None:
        say("mark", text="before")
        flag.put_now(2)
        await pause()

    assert told(bytes([0, 1, 0]), waits, silent)[2:4] == [("mark", None), ("flag.wait", 2)]


def test_of_two_that_let_it_go_the_last_one_counts() -> None:
    """In between another took it away again."""

    async def turns(mutex: Mutex, flag: Flag) -> None:
        for height in (2, 1, 2):
            await flag.put(height)

    found = told(bytes([0, 1, 1, 1, 1, 0]), waits, turns)
    assert found[-2] == ("flag.wait", 4)
    assert found[4][0] == "flag.set"


def test_a_guard_that_raises_ends_a_run_alike_with_and_without_an_observer() -> None:
    """It is asked in the midst of steps only if somebody listens."""

    async def breaks(mutex: Mutex, flag: Flag) -> None:
        await flag.put(0)
        await pause()

    schedule = bytes([0, 1, 1, 1])
    said = []
    for hear in (None, lambda *_: 0):
        with World() as world:
            mutex, flag = Mutex("m"), Flag()
        world.task("A", waits, mutex, flag)
        world.task("B", breaks, mutex, flag)
        execution = Execution(world, hear)
        with pytest.raises(ScenarioError) as found:
            run(execution, Replay(schedule), 9)
        said.append((str(found.value), len(execution.choices)))
    assert said[0] == said[1]
    assert "the guard of flag.wait on flag raised ZeroDivisionError" in said[0][0]
