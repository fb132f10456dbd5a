"""Per-CPU caches of a pool's items.

Source: sys/kern/subr_pool.c 1.242 (pool_cache_init, pool_cache_get, pool_cache_put,
pool_cache_gc). Each CPU has two lists of items, active and previous, and full lists lie in a
depot. Left out: the resizing of lists with contention (their length is ``pool_cache``).
"""

from __future__ import annotations

from typing import Final

from kmodel.panic import Panic
from kmodel.param import MAX_CPUS
from kmodel.point import curtask, procedure
from kmodel.shared import Statistic, shared
from kmodel.sync.clock import Clock
from kmodel.sync.mutex import Mutex
from kmodel.table import Table

Items = tuple[int, ...]
WAIT_GC: Final = 8
"""Seconds that a page or a list must have been idle before the collector takes it."""


@shared
class PoolCache:
    """``size`` items a list (8 in the kernel at first). A CPU touches its own lists only, so
    they have no lock: whoever is at them masks interrupts (``level``, which nobody can wait
    for); the depot has one. The pool counts cached items as out, and nobody
    who waits for the pool sees them. A miss is a failure of the cache (``nfail``), and none
    of the pool. With a ``clock`` each list of the depot has the second in which it came."""

    clock: Final[Clock | None]
    size: Final[int]
    lists: Final[Table[tuple[Items, Items]]]
    level: Final[Mutex]
    depot_mtx: Final[Mutex]
    depot: tuple[Items, ...]  # depot_mtx
    since: tuple[int, ...]  # depot_mtx; nothing without a clock
    nfail: Statistic

    def __init__(self, name: str, ipl: int, size: int, clock: Clock | None = None) -> None:
        self.clock, self.nfail = clock, 0
        self.size, self.lists = size, Table([((), ())] * MAX_CPUS)
        self.level = Mutex(f"{name} interrupt level", ipl)
        self.depot_mtx, self.depot, self.since = Mutex(f"{name}.depot", ipl), (), ()

    @procedure
    async def get(self) -> int | None:
        """An item of the active list, else of the previous one, else of a list from the
        depot; ``None`` is a miss."""
        self.level.note()
        item = await self._get()
        self.level.forget()
        return item

    async def _get(self) -> int | None:
        active, previous = self.lists[_cpu()]
        if not active:
            active, previous = previous, active
        if not active:
            await self.depot_mtx.enter()
            active = self._from_depot()
            await self.depot_mtx.leave()
        if not active:
            self.nfail += 1
            return None
        self.lists[_cpu()] = active[1:], previous
        return active[0]

    @procedure
    def _from_depot(self) -> Items:
        if not self.depot:
            return ()
        first, *rest = self.depot
        self.depot = tuple(rest)
        if self.clock is not None:
            self.since = self.since[1:]
        return first

    @procedure
    async def put(self, item: int) -> None:
        """Onto the active list; a full one becomes the previous, and that goes to the
        depot."""
        self.level.note()
        await self._put(item)
        self.level.forget()

    async def _put(self, item: int) -> None:
        active, previous = self.lists[_cpu()]
        if len(active) == self.size:
            if previous:
                await self.depot_mtx.enter()
                self.depot = (previous, *self.depot)
                if self.clock is not None:
                    self.since = (await self.clock.uptime(), *self.since)
                await self.depot_mtx.leave()
            active, previous = (), active
        if item in active or item in previous:
            raise Panic(f"pool_put: item {item:#x} is in this CPU's cache already", "double-free")
        self.lists[_cpu()] = (item, *active), previous

    @procedure
    async def collect(self, now: int) -> Items:
        """pool_cache_gc: the items of the depot's oldest list, if it has lain there for long
        (8 s): they are the pool's again."""
        await self.depot_mtx.enter()
        old = self._oldest(now)
        await self.depot_mtx.leave()
        return old

    @procedure
    def _oldest(self, now: int) -> Items:
        if not self.since or now - self.since[-1] <= WAIT_GC:
            return ()
        *rest, last = self.depot
        self.depot, self.since = tuple(rest), self.since[:-1]
        return last

    def held(self) -> int:
        """Items in all lists, for checks."""
        return sum(len(a) + len(p) for a, p in self.lists) + sum(map(len, self.depot))


def _cpu() -> int:
    index = curtask().index
    if index >= MAX_CPUS:
        raise Panic(f"{curtask()}: there are pool caches for {MAX_CPUS} CPUs only")
    return index
