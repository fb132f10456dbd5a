"""What must hold of page tables, each broken on purpose once, and found."""

import pytest
from breaks import breaks
from facts import fact
from pmaps import FAR, NEAR, VA, pmap
from worlds import alone, boot, run, search

from kmodel.param import PAGE_SIZE
from kmodel.pmap import checks
from kmodel.pmap.pmap import Pmap
from kmodel.pmap.pools import PmapPools
from kmodel.pmap.populate import pmap_populate
from kmodel.pmap.pv import PvLists
from kmodel.pmap.tables import Tables
from kmodel.point import procedure
from kmodel.properties import (
    BOUNDED_WASTE,
    CONSERVED,
    NOT_MAPPED,
    ONE_INSTALLER,
    RESIDENT,
)


async def life(pm):
    """Mapped, unmapped, populated, mapped again; and a neighbour that stays populated."""
    assert await pm.pmap_enter(VA, 5, True, canfail=True) == 0
    await pm.pmap_remove(VA, NEAR)
    await pmap_populate(pm, VA)
    await pmap_populate(pm, NEAR)
    assert await pm.pmap_enter(VA, 6, True, canfail=True) == 0


def broken(*names, **params):
    """Which of the properties ``life`` breaks, in a world that asks for them; or all else."""
    m, pm = pmap(**params)
    m.must(*names)
    m.cpu("A", life, pm)
    found = {wrong.property for wrong in search(m.world).violations}
    return found & {*names} or found


ALL = (NOT_MAPPED, ONE_INSTALLER, CONSERVED, RESIDENT, BOUNDED_WASTE)


@pytest.mark.parametrize("levels", [3, 4])
@pytest.mark.parametrize("how", [{}, {"pv_lists": True, "tlb": True}, {"pool_cache": 1}])
def test_the_kernel_itself_breaks_none_of_them_where_nothing_fails(levels, how):
    """Also with pv lists, the hardware's half, and caches in front of the pools."""
    assert broken(*ALL, levels=levels, **how) == set()


@breaks("populated is not mapped")
@fact("A populated address is on no pv list", "pmap.c 1.113 pmap_remove_pted")
def test_a_descriptor_that_stays_on_its_pages_list_is_found(monkeypatch):
    """Planted: nobody unhooks it, and populate takes it from the pool again."""

    async def forget(self, page, pted):
        pass

    assert broken(NOT_MAPPED, pv_lists=True, pted_stock=4) == set()
    monkeypatch.setattr(PvLists, "remove", forget)
    assert broken(NOT_MAPPED, pv_lists=True, pted_stock=4) == {NOT_MAPPED}


@breaks("populated is not mapped")
def test_a_descriptor_that_is_still_wired_is_found(monkeypatch):
    """Planted: PR_ZERO is forgotten, and the descriptor's last mapping was wired."""
    ask = PmapPools.ask_pted

    @procedure
    async def dirty(self, waitok):
        pted = await ask(self, waitok)
        pted.wired = waitok
        return pted

    monkeypatch.setattr(PmapPools, "ask_pted", dirty)
    assert broken(NOT_MAPPED) == {NOT_MAPPED}


@breaks("one installer per slot")
def test_a_descriptor_in_two_slots_is_found(monkeypatch):
    """Planted: linking takes the neighbouring slot as well."""
    link = Tables.link

    @procedure
    def twice(self, vp, va, level, child):
        link(self, vp, va, level, child)
        if level == 3 and va == VA:
            link(self, vp, va + 2 * PAGE_SIZE, level, child)

    monkeypatch.setattr(Tables, "link", twice)
    assert broken(ONE_INSTALLER) == {ONE_INSTALLER}


@breaks("one installer per slot")
def test_a_descriptor_that_is_freed_in_its_slot_is_found(monkeypatch):
    """Planted: it goes back to its pool, and the slot keeps it."""

    @procedure
    async def keep(self, va, pted):
        await self.pools.put_pted(pted)

    monkeypatch.setattr(Pmap, "_drop", keep)
    assert ONE_INSTALLER in broken(ONE_INSTALLER)


@breaks("pool conservation")
@pytest.mark.parametrize("what", ["put_vp", "put_pted"])
def test_what_is_not_given_back_to_its_pool_is_found(monkeypatch, what):
    """Planted: populate's leftovers, and what remove frees, are forgotten."""

    @procedure
    async def forget(self, item):
        item.live = False

    monkeypatch.setattr(PmapPools, what, forget)
    assert broken(CONSERVED) == {CONSERVED}


@breaks("resident count exact")
@fact("A failed pmap_enter leaves resident_count one too high", "pmap.c 1.113 pmap_enter")
def test_the_count_is_exact_but_for_failures():
    """The kernel's own slip, under its name; counted after the allocation there is none."""

    def after_a_failure():
        m, pm = pmap(vp_stock=0, kva_pages=2)
        m.must(RESIDENT)
        m.cpu("A", fail, pm)
        return {wrong.property for wrong in search(m.world).violations if wrong.judged}

    assert after_a_failure() == {RESIDENT}


async def fail(pm):
    await pm.pmap_enter(VA, 5, True, canfail=True)


def test_waste_is_what_maps_nothing():
    """One populate of a fresh address leaves a descriptor and two tables; an unmap, two more."""
    m, pm = pmap()

    async def work():
        await pmap_populate(pm, VA)
        seen = [checks.waste(pm)]
        await pm.pmap_enter(VA, 5, True, canfail=True)
        seen.append(checks.waste(pm))
        await pm.pmap_enter(FAR, 6, True, canfail=True)
        await pm.pmap_remove(FAR, FAR + PAGE_SIZE)
        seen.append(checks.waste(pm))
        await pm.pmap_destroy()
        return [*seen, checks.waste(pm)]

    assert alone(m.world, work) == [(1, 2), (0, 0), (0, 1), (0, 0)]


@breaks("bounded waste")
def test_a_populate_that_makes_more_than_it_is_asked_for_is_found(monkeypatch):
    """Planted: each link of a last table populates a few of its slots."""
    link = Tables.link

    @procedure
    def more(self, vp, va, level, child):
        link(self, vp, va, level, child)
        if level == 3:
            for page in (4, 5, 6):
                vp.slots[page] = vp.slots[page] or child

    monkeypatch.setattr(Tables, "link", more)
    assert broken(BOUNDED_WASTE) == {BOUNDED_WASTE}


def test_calls_are_counted_only_where_somebody_asks():
    """Else each call would be a state of its own."""
    m, pm = pmap()
    assert alone(m.world, life, pm) is None
    assert pm.calls == -1
    m, pm = pmap()
    m.must(BOUNDED_WASTE)
    assert alone(m.world, life, pm) is None
    assert pm.calls == 4


def test_the_checks_of_a_machine_hold_of_a_fault():
    """A whole fault under populate, with the kernel's pmap beside it."""
    m = boot("populate", kernel_pmap=True, pv_lists=True, tlb=True)
    space = m.process(threads=1)
    m.must(*(name for name in ALL if name != RESIDENT))

    async def thread():
        await space.fault(VA)
        await space.exit()

    m.cpu("A", thread)
    assert run(m.finish()).outcome.kind == "done"
