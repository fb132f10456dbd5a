"""The same bug: what a signature blanks, and what it tells apart."""

from __future__ import annotations

from typing import Any

import pytest

from kmodel.explore.execution import Execution
from kmodel.explore.signature import Signature, blanked, shown
from kmodel.panic import Panic
from kmodel.point import operation
from kmodel.shared import Atomic, shared
from kmodel.sync.mutex import Mutex
from kmodel.world import World

NAMES = ["A", "B", "t1"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A holds it", "B holds it"),
        ("A and B touch x.value", "B touch x.value"),
        ("3 items are out", "12 items are out"),
        ("freed 0xffffff8040 twice", "freed 0x10 twice"),
        ("ends with -1", "ends with 2"),
        ("t1 would sleep", "A would sleep"),
    ],
)
def test_who_and_how_many_do_not_matter(one: str, other: str) -> None:
    """Task names, numbers and addresses are blanked."""
    assert blanked(one, NAMES) == blanked(other, NAMES)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("assertion failed in f (x.py, line 3)", "assertion failed in f (x.py, line 4)"),
        ("m0 is held", "m1 is held"),
        ("C holds it", "A holds it"),
        ("Another", "Bnother"),
        ("p0 pmap", "p1 pmap"),
    ],
)
def test_what_matters_stays(one: str, other: str) -> None:
    """Lines, names of objects, and words that only look like a task's name."""
    assert blanked(one, NAMES) != blanked(other, NAMES)


def of(kind: str, message: str = "", *places: str, survives: str = "") -> Signature:
    return Signature.of(kind, "ends", message, ("A", "m0"), NAMES, places, survives)


def test_a_hang_is_where_its_tasks_wait() -> None:
    """Not how many wait there, nor what the message says of the loop."""
    one = of("deadlock", "nobody can step: A at x, B at x", "mutex.enter x", "mutex.enter x")
    assert one == of("deadlock", "A can never step again", "mutex.enter x")
    assert one != of("deadlock", "A can never step again", "mutex.enter y")
    assert one != of("deadlock", "", "mutex.enter x", "mutex.enter y")
    assert one != of("lost-wakeup", "", "mutex.enter x")


def test_a_loop_is_also_the_fairness_that_it_survives() -> None:
    """One that only an unfair scheduler allows is another bug."""
    assert of("livelock", survives="strong") != of("livelock", survives="no fairness")
    assert of("deadlock", survives="strong") == of("deadlock")


def test_places_are_of_hangs_alone_and_objects_of_all_else() -> None:
    """A panic is told by its message and by the objects that it names."""
    assert of("panic", "boom", "mutex.enter x") == of("panic", "boom")
    assert of("panic", "boom").things == ("m0",)
    assert of("deadlock").things == ()


async def through(*mutexes: Mutex) -> None:
    for mutex in mutexes:
        await mutex.enter()
    for mutex in mutexes:
        await mutex.leave()


async def keeper(mutex: Mutex) -> None:
    await mutex.enter()


def stuck(schedule: list[int], *tasks: tuple[Any, ...]) -> tuple[str, ...]:
    """Where they wait, by the signature of the run."""
    with World() as world:
        mutexes = {name: Mutex(name) for name in "xyz"}
    for number, (function, names) in enumerate(tasks):
        world.task(f"t{number}", function, *(mutexes[name] for name in names))
    execution = Execution(world)
    for task in schedule:
        execution.step(task)
    execution.stick()
    found = shown(execution)
    execution.close()
    assert found is not None
    return found.places


def test_who_only_waits_for_what_a_stuck_one_holds_is_no_part_of_a_hang() -> None:
    """However many there are in the line: only its head tells which hang it is."""
    kept, next_, last = (keeper, "x"), (through, "yx"), (through, "zy")
    assert stuck([0, 0, 1, 1], kept, next_) == ("mutex.enter x",)
    assert stuck([0, 0, 1, 1, 2, 2], kept, next_, last) == ("mutex.enter x",)


def test_all_of_a_circle_are_and_those_behind_it_are_not() -> None:
    one, other, behind = (through, "xy"), (through, "yx"), (through, "x")
    circle = ("mutex.enter x", "mutex.enter y")
    assert stuck([0, 0, 1, 1], one, other) == circle
    assert stuck([0, 0, 1, 1, 2], one, other, behind) == circle


@shared
class Queue:
    """Whose guard takes for granted that somebody is queued."""

    queued: Atomic[tuple[int, ...]]

    def __init__(self) -> None:
        self.queued = (1,)

    @operation(lambda self: self.queued[0] == 1, event="mutex.enter")
    def turn(self) -> None:
        pass

    @operation(event="mutex.leave")
    def empty(self) -> None:
        self.queued = ()


def test_no_guard_is_asked_where_a_run_ended_for_another_reason() -> None:
    """It may not be made for what is there then."""
    with World() as world:
        queue = Queue()

    async def wait() -> None:
        await queue.turn()

    async def spoil() -> None:
        await queue.empty()
        raise Panic("empty")

    world.task("A", wait)
    world.task("B", spoil)
    execution = Execution(world)
    for task in (0, 1, 1):
        execution.step(task)
    found = shown(execution)
    execution.close()
    assert found is not None
    assert found.kind == "panic"
