"""Pools: fixed-size items on pages that an allocator gives.

Source: sys/kern/subr_pool.c 1.242 (pool_get, pool_do_get, pool_put, pool_request,
pool_runqueue). Left out: the cell of each request that its sleeper waits on (all
waiters of a pool share a channel and a mutex here, and wake to look), giving idle pages
back (it takes seconds, and time is not modelled), the order of the page lists (each CPU
prefers items of its own; an address decides nothing), PR_LIMITFAIL, PR_ZERO's cost.
"""

from __future__ import annotations

import enum
from typing import Final, Protocol

from kmodel.event import mark, say
from kmodel.panic import Panic
from kmodel.point import RUN, Task, curtask, operation, procedure
from kmodel.shared import Atomic, Statistic, shared
from kmodel.sync.channel import Channel, assert_may_sleep
from kmodel.sync.mutex import Mutex
from kmodel.vm.poolcache import PoolCache


class Cause(enum.Enum):
    """Why a pool's page could not be had. The kernel sees NULL for all of them."""

    PAGES = "no physical pages"
    CONTIG = "no two contiguous pages"
    ENTRY = "no map entry"
    LOCK = "map lock refused"
    RANGE = "no address range"
    STOCK = "one-page stock empty"
    HEADER = "no page header"
    LIMIT = "hard limit"


class PageAllocator(Protocol):
    """Where a pool's pages come from (struct pool_allocator).

    ``alloc`` returns the items of a new page by address; it may sleep if ``waitok``,
    and is called without the pool's mutex.
    """

    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause: ...


@shared
class FailCounters:
    """``nfail`` of vmstat -m, and what the kernel does not keep: by cause."""

    nfail: Statistic
    pages: Statistic
    contig: Statistic
    entry: Statistic
    lock: Statistic
    range: Statistic
    stock: Statistic
    header: Statistic
    limit: Statistic

    def __init__(self) -> None:
        self.nfail = self.pages = self.contig = self.entry = self.lock = 0
        self.range = self.stock = self.header = self.limit = 0

    def count(self, cause: Cause) -> None:
        self.nfail += 1
        name = cause.name.lower()
        setattr(self, name, getattr(self, name) + 1)


