"""kmem_map: the interrupt-safe kernel map, a small address space behind a mutex.

Source: sys/uvm/uvm_map.c 1.346 (vm_map_lock on a VM_MAP_INTRSAFE map), sys/uvm/uvm_km.c
1.157 (kv_intrsafe), uvm_mapent_alloc. On arm64 it has at most 128 MiB. Its map entries
come from a static list, as long as the map itself unless ``kmem_entries`` says otherwise.
Left out: everybody else who allocates from it.
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark, say
from kmodel.panic import Panic
from kmodel.param import PAGE_SIZE, KernelParams
from kmodel.point import procedure
from kmodel.shared import shared
from kmodel.sync.mutex import IPL_VM, Mutex
from kmodel.table import Table
from kmodel.vm.cause import Cause
from kmodel.vm.km import SinglePages
from kmodel.vm.kmap import first_fit
from kmodel.vm.physmem import PhysMem
from kmodel.vm.pool import Pool

KMEMBASE: Final = 0xFFFF_FF80_8000_0000
FROM_KMEM: Final = "a table page came from the interrupt-safe map"
KMEM_FULL: Final = "the interrupt-safe map had no address left"


@shared
class KmemEntries:
    """The static list of map entries of interrupt-safe maps: ``free`` of them are left.

    An empty one gets a page's worth from the one-page stock, with NOWAIT; if that fails the
    kernel panics, for nobody here may sleep.
    """

    single: Final[SinglePages]
    mtx: Final[Mutex]
    free: int  # mtx
    pages: int  # mtx; that it got

    def __init__(self, single: SinglePages, free: int) -> None:
        self.single, self.mtx = single, Mutex("uvm_kmapent_mtx")
        self.free, self.pages = free, 0

    @procedure
    async def take(self) -> None:
        """uvm_mapent_alloc for a map with VM_MAP_INTRSAFE."""
        await self.mtx.enter()
        if not self.free:
            page = await self.single.alloc(False)
            if isinstance(page, Cause):
                raise Panic(f"uvm_mapent_alloc: cannot allocate map entry ({page.value})")
            mark("the static list of map entries got a page")
            self.free, self.pages = len(page), self.pages + 1
        self.free -= 1
        await self.mtx.leave()

    @procedure
    async def give(self) -> None:
        """uvm_mapent_free: back on the list; its page never goes back."""
        await self.mtx.enter()
        self.free += 1
        await self.mtx.leave()


@shared
class KmemMap:
    """Bit ``n`` of ``used`` is the page at ``KMEMBASE + n * PAGE_SIZE``. Lock: ``mtx``."""

    npages: Final[int]
    entries: Final[KmemEntries | None]
    mtx: Final[Mutex]
    used: int  # mtx

    def __init__(self, p: KernelParams, single: SinglePages) -> None:
        self.npages, self.mtx, self.used = p.kmem_pages, Mutex("kmem_map", IPL_VM), 0
        self.entries = KmemEntries(single, p.kmem_entries) if p.kmem_entries else None

    @procedure
    async def uvm_map(self, npages: int) -> int | Cause:
        """Take a range, its entry first. Never sleeps: the lock is a mutex."""
        if self.entries is not None:
            await self.entries.take()
        await self.mtx.enter()
        first = self.take(npages)
        await self.mtx.leave()
        if first is None:
            if self.entries is not None:
                await self.entries.give()
            mark(KMEM_FULL)
            return Cause.RANGE
        say("kva.alloc", va=hex(KMEMBASE + first * PAGE_SIZE), n=npages)
        return KMEMBASE + first * PAGE_SIZE

    @procedure
    def take(self, npages: int) -> int | None:
        """Held: mtx (or boot)."""
        first = first_fit(self.used, self.npages, npages)
        if first is not None:
            self.used |= ((1 << npages) - 1) << first
        return first

    @procedure
    async def uvm_unmap(self, va: int, npages: int) -> None:
        await self.mtx.enter()
        self._give((va - KMEMBASE) // PAGE_SIZE, npages)
        await self.mtx.leave()
        if self.entries is not None:
            await self.entries.give()
        say("kva.free", va=hex(va), n=npages)

    @procedure
    def _give(self, first: int, npages: int) -> None:
        want = ((1 << npages) - 1) << first
        if self.used & want != want:
            raise Panic(f"uvm_unmap: page {first} of kmem_map is not mapped", "double-free")
        self.used &= ~want


@shared
class KmemPages:
    """The vp pool's pages from kmem_map: the shape of ``VpPages``, without its lock."""

    map: Final[KmemMap]
    physmem: Final[PhysMem]
    headers: Final[Pool]
    backing: Final[Table[tuple[int, ...] | None]]  # a range's pages; whoever owns the range
    addresses: Final[range]

    def __init__(
        self, p: KernelParams, physmem: PhysMem, headers: Pool, single: SinglePages
    ) -> None:
        self.map, self.physmem, self.headers = KmemMap(p, single), physmem, headers
        self.backing = Table([None] * p.kmem_pages)
        size = 2 * PAGE_SIZE
        self.addresses = range(KMEMBASE, KMEMBASE + p.kmem_pages // 2 * size, size)

    @procedure
    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause:
        """Two physical pages, then a range, then the header."""
        pages = await self.physmem.getpages(2, waitok=waitok, usereserve=True)
        if pages is None:
            return Cause.PAGES
        va = await self.map.uvm_map(2)
        if isinstance(va, Cause):
            say("kva.fail", why=va.value)
            await self.physmem.freepages(pages)
            return va
        self.backing[(va - KMEMBASE) // PAGE_SIZE] = pages
        mark(FROM_KMEM)
        if await self.headers.get(waitok) is None:
            await self._unmap(va)
            return Cause.HEADER
        return (va,)

    @procedure
    async def _unmap(self, va: int) -> None:
        page = (va - KMEMBASE) // PAGE_SIZE
        pages, self.backing[page] = self.backing[page], None
        assert pages is not None
        await self.map.uvm_unmap(va, len(pages))
        await self.physmem.freepages(pages)

    def boot(self) -> int | None:
        """An item, with nobody to wait for; ``None`` if there is no room."""
        if self.physmem.nfree() < 2 or not self.headers.free:
            return None
        entries = self.map.entries
        first = None if entries is not None and not entries.free else self.map.take(2)
        if first is None:
            return None
        if entries is not None:
            entries.free -= 1
        self.backing[first] = self.physmem.take(2)
        self.headers.boot_take()
        return KMEMBASE + first * PAGE_SIZE

    @procedure
    def room(self) -> bool:
        """Is there an address for an item? For checks."""
        return first_fit(self.map.used, self.map.npages, 2) is not None

    def held(self) -> int:
        """Physical pages behind all items."""
        return sum(len(pages) for pages in self.backing if pages)
