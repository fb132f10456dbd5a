"""The hardware's half: what a walk finds, what TLBs remember, and when they forget."""

import pytest
from facts import fact
from pmaps import FAR, NEAR, VA, pmap, slot
from worlds import alone, at_end, marks, search, stuck

from kmodel.param import PROT_NONE, PROT_READ
from kmodel.pmap.mmu import Mmu
from kmodel.pmap.populate import pmap_populate
from kmodel.pmap.pte import Slot
from kmodel.point import operation
from kmodel.properties import NOT_MAPPED


async def enter(pm, va, page, write=True, **how):
    assert await pm.pmap_enter(va, page, write, canfail=True, **how) == 0


def machine(**params):
    m, pm = pmap(tlb=True, **params)
    m.must(NOT_MAPPED)
    return m, pm


@fact(
    "pmap_enter without access bits leaves the hardware descriptor invalid: the first touch "
    "asks pmap_fault_fixup",
    "pmap.c 1.113 pmap_enter, pmap_fault_fixup",
)
def test_a_mapping_can_be_valid_in_software_alone():
    """``pmap_extract`` knows it, the hardware does not, until its first touch is fixed up."""
    m, pm = machine()

    async def work():
        await enter(pm, VA, 5, access=False)
        seen = [await pm.pmap_extract(VA), await pm.mmu.touch(VA, False)]
        assert await pm.pmap_fault_fixup(VA, False)
        return [*seen, await pm.mmu.touch(VA, True)]

    assert alone(m.world, work) == [5, None, 5]


@fact(
    "Entering what is mapped already leaves a hardware descriptor that is not there invalid",
    "pmap.c 1.113 pmap_enter",
)
def test_entering_the_same_mapping_does_not_tell_the_hardware():
    """The early return does not look whether it knows."""
    m, pm = machine()

    async def work():
        await enter(pm, VA, 5, access=False)
        await enter(pm, VA, 5)
        return await pm.mmu.touch(VA, False)

    assert alone(m.world, work) is None


@fact("A wired mapping is told to the hardware at once", "pmap.c 1.113 pmap_enter")
def test_a_wired_mapping_is_there_for_the_hardware():
    m, pm = machine()

    async def work():
        await enter(pm, VA, 5, access=False, wired=True)
        return await pm.mmu.touch(VA, True)

    assert alone(m.world, work) == 5


@fact(
    "pmap_fault_fixup ignores what is not valid, and what the mapping does not allow",
    "pmap.c 1.113 pmap_fault_fixup",
)
def test_what_cannot_be_fixed_up_is_a_fault():
    """An address without a table, a populated one, a write where only reads are allowed."""
    m, pm = machine()

    async def work():
        await pmap_populate(pm, VA)
        await enter(pm, NEAR, 5, False, access=False)
        told = [await pm.pmap_fault_fixup(va, False) for va in (FAR, VA, NEAR)]
        return [*told, await pm.pmap_fault_fixup(NEAR, True), slot(pm, VA)]

    assert alone(m.world, work) == [False, False, True, False, Slot.POPULATED]


@fact("Removing a mapping clears the hardware descriptor and flushes", "pmap.c 1.113")
@pytest.mark.parametrize("how", ["remove", "protect", "replace", "read-only"])
def test_no_tlb_remembers_what_is_gone(how):
    """After an access has filled it, whichever way the mapping goes or shrinks."""
    m, pm = machine()

    async def work():
        await enter(pm, VA, 5)
        assert await pm.mmu.touch(VA, True) == 5
        if how == "remove":
            await pm.pmap_remove(VA, NEAR)
        elif how == "replace":
            await enter(pm, VA, 6)
        else:
            await pm.pmap_protect(VA, NEAR, PROT_NONE if how == "protect" else PROT_READ)
        return await pm.mmu.touch(VA, True), await pm.mmu.touch(VA, False)

    assert alone(m.world, work) == {"replace": (6, 6), "read-only": (None, 5)}.get(
        how, (None, None)
    )


@fact(
    "A populated slot is no mapping for the hardware either: no TLB holds an entry for it",
    "pmap.c 1.113 pmap_vp_populate",
)
@pytest.mark.parametrize("pv_lists", [False, True])
def test_in_no_order_does_a_tlb_remember_a_populated_address(pv_lists):
    """Somebody touches an address while it is mapped, unmapped and populated."""
    m, pm = machine(pv_lists=pv_lists)
    m.cpu("A", life, pm)
    m.cpu("B", pm.mmu.touch, VA, True)
    graph = search(m.world)
    assert stuck(graph) == []
    assert graph.violations == []
    assert "an access met a page" in marks(graph)
    assert at_end(graph, lambda: (slot(pm, VA), pm.mmu.tlb)) == {(Slot.POPULATED, ())}


async def life(pm):
    await enter(pm, VA, 5)
    await pm.pmap_remove(VA, NEAR)
    await pmap_populate(pm, VA)


def test_without_the_flush_a_tlb_remembers_it(monkeypatch):
    """Planted: the flush does nothing."""

    @operation(event="mmu.flush")
    def forget(self, va):
        self.tlb = (*self.tlb,)

    monkeypatch.setattr(Mmu, "_flush", forget)
    m, pm = machine()
    m.cpu("A", life, pm)
    m.cpu("B", pm.mmu.touch, VA, True)
    wrong = search(m.world).violations
    assert {(one.property, one.kind) for one in wrong} == {(NOT_MAPPED, "invariant")}
    assert "a TLB remembers" in wrong[0].message


@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ])
def test_a_page_that_was_protected_is_not_written_through_a_tlb(prot):
    """In every order: a write that meets the page comes before the end of page_protect."""
    m, pm = machine(pv_lists=True)

    async def protect():
        await enter(pm, VA, 5)
        await pm.pools.pmap_page_protect(5, prot)
        return await pm.mmu.touch(VA, True)

    m.cpu("A", protect)
    m.cpu("B", pm.mmu.touch, VA, True)
    graph = search(m.world)
    assert graph.violations == []
    left = () if prot == PROT_NONE else ((VA, 5, False),)
    assert at_end(graph, lambda: pm.mmu.walk) == {left}


@fact("pmap_page_protect flushes what it changes", "pmap.c 1.113 pmap_page_protect")
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ])
def test_what_a_tlb_knew_before_a_page_was_protected_it_knows_no_more(prot):
    m, pm = machine(pv_lists=True)

    async def work():
        await enter(pm, VA, 5)
        before = await pm.mmu.touch(VA, True)
        await pm.pools.pmap_page_protect(5, prot)
        return before, await pm.mmu.touch(VA, True)

    assert alone(m.world, work) == (5, None)
