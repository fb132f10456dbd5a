"""Reserve: everything is taken before the first lock, needed or not."""

import pytest
from worlds import Steered, alone, boot, marks, run, search, stuck

VA, OTHER = 0x20_0000, 0x40_0000


def faults(levels=3, **params):
    m = boot("reserve", levels=levels, **params)
    space = m.process()
    return m, space


@pytest.mark.parametrize("levels", [3, 4])
def test_a_reservation_is_a_table_for_each_level_and_a_descriptor(levels):
    """Row 17 of the mechanisms: no more than 2 (3) table pages and 1 descriptor."""
    m, _ = faults(levels)
    pools = m.kernel.pmap_pools

    async def reserve():
        await pools.reserve(levels - 1)
        held = pools.vp_pool.nout - 1, pools.pted_pool.nout
        await pools.unreserve()
        return held

    assert alone(m.world, reserve) == (levels - 1, 1)


def test_it_is_taken_before_any_lock_and_no_fault_is_restarted():
    """In every order with a churner: WAITOK before the map is looked at, and never again."""
    m, space = faults()
    m.cpu("A", space.fault, VA)
    m.background("K", m.kernel_map.churn)
    graph = search(m.finish())
    assert stuck(graph) == []
    assert graph.violations == []
    assert "a fault was restarted" not in marks(graph)
    with Steered(faults_and_churner()) as steered:
        steered.go("pagedaemon")
        steered.until("K", "lock.release")
        steered.go("A")
        assert steered.about_to("A") == "lock.contended"
        said = [event for task, event, _ in steered.events if task == "A"]
    assert said.count("lock.acquire") == 1  # kernel_map's, and no other yet


def faults_and_churner():
    m, space = faults()
    m.cpu("A", space.fault, VA)
    m.background("K", m.kernel_map.churn)
    return m.finish()


def test_what_is_not_needed_is_taken_and_given_back():
    """The second fault of a region needs one descriptor; it waits for two tables first."""
    m, space = faults()

    async def twice():
        await space.fault(VA)
        before = m.kernel.pmap_pools.vp_pool.nout
        await space.fault(VA + 0x1000)
        return before == m.kernel.pmap_pools.vp_pool.nout

    assert alone(m.world, twice) is True
    assert len(m.kernel.pmap_pools.vp_pool.free) == 2


def test_a_fault_outside_the_map_gives_its_items_back():
    """EFAULT is found out after the reservation was made."""
    m, space = faults()
    m.cpu("A", space.fault, 0)
    assert run(m.world).outcome.kind == "done"
    assert m.kernel.pmap_pools.vp_pool.nout == 1


def test_a_thread_uses_its_own_reservation_only():
    """Two faults in every order: nobody takes from the other, and nothing is lost."""
    m, space = faults()
    m.cpu("A", space.fault, VA)
    m.cpu("B", space.fault, OTHER)
    graph = search(m.finish())
    assert stuck(graph) == []
    assert graph.violations == []


def scarce(fix):
    """Room for three tables below the top, which is all that two faults need."""
    m = boot(fix, kva_pages=8)
    space = m.process()
    m.cpu("A", space.fault, VA)
    m.cpu("B", space.fault, OTHER)
    return search(m.finish())


def test_holding_one_item_while_waiting_for_another_can_end_in_a_deadlock():
    """Three table pages would do; each reserves two. With one and two in hand, or after one
    has mapped with both of its own, the other waits for a page that it does not need."""
    assert stuck(scarce("reserve")) != []


def test_populate_gets_along_with_the_same_addresses():
    """It holds one spare page at a time, and looks again before it takes the next."""
    assert stuck(scarce("populate")) == []
