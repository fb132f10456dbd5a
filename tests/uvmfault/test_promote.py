"""A fault that finds no anon: what it waits for, and who may be quicker."""

import pytest
from facts import fact
from stories import judged
from worlds import Steered, boot

from kmodel.case import Case


@fact(
    "Where a NOWAIT get of an anon fails with memory plentiful, uvm_anwait waits for what was "
    "missing, and the fault restarts once: the pattern of pmap_populate",
    "uvm_anon.c 1.67 uvm_anwait, uvm_fault.c 1.165 uvmfault_promote",
)
def test_anwait_waits_for_the_right_thing():
    """In every order; at most one restart while nobody else takes anons."""
    found = judged("no_anon").verdict()
    assert found.verdict == "holds"
    assert found.counts["refaults"] == 1


@pytest.mark.parametrize("lap", ["wakes", "silent"])
def test_waiting_for_memory_instead_loses_the_wakeup(lap):
    """The thread's flaw, in another pool: an anon is missing, and memory is waited for."""
    found = judged("no_anon", no_anon="wait", lap=lap).verdict()
    assert (found.verdict, found.kind) == ("violated", "lost-wakeup")


@fact(
    "Between uvm_anwait and the retry a thief can take what was given back: another restart",
    "uvm_anon.c 1.67 uvm_anwait",
)
def test_a_thief_costs_another_restart():
    """It takes all four of the page that the first wait has made."""
    with Steered(Case.of("no_anon", {"thefts": 4, "km_batch": 1}).build()) as steered:
        steered.go("pagedaemon")
        steered.until("K", "lock.release")
        steered.go("km thread", "A")
        assert steered.about_to("A") == "chan.woken"  # for an address of the stock
        steered.go("K", "km thread")
        while not any(event == "pool.put" for task, event, _ in steered.events if task == "A"):
            steered.step("A")
        for _ in range(5):
            steered.step("T")
        steered.go("A", "km thread", "A")
        restarts = [task for task, event, _ in steered.events if event == "fault.restart"]
        assert restarts == ["A", "A"]
        assert steered.about_to("A") == "ended"


@fact(
    "A WAITOK get whose pool is empty sleeps for its page in the page allocator, where no put of "
    "an item wakes it",
    "subr_pool.c 1.242 pool_get, uvm_km.c 1.157 km_alloc",
)
def test_an_anon_that_comes_back_wakes_nobody_who_waits_for_an_address():
    m = boot(anon_stock=4, km_pages=5)
    anons = m.kernel.anons
    taken = [anons.pool.boot_take() for _ in range(4)]

    async def put_all():
        for anon in taken:
            await anons.pool.put(anon)

    m.cpu("A", m.process().fault, 0x20_0000)
    m.cpu("T", put_all)
    with Steered(m.world) as steered:
        steered.go("A", "T", "A")
        assert steered.about_to("A") == "chan.woken"
        assert (len(anons.pool.free), anons.pool.requests) == (4, ())
