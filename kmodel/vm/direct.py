"""The direct map: every physical page has a kernel address from boot.

Source: sys/uvm/uvm_km.c 1.157 (km_alloc under __HAVE_PMAP_DIRECT), sys/uvm/uvm_pmemrange.c
1.77 (uvm_pmr_getpages). arm64 has none; amd64 has. Left out: the queue of requests with
constraints (who waits for two contiguous pages waits as for any page), alignment choices
(a pair begins at an even page).
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark, say
from kmodel.param import PAGE_SIZE, KernelParams
from kmodel.point import RUN, procedure
from kmodel.shared import shared
from kmodel.vm.physmem import PhysMem
from kmodel.vm.pool import Cause, Pool

DIRECT_BASE: Final = 0xFFFF_FFC0_0000_0000
FROM_DIRECT: Final = "a table page came from the direct map"


def direct_address(page: int) -> int:
    """PMAP_DIRECT_MAP."""
    return DIRECT_BASE + page * PAGE_SIZE


@shared
class DirectPages:
    """The vp pool's pages where there is a direct map: an item of 8 KiB is two contiguous
    physical pages, and no address has to be found for it."""

    physmem: Final[PhysMem]
    headers: Final[Pool | None]
    addresses: Final[range]  # where an item can lie
    taken: int  # fpageqlock; bit n: the pair that begins at page 2n is an item's

    def __init__(self, p: KernelParams, physmem: PhysMem, headers: Pool | None) -> None:
        self.physmem, self.headers, self.taken = physmem, headers, 0
        size = 2 * PAGE_SIZE
        self.addresses = range(DIRECT_BASE, DIRECT_BASE + p.npages // 2 * size, size)

    @procedure
    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause:
        first = await self._getpair(waitok)
        if isinstance(first, Cause):
            return first
        mark(FROM_DIRECT)
        if self.headers is not None and await self.headers.get(waitok) is None:
            await self.free(direct_address(first))
            return Cause.HEADER
        return (direct_address(first),)

    async def _getpair(self, waitok: bool) -> int | Cause:
        """uvm_pglistalloc for one segment of two pages, the reserve allowed: the rules of
        ``PhysMem.getpages``, then a search. None found: NOWAIT rings for the page daemon
        and fails, WAITOK sleeps and starts again."""
        mem = self.physmem
        while True:
            await mem.fpageqlock.enter()
            free = mem.nfree()
            if free < mem.freemin:
                await mem.pagedaemon.wakeup()
            cause, first = Cause.PAGES, None
            if free > mem.reserve_pagedaemon + 2:
                cause, first = Cause.CONTIG, self._take()
                if first is None and not waitok:
                    await mem.pagedaemon.wakeup()
            await mem.fpageqlock.leave()
            if first is not None:
                say("page.alloc", pages=f"{first} {first + 1}")
                return first
            if not waitok:
                say("page.fail", count=2, why=cause.value)
                return cause
            await mem.uvm_wait("uvm_wait_pla")

    @procedure
    def _take(self) -> int | None:
        """The first page of a free pair, off the free list. Held: fpageqlock (or boot).
        Each CPU looks from a place of its own (see ``PhysMem.take``)."""
        mem = self.physmem
        home = (RUN.task.index + 1) * 8 % mem.npages if RUN.task else 0
        pairs = sorted(range(0, mem.npages - 1, 2), key=lambda page: (page - home) % mem.npages)
        first = next((page for page in pairs if mem.free >> page & 3 == 3), None)
        if first is not None:
            mem.free &= ~(3 << first)
            self.taken |= 1 << first // 2
        return first

    @procedure
    async def free(self, item: int) -> None:
        """An item's pages go back to the free list."""
        first = (item - DIRECT_BASE) // PAGE_SIZE
        await self.physmem.fpageqlock.enter()
        self.taken &= ~(1 << first // 2)
        await self.physmem.fpageqlock.leave()
        await self.physmem.freepages((first, first + 1))

    def boot(self) -> int | None:
        """An item, with nobody to wait for; ``None`` if there is no room."""
        if self.headers is not None and not self.headers.free:
            return None
        first = self._take()
        if first is not None and self.headers is not None:
            self.headers.boot_take()
        return None if first is None else direct_address(first)

    def held(self) -> int:
        """Physical pages behind all items."""
        return 2 * self.taken.bit_count()
