"""The machine: boots the floors below in order, puts threads on CPUs, and knows what
must hold of any run.

Boot happens while the scenario is built, before any thread runs, so it takes
pages and addresses directly, without locks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kmodel import vmspace
from kmodel.allocation import impure
from kmodel.boot import Boot, cannot_be
from kmodel.demands import add_check, asked_for, prepare
from kmodel.fault import Kernel, Space
from kmodel.fixes import Fix
from kmodel.leak import Belongings
from kmodel.pagedaemon import PageDaemon
from kmodel.param import PAGE_SHIFT, PAGE_SIZE, STOCK_ITEMS, KernelParams, contradictions
from kmodel.pmap.checks import resident_drifts
from kmodel.pmap.kernel import KernelPmap
from kmodel.pmap.pools import PmapPools
from kmodel.pmap.pv import PvLists
from kmodel.point import Task
from kmodel.properties import PURE
from kmodel.settings import UsageError
from kmodel.sync.parking import park
from kmodel.vm.amap import Amap
from kmodel.vm.anon import Anon, AnonPool, Anons
from kmodel.vm.km import KernelMemory
from kmodel.vm.kmap import KernelMap
from kmodel.vm.kmstock import THREAD, KmStock
from kmodel.vm.map import VM_MIN, MapEntry
from kmodel.vm.object import BACKINGS, ObjectPage, UvmObject
from kmodel.vm.physmem import DAEMON, PhysMem
from kmodel.vm.poolgc import PoolGc
from kmodel.vm.swap import Swap
from kmodel.world import World


class Machine:
    """What a scenario gets: processes to make, CPUs to put threads on, things to ask for."""

    def __init__(self, params: KernelParams, fix: Fix, world: World | None = None) -> None:
        wrong = contradictions(params)
        if wrong:
            raise UsageError("Parameters that cannot be:\n  " + "\n  ".join(wrong))
        self.params, self.world = params, world or World()
        self._threads: list[KmStock | PoolGc | PageDaemon] = []
        self._asked: list[tuple[str, int | None]] = []
        with self.world:
            self.physmem = PhysMem(params)
            self._km = KernelMemory(params, self.physmem)
            pools = PmapPools(params, self._km, self._km.single(STOCK_ITEMS))
            if params.kernel_pmap:
                self._enter_kernel(pools)
            anons = AnonPool(self._km.single(STOCK_ITEMS))
            swap = Swap(params)
            self.kernel = Kernel(params, self.physmem, swap, self._km, anons, pools, fix)
        self._given = Belongings(self.kernel, others_on_swap=params.swap_used)
        self._boot = Boot(self.kernel)
        self._boot.stocks()
        self.world.check("no leak", self._leak, when="end", kind="leak")

    @property
    def kernel_map(self) -> KernelMap:
        return self._km.kernel_map

    def process(self, name: str | None = None, threads: int = 0) -> Space:
        """A process: one anonymous mapping over its whole address space, an empty pmap.
        ``threads`` of it will ``exit``, and the last of those frees it."""
        name = name or f"p{len(self._given.spaces)}"
        with self.world:
            anons = self._anons(name)
            amap = self._amap(anons)
            amap.am_ref = 1
            entry = MapEntry(VM_MIN, top_of(self.params), anons, amap=amap)
        if self.params.amap_chunks:
            self._amap_pool()
        return self._space(name, entry, threads)

    def child(self, parent: Space, name: str | None = None, threads: int = 0) -> Space:
        """A process that ``parent`` has yet to fork; its threads wait for that with ``begin``.
        Made once all that ``parent`` maps is mapped."""
        self._amap_pool()
        name = name or f"p{len(self._given.spaces)}"
        first, *rest = [self._forked_entry(entry) for entry in parent.map.entries]
        space = self._space(name, first, threads)
        space.map.entries = (first, *rest)
        space.begun = False
        return space

    def forked(self, parent: Space, name: str | None = None, threads: int = 0) -> Space:
        """A process that ``parent`` has forked already: they share what the parent has
        touched, and either may only read it until it has a copy."""
        child = self.child(parent, name, threads)
        child.begun = True
        for old, new in zip(parent.map.entries, child.map.entries):
            if old.amap is not None:
                old.amap.am_ref += 1
                old.needs_copy = True
                for index, _ in old.amap.slots.used:
                    _, pted = parent.pmap.pmap_vp_lookup(index << PAGE_SHIFT)
                    if pted is not None and pted.pte is not None:
                        pted.pte = (pted.pte[0], False)
                        if parent.pmap.mmu is not None:
                            parent.pmap.mmu.boot(index << PAGE_SHIFT, *pted.pte)
            new.amap, new.needs_copy = old.amap, old.needs_copy
        return child

    def object(self, pages: int = 1, backing: str = "file", name: str | None = None) -> UvmObject:
        """A memory object of so many pages, none of them resident: a ``file``, memory that is
        ``zero`` at first, a ``broken`` file, or one that is ``late``."""
        if pages < 1 or backing not in BACKINGS:
            raise UsageError(
                f"an object of {pages} pages of {backing!r}: it needs one page at least, of "
                f"one of {', '.join(BACKINGS)}."
            )
        p, cache, name = self.params, self._km.cache, name or f"obj{len(self._given.objects)}"
        with self.world:
            made = UvmObject(name, pages, backing, p.rwlock, cache, self.kernel.contents)
        self._given.objects.append(made)
        return made

    def cached(self, uobj: UvmObject, index: int, *mapped: Space) -> None:
        """A page of the object is resident already, and ``mapped`` by those processes."""
        if not 0 <= index < uobj.npages:
            raise UsageError(f"{uobj.name} has pages 0 to {uobj.npages - 1}, and no page {index}.")
        page = self._boot.page()
        for space in mapped:
            (entry,) = [one for one in space.map.entries if one.uobj is uobj]
            self._boot.map(space, entry.start + (index << PAGE_SHIFT), page)
        uobj.memq[index] = ObjectPage(page)
        if uobj.backing == "file":
            self.kernel.contents.store(page, index)

    def map_object(
        self, space: Space, va: int, uobj: UvmObject, *, private: bool = False, write: bool = True
    ) -> None:
        """The process maps all of the object at ``va``: shared, or ``private``: then a page
        that it writes to is copied first."""
        end = va + (uobj.npages << PAGE_SHIFT)
        if va % PAGE_SIZE or not VM_MIN <= va < end <= space.map.end:
            raise UsageError(
                f"{uobj.name} cannot be mapped at {va:#x}: that must be a multiple of {PAGE_SIZE}, "
                f"and all of it must lie in [{VM_MIN:#x}, {space.map.end:#x})."
            )
        if private:
            self._amap_pool()
        with self.world:
            anons = self._anons(f"{space.name} {uobj.name}") if private else space.map.amap.anons
            spares = (self._amap(anons),) if private else ()
            entry = MapEntry(
                va,
                end,
                anons,
                uobj=uobj,
                cow=private,
                writable=write,
                spares=spares,
            )
        entry.needs_copy = private
        space.map.entries = (*space.map.entries, entry)

    def only_free(self, pages: int) -> None:
        """Of the free pages all but so many are somebody else's, for good."""
        rest = self.physmem.nfree() - pages
        if rest < 0:
            cannot_be(f"fewer than {pages} pages left; raise npages")
        self.physmem.others += len(self.physmem.take(rest))

    async def cut_short(self, uobj: UvmObject, index: int) -> None:
        """A thread takes a page away from an object (truncation): it is unmapped everywhere, and
        freed, unless somebody has it in hand; then by whoever that is."""
        await vmspace.cut_short(self.kernel, uobj, index, tuple(self._given.spaces))

    def watch_contents(self) -> None:
        """Remember what threads ``store``, so that it can be asked for again."""
        self.kernel.contents.watched = True

    def resident(self, space: Space, va: int, *, mapped: bool = False) -> None:
        """The process has touched ``va`` already: its page is there, on the queues, and
        ``mapped``, or no longer mapped (inactive)."""
        anon = self._boot.anon()
        page = self._boot.page()
        space.map.amap.install(va >> PAGE_SHIFT, Anon(anon, page, queued=True))
        if mapped:
            self._boot.map(space, va, page)

    def on_swap(self, space: Space, va: int) -> None:
        """The process has touched ``va`` already, and its page is on swap alone. The slot is
        one of ``swap_used``."""
        self._given.others_on_swap -= 1
        if self._given.others_on_swap < 0:
            cannot_be("nothing is on swap yet; raise swap_used")
        space.map.amap.install(va >> PAGE_SHIFT, Anon(self._boot.anon(), None))

    def know_mappings(self) -> None:
        """Pages know where they are mapped, as with ``pv_lists=true``. Before any process."""
        pools = self.kernel.pmap_pools
        if pools.pv is None:
            with self.world:
                pools.pv = PvLists(self.params.npages)  # type: ignore[misc]

    def must(self, *names: str, most: int | None = None) -> None:
        """Ask for properties of ``properties.PROPERTIES`` that are checks of states; ``most``: a
        bound other than a property's own."""
        for name in names:
            add_check(name, self.world, self.kernel, self._given.spaces, most)
            self._asked.append((name, most))

    def cpu(self, name: str, start: Any, *args: Any) -> Task:
        """Put a thread that must end on a CPU of its own."""
        return self.world.task(name, start, *args)

    def background(self, name: str, start: Any, *args: Any) -> Task:
        """Put a thread that may run for ever on a CPU of its own."""
        return self.world.task(name, start, *args, obliged=False)

    def always(self, name: str, test: Callable[[], str | None]) -> None:
        """``test`` returns what is wrong with the present state, or ``None``; or it asserts."""
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
        for name, most in asked_for(self.params):
            self.must(name, most=most)
        for name, most in self._asked:
            prepare(name, self.kernel, self._given.spaces, most)
        with self.world:
            daemon = PageDaemon(self.kernel, tuple(self._given.owners), tuple(self._given.spaces))
        self._threads.append(daemon)
        self._start_threads()
        self.world.task(DAEMON, daemon.uvm_pageout, obliged=False, daemon=True)
        if self.kernel.fix.daemon_step is not None:
            check = partial(impure, self.kernel, tuple(self._given.spaces))
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
            self._threads.append(stock)
            asleep = stock.free >= stock.lowat
            start = stock.uvm_km_thread
            self.world.task(THREAD, start, km.entries, self.physmem, obliged=False, daemon=asleep)
        if km.clock is not None:
            both = (pools.pted_pool, pools.vp_pool)
            with self.world:
                collector = PoolGc(km.clock, tuple(one for one in both if one.idle))
            self._threads.append(collector)
            self.world.task("pool gc", collector.task, obliged=False, daemon=True)

    def time(self, name: str, seconds: int, at_once: int = 1) -> Task:
        """A task that lets so many seconds pass in all, ``at_once`` a step."""
        clock = self._km.clock
        if clock is None:
            cannot_be("no time passes; set pool_recycle=true")
        return self.world.task(name, clock.passing, seconds, at_once)

    def _enter_kernel(self, pools: PmapPools) -> None:
        """The kernel's pmap, where all that must know it finds it."""
        pmap = KernelPmap(self.params, pools, self.physmem, self.kernel_map.npages)
        pools.kernel = self._km.pmap = self.kernel_map.pmap = pmap  # type: ignore[misc]

    def _space(self, name: str, first: MapEntry, threads: int) -> Space:
        with self.world:
            space = Space(self.kernel, name, first, threads)
            space.pmap.top = self._boot.vp()
        self._given.spaces.append(space)
        self._check_space(space)
        return space

    def _anons(self, name: str) -> Anons:
        made = Anons(name, self.params.rwlock)
        self._given.owners.append(made)
        return made

    def _amap(self, anons: Anons) -> Amap:
        made = Amap(anons, chunked=self.params.amap_chunks)
        self._given.amaps.append(made)
        return made

    def _forked_entry(self, old: MapEntry) -> MapEntry:
        """The child's, and an amap to be for either of them."""
        with self.world:
            spare = self._amap(old.anons)
            new = MapEntry(
                old.start,
                old.end,
                old.anons,
                uobj=old.uobj,
                cow=old.cow,
                writable=old.allows(True),
                spares=(spare,),
            )
            old.spares = (*old.spares, self._amap(old.anons))
        return new

    def _amap_pool(self) -> None:
        """This story has amaps or chunks to be allocated."""
        if self.kernel.amaps is None:
            with self.world:
                self.kernel.amaps = self._boot.amap_pools()

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
        """A leak, at the end. A background task is cut there. While one holds a lock it is in the
        middle of something, and nothing is said; one that holds an item without shows as a leak
        (but for the kernel's own threads, which tell when they are ``at_work``)."""
        if any(task.cpu.held for task in self.world.tasks if not task.obliged):
            return None
        if any(thread.at_work for thread in self._threads):
            return None
        return self._given.leak()


def top_of(p: KernelParams) -> int:
    """Where a process's addresses end."""
    return 1 << (PAGE_SHIFT + 9 * p.levels)
