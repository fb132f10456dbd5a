"""The direct map: every physical page has a kernel address from boot.

Source: sys/uvm/uvm_km.c 1.157 (km_alloc under __HAVE_PMAP_DIRECT), sys/uvm/uvm_pmemrange.c
1.77 (uvm_pmr_getpages). arm64 has none; amd64 has. Left out: alignment choices (a pair
begins at an even page).
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark
from kmodel.param import PAGE_SIZE, KernelParams
from kmodel.point import procedure
from kmodel.shared import shared
from kmodel.table import Table
from kmodel.vm.cause import Cause
from kmodel.vm.physmem import PhysMem
from kmodel.vm.pool import Pool

DIRECT_BASE: Final = 0xFFFF_FFC0_0000_0000
FROM_DIRECT: Final = "a table page came from the direct map"


def direct_address(page: int) -> int:
    """PMAP_DIRECT_MAP."""
    return DIRECT_BASE + page * PAGE_SIZE


def direct_page(va: int) -> int:
    """The page at an address of the direct map."""
    return (va - DIRECT_BASE) // PAGE_SIZE


@shared
class DirectPages:
    """The vp pool's pages where there is a direct map: an item of 8 KiB is two contiguous
    physical pages, and no address has to be found for it."""

    physmem: Final[PhysMem]
    headers: Final[Pool | None]
    addresses: Final[range]  # where an item can lie
    taken: Final[Table[bool]]  # cell n: the pair that begins at page 2n is an item's; its owner

    def __init__(self, p: KernelParams, physmem: PhysMem, headers: Pool | None) -> None:
        self.physmem, self.headers = physmem, headers
        self.taken = Table([False] * (p.npages // 2))
        size = 2 * PAGE_SIZE
        self.addresses = range(DIRECT_BASE, DIRECT_BASE + p.npages // 2 * size, size)

    @procedure
    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause:
        """uvm_pglistalloc for one segment of two pages, the reserve allowed, then the header."""
        pages = await self.physmem.getpages(2, waitok=waitok, usereserve=True, contiguous=True)
        if not pages:
            return Cause.PAGES if pages is None else Cause.CONTIG
        item = self._own(pages)
        mark(FROM_DIRECT)
        if self.headers is not None and await self.headers.get(waitok) is None:
            await self.free(item)
            return Cause.HEADER
        return (item,)

    @procedure
    def _own(self, pages: tuple[int, ...]) -> int:
        """A pair is an item's from now on."""
        self.taken[pages[0] // 2] = True
        return direct_address(pages[0])

    @procedure
    def room(self) -> bool:
        """Is a pair of pages free? For checks."""
        mem = self.physmem
        return bool(mem.side_by_side(2, [*range(mem.npages)]))

    @procedure
    async def free(self, item: int) -> None:
        """An item's pages go back to the free list."""
        first = (item - DIRECT_BASE) // PAGE_SIZE
        self.taken[first // 2] = False
        await self.physmem.freepages((first, first + 1))

    def boot(self) -> int | None:
        """An item, with nobody to wait for; ``None`` if there is no room."""
        if self.headers is not None and not self.headers.free:
            return None
        pages = self.physmem.take(2, contiguous=True)
        if not pages:
            return None
        if self.headers is not None:
            self.headers.boot_take()
        return self._own(pages)

    def held(self) -> int:
        """Physical pages behind all items."""
        return 2 * sum(self.taken)
