"""Kernel memory: physical pages with kernel addresses.

Source: sys/uvm/uvm_km.c 1.157 (km_alloc, uvm_km_pages). Left out: the thread that
refills the stock of one-page addresses (so a WAITOK get from an empty stock sleeps for
ever), kv_wait modes, the slowdown hint.
"""

from __future__ import annotations

from typing import Final, Protocol

from kmodel.event import say
from kmodel.param import PAGE_SIZE, STOCK_ITEMS, KernelParams
from kmodel.point import procedure
from kmodel.shared import shared
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import IPL_VM, Mutex
from kmodel.table import Table
from kmodel.vm.direct import direct_address
from kmodel.vm.kmap import KERNBASE, KernelMap
from kmodel.vm.pagecache import PageCache
from kmodel.vm.physmem import PhysMem
from kmodel.vm.pool import Cause, Pool

KMPAGES_BASE: Final = 0xFFFF_FF80_4000_0000


@shared
class KmPages:
    """uvm_km_pages: a stock of one-page kernel addresses with no page behind them."""

    mtx: Final[Mutex]
    chan: Final[Channel]
    next: int  # mtx
    free: int  # mtx

    def __init__(self, stock: int) -> None:
        self.mtx = Mutex("uvm_km_pages.mtx")
        self.chan = Channel("&uvm_km_pages.free", left_out="the thread that refills the stock")
        self.next, self.free = 0, stock

    @procedure
    async def get(self, waitok: bool) -> int | None:
        """One address; with nothing in stock sleep (``waitok``) or fail."""
        await self.mtx.enter()
        while not self.free:
            if not waitok:
                await self.mtx.leave()
                return None
            await self.chan.msleep(self.mtx)
        address = self.take()
        await self.mtx.leave()
        return address

    @procedure
    def take(self) -> int:
        """Held: mtx (or boot)."""
        self.free -= 1
        self.next += 1
        return KMPAGES_BASE + (self.next - 1) * PAGE_SIZE


class Entering(Protocol):
    """The kernel's pmap: where the pages behind kernel_map's addresses are entered."""

    async def pmap_kenter_pa(self, va: int, page: int, write: bool) -> None: ...
    async def pmap_kremove(self, start: int, end: int) -> None: ...
    def boot(self, va: int, page: int) -> None: ...


