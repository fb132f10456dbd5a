"""Kernel memory: physical pages with kernel addresses.

Source: sys/uvm/uvm_km.c 1.157 (km_alloc, uvm_km_pages). Left out: the direct map
(arm64 has none), the thread that refills the stock of one-page addresses (so a
WAITOK get from an empty stock sleeps for ever), kv_wait modes, the slowdown hint.
"""

from __future__ import annotations

from typing import Final

from kmodel.event import say
from kmodel.param import PAGE_SIZE, KernelParams
from kmodel.point import procedure
from kmodel.shared import shared
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import IPL_VM, Mutex
from kmodel.table import Table
from kmodel.vm.kmap import KERNBASE, KernelMap
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


@shared
class KernelMemory:
    """km_alloc over kernel_map (``kv_any``) and over the one-page stock (``kv_page``)."""

    physmem: Final[PhysMem]
    kernel_map: Final[KernelMap]
    kmpages: Final[KmPages]
    entries: Final[Pool]
    backing: Final[Table[tuple[int, ...] | None]]  # a range's pages; whoever owns the range

    def __init__(self, p: KernelParams, physmem: PhysMem) -> None:
        self.physmem, self.kernel_map = physmem, KernelMap(p)
        self.backing = Table([None] * p.kva_pages)
        self.kmpages = KmPages(p.km_pages)
        self.entries = Pool(
            "vmmpekpl", SinglePages(physmem, self.kmpages, 4), IPL_VM, PAGE_SIZE // 4
        )

    @procedure
    async def km_alloc(self, npages: int, waitok: bool) -> int | Cause:
        """kv_any: physical pages first, then a range of kernel_map; a failure of the
        second gives the first back. ``waitok`` false is kd_trylock: the map's lock is
        only tried. With ``waitok`` it may sleep, and still return a failure."""
        pages = await self.physmem.getpages(npages, waitok=waitok, usereserve=True)
        if pages is None:
            return Cause.PAGES
        va = await self.kernel_map.uvm_map(npages, self.entries, trylock=not waitok)
        if isinstance(va, Cause):
            say("kva.fail", why=va.value)
            await self.physmem.freepages(pages)
        else:
            self.backing[page_number(va)] = pages
        return va

    @procedure
    async def km_free(self, va: int) -> None:
        """Give a range and its pages back. Write-locks kernel_map: may sleep."""
        pages = self.backing[page_number(va)]
        assert pages is not None
        self.backing[page_number(va)] = None
        entry = await self.kernel_map.uvm_unmap(va, len(pages))
        await self.entries.put(entry)
        await self.physmem.freepages(pages)


def page_number(va: int) -> int:
    return (va - KERNBASE) // PAGE_SIZE


@shared
class SinglePages:
    """The default page allocator: km_alloc with kv_page. ``items`` to a page."""

    physmem: Final[PhysMem]
    kmpages: Final[KmPages]
    items: Final[int]

    def __init__(self, physmem: PhysMem, kmpages: KmPages, items: int) -> None:
        self.physmem, self.kmpages, self.items = physmem, kmpages, items

    @procedure
    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause:
        pages = await self.physmem.getpages(1, waitok=waitok, usereserve=True)
        if pages is None:
            return Cause.PAGES
        va = await self.kmpages.get(waitok)
        if va is None:
            await self.physmem.freepages(pages)
            return Cause.STOCK
        return self.carve(va)

    def carve(self, va: int) -> tuple[int, ...]:
        """The addresses of the items on the page at ``va``."""
        return tuple(va + n * (PAGE_SIZE // self.items) for n in range(self.items))


@shared
class VpPages:
    """pmap_vp_page_alloc: two pages at one kernel_map address, one item; its header
    is off the page, from ``phpool``, asked for last (sys/arch/arm64/arm64/pmap.c)."""

    km: Final[KernelMemory]
    headers: Final[Pool]

    def __init__(self, km: KernelMemory, headers: Pool) -> None:
        self.km, self.headers = km, headers

    @procedure
    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause:
        va = await self.km.km_alloc(2, waitok)
        if isinstance(va, Cause):
            return va
        if await self.headers.get(waitok) is None:
            await self.km.km_free(va)
            return Cause.HEADER
        return (va,)
