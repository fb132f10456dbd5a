"""The interrupt-safe map: a mutex, and little room."""

import pytest
from facts import fact
from worlds import Cell, alone, at_end, boot, edges, run, search, stuck

from kmodel.panic import Panic
from kmodel.param import PAGE_SIZE
from kmodel.sync.channel import assert_may_sleep
from kmodel.vm.cause import Cause
from kmodel.vm.kmem import KMEMBASE


def kmem(**params):
    m = boot("intrsafe", **params)
    return m, m.kernel.pmap_pools.memory


def test_pages_are_taken_before_the_range_and_the_header_last():
    """As with kernel_map, but every lock on the way is a mutex."""
    m, memory = kmem()
    m.cpu("A", memory.alloc, False)
    found = [(edge.event, getattr(edge.target, "name", "")) for edge in edges(search(m.world))]
    assert found[1:] == [
        ("mutex.enter", "fpageqlock"),
        ("mutex.enter", "kmem_map"),
        ("mutex.enter", "phpool.pr_mtx"),
    ]


def test_a_full_map_gives_the_pages_back():
    """A range that cannot be had keeps nothing; also WAITOK fails at once."""
    m, memory = kmem(kmem_pages=1)
    before = m.physmem.nfree()
    for waitok in (False, True):
        fresh, memory = kmem(kmem_pages=1)
        assert alone(fresh.world, memory.alloc, waitok) is Cause.RANGE
        assert fresh.physmem.nfree() == before


@fact(
    "The lock of an interrupt-safe map is a mutex",
    "uvm_map.c 1.346 vm_map_lock",
)
def test_its_lock_may_be_taken_where_nobody_may_sleep():
    """vm_map_lock on this map is mtx_enter: legal with another mutex held, as nothing that
    sleeps would be."""
    m, memory = kmem()
    space = m.process()

    async def under_pm_mtx():
        await space.pmap.lock()
        with pytest.raises(Panic):
            assert_may_sleep("test")
        got = await memory.map.uvm_map(2)
        await space.pmap.unlock()
        return isinstance(got, int)

    assert alone(m.world, under_pm_mtx) is True


def test_ranges_do_not_overlap_whatever_the_order():
    """Two CPUs, room for both: two ranges, each aligned to its size."""
    m, memory = kmem(kmem_pages=4)
    with m.world:
        got = [Cell(), Cell()]

    async def take(cell):
        cell.value = await memory.map.uvm_map(2)

    for name, cell in zip("AB", got):
        m.cpu(name, take, cell)
    graph = search(m.world)
    assert stuck(graph) == []
    ends = at_end(graph, lambda: tuple(sorted(cell.value for cell in got)))
    assert ends == {(KMEMBASE, KMEMBASE + 2 * PAGE_SIZE)}


def test_a_range_that_is_not_mapped_cannot_be_unmapped():
    """A double free is a panic that names the page."""
    _, memory = kmem()
    with pytest.raises(Panic, match="page 2 of kmem_map is not mapped"):
        memory.map._give(2, 2)


@fact(
    "Map entries of interrupt-safe maps come from a static list; an empty one takes a page with "
    "NOWAIT from the one-page stock, and panics without",
    "uvm_map.c 1.346 uvm_mapent_alloc",
)
@pytest.mark.parametrize(("km_pages", "ends"), [(6, "two"), (5, "panic")])
def test_the_static_list_of_entries_is_refilled_or_the_kernel_panics(km_pages, ends):
    m, memory = kmem(kmem_entries=1, km_pages=km_pages)

    async def two():
        return [await memory.map.uvm_map(1) for _ in range(2)] and memory.map.entries.free

    m.cpu("A", two)
    ended = run(m.world)
    if ends == "two":
        assert ended.results["A"] == 3
    else:
        assert ended.outcome.kind == "panic"
        assert "cannot allocate map entry (one-page stock empty)" in ended.outcome.message


def test_an_entry_goes_back_with_its_range():
    m, memory = kmem(kmem_entries=2, kmem_pages=2)

    async def borrow():
        va = await memory.map.uvm_map(1)
        await memory.map.uvm_unmap(va, 1)
        await memory.map.uvm_map(4)  # no room
        return memory.map.entries.free

    assert alone(m.world, borrow) == 2
