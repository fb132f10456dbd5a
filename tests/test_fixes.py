"""What each fix does when ``pmap_enter`` has failed."""

import pytest
from facts import fact
from worlds import Steered, at_end, boot, done, marks, search, stuck

from kmodel import fixes
from kmodel.pmap.pmap import ENOMEM
from kmodel.pmap.pte import Slot

VA = 0x20_0000


def after_failure(fix, error=ENOMEM, **params):
    """One task that does what a fault does after a failure, and nothing else."""
    m = boot(fix, **params)
    space = m.process()
    m.cpu("A", m.kernel.fix.after_failure, m.kernel, space, VA, error)
    return m, space


def test_the_fixes_come_in_the_order_of_the_thread():
    """Those that its question is about first, the other proposals as they come up in it."""
    assert fixes.names()[:3] == ["wait", "lock-retry", "populate"] == list(fixes.THREAD)
    assert tuple(fixes.names()) == fixes.ORDER


@pytest.mark.parametrize("name", fixes.names())
def test_a_fix_says_what_it_is(name):
    """Each is loaded by its name and has one line about it."""
    fix = fixes.load(name)
    assert fix.name == name
    assert fix.summary
    assert "\n" not in fix.summary


@pytest.mark.parametrize("name", ["nothing", "lock_retry", "__init__", ""])
def test_an_unknown_fix_is_a_key_error(name):
    """Only the names of the list are names."""
    with pytest.raises(KeyError):
        fixes.load(name)


# --- wait ---------------------------------------------------------------------------------


@fact(
    "Before the diff a failed pmap_enter is followed by uvm_wait, memory plentiful or not",
    "uvm_fault.c 1.159",
)
def test_wait_sleeps_for_memory_that_is_not_missing():
    """It rings for the page daemon and sleeps on ``&uvmexp.free``, with nothing said."""
    m, _ = after_failure("wait")
    graph = search(m.world)
    assert ("chan.wakeup", "&uvm.pagedaemon") in done(graph)
    assert ("chan.sleep", "&uvmexp.free") in done(graph)
    assert "a thread waits for memory although memory is plentiful" in marks(graph)
    assert len(stuck(graph)) == 1


def test_wait_never_touches_the_kernel_map():
    """What was really missing plays no part in it."""
    m, _ = after_failure("wait")
    assert "kernel_map" not in {name for _, name in done(search(m.world))}


def test_wait_ends_with_the_next_lap_of_the_daemon():
    """A lap that wakes lets it go on; a silent one does not."""
    for lap, ends in (("wakes", True), ("silent", False)):
        m, _ = after_failure("wait", lap=lap)
        graph = search(m.finish())
        assert any(graph.final(number) for number in range(len(graph))) is ends


# --- lock-retry ---------------------------------------------------------------------------


@fact(
    "The hack: with enough free memory, lock and unlock kernel_map, then fault again",
    "the thread",
)
def test_lock_retry_waits_for_the_holder_of_the_map():
    """With memory free it sleeps on the map's lock, takes it, and lets it go."""
    m, _ = after_failure("lock-retry")
    m.background("K", m.kernel_map.churn)
    with Steered(m.world) as steered:
        steered.until("K", "lock.release")
        steered.go("A")
        assert steered.about_to("A") == "lock.contended"
        steered.step("K")
        steered.go("A")
        assert steered.outcome is not None
    assert m.kernel_map.lock.writer is None


def test_lock_retry_does_not_wait_for_memory_that_is_there():
    """With free pages above the reserve nobody sleeps on ``&uvmexp.free``."""
    m, _ = after_failure("lock-retry")
    graph = search(m.world)
    assert stuck(graph) == []
    assert ("lock.acquire", "kernel_map") in done(graph)
    assert ("chan.sleep", "&uvmexp.free") not in done(graph)


@fact(
    "The hack waits with uvm_wait if its check finds too little free memory",
    "the thread",
)
def test_lock_retry_waits_for_memory_that_is_missing():
    """At the kernel's reserve it does what the old kernel did, and leaves the map alone."""
    m, _ = after_failure("lock-retry", npages=10, reserve_kernel=3)
    assert m.physmem.nfree() == 3
    graph = search(m.world)
    assert ("chan.sleep", "&uvmexp.free") in done(graph)
    assert ("lock.acquire", "kernel_map") not in done(graph)


@pytest.mark.parametrize(("retry_free", "waits"), [(0, False), (64, True)])
def test_lock_retry_takes_so_much_free_memory_for_enough(retry_free, waits):
    """The threshold that its author doubts is a parameter."""
    m, _ = after_failure("lock-retry", retry_free=retry_free)
    graph = search(m.world)
    assert (("chan.sleep", "&uvmexp.free") in done(graph)) is waits
    assert (("lock.acquire", "kernel_map") in done(graph)) is not waits


# --- populate -----------------------------------------------------------------------------


@fact(
    "With the diff a failed pmap_enter is followed by pmap_populate, then ERESTART",
    "uvm_fault.c 1.165",
)
def test_populate_leaves_the_slot_populated():
    """Afterwards the tables and a zero descriptor are there, in every order with a churner."""
    m, space = after_failure("populate")
    m.background("K", m.kernel_map.churn)
    graph = search(m.world)
    assert stuck(graph) == []
    assert graph.violations == []
    assert at_end(graph, lambda: space.pmap.pmap_vp_lookup(VA)[0]) == {Slot.POPULATED}


def test_populate_restarts_a_lone_fault_at_most_once():
    """Its next pass finds what it needs: no second failure, whatever the churner does."""
    m = boot("populate")
    space = m.process()
    m.cpu("A", space.fault, VA)
    m.background("K", m.kernel_map.churn)
    with Steered(m.world) as steered:
        steered.until("K", "lock.release")
        while steered.outcome is None:
            steered.go("A")
            steered.step("K")
        restarts = [event for _, event, _ in steered.events if event == "fault.restart"]
    assert len(restarts) == 1
    assert m.kernel.pmap_pools.vp_pool.fails.nfail == 1
