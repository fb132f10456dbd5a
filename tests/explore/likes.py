"""Worlds of like tasks, and of tasks that only look alike."""

from __future__ import annotations

from collections.abc import Callable

from kmodel.panic import Panic
from kmodel.point import Loop, curtask, pause, procedure
from kmodel.shared import shared
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex
from kmodel.table import Table
from kmodel.world import World


@shared
class Cell:
    value: int

    def __init__(self, value: int = 0) -> None:
        self.value = value


def lockers(tasks: int, rounds: int, tried: bool = True) -> World:
    """So many tasks, each of which locks and unlocks one mutex so many times."""
    with World() as world:
        mutex = Mutex("m", tried=tried)

    async def go() -> None:
        for _ in range(rounds):
            await mutex.enter()
            await mutex.leave()

    for number in range(tasks):
        world.task("ABCDEF"[number], go)
    return world


def bounded_buffer(
    producers: int, consumers: int, items: int = 1, one_channel: bool = False
) -> World:
    """Producers put so many items each into a buffer of one place, consumers take as many.
    With one channel for both, and one woken at a time, they can all sleep."""
    with World() as world:
        mutex, room, full = Mutex("m"), Channel("room"), Channel("full")
        count = Cell()

    @procedure
    async def move(change: int) -> None:
        sleep_on, wake = (room, full) if change > 0 else (full, room)
        await mutex.enter()
        loop = Loop()
        while True:
            loop.head()
            if 0 <= count.value + change <= 1:
                break
            await (room if one_channel else sleep_on).msleep(mutex)
        count.value += change
        await (room.wakeup_one() if one_channel else wake.wakeup())
        await mutex.leave()

    async def several(change: int) -> None:
        for _ in range(items):
            await move(change)

    for number in range(producers):
        world.task(f"P{number}", several, 1)
    for number in range(consumers):
        world.task(f"C{number}", several, -1)
    return world


def owners(tell: int) -> World:
    """Three tasks count in cells of their own; a check looks at one, at two, or at all."""
    with World() as world:
        cells = [Cell() for _ in range(3)]

    async def go(cell: Cell) -> None:
        for _ in range(2):
            await pause()
            cell.value += 1

    for number, cell in enumerate(cells):
        world.task("ABC"[number], go, cell)

    def wrong() -> str | None:
        found = [cell.value for cell in cells[:tell]]
        return f"counted {found}" if sum(found) > 1 else None

    world.check("few", wrong)
    world.check("few at the end", wrong, when="end")
    return world


def philosophers(tasks: int) -> World:
    """They sit in a ring, and each takes the fork on the left first."""
    with World() as world:
        forks = [Mutex(f"fork{number}") for number in range(tasks)]

    async def dine(left: Mutex, right: Mutex) -> None:
        await left.enter()
        await right.enter()
        await right.leave()
        await left.leave()

    for number in range(tasks):
        world.task(f"p{number}", dine, forks[number], forks[(number + 1) % tasks])
    return world


def pretender(what: str) -> Callable[[], World]:
    """Three tasks of one function that is not the same for all: ``what`` says why."""

    def make() -> World:
        with World() as world:
            cell, table = Cell(), Table([0, 0, 0])
            own = tuple(Cell() for _ in range(3))

        async def name() -> None:
            await pause()
            if curtask().name == "B":
                cell.value = 1

        async def index() -> None:
            await pause()
            table[curtask().index] = 1

        async def late() -> None:
            for _ in range(3):
                await pause()
            if curtask().index == 2:
                raise Panic("the last one is another")

        async def steps() -> None:
            await pause()
            if curtask().name == "C":
                await pause()

        async def guess() -> None:
            await pause()
            cell.value = (cell.value + 1) % 2
            await pause()
            if cell.value and curtask().name != "A":
                cell.value = 0

        async def order(mine: Cell) -> None:
            await pause()
            mine.value = 1
            await pause()
            if any(other.value for other in own):
                cell.value = 1

        run = {"name": name, "index": index, "late": late, "steps": steps, "guess": guess}
        for number in range(3):
            if what == "order":
                world.task("ABC"[number], order, own[number])
            else:
                world.task("ABC"[number], run[what])
        return world

    return make


PRETENCES = ("name", "index", "late", "steps", "guess", "order")
