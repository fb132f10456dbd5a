"""Tasks look alike if they were started alike: what may change places, and what moves along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from likes import Cell, bounded_buffer, lockers, philosophers

from kmodel.explore.likeness import Unlike, changes, then
from kmodel.point import pause
from kmodel.sync.mutex import Mutex
from kmodel.world import World


async def idle(*_: Any) -> None:
    await pause()


async def other(*_: Any) -> None:
    await pause()


def orders(world: World) -> list[tuple[int, ...]]:
    """How tasks may change places."""
    return [places[: len(world.tasks)] for places in changes(world)]


def test_tasks_of_one_function_may_all_change_places() -> None:
    assert orders(lockers(2, 1)) == [(0, 1), (1, 0)]
    assert len(orders(lockers(3, 1))) == 6


def test_tasks_of_several_functions_change_places_with_their_like() -> None:
    """Two producers and two consumers: two ways each."""
    assert set(orders(bounded_buffer(2, 2))) == {
        *((0, 1, 2, 3), (1, 0, 2, 3), (0, 1, 3, 2), (1, 0, 3, 2)),
    }


def test_of_too_many_only_the_first_are_taken() -> None:
    found = orders(lockers(6, 1))
    assert len(found) == 24
    assert {order[4:] for order in found} == {(4, 5)}


def test_a_ring_turns() -> None:
    """Neighbours share a fork, so that no two can change places, but all can move on."""
    world = philosophers(5)
    found = changes(world)
    assert [places[:5] for places in found] == [
        tuple((task + turn) % 5 for task in range(5)) for turn in range(5)
    ]
    forks = [thing._oid for thing in world.objects if isinstance(thing, Mutex)]
    assert [found[1][fork] for fork in forks] == [*forks[1:], forks[0]]


def test_the_changes_are_a_group() -> None:
    for world in (lockers(4, 1), bounded_buffer(3, 2), philosophers(4)):
        found = changes(world)
        everything = tuple(range(len(world.tasks) + len(world.objects)))
        assert found[0] == everything
        assert all(sorted(places) == list(everything) for places in found)
        assert {then(one, two) for one in found for two in found} == set(found)


def test_what_a_task_owns_moves_with_it() -> None:
    """Its CPU, its cell, and what is below its cell."""
    with World() as world:
        cells = Cell(), Cell()
    for number, cell in enumerate(cells):
        world.task("AB"[number], idle, (cell, "same"))
    stay, swap = changes(world)
    tasks, things = world.tasks, world.objects
    assert stay == tuple(range(2 + len(things)))
    assert [swap[task._oid] for task in tasks] == [1, 0]
    assert [swap[cell._oid] for cell in cells] == [cells[1]._oid, cells[0]._oid]
    assert [swap[task.cpu._oid] for task in tasks] == [tasks[1].cpu._oid, tasks[0].cpu._oid]


def test_coroutines_are_looked_into() -> None:
    with World() as world:
        cells = Cell(), Cell()
    for number, cell in enumerate(cells):
        world.task("AB"[number], idle(cell))
    assert changes(world)[1][cells[0]._oid] == cells[1]._oid


def two(one: Any, two: Any, **flags: Any) -> Callable[[], World]:
    def make() -> World:
        with World() as world:
            things = {"cell": Cell(), "five": Cell(5), "mutex": Mutex("m")}
        world.task("A", one[0], *(things.get(arg, arg) for arg in one[1:]))
        world.task("B", two[0], *(things.get(arg, arg) for arg in two[1:]), **flags)
        return world

    return make


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (two((idle,), (other,)), "run different functions: idle and other"),
        (two((idle, 1), (idle, 2)), "are given different things: 1 and 2"),
        (two((idle, 1), (idle, True)), "are given different things: 1 and True"),
        (two((idle, 1), (idle, 1, 1)), "are given different things"),
        (two((idle, "mutex"), (idle, "mutex", 1)), r"things: \(Mutex m\) and \(Mutex m, 1\)$"),
        (two((idle, "cell"), (idle, "cell", 1)), r"things: \(Cell\) and \(Cell, 1\)$"),
        (two((idle, "cell"), (idle, "five")), "are given different things: 0 and 5"),
        (two((idle, "cell"), (idle, "mutex")), "in corresponding places"),
        (two((idle, "cell", "five"), (idle, "cell", "cell")), "not in corresponding places"),
        (two((idle,), (idle,), obliged=False), "not both obliged"),
        (two((idle,), (idle,), obliged=False, daemon=True), "or one is a daemon"),
        (lambda: lockers(1, 1), "there are no two tasks"),
    ],
)
def test_tasks_that_differ_are_told_why(make: Callable[[], World], why: str) -> None:
    with pytest.raises(Unlike, match=why):
        changes(make())
