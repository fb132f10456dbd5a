"""What must hold of the kernel's allocators: each check, broken on purpose once, and found."""

from __future__ import annotations

from typing import Any

import pytest
from breaks import breaks
from facts import fact
from stories import judged
from worlds import boot, search

from kmodel.explore.graph import Limits, Search
from kmodel.explore.judgement import Judgement
from kmodel.explore.order import LockOrder
from kmodel.machine import Machine
from kmodel.point import procedure
from kmodel.properties import PROPERTIES
from kmodel.sync.rwlock import RwLock
from kmodel.vm.cause import Cause
from kmodel.vm.km import KernelMemory
from kmodel.vm.kmap import KernelMap
from kmodel.vm.pool import Pool
from kmodel.vm.poolcache import PoolCache

VA = 0x20_0000


def broken(m: Machine, name: str) -> set[str]:
    """What the search of every order finds against the property called ``name``."""
    m.must(name)
    found = search(m.finish()).violations
    return {wrong.message for wrong in found if wrong.property == name}


def hangs(m: Machine, name: str) -> set[str]:
    """The same for a property that is asked of states in which somebody can stay for ever."""
    m.must(name)
    world = m.finish()
    made = Search(world, Limits(states=200_000))
    while made.advance(1000):
        pass
    assert made.graph.complete
    judged = Judgement(made, "fault.restart", "no refault livelock")
    judged.judge(60, 1)
    return {one.message for one in judged.staying if one.property == name}


def fault_under_contention(**params: Any) -> Machine:
    """One fault while kernel_map is locked and unlocked twice."""
    m = boot("populate", **params)
    space = m.process()
    m.cpu("A", space.fault, VA)
    m.background("K", m.kernel_map.churn, 2)
    return m


# --- 2 ------------------------------------------------------------------------------------


def orders(m: Machine) -> list[str]:
    """The cycles in the order of locks that the search of every order finds."""
    graph = search(m.finish())
    names = [task.name for task in graph.world.tasks]
    return [found.message(names) for found in LockOrder(graph).inversions]


@breaks("lock order is acyclic")
@fact(
    "The order is map, amap, pm_mtx, the pool's mutex, fpageqlock; kernel_map is tried, or waited "
    "for with nothing held but pages",
    "uvm_fault.c 1.165, pmap.c 1.113, subr_pool.c 1.242",
)
@pytest.mark.parametrize("fix", ["wait", "lock-retry", "populate", "reserve", "daemon-refill"])
def test_all_locks_have_an_order(fix: str) -> None:
    """Planted: pages are freed with the pool's mutex wanted under the lock of the free list.
    Both sides are named, with the place in the code where each lock was wanted."""
    m = boot(fix)
    m.cpu("A", m.process().fault, VA)
    m.background("K", m.kernel_map.churn, 1)
    assert orders(m) == []
    m = boot(fix)
    pool, mem = m.kernel.pmap_pools.pted_pool, m.physmem

    async def backwards() -> None:
        await mem.fpageqlock.enter()
        await pool.pr_mtx.enter()
        await pool.pr_mtx.leave()
        await mem.fpageqlock.leave()

    async def forwards() -> None:
        await pool.pr_mtx.enter()
        await mem.freepages(())
        await pool.pr_mtx.leave()

    m.cpu("A", backwards)
    m.cpu("B", forwards)
    (cycle,) = orders(m)
    assert "A holds fpageqlock and wants pted.pr_mtx in" in cycle
    assert "backwards (test_allocation.py:" in cycle
    assert "B holds pted.pr_mtx and wants fpageqlock in PhysMem.freepages (physmem.py:" in cycle


# --- 3 ------------------------------------------------------------------------------------


NOWAIT = "NOWAIT never blocks"


def nowait_get(waitok: bool = False) -> Machine:
    m = boot(watch_nowait=True)
    pools = m.kernel.pmap_pools

    async def borrow() -> None:
        vp = await pools.get_vp(waitok)
        if vp is not None:
            await pools.put_vp(vp)

    m.cpu("A", borrow)
    m.background("K", m.kernel_map.churn, 1)
    return m


