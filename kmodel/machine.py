"""The machine: boots the floors below in order, puts threads on CPUs, and knows what
must hold of any run.

Boot happens while the scenario is built, before any thread runs, so it takes
pages and addresses directly, without locks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kmodel.allocation import impure
from kmodel.fault import Kernel, Space
from kmodel.fixes import Fix
from kmodel.pagedaemon import PageDaemon
from kmodel.param import PAGE_SHIFT, STOCK_ITEMS, KernelParams, contradictions
from kmodel.pmap.checks import resident_drifts
from kmodel.pmap.kernel import KernelPmap
from kmodel.pmap.pools import PmapPools
from kmodel.pmap.pte import Pted, Vp
from kmodel.pmap.pv import PvLists
from kmodel.point import Task
from kmodel.properties import PURE, add_check
from kmodel.settings import UsageError
from kmodel.sync.parking import park
from kmodel.vm.amap import Anon, AnonPool
from kmodel.vm.km import KernelMemory, SinglePages
from kmodel.vm.kmap import KernelMap
from kmodel.vm.kmem import KmemPages
from kmodel.vm.kmstock import THREAD, KmStock
from kmodel.vm.physmem import DAEMON, PhysMem
from kmodel.vm.pool import Pool
from kmodel.vm.poolgc import PoolGc
from kmodel.vm.swap import Swap
from kmodel.vm.wrapper import WrapperPool
from kmodel.world import World


class Machine:
    """What a scenario gets: processes to make, CPUs to put threads on, things to ask for."""

    def __init__(self, params: KernelParams, fix: Fix, world: World | None = None) -> None:
        wrong = contradictions(params)
        if wrong:
            raise UsageError("Parameters that cannot be:\n  " + "\n  ".join(wrong))
        self.params, self.world = params, world or World()
        self._spaces: list[Space] = []
        self._others_on_swap = params.swap_used
        self._collector: PoolGc | None = None
        with self.world:
            self.physmem = PhysMem(params)
            self._km = KernelMemory(params, self.physmem)
            pools = PmapPools(params, self._km, self._km.single(STOCK_ITEMS))
            if params.kernel_pmap:
                self._enter_kernel(pools)
            anons = AnonPool(self._km.single(STOCK_ITEMS))
            swap = Swap(params)
            self.kernel = Kernel(params, self.physmem, swap, self._km, anons, pools, fix)
        self._boot()
        self._standing_checks()

    @property
    def kernel_map(self) -> KernelMap:
        return self._km.kernel_map

    def process(self, name: str | None = None, threads: int = 0) -> Space:
        """A process: one anonymous mapping over its whole address space, an empty pmap.
        ``threads`` of it will ``exit``, and the last of those frees it."""
        name = name or f"p{len(self._spaces)}"
        with self.world:
            space = Space(self.kernel, name, threads)
            space.pmap.top = self._boot_vp()
        self._spaces.append(space)
        self._check_space(space)
        return space

    def resident(self, space: Space, va: int, *, mapped: bool = False) -> None:
        """The process has touched ``va`` already: its page is there, on the queues, and
        ``mapped``, or no longer mapped (inactive)."""
        anon = self._boot_anon()
        if not self.physmem.nfree():
            raise UsageError("Parameters that cannot be: no page left at boot; raise npages")
        (page,) = self.physmem.take(1)
        space.map.amap.slots[va >> PAGE_SHIFT] = Anon(anon, page, queued=True)
        if mapped:
            self._boot_map(space, va, page)

    def on_swap(self, space: Space, va: int) -> None:
        """The process has touched ``va`` already, and its page is on swap alone. The slot is
        one of ``swap_used``."""
        self._others_on_swap -= 1
        if self._others_on_swap < 0:
            raise UsageError("Parameters that cannot be: nothing is on swap yet; raise swap_used")
        space.map.amap.slots[va >> PAGE_SHIFT] = Anon(self._boot_anon(), None)

    def know_mappings(self) -> None:
        """Pages know where they are mapped, as with ``pv_lists=true``. Before any process."""
        pools = self.kernel.pmap_pools
        if pools.pv is None:
            with self.world:
                pools.pv = PvLists(self.params.npages)  # type: ignore[misc]

    def must(self, *names: str) -> None:
        """Ask for properties of ``properties.PROPERTIES`` that are checks of states."""
        for name in names:
            add_check(name, self.world, self.kernel, tuple(self._spaces))

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
        """Called once the scenario is built: the page daemon gets its CPU, and where it
        pages out, the thread that ends its I/O too."""
        if self.params.fragmented:
            self.physmem.fragment()
        with self.world:
            daemon = PageDaemon(self.kernel, tuple(self._spaces))
        self._start_threads()
        self.world.task(DAEMON, daemon.uvm_pageout, obliged=False, daemon=True)
        if self.kernel.fix.daemon_step is not None:
            check = partial(impure, self.kernel, tuple(self._spaces))
            self.world.check(PURE, check, judged=False)
        if self.params.pageout:
            self.world.task("aiodoned", daemon.uvm_aiodone_daemon, obliged=False, daemon=True)
        if self.params.mutex == "park":
            park(self.world.objects)
        return self.world

    def _start_threads(self) -> None:
        """The kernel's own threads that this machine has."""
        km, pools = self._km, self.kernel.pmap_pools
        stock = km.kmpages
        if self.params.km_lowat and isinstance(stock, KmStock):
            asleep = stock.free >= stock.lowat
            start = stock.uvm_km_thread
            self.world.task(THREAD, start, km.entries, self.physmem, obliged=False, daemon=asleep)
        if km.clock is not None:
            both = (pools.pted_pool, pools.vp_pool)
            with self.world:
                self._collector = PoolGc(km.clock, tuple(one for one in both if one.idle))
            self.world.task("pool gc", self._collector.task, obliged=False, daemon=True)

    def time(self, name: str, seconds: int, at_once: int = 1) -> Task:
        """A task that lets so many seconds pass in all, ``at_once`` a step."""
        clock = self._km.clock
        if clock is None:
            raise UsageError("Parameters that cannot be: no time passes; set pool_recycle=true")
        return self.world.task(name, clock.passing, seconds, at_once)

    def _enter_kernel(self, pools: PmapPools) -> None:
        """The kernel's pmap, where all that must know it finds it."""
        pmap = KernelPmap(self.params, pools, self.physmem, self.kernel_map.npages)
        pools.kernel = self._km.pmap = self.kernel_map.pmap = pmap  # type: ignore[misc]

    def _boot(self) -> None:
        p, pools = self.params, self.kernel.pmap_pools
        self._prime(self._km.entries, p.entry_stock)
        self._prime(pools.headers, p.header_stock)
        self._prime(pools.pted_pool, p.pted_stock)
        self._prime(self.kernel.anons.pool, p.anon_stock)
        # a wrapper keeps no item, so it has no stock
        for _ in range(0 if isinstance(pools.vp_pool, WrapperPool) else p.vp_stock):
            vp = self._boot_vp()
            vp.live = False
            pools.vp_pool.prime((vp.address,))
            pools.vp_pool.nout -= 1
        for pool in (pools.pted_pool, pools.vp_pool):
            if pool.idle is not None:
                pool.idle.least = p.pool_lowat

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

    def _boot_anon(self) -> int:
        pool = self.kernel.anons.pool
        if not pool.free:
            raise UsageError("Parameters that cannot be: no anon left at boot; raise anon_stock")
        return pool.boot_take()

    def _boot_map(self, space: Space, va: int, page: int) -> None:
        """pmap_enter, with nobody to wait for."""
        pools, vp = self.kernel.pmap_pools, space.pmap.top
        assert vp is not None
        for level in range(4 - self.params.levels, 3):
            child = space.pmap.table(vp, va, level)
            if child is None:
                child = self._boot_vp()
                space.pmap.link(vp, va, level, child)
            vp = child
        if not (pools.inline or pools.pted_pool.free):
            raise UsageError(
                "Parameters that cannot be: no descriptor left at boot; raise pted_stock"
            )
        pted = vp.spare() if pools.inline else pools.pted(pools.pted_pool.boot_take())
        pted.live, pted.pte = True, (page, True)
        space.pmap.link(vp, va, 3, pted)
        space.pmap.resident_count += 1
        if pools.pv is not None:
            pools.pv.boot(page, space.pmap, va, pted)
        if space.pmap.mmu is not None:
            space.pmap.mmu.boot(va, page, True)

    def _standing_checks(self) -> None:
        self.world.check("no leak", self._leak, when="end", kind="leak")

    def _check_space(self, space: Space) -> None:
        self.world.check(
            f"resident_count of {space.name}", partial(resident_drifts, space.pmap), judged=False
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

        A background task is cut there. While one holds a lock it is in the middle of
        something, and nothing is said; one that holds an item without shows as a leak (but
        for the kernel's own threads).
        """
        if any(task.cpu.held for task in self.world.tasks if not task.obliged):
            return None
        if self._collector is not None and self._collector.at_work:
            return None
        if isinstance(self._km.kmpages, KmStock) and self._km.kmpages.at_work:
            return None
        vps = pteds = anons = resident = slots = 0
        for space in self._spaces:
            tables, descriptors = _count(space.pmap.top)
            vps, pteds = vps + tables, pteds + descriptors
            owned = [anon for _, anon in space.map.amap.slots.used]
            owned += space.map.amap.released
            anons += len(owned)
            resident += sum(anon.page is not None for anon in owned)
            slots += sum(anon.page is None or anon.busy for anon in owned)
        ranges = sum(1 for pages in self._km.backing if pages is not None)
        if isinstance(self._km.kmpages, KmStock):
            ranges += self._km.kmpages.with_entry()
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
        behind = pools.memory.held() + self._km.cache.held() + singles
        if isinstance(pools.memory, KmemPages) and pools.memory.map.entries is not None:
            behind += pools.memory.map.entries.pages
        if isinstance(self._km.kmpages, KmStock):
            behind += len(self._km.kmpages.queued)
        grown = pools.kernel.taken if pools.kernel is not None else 0
        used = self.physmem.others + behind + resident + grown
        if self.physmem.npages - self.physmem.nfree() != used:
            return (
                f"{self.physmem.npages - self.physmem.nfree()} pages are taken, and {used} are "
                "accounted for"
            )
        swap = self.kernel.swap
        taken = swap.npages - swap.free - self._others_on_swap
        if taken != slots:
            return f"{taken} slots of swap are taken, and {slots} pages are there"
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
