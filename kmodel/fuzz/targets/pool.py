"""A pool against a counter: get (NOWAIT, WAITOK), put, hard limits, pages that run out."""

from __future__ import annotations

from typing import Any, Final

import attrs

from kmodel.explore.linear import Effect, Linear, Plain
from kmodel.fuzz.bench import Company, Holdings, inject, staff
from kmodel.fuzz.target import Target, Why
from kmodel.fuzz.workload import Workload
from kmodel.panic import Panic
from kmodel.param import PAGE_SIZE
from kmodel.point import RUN, Task, operation
from kmodel.shared import Atomic, Hidden, shared
from kmodel.sync.mutex import IPL_VM
from kmodel.table import observe, oracle
from kmodel.vm.cause import Cause
from kmodel.vm.pool import Pool
from kmodel.world import World


@shared
class Pages:
    """So many pages, and no more; ``items`` on each."""

    most: Final[int]
    items: Final[int]
    taken: Atomic[int]

    def __init__(self, most: int, items: int) -> None:
        self.most, self.items, self.taken = most, items, 0

    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause:
        return await self._alloc()

    @operation(event="page.alloc")
    def _alloc(self) -> tuple[int, ...] | Cause:
        if self.taken == self.most:
            return Cause.PAGES
        self.taken += 1
        return self.page(self.taken - 1)

    def page(self, number: int) -> tuple[int, ...]:
        """The items of that page."""
        step = PAGE_SIZE // self.items
        return tuple(number * PAGE_SIZE + n * step for n in range(self.items))


SERVED_MEANWHILE: Final = "a put found no request, as those queued were just being served"
PAGE_ARRIVED: Final = "a page came with items to spare, and nobody looked for queued requests"
CLAIM_DROPPED: Final = "a get gave up its claim, and nobody looked for queued requests"


@shared
class Watched(Pool):
    """A pool that remembers which of the kernel's known ways to miss a queued get it has gone
    since the queue was last served: a get that hangs after that is told by this cause."""

    missed: Hidden[str]
    queued: Hidden[bool]
    runner: Hidden[Task | None]  # who serves, and has the requests to itself

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self.missed, self.queued, self.runner = "", False, None

    def _anybody(self) -> bool:
        """Is anybody queued, or just being served by another CPU?"""
        return self.queued or self.runner not in (None, RUN.task)

    def prime(self, items: tuple[int, ...]) -> None:
        super().prime(items)
        if len(items) > 1 and observe(self._anybody()):
            self.missed = PAGE_ARRIVED

    def _unclaim(self) -> None:
        super()._unclaim()
        if self.hardlimit is not None and observe(self._anybody()):
            self.missed = CLAIM_DROPPED

    async def _has_requests(self) -> bool:
        there = await super()._has_requests()
        if not there and observe(self._anybody()):
            self.missed = SERVED_MEANWHILE
        return there

    async def _append_request(self, task: Task) -> None:
        await super()._append_request(task)
        self.queued = True

    async def _take_requests(self) -> tuple[Task, ...]:
        queue = await super()._take_requests()
        self.missed, self.queued = "", False
        return queue

    async def _serve(self, queue: tuple[Task, ...]) -> tuple[Task, ...]:
        self.runner = RUN.task
        left = await super()._serve(queue)
        if not left:
            self.runner = None
        return left

    async def _return_requests(self, left: tuple[Task, ...]) -> None:
        await super()._return_requests(left)
        self.queued, self.runner = True, None


@attrs.frozen
class Bench:
    pool: Pool
    capacity: int
    injected: bool
    company: Company
    holdings: Holdings
    linear: Linear


