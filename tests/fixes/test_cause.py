"""Cause: pmap_enter tells what was missing, and the fault waits for that."""

import pytest
from worlds import Steered, boot, run, search, stuck

from kmodel.vm.cause import Cause

VA = 0x20_0000


def waiting(cause, **params):
    """A task that does what a fault does after a failure for ``cause``."""
    m = boot("cause", **params)
    space = m.process()
    m.cpu("A", m.kernel.fix.after_failure, m.kernel, space, VA, cause)
    return m


@pytest.mark.parametrize(
    ("params", "stride", "cause"),
    [
        ({"npages": 13, "reserve_kernel": 2}, VA, Cause.PAGES),
        ({"kva_pages": 4}, VA, Cause.RANGE),
        ({"km_pages": 5}, VA, Cause.ENTRY),
        ({"km_pages": 5}, 0x1000, Cause.STOCK),
        ({"pool_memory": "intrsafe", "header_stock": 4, "km_pages": 4}, VA, Cause.HEADER),
    ],
)
def test_pmap_enter_says_why(params, stride, cause):
    """Whatever is the first thing to run out, mapping page after page: it is named."""
    m = boot("cause", **params)
    space = m.process()
    told = []

    async def fail():
        for turn in range(6):
            error = await space.pmap.pmap_enter(VA + turn * stride, 1, True, canfail=True)
            if error:
                told.append(error)
                break

    m.cpu("A", fail)
    with Steered(m.world) as steered:
        steered.go("A")
    assert told == [cause]


def test_no_two_pages_together_is_a_cause_of_its_own():
    """With a direct map, half of memory free, and nowhere two in a row."""
    m = boot("cause", pool_memory="direct")
    space = m.process()
    m.physmem.free &= int("01" * 32, 2)
    told = []

    async def fail():
        told.append(await space.pmap.pmap_enter(VA, 1, True, canfail=True))

    m.cpu("A", fail)
    with Steered(m.world) as steered:
        steered.go("A")
    assert told == [Cause.CONTIG]


def test_a_refused_header_panics_with_kernel_map():
    """Found with the row above: pool_p_alloc gives the table page back, whose km_free
    write-locks kernel_map, and pm_mtx is held. No fix is needed for it to happen."""
    m = boot("wait", header_stock=4, entry_stock=8, km_pages=5)
    space = m.process()

    async def map_all():
        for turn in range(3):
            await space.pmap.pmap_enter(VA + turn * VA, 1, True, canfail=True)

    m.cpu("A", map_all)
    outcome = run(m.world).outcome
    assert outcome.kind == "sleep-under-mutex"
    assert outcome.message == ("rw_enter(kernel_map): A would sleep holding mutex p0 pm_mtx")


def test_a_refused_lock_is_waited_for():
    """As the hack does: lock and unlock the map."""
    m = waiting(Cause.LOCK)
    m.background("K", m.kernel_map.churn)
    with Steered(m.world) as steered:
        steered.until("K", "lock.release")
        steered.go("A")
        assert steered.about_to("A") == "lock.contended"


@pytest.mark.parametrize("cause", [Cause.PAGES, Cause.CONTIG])
def test_missing_pages_are_waited_for_with_uvm_wait(cause):
    """It rings for the daemon and sleeps on the channel of free memory."""
    m = waiting(cause)
    with Steered(m.world) as steered:
        steered.go("A")
        assert steered.about_to("A") == "chan.woken"
        assert "page.wait" in {event for _, event, _ in steered.events}


@pytest.mark.parametrize("cause", [Cause.ENTRY, Cause.HEADER, Cause.STOCK, Cause.LIMIT])
def test_a_pool_that_is_short_is_waited_for_as_uvm_anwait_does(cause):
    """Get one with WAITOK, put it back."""
    m = waiting(cause)
    with Steered(m.world) as steered:
        steered.go("A")
        said = [event for _, event, _ in steered.events]
        assert steered.about_to("A") == "ended"
    assert said.count("pool.put") >= 1
    assert m.kernel.pmap_pools.vp_pool.nout == 1


def exhausted():
    """A sleeps for a range; U, who has one of the two there are, will give it back."""
    m = boot("cause", kva_pages=4)
    space = m.process()

    async def unmap():
        va = await m.kernel.km.km_alloc(2, True)
        await m.kernel.km.km_free(va)

    m.cpu("A", m.kernel.fix.after_failure, m.kernel, space, VA, Cause.RANGE)
    m.cpu("U", unmap)
    return m


def test_missing_addresses_are_waited_for_until_some_come_back():
    """In every order with who gives them back nobody sleeps on: no wakeup is lost."""
    graph = search(exhausted().world)
    assert stuck(graph) == []
    assert graph.violations == []
    with Steered(exhausted().world) as steered:
        steered.until("U", "lock.release")  # it has just taken the range
        steered.step("U")
        steered.go("A")
        assert steered.about_to("A") == "chan.woken"
        steered.go("U", "A")
        assert steered.about_to("A") == "ended"


def test_addresses_that_never_come_back_are_waited_for_for_ever():
    """Nobody is told that they are gone for good."""
    m = waiting(Cause.RANGE, kva_pages=2)
    assert len(stuck(search(m.world))) == 1


def test_other_kernels_only_hear_of_a_failure():
    """Without it every cause is ENOMEM."""
    m = boot("wait", kva_pages=2)
    space = m.process()
    told = []

    async def fail():
        told.append(await space.pmap.pmap_enter(VA, 1, True, canfail=True))

    m.cpu("A", fail)
    with Steered(m.world) as steered:
        steered.go("A")
    assert told == [12]
