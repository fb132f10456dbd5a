"""Kernel memory: physical pages with kernel addresses.

Source: sys/uvm/uvm_km.c 1.157 (km_alloc, km_free). Left out: kv_wait modes, the slowdown
hint.
"""

from __future__ import annotations

from typing import Final, Protocol

from kmodel.event import say
from kmodel.param import PAGE_SIZE, STOCK_ITEMS, KernelParams
from kmodel.point import procedure
from kmodel.shared import shared
from kmodel.sync.clock import Clock
from kmodel.sync.mutex import IPL_VM
from kmodel.sync.nonblock import NonBlock
from kmodel.table import Table
from kmodel.vm.cause import Cause
from kmodel.vm.direct import direct_address, direct_page
from kmodel.vm.kmap import KERNBASE, KernelMap
from kmodel.vm.kmpages import KmPages
from kmodel.vm.kmstock import KmStock
from kmodel.vm.pagecache import PageCache
from kmodel.vm.physmem import PhysMem
from kmodel.vm.pool import Pool
from kmodel.vm.poolpage import IdlePages, Returnable


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
    clock: Final[Clock | None]
    hiwat: Final[int]
    nowait: Final[NonBlock | None]
    backing: Final[Table[tuple[int, ...] | None]]  # a range's pages; whoever owns the range
    pmap: Final[Entering | None]  # the kernel's, if it is modelled; set at boot

    def __init__(self, p: KernelParams, physmem: PhysMem) -> None:
        self.physmem, self.kernel_map, self.pmap = physmem, KernelMap(p), None
        self.backing = Table([None] * self.kernel_map.npages)
        self.kmpages = KmStock(p, self.kernel_map) if p.own_singles else KmPages(p.km_pages)
        self.cache = PageCache(p, physmem)
        self.has_direct_map = p.pool_memory == "direct"
        self.clock, self.hiwat = Clock() if p.pool_recycle else None, p.pool_hiwat
        self.nowait = NonBlock("PR_NOWAIT") if p.watch_nowait else None
        size = PAGE_SIZE // STOCK_ITEMS
        self.entries = Pool("vmmpekpl", self.single(STOCK_ITEMS), IPL_VM, size, nowait=self.nowait)

    def single(self, items: int, *, cached: bool = False) -> SinglePages:
        """An allocator of single pages, ``items`` to a page; ``cached`` ones come through the
        CPU's page cache."""
        source = self.cache if cached else self.physmem
        kmpages = None if self.has_direct_map else self.kmpages
        return SinglePages(self.physmem, kmpages, items, source)

    def idle(self, pages: Returnable, items: int, size: int) -> IdlePages | None:
        """For a pool with so many ``items`` to a page of ``size``, if pools give pages back."""
        return IdlePages(pages, self.clock, items, size, self.hiwat) if self.clock else None

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
        await self._unmap(va, len(pages))
        await (source or self.physmem).freepages(pages)

    @procedure
    async def _unmap(self, va: int, npages: int) -> None:
        entry = await self.kernel_map.uvm_unmap(va, npages)
        await self.entries.put(entry)


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
        self.kmpages.enter(va, pages[0])
        return self.carve(va)

    @procedure
    async def free(self, page: int) -> None:
        """km_free with kv_page: the page at that address. It takes no lock that sleeps."""
        if self.kmpages is None:
            await self.physmem.freepages((direct_page(page),))
        else:
            assert isinstance(self.kmpages, KmStock)
            await self.kmpages.put(page, self.physmem)

    def carve(self, va: int) -> tuple[int, ...]:
        """The addresses of the items on the page at ``va``."""
        return tuple(va + n * (PAGE_SIZE // self.items) for n in range(self.items))

    def boot(self) -> tuple[int, ...] | None:
        """A page's items, with nobody to wait for; ``None`` if there is no room."""
        if not self.physmem.free or (self.kmpages is not None and not self.kmpages.free):
            return None
        (page,) = self.physmem.take(1)
        if self.kmpages is None:
            return self.carve(direct_address(page))
        va = self.kmpages.take()
        self.kmpages.enter(va, page)
        return self.carve(va)


@shared
class VpPages:
    """pmap_vp_page_alloc: two pages at one kernel_map address, one item; its header
    is off the page, from ``phpool``, asked for last (sys/arch/arm64/arm64/pmap.c).

    Without ``headers`` it serves a pool that keeps no pages, and so needs none. ``header``
    is that of each item's page, where pages are given back.
    """

    km: Final[KernelMemory]
    headers: Final[Pool | None]
    source: Final[PhysMem | PageCache]
    addresses: Final[range]  # where an item can lie
    header: Final[Table[int]]  # whoever owns the item

    def __init__(
        self,
        km: KernelMemory,
        headers: Pool | None,
        source: PhysMem | PageCache | None = None,
        *,
        returns: bool = False,
    ) -> None:
        self.km, self.headers, self.source = km, headers, source or km.physmem
        size = 2 * PAGE_SIZE
        self.addresses = range(KERNBASE, KERNBASE + km.kernel_map.npages // 2 * size, size)
        self.header = Table([0] * (len(self.addresses) if returns else 0))

    @procedure
    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause:
        va = await self.km.km_alloc(2, waitok, self.source)
        if isinstance(va, Cause):
            return va
        if self.headers is not None:
            header = await self.headers.get(waitok)
            if header is None:
                await self.km.km_free(va, self.source)
                return Cause.HEADER
            self._note(va, header)
        return (va,)

    def _note(self, item: int, header: int) -> None:
        if len(self.header):
            self.header[self.addresses.index(item)] = header

    @procedure
    async def free(self, item: int) -> None:
        """An item's page is given back, and its header. Write-locks kernel_map: may sleep."""
        header = self.header[self.addresses.index(item)] if self.headers is not None else 0
        await self.km.km_free(item, self.source)
        if self.headers is not None:
            await self.headers.put(header)

    def boot(self) -> int | None:
        """An item, with nobody to wait for; ``None`` if there is no room."""
        kmap, mem = self.km.kernel_map, self.km.physmem
        first = kmap.find(2)
        short = self.headers is not None and not self.headers.free
        if first is None or mem.nfree() < 2 or not self.km.entries.free or short:
            return None
        kmap.insert(first, 2, self.km.entries.boot_take())
        pages = self.km.backing[first] = mem.take(2)
        if self.km.pmap is not None:
            for n, page in enumerate(pages):
                self.km.pmap.boot(KERNBASE + (first + n) * PAGE_SIZE, page)
        if self.headers is not None:
            self._note(KERNBASE + first * PAGE_SIZE, self.headers.boot_take())
        return KERNBASE + first * PAGE_SIZE

    @procedure
    def room(self) -> bool:
        """Is there an address for an item? For checks."""
        return self.km.kernel_map.room(2)

    def held(self) -> int:
        """Physical pages behind all items."""
        return sum(len(pages) for pages in self.km.backing if pages)
