"""uvm_km_pages with its thread: one-page kernel addresses that come and go.

Source: sys/uvm/uvm_km.c 1.157 (uvm_km_page_init, uvm_km_thread, uvm_km_doputpage,
km_alloc and km_free with kv_page). Left out: the cap of lowat after the first fill, the
slowdown that a low stock reports. Where the text read for this model is silent: a freed
address that goes into the array wakes nobody who sleeps for one, and one that is queued
wakes the thread.
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark
from kmodel.param import PAGE_SIZE, KernelParams
from kmodel.point import Loop, curtask, procedure
from kmodel.shared import Hidden, shared
from kmodel.sync.channel import Channel
from kmodel.table import Table
from kmodel.vm.cause import Cause
from kmodel.vm.kmap import KERNBASE, KernelMap
from kmodel.vm.kmpages import KmPages
from kmodel.vm.physmem import PhysMem
from kmodel.vm.pool import Pool

DRY: Final = "a thread waits for the one-page stock"
OWN_STOCK: Final = "the thread that refills the one-page stock sleeps for it itself"


@shared
class KmStock(KmPages):
    """The stock as an array of addresses, ranges of kernel_map; ``free`` says how many.

    Below ``lowat`` a get wakes the thread, which adds ``batch`` at a time up to ``hiwat``.
    ``queued`` are freed addresses for which the array had no room, each with its physical
    page (``behind``, by page of kernel_map; whoever owns the address).
    """

    map: Final[KernelMap]
    lowat: Final[int]
    hiwat: Final[int]
    batch: Final[int]
    km_proc: Final[Channel]
    behind: Final[Table[int | None]]
    page: tuple[int, ...]  # mtx
    queued: tuple[int, ...]  # mtx
    at_work: Hidden[bool]  # the thread has things in its hands

    def __init__(self, p: KernelParams, kernel_map: KernelMap) -> None:
        super().__init__(p.km_pages, left_out="")
        self.map, self.lowat, self.batch = kernel_map, p.km_lowat, p.km_batch
        self.hiwat = max(4 * p.km_lowat, p.km_pages)
        self.km_proc = Channel("&uvm_km_pages.km_proc")
        self.behind = Table([None] * kernel_map.npages)
        self.page = tuple(KERNBASE + n * PAGE_SIZE for n in reversed(range(p.km_pages)))
        self.queued, self.at_work = (), False

    @procedure
    async def get(self, waitok: bool) -> int | None:
        """One address; with nothing in stock sleep (``waitok``) or fail, and in neither case
        wake the thread: only who gets one does that."""
        loop = Loop()
        await self.mtx.enter()
        while not self.free:
            loop.head()
            if not waitok:
                await self.mtx.leave()
                return None
            mark(OWN_STOCK if curtask().name == THREAD else DRY)
            await self.chan.msleep(self.mtx)
        address = self.take()
        if self.free < self.lowat and curtask().name != THREAD:
            await self.km_proc.wakeup()
        await self.mtx.leave()
        return address

    @procedure
    def take(self) -> int:
        """Held: mtx (or boot)."""
        *rest, last = self.page
        self.page, self.free = tuple(rest), self.free - 1
        return last

    def enter(self, va: int, page: int) -> None:
        """pmap_kenter_pa: the address has that physical page."""
        self.behind[(va - KERNBASE) // PAGE_SIZE] = page

    @procedure
    async def put(self, va: int, mem: PhysMem) -> None:
        """km_free: the address is in stock again and its page free, or the thread sees to
        both. Held: nothing that sleeps."""
        await self.mtx.enter()
        page = self._remove(va) if self.free < self.hiwat else None
        if page is None:
            self.queued = (*self.queued, va)
            await self.km_proc.wakeup()
        else:
            self._add(va)
        await self.mtx.leave()
        if page is not None:
            await mem.freepages((page,))

    @procedure
    def _add(self, va: int) -> bool:
        """Into the array, if it has room. Held: mtx."""
        if self.free >= self.hiwat:
            return False
        self.page, self.free = (*self.page, va), self.free + 1
        return True

    @procedure
    def _remove(self, va: int) -> int:
        """pmap_kremove: the address has no page any more; which one it had. Before anybody
        else can have the address."""
        cell = (va - KERNBASE) // PAGE_SIZE
        page, self.behind[cell] = self.behind[cell], None
        assert page is not None
        return page

    def with_entry(self) -> int:
        """Addresses, in stock or in use, that have a map entry (those of boot have none)."""
        cells = [(va - KERNBASE) // PAGE_SIZE for va in self.page]
        cells += [cell for cell, page in enumerate(self.behind) if page is not None]
        return sum(self.map.entered >> cell & 1 for cell in cells)

    async def uvm_km_thread(self, entries: Pool, mem: PhysMem) -> None:
        """The thread: sleep until the stock is low or something is queued, for ever.

        Its own map entries come from a pool whose pages have addresses of this stock: with
        no entry free and nothing in stock it sleeps for itself.
        """
        loop = Loop()
        while True:
            loop.head()
            await self.mtx.enter()
            if self.free >= self.lowat and not self.queued:
                await self.km_proc.msleep(self.mtx)
            low = self.free < self.lowat
            queued, self.queued, self.at_work = self.queued, (), True
            await self.mtx.leave()
            if low:
                await self._refill(entries, bool(queued))
            for va in queued:
                await self._doputpage(va, entries, mem)
            self.at_work = False

    @procedure
    async def _refill(self, entries: Pool, recovered: bool) -> None:
        """A batch: the first address may sleep for the map unless something was recovered,
        the others only try. All sleepers are woken, whatever came of it. Held: nothing."""
        got: tuple[int, ...] = ()
        for _ in range(self.batch):
            va = await self.map.uvm_map(1, entries, trylock=recovered or bool(got))
            if isinstance(va, Cause):
                break
            got = (*got, va)
        await self.mtx.enter()
        left = tuple(va for va in got if not self._add(va))
        await self.chan.wakeup()
        await self.mtx.leave()
        for va in left:
            await self._unmap(va, entries)

    @procedure
    async def _doputpage(self, va: int, entries: Pool, mem: PhysMem) -> None:
        """uvm_km_doputpage: into the array if it has room now, else out of the map; then the
        page is freed."""
        page = self._remove(va)
        await self.mtx.enter()
        kept = self._add(va)
        await self.mtx.leave()
        if not kept:
            await self._unmap(va, entries)
        await mem.freepages((page,))

    @procedure
    async def _unmap(self, va: int, entries: Pool) -> None:
        entry = await self.map.uvm_unmap(va, 1)
        if entry:  # those of boot have none
            await entries.put(entry)


THREAD: Final = "km thread"
"""The name of the task that runs ``uvm_km_thread``."""