@breaks("NOWAIT never blocks")
@fact(
    "A NOWAIT get of a table page never waits for kernel_map: the lock is only tried",
    "uvm_km.c 1.157 km_alloc, uvm_map.c 1.346 vm_map_lock_try",
)
def test_nowait_never_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: kd_nowait in place of kd_trylock, which lets map locks sleep."""
    assert broken(nowait_get(), NOWAIT) == set()
    assert broken(nowait_get(waitok=True), NOWAIT) == set()
    real = KernelMap.uvm_map

    @procedure
    async def nowait(self, npages, entries, *, trylock):
        return await real(self, npages, entries, trylock=False)

    monkeypatch.setattr(KernelMap, "uvm_map", nowait)
    assert broken(nowait_get(), NOWAIT) == {
        "A asked with NOWAIT, and sleeps for the lock of kernel_map"
    }


# --- 8 ------------------------------------------------------------------------------------


@breaks("each item is in one place")
@fact(
    "nout counts what is in caches as out, and no item is in a cache and in the pool",
    "subr_pool.c 1.242 pool_put",
)
def test_each_item_is_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a put goes into the cache and into the pool."""

    def machine() -> Machine:
        m = boot(pool_cache=1)
        pool = m.kernel.pmap_pools.pted_pool

        async def borrow() -> None:
            item = await pool.get(True)
            assert item is not None
            await pool.put(item)

        m.cpu("A", borrow)
        m.cpu("B", borrow)
        return m

    name = "each item is in one place"
    assert broken(machine(), name) == set()
    real = PoolCache.put

    @procedure
    async def twice(self, item):
        await real(self, item)
        pool.give(item)
        pool.nout += 1

    m = machine()
    pool = m.kernel.pmap_pools.pted_pool
    monkeypatch.setattr(PoolCache, "put", twice)
    assert any("can be given out twice" in message for message in broken(m, name))


# --- 9 ------------------------------------------------------------------------------------


@breaks("each page is in one place")
def test_each_page_is_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: km_free gives the pages back and leaves them behind the range."""

    def machine() -> Machine:
        m = boot()
        km = m.kernel.km

        async def borrow() -> None:
            va = await km.km_alloc(2, True)
            assert not isinstance(va, Cause)
            await km.km_free(va)

        m.cpu("A", borrow)
        return m

    name = "each page is in one place"
    assert broken(machine(), name) == set()

    @procedure
    async def forgetful(self, va, source=None):
        pages = self.backing[(va & 0xFFFF_FFFF) >> 12]
        entry = await self.kernel_map.uvm_unmap(va, len(pages))
        await self.entries.put(entry)
        await self.physmem.freepages(pages)

    monkeypatch.setattr(KernelMemory, "km_free", forgetful)
    (message,) = broken(machine(), name)
    assert "is on the free list, and behind range" in message


@breaks("no leak")
def test_a_refused_allocation_that_keeps_its_pages_is_a_leak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other half of it: planted, the pages of a failed km_alloc go nowhere."""
    assert search(nowait_get().finish()).violations == []
    real = KernelMemory.km_alloc

    @procedure
    async def keeps(self, npages, waitok, source=None):
        va = await real(self, npages, waitok, source)
        if isinstance(va, Cause):
            await self.physmem.getpages(npages, waitok=False, usereserve=True)
        return va

    monkeypatch.setattr(KernelMemory, "km_alloc", keeps)
    found = search(nowait_get().finish()).violations
    assert {wrong.kind for wrong in found} == {"leak"}


# --- 15 -----------------------------------------------------------------------------------


COUNTED = "nfail counts each NULL"


def waiting_get() -> Machine:
    """B sleeps for an address of the map, which is full until A gives a page back."""
    m = boot(kva_pages=2, vp_stock=1)
    pools = m.kernel.pmap_pools

    async def hold() -> None:
        vp = await pools.get_vp(True)
        assert vp is not None
        await pools.put_vp(vp)

    m.cpu("A", hold)
    m.cpu("B", hold)
    return m


