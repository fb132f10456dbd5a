"""The machine: boots the floors below in order, puts threads on CPUs, and knows what
must hold of any run.

Boot happens while the scenario is built, before any thread runs, so it takes
pages and addresses directly, without locks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kmodel.fault import Kernel, Space
from kmodel.fixes import Fix
from kmodel.pagedaemon import PageDaemon
from kmodel.param import KernelParams, contradictions
from kmodel.pmap.pools import PmapPools
from kmodel.pmap.pte import Pted, Vp
from kmodel.point import Task
from kmodel.settings import UsageError
from kmodel.vm.amap import AnonPool
from kmodel.vm.km import KernelMemory, SinglePages
from kmodel.vm.kmap import KernelMap
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
            pools = PmapPools(params, self._km, self._km.single(HEADER_ITEMS))
            anons = AnonPool(self._km.single(ANON_ITEMS))
            self.kernel = Kernel(params, self.physmem, self._km, anons, pools, fix)
            self._daemon = PageDaemon(params, self.physmem, self.kernel)
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
        self.world.sometimes.append(self.kernel.pmap_pools.window(sentence))

    def finish(self) -> World:
        """Called once the scenario is built: the page daemon gets its CPU."""
        start = self._daemon.uvm_pageout
        daemon = self.world.task("pagedaemon", start, obliged=False, daemon=True)
        if self.kernel.fix.daemon_step is not None:
            self.world.check("page daemon purity", partial(self._impure, daemon), judged=False)
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
            items = allocator.boot()
            if items is None:
                raise UsageError(
                    "Parameters that cannot be: "
                    f"{pool.name}: no page or address left at boot for {stock} items; "
                    "raise km_pages or npages"
                )
            pool.prime(items)

    def _boot_vp(self) -> Vp:
        """A table page, taken as pool_get would, with nobody to wait for."""
        vp = self.kernel.pmap_pools.boot_vp()
        if vp is None:
            raise UsageError(
                "Parameters that cannot be: no room at boot for a page-table page; raise "
                "kva_pages, npages, entry_stock or header_stock"
            )
        return vp

    def _standing_checks(self) -> None:
        self.world.check("no leak", self._leak, when="end", kind="leak")

    def _impure(self, daemon: Task) -> str | None:
        """Property: the page daemon never waits for memory, kernel_map, a pool, addresses."""
        km, pools = self._km, self.kernel.pmap_pools
        if daemon in self.physmem.uvmexp_free.sleepers:
            return "the page daemon waits for memory, which only it can free"
        if km.kernel_map.lock.asleep(daemon):
            return "the page daemon waits for the lock of kernel_map"
        for pool in (pools.vp_pool, pools.pted_pool, pools.headers, km.entries):
            if daemon in pool.waiters.sleepers:
                return f"the page daemon waits for an item of the {pool.name}"
        if daemon in km.kmpages.chan.sleepers:
            return "the page daemon waits for the stock of one-page addresses"
        return None

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
        headed = pools.memory.held() // 2 if pools.memory.headers is not None else 0
        for pool, want, what in (
            (pools.vp_pool, vps, "table pages linked"),
            (pools.pted_pool, 0 if pools.inline else pteds, "descriptors linked"),
            (self.kernel.anons.pool, anons, "anons in amaps"),
            (self._km.entries, ranges, "ranges in kernel_map"),
            (pools.headers, headed, "pool pages with a header"),
        ):
            out = pool.nout - (pool.cache.held() if pool.cache else 0)
            if out != want:
                return f"{pool.name}: {out} items are out, and there are {want} {what}"
        singles = sum(
            -(-(len(pool.free) + pool.nout) // pool.allocator.items)
            for pool in (pools.pted_pool, self.kernel.anons.pool, self._km.entries, pools.headers)
            if isinstance(pool.allocator, SinglePages)
        )
        used = pools.memory.held() + self._km.cache.held() + singles + anons
        if self.physmem.npages - self.physmem.nfree() != used:
            return (
                f"{self.physmem.npages - self.physmem.nfree()} pages are taken, and {used} are "
                "accounted for"
            )
        return None


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
