"""Per-CPU caches of free pages, between the page allocator and who wants one page.

Source: sys/uvm/uvm_pmemrange.c 1.77, sys/uvm/uvm_percpu.h (uvm_pmr_cache_get,
uvm_pmr_cache_put, uvm_pmr_cache_drain). Two magazines a CPU, of 8 pages there. Left out:
pages of constrained ranges, which bypass it. The page daemon drains the cache of the CPU
that it runs on only; here nobody else runs there, so there is nothing in it. What the
daemon's I/O frees bypasses it, since nobody else would run on that CPU, ever. Nor is it kept
in what order a CPU's pages were put (the kernel takes the last one first): here it takes the
one of the lowest number. No cached page is used by anybody, so they differ in name only; that
one is used all the same is a violation of its own ("each page is in one place").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kmodel.panic import Panic
from kmodel.param import MAX_CPUS, KernelParams
from kmodel.point import curtask, procedure
from kmodel.shared import shared
from kmodel.table import Table
from kmodel.vm.physmem import PhysMem

Magazines = tuple[tuple[int, ...], tuple[int, ...]]


@shared
class PageCache:
    """What PhysMem gives, a magazine at a time. Each CPU touches its own magazines only
    (active, previous), so no lock. With magazines of no size it is not there.

    Pages in a cache are not free: no counter of free memory, no other CPU and not the
    page daemon sees them. A page that is put here wakes nobody.
    """

    physmem: Final[PhysMem]
    size: Final[int]
    magazines: Final[Table[Magazines]]

    def __init__(self, p: KernelParams, physmem: PhysMem) -> None:
        self.physmem, self.size = physmem, p.page_cache
        self.magazines = Table([((), ())] * (MAX_CPUS if p.page_cache else 0))

    async def getpages(
        self, count: int, *, waitok: bool, usereserve: bool
    ) -> tuple[int, ...] | None:
        """``count`` pages one by one (no matter which), or ``None``."""
        if not self.size:
            return await self.physmem.getpages(count, waitok=waitok, usereserve=usereserve)
        return await self._several(count, waitok, usereserve)

    @procedure
    async def _several(self, count: int, waitok: bool, usereserve: bool) -> tuple[int, ...] | None:
        got: tuple[int, ...] = ()
        for _ in range(count):
            page = await self._get(waitok, usereserve)
            if page is None:
                await self.freepages(got)
                return None
            got = (*got, page)
        return got

    @procedure
    async def _get(self, waitok: bool, usereserve: bool) -> int | None:
        """uvm_pmr_cache_get: active magazine, else the previous one, else a refill; if there
        is none to be had, one page the ordinary way, which may sleep."""
        active, previous = self.magazines[_cpu()]
        if not active:
            active, previous = previous, active
        if not active:
            full = await self.physmem.getpages(self.size, waitok=False, usereserve=usereserve)
            if full is None:
                one = await self.physmem.getpages(1, waitok=waitok, usereserve=usereserve)
                return one[0] if one else None
            active = full
        page, *left = sorted((*active, *previous))
        self.magazines[_cpu()] = _in_order(left, len(active) - 1)
        return page

    @procedure
    async def freepages(self, pages: tuple[int, ...]) -> None:
        """uvm_pmr_cache_put, page by page; with both magazines full one is drained."""
        if not self.size:
            await self.physmem.freepages(pages)
            return
        for page in pages:
            active, previous = self.magazines[_cpu()]
            if len(active) == self.size:
                if len(previous) == self.size:
                    self.magazines[_cpu()] = active, ()  # no page is in two places
                    await self.physmem.freepages(previous)
                active, previous = (), active
            if page in active or page in previous:
                raise Panic(f"uvm_pmr_cache_put: page {page} is free already", "double-free")
            self.magazines[_cpu()] = _in_order((page, *active, *previous), len(active) + 1)

    @procedure
    async def drain(self) -> None:
        """uvm_pmr_cache_drain: what the running CPU has goes back. Other CPUs keep theirs,
        however short memory is."""
        if not self.size:
            return
        active, previous = self.magazines[_cpu()]
        if active or previous:
            self.magazines[_cpu()] = ((), ())
            await self.physmem.freepages((*active, *previous))

    def held(self) -> int:
        """Pages in all caches."""
        return sum(len(one) + len(other) for one, other in self.magazines)


def _in_order(pages: Iterable[int], active: int) -> Magazines:
    """So many ``pages`` in the active magazine and the rest in the previous one, by number:
    states that differ only in which page lies where are one."""
    both = tuple(sorted(pages))
    return both[:active], both[active:]


def _cpu() -> int:
    index = curtask().index
    if index >= MAX_CPUS:
        raise Panic(f"{curtask()}: there are page caches for {MAX_CPUS} CPUs only")
    return index
