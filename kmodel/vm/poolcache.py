"""Per-CPU caches of a pool's items.

Source: sys/kern/subr_pool.c 1.242 (pool_cache_init, pool_cache_get, pool_cache_put,
pool_cache_gc). Each CPU has two lists of items, active and previous, and full lists lie in a
depot. Left out: the resizing of lists with contention and the return of old lists to the
pool (both need time), the statistics.
"""

from __future__ import annotations

from typing import Final

from kmodel.panic import Panic
from kmodel.param import MAX_CPUS
from kmodel.point import curtask, procedure
from kmodel.shared import shared
from kmodel.sync.mutex import Mutex
from kmodel.table import Table

Items = tuple[int, ...]


@shared
class PoolCache:
    """``size`` items a list (8 in the kernel at first). A CPU touches its own lists only, so
    they have no lock; the depot has one. The pool counts cached items as out, and nobody
    who waits for the pool sees them."""

    size: Final[int]
    lists: Final[Table[tuple[Items, Items]]]
    depot_mtx: Final[Mutex]
    depot: tuple[Items, ...]  # depot_mtx

    def __init__(self, name: str, ipl: int, size: int) -> None:
        self.size, self.lists = size, Table([((), ())] * MAX_CPUS)
        self.depot_mtx, self.depot = Mutex(f"{name}.depot", ipl), ()

    @procedure
    async def get(self) -> int | None:
        """An item of the active list, else of the previous one, else of a list from the
        depot; ``None`` is a miss."""
        active, previous = self.lists[_cpu()]
        if not active:
            active, previous = previous, active
        if not active:
            await self.depot_mtx.enter()
            active = self._from_depot()
            await self.depot_mtx.leave()
        if not active:
            return None
        self.lists[_cpu()] = active[1:], previous
        return active[0]

    @procedure
    def _from_depot(self) -> Items:
        if not self.depot:
            return ()
        first, *rest = self.depot
        self.depot = tuple(rest)
        return first

    @procedure
    async def put(self, item: int) -> None:
        """Onto the active list; a full one becomes the previous, and that goes to the
        depot."""
        active, previous = self.lists[_cpu()]
        if len(active) == self.size:
            if previous:
                await self.depot_mtx.enter()
                self.depot = (previous, *self.depot)
                await self.depot_mtx.leave()
            active, previous = (), active
        if item in active or item in previous:
            raise Panic(f"pool_put: item {item:#x} is in this CPU's cache already", "double-free")
        self.lists[_cpu()] = (item, *active), previous

    def held(self) -> int:
        """Items in all lists, for checks."""
        return sum(len(a) + len(p) for a, p in self.lists) + sum(map(len, self.depot))


def _cpu() -> int:
    index = curtask().index
    if index >= MAX_CPUS:
        raise Panic(f"{curtask()}: there are pool caches for {MAX_CPUS} CPUs only")
    return index
