"""What the targets share: CPUs that perform their operations, who is near whom, who holds
what, and an allocator that can be made to fail.

All book-keeping here is hidden state, so that it adds no point and no race.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

from kmodel.explore.linear import Linear
from kmodel.fuzz.mishap import Mishaps, Occasions, mishaps
from kmodel.fuzz.workload import Injected, Operation, Workload, number
from kmodel.panic import Panic
from kmodel.point import curtask
from kmodel.shared import Hidden, shared
from kmodel.table import observe
from kmodel.vm.cause import Cause
from kmodel.vm.pool import Pool
from kmodel.world import World

Alloc = Callable[[bool], Awaitable[tuple[int, ...] | Cause]]
Perform = Callable[..., Coroutine[Any, Any, None]]
"""``perform(bench, cpu, held, name, args)``: ``held`` is the CPU's own list."""
Interrupt = Callable[[Any, int], Awaitable[None]]
GiveBack = Callable[[Any, int, list[Any]], Awaitable[None]]


@shared
class Company:
    """Who is in an operation, and who has had company in it: a refusal needs a reason, and
    who is alone can blame nobody."""

    inside: Hidden[tuple[int, ...]]
    met: Hidden[tuple[int, ...]]

    def __init__(self) -> None:
        self.inside, self.met = (), ()

    def come(self, cpu: int) -> None:
        self.inside = tuple(sorted((*self.inside, cpu)))
        if len(self.inside) > 1:
            self.met = tuple(sorted({*self.met, *self.inside}))

    def go(self, cpu: int) -> None:
        self.inside = tuple(one for one in self.inside if one != cpu)
        self.met = tuple(one for one in self.met if one != cpu)

    def alone(self, cpu: int) -> bool:
        """Has nobody else been in an operation since ``cpu`` came?"""
        return bool(observe(cpu not in self.met))


@shared
class Holdings:
    """What the CPUs hold: (first, how many) each."""

    out: Hidden[tuple[tuple[int, int], ...]]

    def __init__(self) -> None:
        self.out = ()

    def note(self, first: int, count: int = 1) -> None:
        """Panics if somebody else holds any of it."""
        for other, many in self.out:
            if first < other + many and other < first + count:
                raise Panic(f"{curtask()} was given what another CPU holds", "double-free")
        self.out = tuple(sorted((*self.out, (first, count))))

    def drop(self, first: int) -> None:
        self.out = tuple(one for one in self.out if one[0] != first)

    def total(self) -> int:
        return sum(count for _, count in self.out)


@shared
class Failing:
    """Before an allocator: lets some NOWAIT requests fail. Only there if something is injected,
    so that it costs nothing else."""

    ask: Final[Alloc]
    cause: Final[Cause]
    requests: Final[Occasions]

    def __init__(self, ask: Alloc, injected: Injected) -> None:
        self.ask, self.cause, self.requests = ask, Cause[injected.cause], Occasions(injected)

    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause:
        if not waitok and self.requests.now():
            return self.cause
        return await self.ask(waitok)


def inject(workload: Workload, pools: Sequence[Pool]) -> None:
    """Let the allocators of ``pools`` fail as the workload says. Called while the world is
    built. The allocator stays the object that it is: others look at it too."""
    for one in workload.failing:
        for pool in pools:
            if pool.name == f"{one.of} pool":
                vars(pool.allocator)["alloc"] = Failing(pool.allocator.alloc, one).alloc


async def _nothing(*_: Any) -> None:
    """No handler; nothing to give back."""


def staff(
    world: World,
    workload: Workload,
    perform: Perform,
    bench: Any,
    *,
    interrupt: Interrupt = _nothing,
    give_back: GiveBack = _nothing,
) -> None:
    """A CPU for each that has something to do. ``interrupt(bench, cpu)`` is what its interrupts
    do, which no specification may notice; ``give_back(bench, cpu, held)`` what the exit of
    a killed thread does with what it holds."""
    for cpu in workload.cpus:
        befalling = mishaps(world, workload, cpu, partial(interrupt, bench, cpu))
        work = _work, perform, bench, cpu, workload.of_cpu(cpu)
        if befalling is None:
            world.task(f"cpu{cpu}", *work)
        else:
            world.task(f"cpu{cpu}", _befallen, befalling, give_back, *work[1:])


async def _work(perform: Perform, bench: Any, cpu: int, mine: tuple[Operation, ...]) -> None:
    held: list[Any] = []
    for one in mine:
        await perform(bench, cpu, held, one.name, one.args)


async def _befallen(
    befalling: Mishaps,
    give_back: GiveBack,
    perform: Perform,
    bench: Any,
    cpu: int,
    mine: tuple[Operation, ...],
) -> None:
    held: list[Any] = []
    for one in mine:
        await befalling.befall(perform(bench, cpu, held, one.name, one.args))
        if befalling.thread.dies():
            await give_back(bench, cpu, held)


def explained(linear: Linear, state: Callable[[], Any]) -> Callable[[], str | None]:
    """A check for the end: the state must be one that some order of the operations gives."""

    def wrong() -> str | None:
        now, could = state(), linear.states()
        if now in could:
            return None
        gives = " or ".join(map(number, could))
        return f"the end is {number(now)}, and orders of the operations give {gives}"

    return wrong
