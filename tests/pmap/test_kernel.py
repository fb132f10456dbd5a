"""The kernel's own pmap: what is preallocated, what grows, what panics, what is never taken."""

import pytest
from breaks import breaks
from facts import fact
from pmaps import VA, out, pmap
from worlds import alone, at_end, done, marks, panics, run, search, stuck

from kmodel.machine import Machine
from kmodel.param import PAGE_SIZE, PROT_NONE, PROT_READ
from kmodel.pmap.kernel import KernelPmap
from kmodel.pmap.pmap import Pmap
from kmodel.pmap.pte import Slot, Vp
from kmodel.properties import PREALLOCATED
from kmodel.settings import UsageError
from kmodel.vm.kmap import GROW, KERNBASE
from kmodel.vm.pool import Cause

PAGE = KERNBASE + 20 * PAGE_SIZE
BEYOND = KERNBASE + 30 * PAGE_SIZE


def kernel(**params) -> tuple[Machine, Pmap, KernelPmap]:
    m, pm = pmap(kernel_pmap=True, **params)
    pmap_kernel = m.kernel.pmap_pools.kernel
    assert pmap_kernel is not None
    m.must(PREALLOCATED)
    return m, pm, pmap_kernel


@fact(
    "pmap_kenter_pa fills a descriptor that is there, and allocates nothing",
    "pmap.c 1.113 pmap_kenter_pa",
)
def test_kenter_maps_and_takes_nothing():
    """kremove leaves the descriptor: unmapped and populated are one thing there."""
    m, pm, kpm = kernel()
    before = out(pm), m.physmem.nfree()

    async def work():
        seen = [kpm.pmap_vp_lookup(PAGE)[0]]
        await kpm.pmap_kenter_pa(PAGE, 7, True)
        seen.append(await kpm.pmap_extract(PAGE))
        await kpm.pmap_kenter_pa(PAGE, 8, True)
        seen.append(await kpm.pmap_extract(PAGE))
        await kpm.pmap_kremove(PAGE, PAGE + PAGE_SIZE)
        return [*seen, kpm.pmap_vp_lookup(PAGE)[0]]

    resident = kpm.resident_count
    assert alone(m.world, work) == [Slot.POPULATED, 7, 8, Slot.POPULATED]
    assert (out(pm), m.physmem.nfree(), kpm.resident_count) == (*before, resident)


@fact("pmap_kenter_pa panics if the descriptor was not preallocated", "pmap.c 1.113 pmap_kenter_pa")
@pytest.mark.parametrize("enter", ["pmap_kenter_pa", "pmap_enter"])
def test_what_is_not_preallocated_cannot_be_mapped(enter):
    """Beyond what the kernel's tables reach."""
    m, _, kpm = kernel(kva_boot=24)

    async def work():
        if enter == "pmap_enter":
            await kpm.pmap_enter(BEYOND, 7, True, canfail=True)
        else:
            await kpm.pmap_kenter_pa(BEYOND, 7, True)

    m.cpu("A", work)
    (wrong,) = panics(search(m.world))
    assert wrong.message.endswith("no descriptor was preallocated")


@fact(
    "Faults on kernel_map go through pmap_enter with pmap_kernel, which allocates nothing there",
    "pmap.c 1.113 pmap_enter, uvm_fault.c 1.165",
)
@pytest.mark.parametrize("pv_lists", [False, True])
def test_a_fault_on_kernel_map_takes_nothing(pv_lists):
    """Enter, replace, protect and remove, with every pool and kernel_map empty."""
    m, pm, kpm = kernel(pv_lists=pv_lists)

    async def work():
        before = out(pm)
        for page in (7, 8):
            assert await kpm.pmap_enter(PAGE, page, True, canfail=True) == 0
        await kpm.pmap_protect(PAGE, PAGE + PAGE_SIZE, PROT_READ)
        read_only = kpm.pmap_vp_lookup(PAGE)[1].pte
        if pv_lists:
            await kpm.pools.pmap_page_protect(8, PROT_NONE)
        else:
            await kpm.pmap_remove(PAGE, PAGE + PAGE_SIZE)
        return before == out(pm), read_only, kpm.pmap_vp_lookup(PAGE)[0]

    m.cpu("A", work)
    found = run(m.world)
    assert found.results["A"] == (True, (8, False), Slot.POPULATED)
    assert found.named("pool.get") == []


@breaks("the kernel's pmap allocates nothing")
def test_a_kernel_pmap_that_takes_from_pools_is_found(monkeypatch):
    """Planted: it makes what is missing as a process's pmap does."""
    monkeypatch.setattr(KernelPmap, "_new_pted", Pmap._new_pted)
    monkeypatch.setattr(KernelPmap, "pmap_vp_lookup", Pmap.pmap_vp_lookup)
    m, _, kpm = kernel()

    async def work():
        await kpm.pmap_enter(KERNBASE + (1 << 21), 7, True, canfail=True)

    m.cpu("A", work)
    wrong = search(m.world).violations
    assert PREALLOCATED in {one.property for one in wrong}


