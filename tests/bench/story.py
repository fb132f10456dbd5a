"""The stories that are measured: the thread's faults, and tasks that lock and unlock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kmodel.case import Case
from kmodel.explore.graph import Limits, Search
from kmodel.sync.mutex import Mutex
from kmodel.world import World

TASKS, PAIRS = 3, 10
"""Each task takes and gives back a mutex so often: 20 steps, and the one that begins it."""


async def turns(mtx: Mutex) -> None:
    for _ in range(PAIRS):
        await mtx.enter()
        await mtx.leave()


def locking() -> World:
    with World() as world:
        mtx = Mutex("mtx", tried=True)  # so that giving it back is a step too
        for task in range(TASKS):
            world.task(f"t{task}", turns, mtx)
    return world


def case(fix: str, cpus: int = 2, faults: int = 1) -> Case:
    """``contended_kernel_map``, as ``kmodel explore`` builds it."""
    return Case.of("contended_kernel_map", {"cpus": cpus, "faults": faults}, fix)


STORIES: Final[dict[str, Callable[[], World]]] = {
    "faults, wait": case("wait").build,
    "faults, populate": case("populate").build,
    "3 x 20 lock/unlock": locking,
}


def searched(world: World, limits: Limits | None = None) -> Search:
    search = Search(world, limits or Limits(seconds=600))
    while search.advance(2_000):
        pass
    return search
