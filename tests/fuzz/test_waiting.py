"""Who waits: the order in which they came is held against the order in which they go in."""

from __future__ import annotations

import pytest

from kmodel.explore import search
from kmodel.fuzz.waiting import Line
from kmodel.point import Task, operation
from kmodel.shared import shared
from kmodel.sync.parking import ParkingMutex
from kmodel.world import World


@shared
class LastFirst(ParkingMutex):
    """Who comes parks before the others."""

    @operation(event="mutex.park")
    def _park(self, task: Task) -> None:
        self.queue = (task, *self.queue)


@pytest.mark.parametrize(("kind", "found"), [(ParkingMutex, set()), (LastFirst, {"invariant"})])
def test_who_parks_at_a_mutex_goes_in_as_it_came(kind: type[ParkingMutex], found: set[str]) -> None:
    def build(world: World) -> None:
        with world:
            mutex = kind("lock")
            Line().watch(mutex)

        async def once() -> None:
            await mutex.enter()
            await mutex.leave()

        for name in ("A", "B"):
            world.task(name, once)

    assert {one.kind for one in search(build).found} == found
