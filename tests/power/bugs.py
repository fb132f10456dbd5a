"""Planted bugs of the usual kinds, each in a world of its own.

Work of its own (``busy``) stands before and after what matters, as it does in real
code, and a bystander works beside, so that few schedules show the bug.
"""

from __future__ import annotations

import types
from collections.abc import Generator
from typing import Any

from kmodel.panic import Panic
from kmodel.point import Kind, Op, curtask, operation
from kmodel.shared import Atomic, shared
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex
from kmodel.world import Cpu, World


@shared
class Cell:
    """A number that is read and written one access a step."""

    value: Atomic[int]

    def __init__(self, value: int = 0) -> None:
        self.value = value

    @operation(event="cell.read")
    def read(self) -> int:
        return self.value

    @operation(event="cell.write")
    def write(self, value: int) -> None:
        self.value = value

    @operation(event="cell.add")
    def add(self, change: int) -> int:
        self.value += change
        return self.value


async def busy(steps: int) -> None:
    """Work on what is its own: steps that conflict with nothing."""
    for _ in range(steps):
        await _work(curtask().cpu)


@types.coroutine
def _work(cpu: Cpu) -> Generator[Op, Any, Any]:
    return (yield (WORK, cpu, ()))


WORK = Kind("task.work", lambda cpu: None, None, None, None)


def bystander(world: World) -> None:
    world.task("bystander", busy, 30)


def lost_update() -> World:
    """Two add one by reading and writing, at different times of their work."""
    with World() as world:
        cell = Cell()

    async def add(before: int, after: int) -> None:
        await busy(before)
        value = await cell.read()
        await cell.write(value + 1)
        await busy(after)

    world.task("early", add, 6, 24)
    world.task("late", add, 18, 12)
    world.check("sum", lambda: None if cell.value == 2 else "an update is lost", when="end")
    bystander(world)
    return world


def lost_wakeup() -> World:
    """The flag is looked at before the lock is taken, and set in between."""
    with World() as world:
        ready, mutex, channel = Cell(), Mutex("m"), Channel("ready")

    async def wait() -> None:
        await busy(9)
        if not await ready.read():
            await mutex.enter()
            await channel.msleep(mutex)
            await mutex.leave()

    async def work() -> None:
        await busy(27)
        await mutex.enter()
        await ready.write(1)
        await channel.wakeup()
        await mutex.leave()
        await busy(12)

    world.task("waiter", wait)
    world.task("worker", work)
    bystander(world)
    return world


def crossed_locks() -> World:
    """Two locks in two orders, held for a moment only."""
    with World() as world:
        one, other = Mutex("a"), Mutex("b")

    async def take(first: Mutex, second: Mutex, before: int, after: int) -> None:
        await busy(before)
        await first.enter()
        await second.enter()
        await second.leave()
        await first.leave()
        await busy(after)

    world.task("forth", take, one, other, 9, 27)
    world.task("back", take, other, one, 24, 12)
    bystander(world)
    return world


def reorder_three() -> World:
    """Right only while three tasks do not come in exactly the reverse of their lengths."""
    with World() as world:
        stage = Cell()

    async def go(wanted: int, before: int) -> None:
        await busy(before)
        if await stage.read() == wanted:
            await stage.write(wanted + 1)

    for wanted, before in enumerate((36, 21, 6)):
        world.task(f"t{wanted}", go, wanted, before)
    world.check("stages", lambda: "all three stages" if stage.value == 3 else None)
    bystander(world)
    return world


def ignored_try() -> World:
    """A try may fail, and the lock is left as if it never did."""
    with World() as world:
        mutex = Mutex("m", tried=True)

    async def holder() -> None:
        await busy(18)
        await mutex.enter()
        await mutex.leave()
        await busy(18)

    async def trier() -> None:
        await busy(6)
        await mutex.enter_try()
        await mutex.leave()
        await busy(24)

    world.task("holder", holder)
    world.task("trier", trier)
    bystander(world)
    return world


def use_after_release() -> World:
    """Looks whether the object is there, and uses it a step later; the other lets go of it."""
    with World() as world:
        alive = Cell(1)

    async def use() -> None:
        await busy(6)
        if await alive.read() and not await alive.read():
            raise Panic("used after it was released")
        await busy(27)

    async def release() -> None:
        await busy(24)
        await alive.write(0)
        await busy(9)

    world.task("user", use)
    world.task("owner", release)
    bystander(world)
    return world


def torn_pair() -> World:
    """Two numbers that belong together, written one after the other, read without a lock."""
    with World() as world:
        low, high = Cell(), Cell()

    async def write() -> None:
        await busy(27)
        await low.write(1)
        await high.write(1)
        await busy(9)

    async def read() -> None:
        await busy(9)
        pair = await low.read(), await high.read()
        if pair == (0, 1):
            raise Panic("half of the old pair, half of the new")
        await busy(21)

    world.task("writer", write)
    world.task("reader", read)
    bystander(world)
    return world


def double_release() -> World:
    """Two give back a reference each and look at the count later: both see none left."""
    with World() as world:
        count, freed = Cell(2), Cell()

    async def release(before: int, after: int) -> None:
        await busy(before)
        await count.add(-1)
        if not await count.read() and await freed.add(1) > 1:
            raise Panic("released twice")
        await busy(after)

    world.task("one", release, 9, 27)
    world.task("other", release, 27, 9)
    bystander(world)
    return world


BUGS = (
    lost_update,
    lost_wakeup,
    crossed_locks,
    reorder_three,
    ignored_try,
    use_after_release,
    torn_pair,
    double_release,
)
