"""The interrupt-safe map: a mutex, and little room."""

import pytest
from facts import fact
from worlds import Cell, alone, at_end, boot, edges, search, stuck

from kmodel.panic import Panic
from kmodel.param import PAGE_SIZE
from kmodel.sync.channel import assert_may_sleep
from kmodel.vm.kmem import KMEMBASE
from kmodel.vm.pool import Cause


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