@shared
class KernelMemory:
    """km_alloc over kernel_map (``kv_any``) and over the one-page stock (``kv_page``)."""

    physmem: Final[PhysMem]
    cache: Final[PageCache]
    kernel_map: Final[KernelMap]
    kmpages: Final[KmPages]
    has_direct_map: Final[bool]
    entries: Final[Pool]
    backing: Final[Table[tuple[int, ...] | None]]  # a range's pages; whoever owns the range
    pmap: Final[Entering | None]  # the kernel's, if it is modelled; set at boot

    def __init__(self, p: KernelParams, physmem: PhysMem) -> None:
        self.physmem, self.kernel_map, self.pmap = physmem, KernelMap(p), None
        self.backing = Table([None] * p.kva_pages)
        self.kmpages, self.cache = KmPages(p.km_pages), PageCache(p, physmem)
        self.has_direct_map = p.pool_memory == "direct"
        self.entries = Pool("vmmpekpl", self.single(STOCK_ITEMS), IPL_VM, PAGE_SIZE // STOCK_ITEMS)

    def single(self, items: int, *, cached: bool = False) -> SinglePages:
        """An allocator of single pages, ``items`` to a page; ``cached`` ones come through the
        CPU's page cache."""
        source = self.cache if cached else self.physmem
        kmpages = None if self.has_direct_map else self.kmpages
        return SinglePages(self.physmem, kmpages, items, source)

    @procedure
    async def km_alloc(
        self, npages: int, waitok: bool, source: PhysMem | PageCache | None = None
    ) -> int | Cause:
        """kv_any: physical pages first, then a range of kernel_map; a failure of the
        second gives the first back. ``waitok`` false is kd_trylock: the map's lock is
        only tried. With ``waitok`` it may sleep, and still return a failure. The pages
        are from ``source`` (the free list, unless said)."""
        source = source or self.physmem
        pages = await source.getpages(npages, waitok=waitok, usereserve=True)
        if pages is None:
            return Cause.PAGES
        va = await self.kernel_map.uvm_map(npages, self.entries, trylock=not waitok)
        if isinstance(va, Cause):
            say("kva.fail", why=va.value)
            await source.freepages(pages)
        else:
            self.backing[page_number(va)] = pages
            if self.pmap is not None:
                for n, page in enumerate(pages):
                    await self.pmap.pmap_kenter_pa(va + n * PAGE_SIZE, page, True)
        return va

    @procedure
    async def km_free(self, va: int, source: PhysMem | PageCache | None = None) -> None:
        """Give a range and its pages (to ``source``) back. Write-locks kernel_map: may
        sleep."""
        pages = self.backing[page_number(va)]
        assert pages is not None
        self.backing[page_number(va)] = None
        if self.pmap is not None:
            await self.pmap.pmap_kremove(va, va + len(pages) * PAGE_SIZE)
        entry = await self.kernel_map.uvm_unmap(va, len(pages))
        await self.entries.put(entry)
        await (source or self.physmem).freepages(pages)


def page_number(va: int) -> int:
    return (va - KERNBASE) // PAGE_SIZE


@shared
class SinglePages:
    """The default page allocator: km_alloc with kv_page. ``items`` to a page.

    A page's address is from the stock, or (no ``kmpages``) from the direct map, where each
    page has one.
    """

    physmem: Final[PhysMem]
    kmpages: Final[KmPages | None]
    items: Final[int]
    source: Final[PhysMem | PageCache]

    def __init__(
        self,
        physmem: PhysMem,
        kmpages: KmPages | None,
        items: int,
        source: PhysMem | PageCache | None = None,
    ) -> None:
        self.physmem, self.kmpages, self.items = physmem, kmpages, items
        self.source = source or physmem

    @procedure
    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause:
        pages = await self.source.getpages(1, waitok=waitok, usereserve=True)
        if pages is None:
            return Cause.PAGES
        if self.kmpages is None:
            return self.carve(direct_address(pages[0]))
        va = await self.kmpages.get(waitok)
        if va is None:
            await self.source.freepages(pages)
            return Cause.STOCK
        return self.carve(va)

    def carve(self, va: int) -> tuple[int, ...]:
        """The addresses of the items on the page at ``va``."""
        return tuple(va + n * (PAGE_SIZE // self.items) for n in range(self.items))

    def boot(self) -> tuple[int, ...] | None:
        """A page's items, with nobody to wait for; ``None`` if there is no room."""
        if not self.physmem.free or (self.kmpages is not None and not self.kmpages.free):
            return None
        (page,) = self.physmem.take(1)
        return self.carve(self.kmpages.take() if self.kmpages else direct_address(page))


@shared
class VpPages:
    """pmap_vp_page_alloc: two pages at one kernel_map address, one item; its header
    is off the page, from ``phpool``, asked for last (sys/arch/arm64/arm64/pmap.c).

    Without ``headers`` it serves a pool that keeps no pages, and so needs none.
    """

    km: Final[KernelMemory]
    headers: Final[Pool | None]
    source: Final[PhysMem | PageCache]
    addresses: Final[range]  # where an item can lie

    def __init__(
        self,
        km: KernelMemory,
        headers: Pool | None,
        source: PhysMem | PageCache | None = None,
    ) -> None:
        self.km, self.headers, self.source = km, headers, source or km.physmem
        size = 2 * PAGE_SIZE
        self.addresses = range(KERNBASE, KERNBASE + km.kernel_map.npages // 2 * size, size)

    @procedure
    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause:
        va = await self.km.km_alloc(2, waitok, self.source)
        if isinstance(va, Cause):
            return va
        if self.headers is not None and await self.headers.get(waitok) is None:
            await self.km.km_free(va, self.source)
            return Cause.HEADER
        return (va,)

    @procedure
    async def free(self, item: int) -> None:
        """An item's page is given back. Write-locks kernel_map: may sleep."""
        assert self.headers is None
        await self.km.km_free(item, self.source)

    def boot(self) -> int | None:
        """An item, with nobody to wait for; ``None`` if there is no room."""
        kmap, mem = self.km.kernel_map, self.km.physmem
        first = kmap.find(2)
        short = self.headers is not None and not self.headers.free
        if first is None or mem.nfree() < 2 or not self.km.entries.free or short:
            return None
        kmap.used |= 3 << first
        kmap.entry[first] = self.km.entries.boot_take()
        pages = self.km.backing[first] = mem.take(2)
        if self.km.pmap is not None:
            for n, page in enumerate(pages):
                self.km.pmap.boot(KERNBASE + (first + n) * PAGE_SIZE, page)
        if self.headers is not None:
            self.headers.boot_take()
        return KERNBASE + first * PAGE_SIZE

    @procedure
    def room(self) -> bool:
        """Is there an address for an item? For checks."""
        return self.km.kernel_map.room(2)

    def held(self) -> int:
        """Physical pages behind all items."""
        return sum(len(pages) for pages in self.km.backing if pages)
