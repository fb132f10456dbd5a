"""Idle pages: when a pool gives them back, and what the collector does not do."""

import pytest
from facts import fact
from stories import judged
from worlds import Steered, alone, at_end, boot, everywhere, run, search, stuck

from kmodel.point import pause
from kmodel.shared import shared
from kmodel.sync.clock import Clock
from kmodel.sync.mutex import IPL_VM
from kmodel.vm.cause import Cause
from kmodel.vm.pool import Pool
from kmodel.vm.poolgc import gc_pages
from kmodel.vm.poolpage import IdlePages
from kmodel.world import World

SIZE, ITEMS = 64, 2
PAGE = SIZE * ITEMS


@shared
class Pages:
    """Pages of two items each, by number, which come and go."""

    out: tuple[int, ...]
    asked: tuple[bool, ...]  # with WAITOK?

    def __init__(self) -> None:
        self.out, self.asked = (), ()

    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause:
        self.asked = (*self.asked, waitok)
        await pause()
        number = next(n for n in range(8) if n not in self.out)
        self.out = (*self.out, number)
        return (number * PAGE, number * PAGE + SIZE)

    async def free(self, page: int) -> None:
        self.out = tuple(n for n in self.out if n != page // PAGE)


def recycling(most=0, cached=0, hardlimit=None):
    """A pool that keeps so many idle pages, and its clock."""
    with World() as world:
        pages, clock = Pages(), Clock()
        idle = IdlePages(pages, clock, ITEMS, PAGE, most)
        pool = Pool("toy", pages, IPL_VM, SIZE, 4, 2, hardlimit, cached, idle)
    return world, pool, clock


async def fill(pool, pages):
    """Take all items of so many pages and put them back; the time stands still."""
    items = [await pool.get(False) for _ in range(pages * ITEMS)]
    for item in items:
        await pool.put(item)


@fact(
    "pool_put gives one idle page back if there are more than pr_maxpages and the oldest has "
    "been idle for more than a second",
    "subr_pool.c 1.242 pool_put",
)
@pytest.mark.parametrize(("most", "seconds", "left"), [(1, 2, 2), (1, 1, 3), (3, 9, 3), (0, 2, 2)])
def test_put_gives_one_page_back_if_too_many_are_idle_for_long(most, seconds, left):
    """One at a time: the last put of a page is what looks."""
    world, pool, clock = recycling(most)

    async def story():
        await fill(pool, 3)
        await clock.tick(seconds)
        await pool.put(await pool.get(False))
        return len(pool.allocator.out)

    assert alone(world, story) == left
    assert len(pool.free) == left * ITEMS


@fact(
    "Each second the collector frees at most one page of a pool, idle for more than 8 s, and "
    "leaves minpages",
    "subr_pool.c 1.242 pool_gc_pages",
)
@pytest.mark.parametrize(("seconds", "least", "left"), [(9, 0, 2), (8, 0, 3), (9, 2, 2), (9, 3, 3)])
def test_the_collector_takes_one_stale_page_and_leaves_the_low_water(seconds, least, left):
    world, pool, clock = recycling(most=8)
    pool.idle.least = least

    async def story():
        await fill(pool, 3)
        await clock.tick(seconds)
        await gc_pages(pool)

    alone(world, story)
    assert len(pool.allocator.out) == left


def test_an_item_comes_from_a_page_in_use_before_an_idle_one():
    """Else no page would ever be idle for long."""
    world, pool, _ = recycling(most=8)

    async def story():
        items = [await pool.get(False) for _ in range(4)]
        await pool.put(items[0])  # half of the first page is free
        await pool.put(items[2])
        await pool.put(items[3])  # and all of the second
        return pool.idle.page(await pool.get(False)) == pool.idle.page(items[0])

    assert alone(world, story) is True


@fact(
    "pool_setlowat makes pages now with NOWAIT, and nobody makes them again once they are used",
    "subr_pool.c 1.242 pool_setlowat",
)
def test_low_water_is_filled_once_and_never_again():
    world, pool, _ = recycling(most=8)

    async def story():
        await pool.setlowat(4)
        filled = len(pool.free)
        for _ in range(4):
            await pool.get(False)
        return filled, len(pool.free), pool.idle.least, pool.allocator.asked

    assert alone(world, story) == (4, 0, 2, (False, False))


# --- per-CPU caches -----------------------------------------------------------------------


def cached_items(seconds):
    """Three lists of one item through the cache, so that one lies in the depot; time passes."""
    world, pool, clock = recycling(most=8, cached=1)

    async def story():
        items = [await pool.get(False) for _ in range(3)]
        for item in items:
            await pool.put(item)
        await clock.tick(seconds)
        await gc_pages(pool)

    alone(world, story)
    return pool


@fact(
    "pool_cache_gc hands one depot list that was idle for more than 8 s back to the pool",
    "subr_pool.c 1.242 pool_cache_gc",
)
@pytest.mark.parametrize(("seconds", "depot", "free"), [(9, 0, 2), (8, 1, 1)])
def test_an_old_list_of_the_depot_is_the_pools_again(seconds, depot, free):
    pool = cached_items(seconds)
    assert (len(pool.cache.depot), len(pool.free)) == (depot, free)
    assert pool.nout == 4 - free


@fact(
    "pool_cache_gc hands items back to the pool and does not call pool_wakeup",
    "subr_pool.c 1.242 pool_cache_gc",
)
def test_what_the_collector_brings_back_wakes_nobody():
    """Asleep for an item at the hard limit, with an item free in the pool: only the next put
    would see to it."""
    world, pool, clock = recycling(most=8, cached=1, hardlimit=4)
    items = []

    async def leave_in_the_cache():
        items.extend([await pool.get(False) for _ in range(4)])
        for item in items[:3]:
            await pool.put(item)
        await clock.tick(9)
        await gc_pages(pool)

    world.task("A", leave_in_the_cache)
    world.task("W", pool.get, True)
    with Steered(world) as steered:
        steered.until("A", "time.pass")
        steered.step("A")
        # W must miss: its CPU's lists are empty, and the depot is what it would find
        pool.cache.depot, held = (), pool.cache.depot
        pool.cache.since, since = (), pool.cache.since
        steered.go("W")
        assert steered.about_to("W") == "chan.woken"
        pool.cache.depot, pool.cache.since = held, since
        steered.go("A", "W")
        assert steered.about_to("W") == "chan.woken"
    assert len(pool.free) == 1


@fact(
    "pool_gc_pages frees a page without a look at the pool's requests",
    "subr_pool.c 1.242 pool_gc_pages",
)
def test_who_waits_is_not_looked_at_when_a_page_goes():
    """What could be made of the room that it leaves is nobody's affair."""
    world, pool, clock = recycling(most=8)

    async def idle():
        await fill(pool, 1)
        await clock.tick(9)
        await gc_pages(pool)

    world.task("A", idle)
    said = [event for _, event, _ in run(world).events]
    after = said[said.index("time.pass") :]
    assert "pool.page" in after
    assert "pool.requests" in said
    assert "pool.requests" not in after


# --- a machine ------------------------------------------------------------------------------


def machine(**params):
    return boot(pool_recycle=True, kva_pages=6, km_pages=6, npages=40, **params)


@fact(
    "Freeing an idle page of the vp pool write-locks kernel_map, and sleeps for it",
    "subr_pool.c 1.242 pool_put, uvm_km.c 1.157 km_free",
)
def test_a_table_page_that_goes_back_waits_for_the_map():
    """pool_put of a vp can sleep on the map's lock."""
    m = machine(pool_hiwat=0, vp_stock=2)
    pools = m.kernel.pmap_pools

    async def story():
        vp = await pools.get_vp(False)
        await pools.put_vp(vp)

    m.cpu("A", story)
    m.background("K", m.kernel_map.churn)
    m.time("T", 2, 2)
    with Steered(m.finish()) as steered:
        steered.go("pool gc", "pagedaemon", "T")
        steered.until("K", "lock.release")
        steered.go("A")
        assert steered.about_to("A") == "lock.contended"
        steered.step("K")
        steered.go("A")
        assert steered.about_to("A") == "ended"


def test_pages_come_and_go_and_nothing_is_lost():
    """In every order of a fault's items, the collector and nine seconds: no leak, no page
    twice, and each idle page can go."""
    m = machine(vp_stock=1, pted_stock=4)
    pools = m.kernel.pmap_pools

    async def borrow():
        pted = await pools.get_pted(True)
        await pools.put_pted(pted)

    m.cpu("A", borrow)
    m.time("T", 18, 9)
    graph = search(m.finish())
    assert graph.violations == []
    assert stuck(graph) == []
    ends = at_end(graph, lambda: (len(pools.pted_pool.free), len(pools.vp_pool.free)))
    assert (0, 0) in ends
    assert (4, 1) in ends
    assert everywhere(graph, lambda: m.physmem.nfree() <= m.physmem.npages) == {True}


def test_a_header_goes_back_with_its_page():
    """The page first, then its header to phpool."""
    m = machine(vp_stock=1)
    pools = m.kernel.pmap_pools
    before = pools.headers.nout

    async def story():
        await m.kernel.km.clock.tick(9)
        await gc_pages(pools.vp_pool)

    alone(m.world, story)
    assert (len(pools.vp_pool.free), pools.headers.nout) == (0, before - 1)
    assert m.kernel.km.entries.nout == 0


def test_a_fault_beside_the_collector_breaks_nothing_but_that_it_may_not_be_woken():
    """In every order nothing is used twice, lost or raced for; the one thing that goes wrong
    is the kernel's own: the collector frees what a fault waits for, and wakes nobody."""
    judge = judged("idle_pages", "populate", None)
    found = judge.found
    assert found.racing == []
    assert {one.property for one in found.violated} == {"resident_count of p0"}
    assert [one.kind for one in found.hanging] == ["deadlock"]
    assert judge.verdict().culprits[0] == "A"
