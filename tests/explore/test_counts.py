"""Numbers that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import pytest
from enumeration import enumerate_all, facts_of, searched

from kmodel.point import Loop, pause
from kmodel.shared import shared
from kmodel.sync.mutex import Mutex
from kmodel.world import World


@shared
class Number:
    value: int

    def __init__(self) -> None:
        self.value = 0


async def pauses(count: int) -> None:
    for _ in range(count):
        await pause()


def independent(tasks: int, steps: int) -> World:
    """Each task has so many steps: the first is its implicit start, the others pauses."""
    world = World()
    for task in range(tasks):
        world.task(f"t{task}", pauses, steps - 1)
    return world


@pytest.mark.parametrize(
    ("tasks", "steps", "schedules"), [(2, 2, 6), (2, 3, 20), (3, 2, 90), (4, 2, 2520), (2, 5, 252)]
)
def test_schedules_of_independent_tasks(tasks: int, steps: int, schedules: int) -> None:
    """There are (t * s)! / s!^t ways to merge t tasks of s steps."""
    assert factorial(tasks * steps) // factorial(steps) ** tasks == schedules
    _, count = enumerate_all(lambda: independent(tasks, steps), schedules + 1, fresh=True)
    assert count == schedules


@pytest.mark.parametrize(("tasks", "steps"), [(1, 1), (2, 2), (2, 5), (3, 3), (4, 2)])
def test_states_of_independent_tasks(tasks: int, steps: int) -> None:
    """Starts that touch nothing go one after the other, and then every combination of
    how far the tasks are (started: s places, up to done) is a state."""
    graph = searched(independent(tasks, steps + 1))
    assert len(graph) == tasks + (steps + 1) ** tasks
    assert graph.transitions == tasks + tasks * steps * (steps + 1) ** (tasks - 1)


def test_states_of_a_lost_update() -> None:
    """Two tasks read, then write: 2 starts in a row, then by hand 3 places for each,
    told apart by what was read and what is stored."""
    with World() as world:
        number = Number()

    async def add() -> None:
        await pause()
        value = number.value
        await pause()
        number.value = value + 1

    world.task("a", add)
    world.task("b", add)
    graph = searched(world)
    # fresh/fresh; one read: 2; both read 0: 1; one wrote, other fresh: 2; one wrote, the
    # other read 0: 2; one wrote, other read 1: 2; final value 1 and final value 2: 2
    assert len(graph) == 2 + 1 + 2 + 1 + 2 + 2 + 2 + 2
    assert len(facts_of(graph).finals) == 2


def crossed(first: bool) -> Callable[[], World]:
    def build() -> World:
        with World() as world:
            locks = Mutex("m"), Mutex("n")

        async def take(one: Mutex, other: Mutex) -> None:
            await one.enter()
            await other.enter()
            await other.leave()
            await one.leave()

        world.task("a", take, *locks)
        world.task("b", take, *(locks if first else locks[::-1]))
        return world

    return build


def test_two_locks_taken_crosswise() -> None:
    """Each is at its start (which reads what the CPU holds), before, between or done:
    4 x 4 states, one of them the deadlock."""
    graph = searched(crossed(False)())
    assert len(facts_of(graph).deadlocks) == 1
    assert len(facts_of(graph).finals) == 1
    assert len(graph) == 16


def test_two_locks_taken_in_order() -> None:
    """The same in one order: both between at once is no state any more."""
    graph = searched(crossed(True)())
    assert not facts_of(graph).deadlocks
    assert len(graph) == 15


def test_a_loop_that_forgets_is_a_cycle() -> None:
    """A task that spins until a flag is set has one place before the flag and one after."""
    with World() as world:
        flag = Number()

    async def spin() -> None:
        loop = Loop()
        while True:
            loop.head()
            await pause()
            if flag.value:
                return

    async def set_flag() -> None:
        await pause()
        flag.value = 1

    world.task("spin", spin)
    world.task("set", set_flag)
    graph = searched(world)
    assert graph.complete
    # two starts in a row; flag unset, flag set and still spinning, both done
    assert len(graph) == 2 + 3
    assert len(facts_of(graph).finals) == 1
    assert any(state == to for state, _, to, _ in graph.edges())
