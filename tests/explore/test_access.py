"""The two accesses of a data race, found in one run."""

from __future__ import annotations

from collections.abc import Callable

from worlds import Cell

from kmodel.explore.access import conflict, raced
from kmodel.explore.result import sample
from kmodel.point import pause
from kmodel.sync.mutex import Mutex
from kmodel.world import World


def built(locked: bool) -> Callable[[World], None]:
    async def add(cell: Cell, lock: Mutex) -> None:
        await pause()
        if locked:
            await lock.enter()
        cell.value += 1
        if locked:
            await lock.leave()
        await pause()

    def build(world: World) -> None:
        with world:
            cell, lock = Cell(0), Mutex("lock")
        world.task("A", add, cell, lock)
        world.task("B", add, cell, lock)

    return build


def fresh(locked: bool) -> World:
    with World() as world:
        built(locked)(world)
    return world


def test_a_run_shows_its_race_also_before_its_last_step() -> None:
    """A adds in step 1, B in step 3, and both go on."""
    steps = bytes([0, 0, 1, 1, 0, 1])
    found = raced(fresh(locked=False), steps)
    assert found is not None
    assert [(one.step, one.task, one.writes) for one in found] == [(1, 0, True), (3, 1, True)]
    assert conflict(fresh(locked=False), steps) is None, "none in the last step"
    assert conflict(fresh(locked=False), steps[:4]) == found


def test_accesses_that_another_step_of_the_first_task_parts_do_not_race_in_this_run() -> None:
    """What A touched before its last step may be ordered by that step: another run tells."""
    assert raced(fresh(locked=False), bytes([0, 0, 0, 1, 1])) is None


def test_samples_are_looked_through_for_races_when_asked() -> None:
    assert "data-race" in sample(built(locked=False), runs=5, races=True).broken
    assert not sample(built(locked=False), runs=5).broken
    assert not sample(built(locked=True), runs=50, races=True).broken
