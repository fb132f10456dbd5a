"""pool_gc_task: each second, what a pool need not keep goes back.

Source: sys/kern/subr_pool.c 1.242 (pool_gc_sched, pool_gc_pages, pool_cache_gc). Left out:
the resizing of the caches' lists, the other pools of the system task queue.
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark
from kmodel.point import Loop, procedure
from kmodel.shared import Hidden, shared
from kmodel.sync.clock import Clock
from kmodel.vm.pool import Pool


@shared
class PoolGc:
    """The collector of so many pools. ``at_work``: it has things in its hands."""

    clock: Final[Clock]
    pools: Final[tuple[Pool, ...]]
    at_work: Hidden[bool]

    def __init__(self, clock: Clock, pools: tuple[Pool, ...]) -> None:
        self.clock, self.pools, self.at_work = clock, pools, False

    async def task(self) -> None:
        """A thread of the system's task queue: a round each second, for ever."""
        loop, second = Loop(), 1
        while True:
            loop.head(second)
            second = await self.clock.sleep_until(second) + 1
            self.at_work = True
            for pool in self.pools:
                await gc_pages(pool)
            self.at_work = False


@procedure
async def gc_pages(pool: Pool) -> None:
    """pool_gc_pages for one pool: a list of the depot comes back to it, and one page that has
    been idle for long goes. Nobody who waits for an item is woken. Held: nothing."""
    idle = pool.idle
    assert idle is not None
    now = await idle.clock.uptime()
    if pool.cache is not None:
        for item in await pool.cache.collect(now):
            await pool.pr_mtx.enter()
            pool.give(item)
            idle.returned(item, pool.free, now)
            await pool.pr_mtx.leave()
    await pool.pr_mtx.enter()
    page = pool.remove(idle.stale(now))
    await pool.pr_mtx.leave()
    if page is not None:
        mark("the collector gave an idle page back")
        await pool.page_free(page)
