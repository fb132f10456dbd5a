"""Daemon-refill: a lap that makes pages for pools that have run empty."""

import pytest
from worlds import Steered, boot, search

from kmodel.fixes import daemon_refill

VA = 0x20_0000


def machine(flavour, **params):
    """One fault, a churner, the daemon."""
    m = boot("daemon-refill", daemon_refill=flavour, **params)
    space = m.process()
    m.cpu("A", space.fault, VA)
    m.background("K", m.kernel_map.churn)
    m.finish()
    return m, space


def refused(m):
    """Stopped where A has been refused, has rung for the daemon and sleeps, K at its lock."""
    steered = Steered(m.world)
    steered.go("pagedaemon")
    steered.until("K", "lock.release")
    steered.go("A")
    assert steered.about_to("A") == "chan.woken"
    return steered


def test_a_waitok_refill_makes_the_daemon_wait_for_the_kernel_map():
    """The diff author's argument: the daemon, who must be able to free memory, sleeps behind
    whoever has the map. "Page daemon purity" says so."""
    m, _ = machine("waitok")
    steered = refused(m)
    steered.go("pagedaemon")
    assert steered.about_to("pagedaemon") == "lock.contended"
    impure = {wrong.property: wrong for wrong in search(machine("waitok")[0].world).violations}
    assert "page daemon purity" in impure
    assert not impure["page daemon purity"].judged
    assert impure["page daemon purity"].message == (
        "the page daemon waits for the lock of kernel_map"
    )


def test_a_waitok_refill_makes_the_daemon_wait_for_memory():
    """Woken because memory is short, it asks for more. It may have the last page; with less
    than it asks for it sleeps for a moment and asks again, as often as it takes."""
    m, _ = machine("waitok")
    taken = m.physmem.take(m.physmem.nfree() - 1)
    m.world.task("R", m.physmem.uvm_wait, "test")
    m.world.task("G", m.physmem.freepages, taken)
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "R")
        for _ in range(3):
            steered.step("pagedaemon")
            steered.until("pagedaemon", "chan.woken")
            purity = next(c for c in m.world.checks if c.name == "page daemon purity")
            assert purity.test() == "the page daemon waits for memory, which only it can free"
        steered.go("G", "pagedaemon")
        assert m.kernel.pmap_pools.vp_pool.free


def test_a_trylock_refill_never_waits_and_may_get_nothing():
    """With the map held the lap ends without a page, and the fault is woken for nothing."""
    m, _ = machine("trylock")
    steered = refused(m)
    steered.go("pagedaemon")
    said = [event for task, event, _ in steered.events if task == "pagedaemon"]
    assert "lock.try" in said
    assert "pool.refill" not in said
    assert m.kernel.pmap_pools.vp_pool.free == ()
    graph = search(machine("trylock")[0].world)
    assert "page daemon purity" not in {wrong.property for wrong in graph.violations}


@pytest.mark.parametrize("flavour", ["waitok", "trylock"])
@pytest.mark.parametrize("lap", ["wakes", "silent"])
def test_a_refill_that_succeeds_lets_the_fault_go_on(flavour, lap):
    """With the map free again the lap fills the pool and, being one with a shortage, wakes
    the fault in every kernel."""
    m, _ = machine(flavour, lap=lap, refill_items=2)
    steered = refused(m)
    steered.step("K")
    steered.go("pagedaemon")
    assert len(m.kernel.pmap_pools.vp_pool.free) == 2
    steered.until("K", "lock.release")
    steered.go("A")
    assert steered.outcome is not None
    assert steered.outcome.kind == "done"


def test_a_pool_with_items_is_left_alone():
    """Only an empty pool counts as short: the lap asks, and makes nothing."""
    m, _ = machine("waitok", vp_stock=3)

    async def ring():
        await m.physmem.uvm_wait("test")

    m.world.task("R", ring)
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "R", "pagedaemon")
        assert "pool.refill" not in {event for _, event, _ in steered.events}
        assert [f["shortage"] for _, event, f in steered.events if event == "daemon.lap"] == [0]


def test_the_bell_is_not_heard_during_a_lap_with_a_refill_either():
    """The fault still waits with uvm_wait: refused again and asleep after the lap has woken
    everybody, and before the daemon sleeps, it has rung for nobody."""
    m, _ = machine("trylock")
    steered = refused(m)
    for _ in range(2):  # the pages that were for nothing go back; the lap ends
        steered.until("pagedaemon", "chan.wakeup")
        steered.step("pagedaemon")
    steered.go("A", "pagedaemon")
    assert steered.about_to("A") == "chan.woken"
    for _ in range(20):
        steered.step("K")
        assert not steered.can("A")
        assert not steered.can("pagedaemon")


def test_what_the_daemon_has_in_its_hands_at_the_end_is_no_leak():
    """It sleeps for the map, or is on its way with two pages, when the last fault ends."""
    graph = search(machine("waitok")[0].world)
    assert "no leak" not in {wrong.property for wrong in graph.violations}


def test_what_a_lap_has_lost_is_a_leak_once_it_is_over(monkeypatch):
    """Planted: each lap takes a page and forgets it."""

    async def lose(kernel):
        await kernel.physmem.getpages(1, waitok=False, usereserve=True)
        return False

    monkeypatch.setattr(daemon_refill, "daemon_step", lose)
    graph = search(machine("waitok")[0].world)
    assert "no leak" in {wrong.property for wrong in graph.violations}
