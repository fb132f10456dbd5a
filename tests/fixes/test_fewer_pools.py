"""Fewer-pools: descriptors are part of their table."""

import pytest
from worlds import Steered, alone, boot, search, stuck

from kmodel.pmap.pte import INLINE_PTEDS, Slot
from kmodel.world import ScenarioError

VA = 0x20_0000


def faulting(**params):
    m = boot("fewer-pools", **params)
    return m, m.process()


def test_no_descriptor_pool_is_asked():
    """With that pool empty and nothing to fill it from, a fault succeeds all the same."""
    m, space = faulting(pted_stock=0, km_pages=4)
    assert alone(m.world, space.fault, VA) == 0
    assert space.pmap.pmap_vp_lookup(VA)[0] is Slot.VALID
    assert m.kernel.pmap_pools.pted_pool.fails.nfail == 0


def test_the_table_page_is_refused_as_before():
    """One pool fewer is not none: the vp pool still tries the map's lock."""
    m, space = faulting()
    m.cpu("A", space.fault, VA)
    m.background("K", m.kernel_map.churn)
    m.finish()
    with Steered(m.world) as steered:
        steered.go("pagedaemon")
        steered.until("K", "lock.release")
        steered.go("A")
        assert steered.about_to("A") == "chan.woken"
        fails = [(f["obj"], f["why"]) for _, event, f in steered.events if event == "pool.fail"]
    assert fails == [("vp pool", "map lock refused")]


def test_an_unmapped_descriptor_is_used_again():
    """Removing frees the slot, and the next mapping of the table finds room."""
    m, space = faulting()

    async def map_and_unmap():
        for turn in range(2 * INLINE_PTEDS):
            va = VA + turn * 0x1000
            await space.fault(va)
            await space.pmap.pmap_remove(va, va + 0x1000)
        return space.pmap.pmap_vp_lookup(VA)[0].name

    assert alone(m.world, map_and_unmap) == "EMPTY"


def test_more_mappings_than_are_modelled_are_refused():
    """The message says what the model does not have."""
    m, space = faulting(anon_stock=8, km_pages=16)

    async def map_all():
        for turn in range(INLINE_PTEDS + 1):
            await space.fault(VA + turn * 0x1000)

    m.cpu("A", map_all)
    with pytest.raises((ScenarioError, AssertionError, Exception), match="no more descriptors"):
        search(m.world)


def test_two_faults_in_one_table_have_a_descriptor_each():
    """In every order both pages are mapped."""
    m, space = faulting()
    m.cpu("A", space.fault, VA)
    m.cpu("B", space.fault, VA + 0x1000)
    graph = search(m.finish())
    assert stuck(graph) == []
    assert graph.violations == []