@fact("pmap_lock does nothing for the kernel pmap", "pmap.c 1.113 pmap_lock")
def test_nothing_locks_the_kernels_pmap():
    """Two CPUs enter addresses of their own in every order; their tables are no race."""
    m, _, kpm = kernel(tlb=True)

    async def fault(va, page):
        assert await kpm.pmap_enter(va, page, True, canfail=True) == 0
        await kpm.pmap_remove(va, va + PAGE_SIZE)
        await kpm.pmap_kenter_pa(va, page, True)

    m.cpu("A", fault, PAGE, 7)
    m.cpu("B", fault, PAGE + PAGE_SIZE, 8)
    graph = search(m.world)
    assert graph.violations == []
    assert stuck(graph) == []
    assert ("mutex.enter", "kernel pm_mtx") not in done(graph)


# --- with kernel_map ------------------------------------------------------------------------


@fact("km_alloc enters each page with pmap_kenter_pa", "uvm_km.c 1.157 km_alloc")
def test_table_pages_are_entered_in_the_kernels_pmap():
    """Both pages of each table, from when it is made."""
    m, pm, kpm = kernel(vp_stock=0)

    async def work():
        assert await pm.pmap_enter(VA, 7, True, canfail=True) == 0
        vps = [item for _, _, item in pm.linked() if isinstance(item, Vp)]
        return [kpm.pmap_vp_lookup(vp.address + half)[0] for vp in vps for half in (0, PAGE_SIZE)]

    assert alone(m.world, work) == [Slot.VALID] * 6


@fact(
    "Where a table is in memory is had by pmap_extract of the kernel's pmap; that it fails panics",
    "pmap.c 1.113 pmap_set_l2",
)
def test_a_table_that_the_kernels_pmap_does_not_know_panics():
    m, pm, kpm = kernel()

    async def work():
        await kpm.pmap_kremove(KERNBASE, KERNBASE + 12 * PAGE_SIZE)
        await pm.pmap_enter(VA, 7, True, canfail=True)

    m.cpu("A", work)
    (wrong,) = panics(search(m.world))
    assert wrong.message.endswith("is not mapped in the kernel's pmap")


@fact(
    "uvm_map on a kernel_map without a free range grows the kernel's page tables, and tries again",
    "uvm_map.c 1.346 uvm_map_kmem_grow",
)
@pytest.mark.parametrize(("boot", "grown"), [(18, True), (40, False)])
def test_kernel_map_grows_when_it_is_full(boot, grown):
    """What boot set up is used up by the tables in stock; then it grows, by steps."""
    m, pm, kpm = kernel(kva_pages=40, kva_boot=boot, header_stock=16)

    async def work():
        for n in range(5):
            va = VA + (n << 30)
            assert await pm.pmap_enter(va, 7, True, canfail=True) == 0

    m.cpu("A", work)
    found = run(m.world)
    assert found.outcome.kind == "done"
    assert (kpm.reach > boot) is grown
    assert (kpm.taken > 0) is grown
    said = [one["text"] for one in found.named("mark")]
    assert ("the kernel's page tables grew" in said) is grown


@fact(
    "pmap_growkernel waits for nothing and may come short: kernel_map then has no range",
    "pmap.c 1.113 pmap_growkernel",
)
def test_growth_without_pages_comes_short():
    """No page is left for descriptors: the growth gives nothing, and takes nothing."""
    m, _, kpm = kernel(kva_pages=24, kva_boot=16)
    m.physmem.others = m.physmem.nfree()
    m.physmem.take(m.physmem.others)

    async def work():
        return await kpm.pmap_growkernel(24), await m.kernel_map.uvm_map(
            12, m.kernel.km.entries, trylock=True
        )

    assert alone(m.world, work) == (16, Cause.RANGE)


def test_growth_goes_no_further_than_the_window():
    m, _, kpm = kernel(kva_pages=22, kva_boot=16)

    async def work():
        return await kpm.pmap_growkernel(16 + GROW), kpm.taken

    assert alone(m.world, work) == (22, 2)


def test_growing_side_by_side_keeps_all_in_step():
    """Two need tables at once where kernel_map must grow: no race, no leak, nobody stuck."""
    m, pm, kpm = kernel(vp_stock=0, kva_pages=8, kva_boot=2)
    m.cpu("A", enter, pm, VA)
    m.cpu("B", enter, pm, VA + (1 << 21))
    graph = search(m.world)
    assert stuck(graph) == []
    assert [one for one in graph.violations if one.judged] == []
    assert "the kernel's page tables grew" in marks(graph)
    assert at_end(graph, lambda: kpm.reach) == {8}


async def enter(pm, va):
    await pm.pmap_enter(va, 7, True, canfail=True)


def test_only_kernel_map_is_entered():
    """Table pages from elsewhere have addresses that this pmap does not model."""
    with pytest.raises(UsageError, match="only kernel_map's addresses"):
        kernel(pool_memory="intrsafe")
