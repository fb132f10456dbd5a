"""The machine: boots the floors below in order, puts threads on CPUs, and knows what
must hold of any run.

Boot happens while the scenario is built, before any thread runs, so it takes
pages and addresses directly, without locks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kmodel.fault import Kernel, Space
from kmodel.fixes import Fix
from kmodel.pagedaemon import PageDaemon
from kmodel.param import PAGE_SIZE, KernelParams, contradictions
from kmodel.pmap.pools import PmapPools
from kmodel.pmap.pte import Pted, Vp
from kmodel.point import Task
from kmodel.settings import UsageError
from kmodel.vm.amap import AnonPool
from kmodel.vm.km import KernelMemory, SinglePages
from kmodel.vm.kmap import KERNBASE, KernelMap
from kmodel.vm.physmem import PhysMem
from kmodel.vm.pool import Pool
from kmodel.world import World

ANON_ITEMS = HEADER_ITEMS = 4
"""Items on a page of those pools; many more on the real machine."""


class Machine:
    """What a scenario gets: processes to make, CPUs to put threads on, things to ask for."""

    def __init__(self, params: KernelParams, fix: Fix, world: World | None = None) -> None:
        wrong = contradictions(params)
        if wrong:
            raise UsageError("Parameters that cannot be:\n  " + "\n  ".join(wrong))
        self.params, self.world = params, world or World()
        self._spaces: list[Space] = []
        with self.world:
            self.physmem = PhysMem(params)
            self._km = KernelMemory(params, self.physmem)
            self._single = SinglePages(self.physmem, self._km.kmpages, HEADER_ITEMS)
            pools = PmapPools(params, self._km, self._single)
            anons = AnonPool(SinglePages(self.physmem, self._km.kmpages, ANON_ITEMS))
            self.kernel = Kernel(params, self.physmem, self._km, anons, pools, fix)
            self._daemon = PageDaemon(params, self.physmem)
        self._boot()
        self._standing_checks()

    @property
    def kernel_map(self) -> KernelMap:
        return self._km.kernel_map

    def process(self, name: str | None = None) -> Space:
        """A process: one anonymous mapping over its whole address space, an empty pmap."""
        name = name or f"p{len(self._spaces)}"
        with self.world:
            space = Space(self.kernel, name)
            space.pmap.top = self._boot_vp()
        self._spaces.append(space)
        self._check_space(space)
        return space

    def cpu(self, name: str, start: Any, *args: Any) -> Task:
        """Put a thread that must end on a CPU of its own."""
        return self.world.task(name, start, *args)

    def background(self, name: str, start: Any, *args: Any) -> Task:
        """Put a thread that may run for ever on a CPU of its own."""
        return self.world.task(name, start, *args, obliged=False)

    def always(self, name: str, test: Callable[[], str | None]) -> None:
        """``test`` returns what is wrong with the present state, or ``None``."""
        self.world.check(name, test)

    def finally_(self, name: str, test: Callable[[], str | None]) -> None:
        """The same, asked only when every obliged task is done."""
        self.world.check(name, test, when="end")

    def sometimes(self, sentence: str) -> None:
        """Some run must reach the place marked so, or the verdict is ``vacuous``."""
        self.world.sometimes.append(sentence)

    def finish(self) -> World:
        """Called once the scenario is built: the page daemon gets its CPU."""
        start = self._daemon.uvm_pageout
        self.world.task("pagedaemon", start, obliged=False, daemon=True)
        return self.world

    def _boot(self) -> None:
        p, pools = self.params, self.kernel.pmap_pools
        self._prime(self._km.entries, p.entry_stock)
        self._prime(pools.headers, p.header_stock)
        self._prime(pools.pted_pool, p.pted_stock)
        self._prime(self.kernel.anons.pool, p.anon_stock)
        for _ in range(p.vp_stock):
            vp = self._boot_vp()
            vp.live = False
            pools.vp_pool.prime((vp.address,))
            pools.vp_pool.nout -= 1

    def _prime(self, pool: Pool, stock: int) -> None:
        """Give ``pool`` whole pages until it has ``stock`` free items."""
        while len(pool.free) < stock:
            allocator = pool.allocator
            assert isinstance(allocator, SinglePages)
            if not self._km.kmpages.free or not self.physmem.free:
                raise UsageError(
                    "Parameters that cannot be: "
                    f"{pool.name}: no page or address left at boot for {stock} items; "
                    "raise km_pages or npages"
                )
            self.physmem.take(1)
            pool.prime(allocator.carve(self._km.kmpages.take()))

    def _boot_vp(self) -> Vp:
        """A table page, taken as pool_get would, with nobody to wait for."""
        pools, kmap = self.kernel.pmap_pools, self.kernel_map
        first = kmap.find(2)
        if (
            first is None
            or self.physmem.nfree() < 2
            or not self._km.entries.free
            or (not pools.headers.free)
        ):
            raise UsageError(
                "Parameters that cannot be: no room at boot for a page-table page; raise "
                "kva_pages, npages, entry_stock or header_stock"
            )
        kmap.used |= 3 << first
        kmap.entry[first] = _take(self._km.entries)
        self._km.backing[first] = self.physmem.take(2)
        _take(pools.headers)
        pools.vp_pool.nout += 1
        vp = pools.vp(KERNBASE + first * PAGE_SIZE)
        vp.live = True
        return vp

    def _standing_checks(self) -> None:
        self.world.check("no leak", self._leak, when="end", kind="leak")

    def _check_space(self, space: Space) -> None:
        pmap = space.pmap
        self.world.check(
            f"resident_count of {space.name}",
            lambda: (
                None
                if pmap.exact
                else (f"resident_count of {pmap.name} differs from its number of valid descriptors")
            ),
            judged=False,
        )
        self.world.check(
            f"kills in {space.name}",
            lambda: (
                f"{space.name} was killed for lack of memory while memory was plentiful"
                if space.killed_for_nothing
                else None
            ),
            kind="unjustified-kill",
        )

    def _leak(self) -> str | None:
        """What is neither free nor where it belongs, once every obliged task is done.

        A background task is cut there: one that holds an item just then shows as a leak.
        """
        vps = pteds = anons = 0
        for space in self._spaces:
            tables, descriptors = _count(space.pmap.top)
            vps, pteds = vps + tables, pteds + descriptors
            anons += len(space.map.amap.slots.used)
        ranges = sum(1 for pages in self._km.backing if pages is not None)
        pools = self.kernel.pmap_pools
        for pool, want, what in (
            (pools.vp_pool, vps, "table pages linked"),
            (pools.pted_pool, pteds, "descriptors linked"),
            (self.kernel.anons.pool, anons, "anons in amaps"),
            (self._km.entries, ranges, "ranges in kernel_map"),
            (pools.headers, ranges, "pool pages with a header"),
        ):
            if pool.nout != want:
                return f"{pool.name}: {pool.nout} items are out, and there are {want} {what}"
        pages = [page for backing in self._km.backing for page in backing or ()]
        used = len(pages) + self._km.kmpages.next + anons
        if self.physmem.npages - self.physmem.nfree() != used:
            return (
                f"{self.physmem.npages - self.physmem.nfree()} pages are taken, and {used} are "
                "accounted for"
            )
        return None


def _take(pool: Pool) -> int:
    pool.nout += 1
    return pool.take()


def _count(item: Vp | Pted | None) -> tuple[int, int]:
    """Tables and descriptors at and below ``item``."""
    if item is None:
        return 0, 0
    if isinstance(item, Pted):
        return 0, 1
    tables, descriptors = 1, 0
    for _, child in item.slots.used:
        below = _count(child)
        tables, descriptors = tables + below[0], descriptors + below[1]
    return tables, descriptors