def build(world: World, workload: Workload) -> Why:
    pages, items = workload.param("pages"), workload.param("items")
    limit, injected = workload.param("hardlimit") or None, bool(workload.failing)
    capacity = min(pages * items, limit or pages * items)
    name = "primed" if workload.param("primed") else "test"
    with world:
        source = Pages(pages, items)
        pool = Watched(name, source, IPL_VM, PAGE_SIZE // items, hardlimit=limit)
        if workload.param("primed"):
            for number in range(pages):
                pool.prime(source.page(number))
            source.taken = pages
        inject(workload, [pool])
        linear = Linear("pool", _Specified(capacity, injected), 0)
        bench = Bench(pool, capacity, injected, Company(), Holdings(), linear)
    staff(world, workload, perform, bench, interrupt=_interrupt, give_back=_give_back)
    world.rests = linear.rests
    world.check("no item is free and held", lambda: _both(bench))
    world.check("as many are out as are held", lambda: _count(bench), when="end", kind="leak")
    return lambda: pool.missed


def _both(bench: Bench) -> str | None:
    free = bench.pool.free
    if len(set(free)) < len(free):
        return "an item is free twice"
    return "an item is free and held" if {i for i, _ in bench.holdings.out} & {*free} else None


def _count(bench: Bench) -> str | None:
    """Asked also where CPUs wait for ever, and have claimed nothing then."""
    pool, held = bench.pool, len(bench.holdings.out)
    if pool.nout != held:
        return f"{pool.nout} items are out, and {held} are held"
    pages: Any = pool.allocator
    known = len(pool.free) + held
    if known != pages.taken * pages.items:
        return f"{known} items are free or held, of {pages.taken * pages.items}"
    return None


async def perform(bench: Bench, cpu: int, held: list[Any], name: str, args: Any) -> None:
    bench.company.come(cpu)
    if name == "get":
        got = await bench.linear.do("get", args, lambda: _get(bench, held, *args))
        _judge_refusal(bench, cpu, got)
    elif held:
        await bench.linear.do("put", (), lambda: _put(bench, held))
    bench.company.go(cpu)


async def _interrupt(bench: Bench, cpu: int) -> None:
    """A driver that wants an item for a moment."""
    bench.company.come(~cpu)
    item = await bench.pool.get(False)
    if item is not None:
        bench.holdings.note(item)
        bench.holdings.drop(item)
        await bench.pool.put(item)
    bench.company.go(~cpu)


async def _give_back(bench: Bench, cpu: int, held: list[Any]) -> None:
    while held:
        await perform(bench, cpu, held, "put", ())


def _judge_refusal(bench: Bench, cpu: int, got: bool) -> None:
    if got or bench.injected or not bench.company.alone(cpu):
        return
    if oracle(bench.holdings, lambda: len(bench.holdings.out) < bench.capacity):
        raise Panic("a NOWAIT get failed with items to be had, and nobody else near", "invariant")


async def _get(bench: Bench, held: list[Any], waitok: bool) -> bool:
    item = await bench.pool.get(waitok)
    if item is None:
        return False
    bench.holdings.note(item)
    held.append(item)
    return True


async def _put(bench: Bench, held: list[Any]) -> None:
    item = held.pop(0)
    bench.holdings.drop(item)
    await bench.pool.put(item)


@attrs.frozen
class _Specified:
    """How many are out. A NOWAIT get may fail at any time (whoever makes a page is on its way
    with it, or has claimed what it does not get); a WAITOK one waits only if all are out."""

    capacity: int
    injected: bool

    def __call__(self, out: Plain, name: str, args: tuple[Plain, ...]) -> Effect | list[Effect]:
        if name == "put":
            return out - 1, None
        had: Effect = (out + 1, True) if out < self.capacity else None
        if args[0]:
            return [had, None] if self.injected else had
        return [one for one in (had, (out, False)) if one]


TARGET = Target(
    name="pool",
    summary="pool_get NOWAIT and WAITOK, pool_put, hard limits, pages that run out or fail",
    build=build,
    params={
        "primed": (True, False),
        "pages": (1, 0, 2),
        "items": (1, 2),
        "hardlimit": (0, 1, 2),
    },
    operations={"get": ((False, True),), "put": ()},
    fails=(("test", "PAGES"), ("test", "STOCK")),
    most=6,
)
