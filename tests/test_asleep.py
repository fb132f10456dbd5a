"""Who sleeps where, holding what, as states show it."""

from __future__ import annotations

from kmodel.asleep import Asleep, asleep
from kmodel.explore.drive import drive
from kmodel.explore.graph import Graph, Limits, Search
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex
from kmodel.sync.rwlock import rwlock
from kmodel.world import World


def searched(world: World) -> Graph:
    search = Search(world, Limits())
    drive(search)
    return search.graph


def test_what_a_sleeper_holds_is_told_and_what_it_lets_go_is_not() -> None:
    """A sleeping lock stays held; the mutex that goes with a channel does not. Who spins for
    a mutex is not asleep."""
    with World() as world:
        outer, inner = rwlock("outer", "wake-all"), rwlock("inner", "wake-all")
        mutex, channel, work = Mutex("m"), Channel("c"), Channel("work")

    async def waits() -> None:
        await outer.enter(False)
        await mutex.enter()
        await channel.msleep(mutex)
        await mutex.leave()
        await outer.exit()

    async def locks() -> None:
        await outer.enter(False)
        await inner.enter(True)
        await inner.exit()
        await outer.exit()

    async def wakes() -> None:
        await inner.enter(True)
        await mutex.enter()
        await channel.wakeup()
        await mutex.leave()
        await inner.exit()

    async def serves() -> None:
        await mutex.enter()
        await work.msleep(mutex)

    world.task("a", waits)
    world.task("b", locks)
    world.task("w", wakes, obliged=False)
    world.task("d", serves, obliged=False, daemon=True)
    found = asleep(searched(world))
    assert found == (
        Asleep("d", "work", ()),
        Asleep("fault", "c", ("outer",)),
        Asleep("fault", "inner", ("outer",)),
    )


def test_nobody_sleeps_who_never_waits() -> None:
    """Nothing is told of threads that only run."""
    with World() as world:
        lock = rwlock("l", "wake-all")

    async def once() -> None:
        await lock.enter(True)
        await lock.exit()

    world.task("a", once)
    assert asleep(searched(world)) == ()
