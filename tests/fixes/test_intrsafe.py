"""Intrsafe: nobody is refused by a lock, and the addresses run out."""

import pytest
from facts import fact
from worlds import Steered, boot, search, stuck

VA, OTHER = 0x20_0000, 0x40_0000


def machine(**params):
    m = boot("intrsafe", **params)
    space = m.process()
    m.cpu("A", space.fault, VA)
    m.background("K", m.kernel_map.churn)
    m.finish()
    return m, space


def test_a_fault_needs_no_lock_of_kernel_map():
    """With the map held all the time it maps its page at the first pass."""
    m, _ = machine()
    with Steered(m.world) as steered:
        steered.go("pagedaemon")
        steered.until("K", "lock.release")
        steered.go("A")
        assert steered.outcome is not None
        assert steered.outcome.kind == "done"
        assert "fault.restart" not in {event for _, event, _ in steered.events}


@fact(
    "The interrupt-safe map is small: full, its NULL looks like any other",
    "uvm_km.c 1.157",
)
def test_the_small_address_space_runs_out():
    """With room for the top table and one more, plenty of memory and kernel_map empty, the
    fault waits for memory that is not missing."""
    m, _ = machine(kmem_pages=4)
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "A")
        assert steered.about_to("A") == "chan.woken"
        assert [f["why"] for _, event, f in steered.events if event == "pool.fail"] == [
            "no address range"
        ]
    assert m.kernel_map.used == 0
    assert m.physmem.nfree() > m.physmem.freetarg


def test_what_a_full_map_refuses_goes_back():
    """The two pages were taken first; after the failure they are free again."""
    m, _ = machine(kmem_pages=4)
    before = m.physmem.nfree()
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "A")
    # the page of the fault, and the pages of the one table that was linked
    assert m.physmem.nfree() == before - 1 - 2


def test_in_every_order_two_faults_end():
    """Neither waits for anything but short mutexes."""
    m, space = machine()
    m.world.task("B", space.fault, OTHER)
    graph = search(m.world)
    assert stuck(graph) == []
    assert graph.violations == []


def test_a_process_needs_room_at_boot():
    """Its top table is from that map too."""
    m = boot("intrsafe", kmem_pages=2)
    m.process()
    with pytest.raises(ValueError, match="no room at boot"):
        m.process()
