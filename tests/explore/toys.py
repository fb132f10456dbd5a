"""Small worlds with a known number of schedules, or a bug of a known depth."""

from __future__ import annotations

from kmodel.point import Loop, operation, pause
from kmodel.shared import Atomic, shared
from kmodel.sync.mutex import Mutex
from kmodel.world import World


@shared
class Counter:
    """Counts up to a bound."""

    count: Atomic[int]

    def __init__(self) -> None:
        self.count = 0

    @operation(event="counter.up")
    def up(self) -> None:
        self.count += 1

    @operation(event="counter.poll")
    def reached(self, bound: int) -> bool:
        return self.count >= bound


def chain(tasks: int, steps: int) -> World:
    """Tasks of so many pauses that have nothing to do with each other."""
    world = World()

    async def go() -> None:
        for _ in range(steps):
            await pause()

    for number in range(tasks):
        world.task(f"t{number}", go)
    return world


def deep(depth: int) -> World:
    """A bug of that depth, up to 3: the two tasks take turns, ``b`` first, so many steps."""
    world = World()
    order: list[str] = []

    def task(name: str, steps: int) -> None:
        async def go() -> None:
            for _ in range(steps):
                await pause()
                order.append(name)

        world.task(name, go)

    wanted = ["b", "a", "b"][:depth]
    task("a", 2)
    task("b", 2)
    world.check("turns", lambda: "taken" if order == wanted else None)
    return world


def spinner(steps: int) -> World:
    """One polls until the other has taken all of its steps."""
    with World() as world:
        counter = Counter()

    async def poll() -> None:
        loop = Loop()
        while not await counter.reached(steps):
            loop.head()

    async def count() -> None:
        for _ in range(steps):
            await counter.up()

    world.task("poll", poll)
    world.task("count", count)
    return world


def tries(crossed: bool) -> World:
    """Take one lock, try the other, give up and begin again if it is taken."""
    with World() as world:
        locks = Mutex("m", tried=crossed), Mutex("n", tried=True)

    async def both(one: Mutex, other: Mutex) -> None:
        loop = Loop()
        while True:
            loop.head()
            await one.enter()
            if await other.enter_try():
                break
            await one.leave()
        await other.leave()
        await one.leave()

    world.task("a", both, *locks)
    world.task("b", both, *(locks[::-1] if crossed else locks))
    return world
