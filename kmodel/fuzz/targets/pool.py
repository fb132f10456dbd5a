"""A pool against a counter: get (NOWAIT, WAITOK), put, hard limits, pages that run out, caches of
CPUs, idle pages that go back at a put or when the collector comes.

Left out: low-water marks."""

from __future__ import annotations

from itertools import chain
from typing import Any, Final

import attrs

from kmodel.explore.linear import Effect, Linear, Plain
from kmodel.fuzz.bench import Company, Holdings, inject, staff
from kmodel.fuzz.target import Target, Why
from kmodel.fuzz.workload import Workload
from kmodel.panic import Panic
from kmodel.param import PAGE_SIZE
from kmodel.point import RUN, Task, curtask, operation
from kmodel.shared import Atomic, Hidden, shared
from kmodel.sync.clock import Clock
from kmodel.sync.mutex import IPL_VM
from kmodel.table import observe, oracle
from kmodel.vm.cause import Cause
from kmodel.vm.pool import Pool
from kmodel.vm.poolgc import gc_pages
from kmodel.vm.poolpage import IdlePages
from kmodel.world import World

_COLLECTOR: Final = -9
"""In whose company nobody else is."""


@shared
class Pages:
    """So many pages, and no more; ``items`` on each."""

    most: Final[int]
    items: Final[int]
    taken: Atomic[tuple[int, ...]]

    def __init__(self, most: int, items: int) -> None:
        self.most, self.items, self.taken = most, items, ()

    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause:
        return await self._alloc()

    @operation(event="page.alloc")
    def _alloc(self) -> tuple[int, ...] | Cause:
        number = next((n for n in range(self.most) if n not in self.taken), None)
        if number is None:
            return Cause.PAGES
        self.taken = tuple(sorted((*self.taken, number)))
        return self.page(number)

    async def free(self, page: int) -> None:
        await self._free(page)

    @operation(event="page.free")
    def _free(self, page: int) -> None:
        self.taken = tuple(n for n in self.taken if n != page // PAGE_SIZE)

    def page(self, number: int) -> tuple[int, ...]:
        """The items of that page."""
        step = PAGE_SIZE // self.items
        return tuple(number * PAGE_SIZE + n * step for n in range(self.items))


SERVED_MEANWHILE: Final = "a put found no request, as those queued were just being served"
PAGE_ARRIVED: Final = "a page came with items to spare, and nobody looked for queued requests"
CLAIM_DROPPED: Final = "a get gave up its claim, and nobody looked for queued requests"
COLLECTED: Final = "the collector gave something back, and nobody looked for queued requests"
CACHED: Final = "items lie in caches, where a queued get cannot have them"
COLLECTOR: Final = "collector"
SECONDS: Final = 10
"""That pass before it comes: all that is idle then has been for long."""


@shared
class Watched(Pool):
    """A pool that remembers which of the kernel's known ways to miss a queued get it has gone
    since the queue was last served: a get that hangs after that is told by this cause."""

    missed: Hidden[str]
    queued: Hidden[bool]
    runner: Hidden[Task | None]  # who serves, and has the requests to itself
    stopped: Hidden[bool]  # it does not serve just now: its CPU is interrupted

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self.missed, self.queued, self.runner, self.stopped = "", False, None, False

    def _anybody(self) -> bool:
        """Is anybody queued, or just being served by somebody else?"""
        return self.queued or self.stopped or self.runner not in (None, RUN.task)

    def stop(self) -> None:
        """An interrupt comes: somebody else than the runner under it, if that is one."""
        self.stopped = self.stopped or self.runner is RUN.task

    def go_on(self) -> None:
        """And is over."""
        self.stopped = self.stopped and self.runner is not RUN.task

    def prime(self, items: tuple[int, ...]) -> None:
        super().prime(items)
        if len(items) > 1 and observe(self._anybody()):
            self.missed = PAGE_ARRIVED

    def give(self, item: int) -> None:
        super().give(item)
        self._collected()

    async def page_free(self, page: int) -> None:
        await super().page_free(page)
        self._collected()

    def _collected(self) -> None:
        by_collector = RUN.task is not None and RUN.task.name == COLLECTOR
        if by_collector and observe(self._anybody()):
            self.missed = COLLECTED

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
    pool: Watched
    capacity: int
    injected: bool
    company: Company
    holdings: Holdings
    linear: Linear


def build(world: World, workload: Workload) -> Why:
    pages, items = workload.param("pages"), workload.param("items")
    limit, injected = workload.param("hardlimit") or None, bool(workload.failing)
    capacity = min(pages * items, limit or pages * items)
    with world:
        clock = Clock() if workload.param("recycle", False) else None
        source = Pages(pages, items)
        idle = IdlePages(source, clock, items, PAGE_SIZE, 0) if clock else None
        pool = Watched(
            "test",
            source,
            IPL_VM,
            PAGE_SIZE // items,
            hardlimit=limit,
            cached=workload.param("cached", 0),
            idle=idle,
        )
        if workload.param("primed"):
            for number in range(pages):
                pool.prime(source.page(number))
            source.taken = tuple(range(pages))
        inject(workload, [pool])
        linear = Linear("pool", _Specified(capacity, injected), 0)
        bench = Bench(pool, capacity, injected, Company(), Holdings(), linear)
    staff(world, workload, perform, bench, interrupt=_interrupt, give_back=_give_back)
    if clock is not None:
        world.task(COLLECTOR, _collect, bench, clock)
    world.rests = linear.rests
    world.check("no item is free and held", lambda: _both(bench))
    world.check("as many are out as are held", lambda: _count(bench), when="end", kind="leak")
    return lambda: pool.missed or (CACHED if _cached(pool) else "")


async def _collect(bench: Bench, clock: Clock) -> None:
    """pool_gc_task, which comes once, and is company to those who are refused meanwhile."""
    await clock.tick(SECONDS)
    bench.company.come(_COLLECTOR)
    await gc_pages(bench.pool)
    bench.company.go(_COLLECTOR)


def _cached(pool: Pool) -> tuple[int, ...]:
    """What lies in all caches."""
    if pool.cache is None:
        return ()
    lists = (*chain(*pool.cache.lists), *pool.cache.depot)
    return tuple(chain(*lists))


def _elsewhere(pool: Pool, cpu: Task) -> int:
    """How many items are in the lists of the other CPUs, who alone get at them."""
    if pool.cache is None:
        return 0
    return sum(len(a) + len(p) for n, (a, p) in enumerate(pool.cache.lists) if n != cpu.index)


def _both(bench: Bench) -> str | None:
    free = (*bench.pool.free, *_cached(bench.pool))
    if len(set(free)) < len(free):
        return "an item is free twice"
    return "an item is free and held" if {i for i, _ in bench.holdings.out} & {*free} else None


def _count(bench: Bench) -> str | None:
    """Asked also where CPUs wait for ever, and have claimed nothing then."""
    pool, held = bench.pool, len(bench.holdings.out)
    cached = len(_cached(pool))
    if pool.nout != held + cached:
        return f"{pool.nout} items are out, and {held + cached} are held or in caches"
    pages: Any = pool.allocator
    known, there = len(pool.free) + held + cached, len(pages.taken) * pages.items
    if known != there:
        return f"{known} items are free, held or in caches, of {there}"
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
    bench.pool.stop()
    item = await bench.pool.get(False)
    if item is not None:
        bench.holdings.note(item)
        bench.holdings.drop(item)
        await bench.pool.put(item)
    bench.pool.go_on()
    bench.company.go(~cpu)


async def _give_back(bench: Bench, cpu: int, held: list[Any]) -> None:
    while held:
        await perform(bench, cpu, held, "put", ())


def _judge_refusal(bench: Bench, cpu: int, got: bool) -> None:
    if got or bench.injected or not bench.company.alone(cpu):
        return
    me = curtask()
    if oracle(
        bench.holdings,
        lambda: len(bench.holdings.out) + _elsewhere(bench.pool, me) < bench.capacity,
    ):
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
    summary="pool_get NOWAIT and WAITOK, pool_put, limits, caches, idle pages, pages that fail",
    build=build,
    params={
        "primed": (True, False),
        "pages": (1, 0, 2),
        "items": (1, 2),
        "hardlimit": (0, 1, 2),
        "cached": (0, 1, 2),
        "recycle": (False, True),
    },
    later=("cached", "recycle"),
    named={"get": ("waitok",)},
    operations={"get": ((False, True),), "put": ()},
    fails=(("test", "PAGES"), ("test", "STOCK")),
    most=6,
)
