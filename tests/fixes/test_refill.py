"""Refill: items got with WAITOK and put straight back, for whoever comes first."""

import pytest
from facts import fact
from worlds import Steered, alone, at_end, boot, marks, search, stuck

from kmodel.pmap.pmap import ENOMEM
from kmodel.pmap.pte import Slot

VA, OTHER = 0x20_0000, 0x40_0000


@pytest.mark.parametrize("items", [1, 2, 3])
def test_a_refill_leaves_free_items_and_keeps_none(items):
    """As many table pages as were asked for lie free afterwards; nothing is out but the
    top table, and the address has no table yet."""
    m = boot("refill", refill_items=items)
    space = m.process()
    alone(m.world, m.kernel.fix.after_failure, m.kernel, space, VA, ENOMEM)
    pools = m.kernel.pmap_pools
    assert (len(pools.vp_pool.free), pools.vp_pool.nout) == (items, 1)
    assert pools.pted_pool.nout == 0
    assert space.pmap.pmap_vp_lookup(VA)[0] is Slot.NO_TABLE


def operations(m, start, *args):
    """What the one task of a world gets from pools and puts into them, in order."""
    m.cpu("A", start, *args)
    with Steered(m.world) as steered:
        steered.go("A")
        return [
            (event, fields.get("obj", "").split()[0])
            for _, event, fields in steered.events
            if event in ("pool.get", "pool.put", "pool.wait")
        ]


@fact(
    "uvm_anwait gets one anon with WAITOK and gives it straight back",
    "uvm_anon.c 1.67 uvm_anwait",
)
def test_a_refill_of_one_item_is_uvm_anwait_for_table_pages():
    """The thread: "the uvm_anwait() thing is very similar to this case". Both get one
    item with WAITOK, without a lock held, and put it straight back."""
    m = boot(anon_stock=0)
    got = operations(m, m.kernel.anons.uvm_anwait)
    assert [event for event, pool in got if pool == "anonpl"] == ["pool.get", "pool.put"]
    m = boot("refill")
    got = operations(m, m.kernel.fix.after_failure, m.kernel, m.process(), VA, ENOMEM)
    assert [event for event, pool in got if pool == "vp"] == ["pool.get", "pool.put"]
    assert [event for event, pool in got if pool == "pted"] == ["pool.get", "pool.put"]


@pytest.mark.parametrize("pool_cache", [0, 1])
def test_what_a_refill_left_can_be_stolen_unless_this_cpu_keeps_it(pool_cache):
    """uvm_anwait's thief race: between the put and the retry another thread may take the
    item from the pool. With a per-CPU cache it cannot."""
    m = boot("refill", pool_cache=pool_cache)
    space = m.process()
    pools = m.kernel.pmap_pools

    async def refill_and_look():
        await m.kernel.fix.after_failure(m.kernel, space, VA, ENOMEM)

    async def thief():
        await pools.vp_pool.get(False)

    m.cpu("A", refill_and_look)
    m.cpu("T", thief)
    m.background("K", m.kernel_map.churn)
    with Steered(m.world) as steered:
        steered.go("A")  # the map is free: nothing to wait for
        steered.until("K", "lock.release")
        steered.go("T")
        refused = [event for _, event, _ in steered.events if event == "pool.fail"]
    assert len(refused) == pool_cache


def both_fault(pool_cache):
    m = boot("refill", pool_cache=pool_cache)
    space = m.process()
    m.cpu("A", space.fault, VA)
    m.cpu("B", space.fault, OTHER)
    m.background("K", m.kernel_map.churn)
    return m, space


def test_two_refilling_faults_never_get_stuck():
    """What one of them holds for a moment the other has to wait for, and gets."""
    m, space = both_fault(1)
    graph = search(m.finish())
    assert stuck(graph) == []
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert "a fault was restarted" in marks(graph)
    assert at_end(graph, lambda: space.pmap.pmap_vp_lookup(VA)[0]) == {Slot.VALID}
