"""The direct map: no address to find; eight KiB are two pages side by side."""

import pytest
from facts import fact
from worlds import Steered, alone, boot, edges, search

from kmodel.param import PAGE_SIZE
from kmodel.vm.direct import DIRECT_BASE, direct_address


def direct(**params):
    m = boot("direct", **params)
    return m, m.kernel.pmap_pools.memory


@fact(
    "With a direct map a single page or a segment needs no address, so no map is locked",
    "uvm_km.c 1.157 km_alloc",
)
def test_no_map_is_locked():
    """Pages and a header are all that is asked for."""
    m, memory = direct()
    m.cpu("A", memory.alloc, False)
    names = [getattr(edge.target, "name", "") for edge in edges(search(m.world))]
    assert names[1:] == ["fpageqlock", "phpool.pr_mtx"]


def test_an_item_is_two_contiguous_pages_at_their_own_address():
    """The address says which pages they are."""
    m, memory = direct()
    (item,) = alone(m.world, memory.alloc, False)
    page, inside = divmod(item - DIRECT_BASE, PAGE_SIZE)
    assert inside == 0
    assert m.physmem.free >> page & 3 == 0
    assert item == direct_address(page)


def test_single_pages_need_no_stock():
    """kv_page is direct too: with no one-page addresses at all the machine boots."""
    m, _ = direct(km_pages=0)
    assert len(m.kernel.pmap_pools.pted_pool.free) == 4
    assert m.kernel.km.kmpages.next == 0


def scattered():
    """Half of memory free, and nowhere two pages side by side."""
    m, memory = direct()
    m.physmem.free &= int("01" * 32, 2)
    return m, memory


@fact(
    "An item of two pages needs two contiguous ones in a direct map",
    "uvm_km.c 1.157 km_alloc",
)
def test_scattered_memory_is_not_enough():
    """NOWAIT fails though a quarter of memory would do, rings for the daemon, and keeps
    nothing."""
    m, memory = scattered()
    before = m.physmem.free
    m.cpu("A", memory.alloc, False)
    with Steered(m.world) as steered:
        steered.go("A")
        said = [(event, fields) for _, event, fields in steered.events]
    assert "chan.wakeup" in [event for event, _ in said]
    assert [f["why"] for event, f in said if event == "page.fail"] == ["not side by side"]
    assert m.physmem.free == before
    assert m.physmem.plentiful()


def test_waitok_sleeps_until_a_pair_is_free():
    """It queues a pma; the daemon's lap ends that sleep, and it takes what has come free."""
    m, memory = scattered()
    free = m.physmem.free
    lone = (free & -free).bit_length() - 1
    m.cpu("A", memory.alloc, True)
    m.cpu("F", m.physmem.freepages, (lone + 1,))
    m.finish()
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "A")
        assert steered.about_to("A") == "chan.woken"
        steered.go("F", "A")
        assert steered.about_to("A") == "chan.woken"
        steered.go("pagedaemon", "A")
        assert steered.about_to("A") == "ended"
    assert memory.taken[lone // 2]


@pytest.mark.parametrize(("spare", "why"), [(2, ["reserve"]), (4, [])])
def test_the_page_daemons_reserve_is_left_alone(spare, why):
    """Two pages and the reserve must be there before: the rule of every page request."""
    m, memory = direct()
    while m.physmem.nfree() > m.physmem.reserve_pagedaemon + spare:
        m.physmem.take(2)
    m.cpu("A", memory.alloc, False)
    with Steered(m.world) as steered:
        steered.go("A")
        fails = [fields["why"] for _, event, fields in steered.events if event == "page.fail"]
    assert len(fails) == len(why)
    assert set(fails) <= {"reserve_pagedaemon"}
