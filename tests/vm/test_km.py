"""km_alloc: pages first, then addresses; a failure keeps nothing."""

import pytest
from facts import fact
from worlds import Steered, alone, at_end, boot, edges, run, search, stuck

from kmodel.vm.cause import Cause


def kmem(**params):
    m = boot(**params)
    return m, m.kernel.km


async def alloc(km, waitok=False):
    got = await km.km_alloc(2, waitok)
    return got.name if isinstance(got, Cause) else "an address"


@fact(
    "km_alloc takes the physical pages first, then entry, lock and range",
    "uvm_km.c 1.157 km_alloc",
)
def test_the_pages_are_taken_before_the_addresses():
    """Physical pages first, then the entry, the map's lock and the range."""
    m, km = kmem()
    m.cpu("A", alloc, km)
    names = [getattr(edge.target, "name", "") for edge in edges(search(m.world))]
    assert names[1:] == ["fpageqlock", "vmmpekpl.pr_mtx", "kernel_map", "kernel_map"]


@pytest.mark.parametrize(
    ("params", "cause"),
    [
        ({"npages": 7}, "PAGES"),
        ({"kva_pages": 1}, "RANGE"),
        ({"entry_stock": 0, "km_pages": 4}, "ENTRY"),
    ],
)
def test_a_failure_gives_everything_back(params, cause):
    """Whatever is missing, afterwards all pages and entries are where they were."""
    m, km = kmem(**params)
    before = (m.physmem.nfree(), km.entries.nout, m.kernel_map.used)
    assert alone(m.world, alloc, km) == cause
    assert (m.physmem.nfree(), km.entries.nout, m.kernel_map.used) == before


@fact(
    "Refused by the map, km_alloc gives its pages back and returns NULL",
    "uvm_km.c 1.157 km_alloc",
)
def test_a_refused_lock_gives_the_pages_back():
    """The case of the thread: two pages are had, the map is not, and both go back."""
    m, km = kmem()
    before = m.physmem.nfree()
    m.cpu("A", alloc, km)
    m.background("K", m.kernel_map.churn)
    with Steered(m.world) as steered:
        steered.until("K", "lock.release")
        steered.go("A")
        said = [event for task, event, _ in steered.events if task == "A"]
    assert said.index("page.alloc") < said.index("lock.try") < said.index("page.free")
    assert m.physmem.nfree() == before


@fact(
    "With WAITOK km_alloc sleeps for the map lock with its pages taken",
    "uvm_km.c 1.157 km_alloc",
)
def test_waitok_sleeps_for_the_lock_with_the_pages_taken():
    """The physical pages are held while the map is waited for."""
    m, km = kmem()
    before = m.physmem.nfree()
    m.cpu("A", alloc, km, True)
    m.background("K", m.kernel_map.churn)
    with Steered(m.world) as steered:
        steered.until("K", "lock.release")
        steered.go("A")
        assert steered.about_to("A") == "lock.contended"
        assert m.physmem.nfree() == before - 2


@fact(
    "kv_any does not wait for addresses: WAITOK returns NULL on a full map",
    "uvm_km.c 1.157 km_alloc",
)
def test_waitok_does_not_help_without_addresses():
    """km_alloc returns NULL on a full map also if it may sleep."""
    m, km = kmem(kva_pages=1)
    assert alone(m.world, alloc, km, True) == "RANGE"


def test_what_was_allocated_can_be_freed():
    """km_free gives pages, range and entry back, in every order with an allocation."""
    m, km = kmem()

    async def borrow():
        va = await km.km_alloc(2, True)
        await km.km_free(va)

    m.cpu("A", borrow)
    m.cpu("B", borrow)
    before = m.physmem.nfree()
    graph = search(m.world)
    assert stuck(graph) == []
    assert graph.violations == []
    ends = at_end(graph, lambda: (m.physmem.nfree(), km.entries.nout, m.kernel_map.used))
    assert ends == {(before, 0, 0)}


# --- one-page addresses -------------------------------------------------------------------


@fact(
    "kv_page takes an address from the stock of single pages, not from kernel_map",
    "uvm_km.c 1.157 uvm_km_pages",
)
def test_a_single_page_needs_no_map():
    """kv_page takes a page and an address from the stock; kernel_map is not touched."""
    m, _ = kmem()
    single = m.kernel.anons.pool.allocator
    m.cpu("A", single.alloc, False)
    names = [getattr(edge.target, "name", "") for edge in edges(search(m.world))]
    assert names[1:] == ["fpageqlock", "uvm_km_pages.mtx"]


@fact(
    "An empty stock of single pages fails NOWAIT and lets WAITOK sleep",
    "uvm_km.c 1.157",
)
@pytest.mark.parametrize("waitok", [False, True])
def test_an_empty_stock_fails_nowait_and_puts_waitok_to_sleep(waitok):
    """NOWAIT gives its page back; WAITOK keeps it and sleeps (no thread refills here)."""
    m, km = kmem(km_pages=5)
    assert km.kmpages.free == 0
    before = m.physmem.nfree()
    m.cpu("A", m.kernel.anons.pool.allocator.alloc, waitok)
    ended = run(m.world)
    assert ended.outcome.kind == ("left-out" if waitok else "done")
    assert m.physmem.nfree() == before - waitok
    if not waitok:
        assert ended.results["A"] is Cause.STOCK


def test_the_items_of_a_page_lie_apart():
    """A page is carved into items of equal size, each with an address of its own."""
    m, _ = kmem()
    items = m.kernel.anons.pool.allocator.carve(0x1000)
    assert items == (0x1000, 0x1400, 0x1800, 0x1C00)