@breaks("nfail counts each NULL")
@fact(
    "pr_nfail rises iff a NOWAIT or LIMITFAIL get returns NULL from the pool proper",
    "subr_pool.c 1.242 pool_get",
)
def test_nfail_means_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a WAITOK get that has to wait is counted too."""
    assert broken(nowait_get(), COUNTED) == set()
    assert broken(waiting_get(), COUNTED) == set()
    real = Pool._wait

    async def counted(self, cause):
        self.fails.count(cause)
        return await real(self, cause)

    monkeypatch.setattr(Pool, "_wait", counted)
    assert broken(nowait_get(), COUNTED) == set()
    assert broken(waiting_get(), COUNTED) == {"vp pool: nfail is +1 off the NULLs that were given"}


# --- 17 -----------------------------------------------------------------------------------


@breaks("page daemon purity")
@fact(
    "The page daemon waits for no map, pool, owner or kernel address in its lap",
    "uvm_pdaemon.c 1.137 uvm_pageout",
)
def test_the_page_daemon_is_pure_unless_it_refills_with_waitok() -> None:
    """The switch is one of the fixes: a refill that may sleep waits for the map's lock."""

    def daemon(fix: str, **params: Any) -> Machine:
        m = boot(fix, **params)
        m.cpu("A", m.physmem.uvm_wait, "test")
        m.background("K", m.kernel_map.churn, 1)
        return m

    name = "page daemon purity"
    assert broken(daemon("wait"), name) == set()
    assert broken(daemon("daemon-refill", daemon_refill="trylock"), name) == set()
    waits = broken(daemon("daemon-refill", daemon_refill="waitok"), name)
    assert waits == {"the page daemon waits for the lock of kernel_map"}


@breaks("page daemon purity")
def test_a_daemon_that_waits_for_an_owner_of_pages_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: uvmpd_trylockowner sleeps for the lock."""

    def scan() -> Machine:
        m = boot(pageout=True, npages=19, swap_used=50)
        space = m.process()
        m.resident(space, VA)
        m.only_free(3)

        async def hold() -> None:
            lock = space.map.amap.am_lock
            await lock.enter(True)
            await lock.exit()

        m.cpu("A", m.physmem.uvm_wait, "test")
        m.background("H", hold)
        return m

    name = "page daemon purity"
    assert broken(scan(), name) == set()

    async def sleeps(self: RwLock, write: bool) -> bool:
        await self.enter(write)
        return True

    monkeypatch.setattr(RwLock, "enter_try", sleeps)
    assert broken(scan(), name) == {"the page daemon waits for p0 amap, the lock of a page's owner"}


# --- 20 -----------------------------------------------------------------------------------


WOKEN = "a waiter for memory is woken"


def restarts(**params: Any) -> Machine:
    """A fault waits for memory, of which there is plenty, each time it is refused the map."""
    m = boot("wait", vp_stock=0, **params)
    m.cpu("A", m.process().fault, VA)
    m.background("K", m.kernel_map.churn)
    return m


@breaks("a waiter for memory is woken")
@pytest.mark.parametrize(("lap", "lost"), [("wakes", True), ("silent", True), ("counts", False)])
def test_a_waiter_for_memory_is_woken_only_by_a_daemon_that_counts(lap: str, lost: bool) -> None:
    """No plant is needed: the lap of the real kernels loses a bell."""
    assert bool(hangs(restarts(lap=lap), WOKEN)) is lost


def test_a_waiter_is_not_the_daemons_while_that_waits_itself() -> None:
    """Then it is the daemon's own wait that is wrong (purity)."""
    m = holder_waits_for_memory("daemon-refill")
    m.must("no memory deadlock through kernel_map")
    assert hangs(m, WOKEN) == set()


# --- 21 -----------------------------------------------------------------------------------


SERVED = "a pool's waiter is served"


@breaks("a pool's waiter is served")
@fact(
    "While the queue of a pool's requests is served it looks empty, so that a put serves nobody",
    "subr_pool.c 1.242 pool_runqueue, pool_put",
)
def test_a_waiter_of_a_pool_can_be_left_with_an_item_free() -> None:
    """The kernel's own mistake, found: see the findings in the README."""
    assert hangs(waiting_get(), SERVED) != set()


def test_with_a_put_that_looks_under_the_lock_every_waiter_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Repaired: a put always asks whoever serves the queue to go round again."""

    async def always(self):
        await self.req_mtx.enter()
        await self._run_queue()
        await self.req_mtx.leave()

    monkeypatch.setattr(Pool, "_wakeup", always)
    assert hangs(waiting_get(), SERVED) == set()


@breaks("a pool's waiter is served")
def test_a_waiter_of_a_pool_can_be_left_where_an_item_could_be_made() -> None:
    """The kernel's own: the collector frees addresses, and wakes nobody who waits for them."""
    said = judged("idle_pages", "populate", None).cell((SERVED,))
    assert (said.kind, said.property) == ("deadlock", SERVED)


