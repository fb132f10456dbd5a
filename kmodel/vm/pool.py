"""Pools: fixed-size items on pages that an allocator gives.

Source: sys/kern/subr_pool.c 1.242 (pool_get, pool_do_get, pool_put, pool_setlowat,
pool_sethardlimit). Who waits is in ``poolqueue``, what each CPU keeps in
``poolcache``, idle pages in ``poolpage``, the
collector in ``poolgc``. Left out: the order of the page lists (each CPU
prefers items of its own; an address decides nothing), PR_ZERO (what items hold is their
users' affair: see ``PmapPools.ask_pted``), PR_RWLOCK, the yield of a get that reports a slowdown.
"""

from __future__ import annotations

from typing import Final, Protocol

from kmodel.event import say
from kmodel.panic import Panic
from kmodel.point import RUN, procedure
from kmodel.shared import shared
from kmodel.sync.channel import assert_may_sleep
from kmodel.sync.nonblock import NonBlock
from kmodel.vm.cause import Cause, FailCounters
from kmodel.vm.poolcache import PoolCache
from kmodel.vm.poolpage import IdlePages
from kmodel.vm.poolqueue import PoolQueue

__all__ = ["Cause", "PageAllocator", "Pool"]


class PageAllocator(Protocol):
    """Where a pool's pages come from (struct pool_allocator).

    ``alloc`` returns the items of a new page by address; it may sleep if ``waitok``,
    and is called without the pool's mutex.
    """

    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause: ...


