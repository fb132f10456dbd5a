"""Page-wrapper: nothing between pmap_enter and the page allocator but the CPU's cache."""

import pytest
from facts import fact
from worlds import Steered, alone, boot, marks, search, stuck

VA, OTHER = 0x20_0000, 0x40_0000


def machine(memory, **params):
    m = boot("page-wrapper", pool_memory=memory, **params)
    space = m.process()
    m.cpu("A", space.fault, VA)
    m.background("K", m.kernel_map.churn)
    m.finish()
    return m, space


def held(memory, **params):
    """One pass of A's fault while K has the kernel map."""
    m, space = machine(memory, **params)
    steered = Steered(m.world)
    steered.go("pagedaemon")
    steered.until("K", "lock.release")
    steered.go("A")
    return m, space, steered


@fact(
    "A pool that is a thin wrapper over pages still needs an address: the failure stays",
    "the thread",
)
def test_without_a_direct_map_the_failure_is_unchanged():
    """The thread: the problem is the address. Pages are had, the map's lock is refused, and
    the fault waits for memory of which there is plenty."""
    m, _, steered = held("kernel_map")
    assert steered.about_to("A") == "chan.woken"
    assert [f["why"] for _, event, f in steered.events if event == "pool.fail"] == [
        "map lock refused"
    ]
    assert m.physmem.nfree() > m.physmem.freetarg


def test_pages_that_are_given_back_to_the_cpus_cache_wake_nobody():
    """Unlike the free list, a page cache rings no bell: another waiter sleeps on."""
    _, _, steered = held("kernel_map")
    said = [event for task, event, _ in steered.events if task == "A"]
    assert "page.free" not in said
    assert "chan.wakeup" not in said[said.index("lock.try") : said.index("page.wait")]


def test_with_a_direct_map_it_succeeds():
    """No address is looked for, so nobody's lock matters."""
    _, _, steered = held("direct")
    assert steered.outcome is not None
    assert steered.outcome.kind == "done"


def test_with_a_direct_map_an_error_means_no_two_pages_together():
    """Not quite "only if OOM": an 8 KiB item needs a pair."""
    m, _ = machine("direct")
    m.physmem.free &= int("01" * 32, 2)  # half of memory, and nowhere two together
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "A")
        whys = [f["why"] for _, event, f in steered.events if event == "pool.fail"]
    assert whys[0] == "no two contiguous pages"
    assert m.physmem.nfree() > m.physmem.freetarg


@pytest.mark.parametrize("memory", ["kernel_map", "direct"])
def test_a_table_that_is_freed_is_pages_again(memory):
    """pmap_destroy leaves no item in the pool: all its pages are free or in the cache."""
    m = boot("page-wrapper", pool_memory=memory)
    before = m.physmem.nfree()
    space = m.process()

    async def live_and_die():
        await space.fault(VA)
        await space.pmap.pmap_destroy()

    alone(m.world, live_and_die)
    pool = m.kernel.pmap_pools.vp_pool
    assert (pool.free, pool.nout) == ((), 0)
    # but for the fault's own page, which the amap has
    assert m.physmem.nfree() + m.kernel.km.cache.held() == before - 1


@pytest.mark.parametrize(("memory", "refused"), [("kernel_map", True), ("direct", False)])
def test_in_every_order_only_the_lap_keeps_a_fault_waiting(memory, refused):
    """One fault, any order: stuck nowhere, leaks nothing."""
    m, _ = machine(memory)
    graph = search(m.world)
    assert stuck(graph) == []
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert ("a fault was restarted" in marks(graph)) is refused