# --- 23 -----------------------------------------------------------------------------------


NO_DEADLOCK = "no memory deadlock through kernel_map"


def holder_waits_for_memory(fix: str, **params: Any) -> Machine:
    """H waits for memory with kernel_map locked, which nobody in the kernel does."""
    m = boot(fix, **params)

    async def hold() -> None:
        await m.kernel_map.vm_map_lock()
        await m.physmem.uvm_wait("test")
        await m.kernel_map.vm_map_unlock()

    m.cpu("H", hold)
    return m


@breaks("no memory deadlock through kernel_map")
def test_a_holder_of_the_map_and_the_daemon_can_wait_for_each_other() -> None:
    """Planted: somebody sleeps for memory under the map's lock, and a daemon that needs it."""
    assert broken(fault_under_contention(), NO_DEADLOCK) == set()
    assert broken(holder_waits_for_memory("wait"), NO_DEADLOCK) == set()
    assert broken(holder_waits_for_memory("daemon-refill"), NO_DEADLOCK) == {
        "H holds kernel_map and waits for memory; the page daemon for the map"
    }


# --- 24 -----------------------------------------------------------------------------------


STOCKED = "the one-page stock is refilled"


def dry(entries: int, **params: Any) -> Machine:
    """The stock has run dry, and A wants a single page."""
    m = boot(km_pages=5, km_lowat=1, entry_stock=entries, kva_pages=4, npages=40, **params)
    stock = m.kernel.km.kmpages
    while stock.free:
        stock.take()
    pool = m.kernel.anons.pool
    pool.free = ()

    async def borrow() -> None:
        item = await pool.get(True)
        assert item is not None

    m.cpu("A", borrow)
    return m


@breaks("the one-page stock is refilled")
@fact(
    "The stock's thread needs map entries, whose pages need addresses of the stock",
    "uvm_km.c 1.157 uvm_km_thread, uvm_map.c 1.346 uvm_mapent_alloc",
)
@pytest.mark.parametrize(("entries", "wrong"), [(4, False), (0, True)])
def test_a_dry_stock_is_refilled_while_there_are_map_entries(entries: int, wrong: bool) -> None:
    """With entries in their pool the thread always gets there; without, it waits for itself."""
    assert bool(hangs(dry(entries), STOCKED)) is wrong


def test_the_story_of_the_dry_stock_ends_well_unless_the_entries_are_gone_too() -> None:
    """In every order, the map kept busy; and what its docstring says of the other case."""
    good = judged("km_pages_thread", "wait", None).verdict()
    assert (good.verdict, good.counts["refaults"]) == ("holds", 1)
    gone = judged("km_pages_thread", "wait", None, entry_stock=4, vp_stock=3, km_pages=4)
    assert gone.verdict().kind == "deadlock"
    assert gone.cell((STOCKED,)).property == STOCKED


# --- 26, 28: numbers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fix", "refused", "laps"),
    [("wait", None, None), ("lock-retry", None, 0), ("populate", 1, 0), ("reserve", 0, 0)],
)
def test_how_often_a_try_is_refused_and_the_daemon_woken_for_nothing(
    fix: str, refused: int | None, laps: int | None
) -> None:
    """In the thread's situation, a fault on one CPU: no bound with ``wait``, and with
    ``populate`` one refusal and no lap."""
    counts = judged("contended_kernel_map", fix, None, cpus=1).longest
    assert (counts["refused_tries"], counts["daemon_laps"]) == (refused, laps)


def test_every_property_of_a_state_can_be_asked_for() -> None:
    """All of the table that something on this machine could break: nothing does, but what the
    kernel itself counts wrong."""
    m = fault_under_contention(watch_nowait=True, pool_recycle=True, npages=40, kva_pages=12)
    for name, one in PROPERTIES.items():
        if one.test is not None and not one.lacks(m.params):
            m.must(name)
    found = search(m.finish(), 400_000).violations
    assert {wrong.property for wrong in found if wrong.judged} == {"resident count exact"}