@shared
class Pool(PoolQueue):
    """One pool. ``pr_mtx`` protects ``free`` and ``nout``.

    With ``idle`` its empty pages go back to the allocator some time (which must take
    them); without, a page stays for good.
    """

    allocator: Final[PageAllocator]
    cache: Final[PoolCache | None]
    idle: Final[IdlePages | None]
    nowait: Final[NonBlock | None]  # where it is noted that somebody may not sleep
    size: Final[int]  # bytes an item
    wheel: Final[int]  # which item a CPU prefers goes round after so many
    stripe: Final[int]  # items from one CPU's preferred one to the next CPU's
    fails: Final[FailCounters]
    free: tuple[int, ...]  # pr_mtx

    def __init__(
        self,
        name: str,
        allocator: PageAllocator,
        ipl: int,
        size: int,
        wheel: int = 4,
        stripe: int = 2,
        hardlimit: int | None = None,
        cached: int = 0,
        idle: IdlePages | None = None,
        nowait: NonBlock | None = None,
    ) -> None:
        super().__init__(name, ipl, hardlimit)
        self.allocator, self.size, self.wheel, self.stripe = allocator, size, wheel, stripe
        self.idle, self.nowait, self.fails, self.free = idle, nowait, FailCounters(), ()
        clock = idle.clock if idle else None
        self.cache = PoolCache(name, ipl, cached, clock) if cached else None

    @procedure
    def prime(self, items: tuple[int, ...]) -> None:
        """pool_p_insert: the items of a new page are free. Held: pr_mtx (or boot)."""
        self.free = tuple(sorted((*self.free, *items)))
        if self.idle is not None:
            self.idle.inserted(items[0])

    @procedure
    async def get(self, waitok: bool, limitfail: bool = False) -> int | None:
        """pool_get with PR_WAITOK or PR_NOWAIT: the address of an item, or NULL."""
        got = await self.ask(waitok, limitfail)
        return None if isinstance(got, Cause) else got

    @procedure
    async def ask(self, waitok: bool, limitfail: bool = False) -> int | Cause:
        """pool_get that tells why there is no item; the kernel's drops that.

        No item only with NOWAIT, or at the hard limit with PR_LIMITFAIL. WAITOK may sleep:
        no mutex held. ``nfail`` rises only for a failure that reached the pool proper.
        """
        if waitok or self.nowait is None:
            return await self._ask(waitok, limitfail)
        self.nowait.begin()
        got = await self._ask(waitok, limitfail)
        self.nowait.end()
        return got

    async def _ask(self, waitok: bool, limitfail: bool) -> int | Cause:
        if waitok:
            assert_may_sleep(f"pool_get({self.name}, PR_WAITOK)")
        if self.cache is not None:
            item = await self.cache.get()
            if item is not None:
                say("pool.get", obj=self.name, item=hex(item), waitok=waitok)
                return item
        await self.pr_mtx.enter()
        got: int | Cause = Cause.LIMIT
        if self.hardlimit is None or self.nout < self.hardlimit:
            got = await self._do_get(waitok)
        if isinstance(got, Cause) and (not waitok or (limitfail and got is Cause.LIMIT)):
            self.fails.count(got)
            self.fails.refused()
            say("pool.fail", obj=self.name, why=got.value)
            await self.pr_mtx.leave()
            return got
        await self.pr_mtx.leave()
        if isinstance(got, Cause):
            got = await self._wait(got)
        say("pool.get", obj=self.name, item=hex(got), waitok=waitok)
        return got

    async def _do_get(self, waitok: bool) -> int | Cause:
        """pool_do_get. Held on entry and exit: pr_mtx; dropped to make a page.

        A page that could not be had is the end of it: nobody looks whether an item
        came back meanwhile.
        """
        if not self._claim():
            await self.pr_mtx.leave()
            page = await self.allocator.alloc(waitok)
            await self.pr_mtx.enter()
            if isinstance(page, Cause):
                self._unclaim()
                return page
            self.prime(page)
        return self.take()

    @procedure
    def _claim(self) -> bool:
        """One more item is out, even if it has yet to be found: is one free?"""
        self.nout += 1
        return bool(self.free)

    @procedure
    def _unclaim(self) -> None:
        self.nout -= 1

    @procedure
    def take(self) -> int:
        """One of the free items, on an idle page only if there is no other. Held: pr_mtx (or
        boot).

        Which one the kernel does not promise; here each CPU prefers its own, so that
        the order of two takes does not show in the addresses.
        """
        far = (RUN.task.index if RUN.task else 0) * self.stripe
        home = far + far // self.wheel  # no home twice, the second time round
        free, idle = self.free, self.idle
        if idle is not None:
            free = tuple(item for item in free if not idle.empty(item)) or free
        item = min(free, key=lambda item: ((item // self.size - home) % self.wheel, item))
        self.free = tuple(other for other in self.free if other != item)
        if idle is not None:
            idle.taken(item)
        return item

    @procedure
    async def put(self, item: int) -> None:
        """pool_put: the item is free again; a queued request may be served with it. With a
        cache, and no request to be seen without a lock, it stays on this CPU. One page too
        many goes back to the allocator, which may sleep for that."""
        if self.cache is not None and not await self._has_requests():
            await self.cache.put(item)
            say("pool.put", obj=self.name, item=hex(item))
            return
        await self.pr_mtx.enter()
        page = await self._return(item)
        await self.pr_mtx.leave()
        say("pool.put", obj=self.name, item=hex(item))
        if page is not None:
            await self.page_free(page)
        await self._wakeup()

    async def _return(self, item: int) -> int | None:
        """The part of pool_put under the mutex; a page that is to go back. Held: pr_mtx."""
        self.give(item)
        idle = self.idle
        if idle is None:
            return None
        now = await idle.clock.uptime()
        idle.returned(item, self.free, now)
        return self.remove(idle.surplus(now))

    @procedure
    def remove(self, page: int | None) -> int | None:
        """pool_p_remove: the items of that page, if any, are none any more. Held: pr_mtx."""
        if page is not None:
            assert self.idle is not None
            self.free = tuple(item for item in self.free if self.idle.page(item) != page)
        return page

    @procedure
    def give(self, item: int) -> None:
        if item in self.free:
            raise Panic(f"pool_put: {self.name}: item {item:#x} is free already", "double-free")
        self.free = tuple(sorted((*self.free, item)))
        self.nout -= 1

    async def page_free(self, page: int) -> None:
        """pool_p_free: the page goes back to the allocator. Held: nothing."""
        assert self.idle is not None
        say("pool.page", obj=self.name, item=hex(page))
        await self.idle.allocator.free(page)

    @procedure
    async def setlowat(self, items: int) -> None:
        """pool_setlowat: pages for so many items are made now, with NOWAIT, and kept from the
        collector later. Nobody makes them again once they are used."""
        assert self.idle is not None
        await self.pr_mtx.enter()
        self.idle.least = -(-items * self.size // self.idle.size)
        await self.pr_mtx.leave()
        await self.refill(items, False)

    @procedure
    async def refill(self, items: int, waitok: bool) -> bool:
        """If no item is free, make pages (no more than ``items``) until so many are, or no
        page can be had. Was none free? Not in the kernel: there a pool that has run low
        stays low until somebody gets from it."""
        await self.pr_mtx.enter()
        starving = not self.free
        added = False
        for _ in range(items if starving else 0):
            await self.pr_mtx.leave()
            page = await self.allocator.alloc(waitok)
            await self.pr_mtx.enter()
            if isinstance(page, Cause):
                break
            self.prime(page)
            added = True
            say("pool.refill", obj=self.name, n=len(page))
            if len(self.free) >= items:
                break
        await self.pr_mtx.leave()
        if added:
            await self._wakeup()
        return starving

    def boot_take(self) -> int:
        """An item, at boot: it is out from now on."""
        self.nout += 1
        return self.take()