@shared
class Pool:
    """One pool. ``pr_mtx`` protects ``free`` and ``nout``; ``requests`` is also
    looked at without a lock, as in the kernel; ``given`` has ``mem_mtx``."""

    name: Final[str]
    allocator: Final[PageAllocator]
    hardlimit: Final[int | None]
    cache: Final[PoolCache | None]
    size: Final[int]  # bytes an item
    wheel: Final[int]  # which item a CPU prefers goes round after so many
    stripe: Final[int]  # items from one CPU's preferred one to the next CPU's
    pr_mtx: Final[Mutex]
    req_mtx: Final[Mutex]
    mem_mtx: Final[Mutex]
    waiters: Final[Channel]
    fails: Final[FailCounters]
    free: tuple[int, ...]  # pr_mtx
    nout: int  # pr_mtx
    requesting: int  # req_mtx
    requests: Atomic[tuple[Task, ...]]
    given: tuple[tuple[Task, int], ...]  # mem_mtx

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
    ) -> None:
        self.name, self.allocator, self.hardlimit = f"{name} pool", allocator, hardlimit
        self.cache = PoolCache(name, ipl, cached) if cached else None
        self.size, self.wheel, self.stripe = size, wheel, stripe
        self.pr_mtx = Mutex(f"{name}.pr_mtx", ipl)
        self.req_mtx = Mutex(f"{name}.pr_requests_mtx", ipl)
        self.mem_mtx = Mutex(f"{name}.mem", ipl)
        self.waiters = Channel(f"{name} pool_get")
        self.fails = FailCounters()
        self.free, self.nout, self.requesting = (), 0, 0
        self.requests, self.given = (), ()

    @procedure
    def prime(self, items: tuple[int, ...]) -> None:
        """pool_p_insert: the items of a new page are free. Held: pr_mtx (or boot)."""
        self.free = tuple(sorted((*self.free, *items)))

    @procedure
    async def get(self, waitok: bool) -> int | None:
        """pool_get with PR_WAITOK or PR_NOWAIT: the address of an item, or NULL."""
        got = await self.ask(waitok)
        return None if isinstance(got, Cause) else got

    @procedure
    async def ask(self, waitok: bool) -> int | Cause:
        """pool_get that tells why there is no item; the kernel's drops that.

        No item only with NOWAIT. WAITOK may sleep: no mutex held. ``nfail`` rises only
        for a NOWAIT that reached the pool proper and got nothing.
        """
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
        if isinstance(got, Cause) and not waitok:
            self.fails.count(got)
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
        """One of the free items. Held: pr_mtx (or boot).

        Which one the kernel does not promise; here each CPU prefers its own, so that
        the order of two takes does not show in the addresses.
        """
        home = (RUN.task.index if RUN.task else 0) * self.stripe
        item = min(self.free, key=lambda item: ((item // self.size - home) % self.wheel, item))
        self.free = tuple(other for other in self.free if other != item)
        return item

    @procedure
    async def put(self, item: int) -> None:
        """pool_put: the item is free again; a queued request may be served with it. With a
        cache, and no request to be seen without a lock, it stays on this CPU."""
        if self.cache is not None and not await self._has_requests():
            await self.cache.put(item)
            say("pool.put", obj=self.name, item=hex(item))
            return
        await self.pr_mtx.enter()
        self._give(item)
        await self.pr_mtx.leave()
        say("pool.put", obj=self.name, item=hex(item))
        await self._wakeup()

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

    async def _wakeup(self) -> None:
        """pool_wakeup: serve queued requests, if there seem to be any."""
        if await self._has_requests():
            await self.req_mtx.enter()
            await self._run_queue()
            await self.req_mtx.leave()

    @procedure
    def _give(self, item: int) -> None:
        if item in self.free:
            raise Panic(f"pool_put: {self.name}: item {item:#x} is free already", "double-free")
        self.free = tuple(sorted((*self.free, item)))
        self.nout -= 1

    def boot_take(self) -> int:
        """An item, at boot: it is out from now on."""
        self.nout += 1
        return self.take()

    async def _wait(self, cause: Cause) -> int:
        """The slow end of a WAITOK get: queue a request and sleep until it is served."""
        me = curtask()
        say("pool.wait", obj=self.name, why=cause.value)
        mark("a WAITOK get had to queue a request")
        await self.req_mtx.enter()
        await self._append_request(me)
        await self._run_queue()
        await self.req_mtx.leave()
        await self.mem_mtx.enter()
        while (item := next((i for task, i in self.given if task is me), None)) is None:
            await self.waiters.msleep(self.mem_mtx)
        self.given = tuple(pair for pair in self.given if pair[0] is not me)
        await self.mem_mtx.leave()
        return item

    async def _run_queue(self) -> None:
        """pool_runqueue: serve requests first come first served, with NOWAIT, until one
        cannot be. Held on entry and exit: req_mtx; dropped meanwhile. Concurrent
        runners are merged into one that goes round again."""
        self.requesting += 1
        if self.requesting > 1:
            return
        while self.requesting:
            self.requesting = 1
            queue = await self._take_requests()
            if queue:
                await self.req_mtx.leave()
                left = await self._serve(queue)
                await self.req_mtx.enter()
                if left:
                    await self._return_requests(left)
            self.requesting -= 1

    async def _serve(self, queue: tuple[Task, ...]) -> tuple[Task, ...]:
        """Hand out what there is; return the tasks that got nothing."""
        items: list[int] = []
        await self.pr_mtx.enter()
        for _ in queue:
            if self.hardlimit is not None and self.nout >= self.hardlimit:
                break
            got = await self._do_get(False)
            if isinstance(got, Cause):
                break
            items.append(got)
        await self.pr_mtx.leave()
        if items:
            await self.mem_mtx.enter()
            self.given = (*self.given, *zip(queue, items))
            await self.mem_mtx.leave()
            await self.waiters.wakeup()
        return queue[len(items) :]

    @operation(event="pool.requests")
    def _has_requests(self) -> bool:
        return bool(self.requests)

    @operation(event="pool.requests")
    def _append_request(self, task: Task) -> None:
        self.requests = (*self.requests, task)

    @operation(event="pool.requests")
    def _take_requests(self) -> tuple[Task, ...]:
        queue, self.requests = self.requests, ()
        return queue

    @operation(event="pool.requests")
    def _return_requests(self, left: tuple[Task, ...]) -> None:
        self.requests = (*left, *self.requests)
