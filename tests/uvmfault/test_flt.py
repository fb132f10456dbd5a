"""How a fault holds its locks, by revision; and faults that wire."""

import pytest
from facts import fact
from worlds import Steered, alone, at_end, boot, marks, run, search, stuck

from kmodel.param import PAGE_SHIFT, PAGE_SIZE, KernelParams, contradictions

VA = 0x20_0000


def resident(**params):
    m = boot(**params)
    space = m.process()
    m.resident(space, VA)
    return m, space


def locked(found, what):
    """Was the lock taken for writing? Each time."""
    return [f["write"] for f in found.named("lock.acquire") if f["obj"] == what]


@fact(
    "Amaps are locked for writing by every fault",
    "uvm_fault.c 1.165 and 1.171 uvm_fault",
)
@pytest.mark.parametrize("revision", ["1.165", "1.171"])
def test_amaps_are_locked_for_writing(revision):
    m, space = resident(uvm_fault=revision)
    m.cpu("A", space.fault, VA, False)
    assert locked(run(m.world), "p0 amap") == [True]


@fact(
    "Amaps are locked for reading unless the access is a write",
    "uvm_fault.c 1.173 uvm_fault_check",
)
@pytest.mark.parametrize("write", [False, True])
def test_1_173_locks_amaps_as_the_access_needs(write):
    m, space = resident(uvm_fault="1.173")
    m.cpu("A", space.fault, VA, write)
    assert locked(run(m.world), "p0 amap") == [write]


@fact(
    "With shared locks two threads can enter mappings of one amap at the same time",
    "uvm_fault.c 1.173 uvm_fault",
)
@pytest.mark.parametrize(("revision", "beside"), [("1.171", False), ("1.173", True)])
def test_two_faults_hold_the_amap_at_once(revision, beside):
    m, space = resident(uvm_fault=revision)
    m.resident(space, VA + PAGE_SIZE)
    m.cpu("A", space.fault, VA, False)
    m.cpu("B", space.fault, VA + PAGE_SIZE, False)
    with Steered(m.world) as steered:
        steered.until("A", "mutex.enter")
        steered.go("B")
        assert (steered.about_to("B") == "ended") is beside


@fact(
    "A fault that must change what it has read-locked upgrades the lock, or restarts with WRITE",
    "uvm_fault.c 1.173 uvm_fault_lower, uvmfault_anonget",
)
def test_two_read_faults_on_fresh_memory_upgrade_or_start_again():
    m = boot(uvm_fault="1.173")
    space = m.process()
    m.cpu("A", space.fault, VA, False)
    m.cpu("B", space.fault, VA, False)
    graph = search(m.finish())
    assert stuck(graph) == []
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert "an upgrade of an amap's lock was refused" in marks(graph)
    assert at_end(graph, lambda: (m.kernel.anons.pool.nout, space.map.amap.am_lock.readers)) == {
        (1, ())
    }


def test_two_read_faults_on_a_missing_page_of_an_object():
    m = boot(uvm_fault="1.173")
    space, uobj = m.process(), m.object(2)
    m.map_object(space, VA, uobj)
    m.cpu("A", space.fault, VA, False)
    m.cpu("B", space.fault, VA + PAGE_SIZE, False)
    graph = search(m.finish(), 200_000)
    assert stuck(graph) == []
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert "an upgrade of an object's lock was refused" in marks(graph)


def test_page_queues_under_a_shared_lock_are_refused():
    assert any(
        "1.173" in one for one in contradictions(KernelParams(uvm_fault="1.173", pageout=True))
    )
    assert contradictions(KernelParams(uvm_fault="1.171", pageout=True)) == []


# --- wired ----------------------------------------------------------------------------------


@fact(
    "A wiring fault maps no neighbours, locks for writing, and takes the page off the queues",
    "uvm_fault.c 1.165 uvm_fault_check, uvm_fault_upper",
)
def test_a_wired_page_is_written_to_and_stays_off_the_queues():
    m, space = resident(uvm_fault="1.173", neighbours=1)
    m.resident(space, VA + PAGE_SIZE)
    m.cpu("A", space.mlock, VA)
    found = run(m.world)
    assert found.results["A"] == 0
    assert locked(found, "p0 amap") == [True]
    anon = space.map.amap.lookup(VA >> PAGE_SHIFT)
    assert (anon.wired, anon.queued) == (True, False)
    assert len(found.named("pmap.enter")) == 1
    assert space.pmap.wired_count == 1


@fact(
    "The access of a wiring fault is all that the mapping allows: a private page of an object is "
    "copied though nobody writes to it",
    "uvm_fault.c 1.165 uvm_fault_check",
)
def test_wiring_takes_the_access_from_the_mapping():
    m = boot()
    space, uobj = m.process(), m.object(1)
    m.map_object(space, VA, uobj, private=True)
    m.cached(uobj, 0)
    alone(m.world, space.mlock, VA)
    page, writable = space.pmap.pmap_vp_lookup(VA)[1].pte
    assert writable
    assert page == space.map.entries[1].amap.lookup(VA >> PAGE_SHIFT).page != uobj.memq[0].page


@fact(
    "A fault on a wired mapping is a wiring fault",
    "uvm_fault.c 1.165 uvm_fault_check",
)
def test_a_fault_on_a_wired_mapping_wires():
    m = boot()
    space = m.process()

    async def work():
        await space.mlock(VA)
        await space.fault(VA + PAGE_SIZE, False)

    alone(m.world, work)
    assert space.map.amap.lookup((VA + PAGE_SIZE) >> PAGE_SHIFT).wired


def test_the_page_daemon_leaves_wired_pages_alone():
    m = boot(pageout=True, npages=16, vp_stock=2)
    space = m.process()
    m.resident(space, VA)
    m.cpu("A", space.mlock, VA)
    m.cpu("W", m.physmem.uvm_wait, "test")
    m.finish()
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "aiodoned", "A")
        m.physmem.take(m.physmem.nfree() - 3)
        steered.go("W", "pagedaemon", "aiodoned")
        assert [e for _, e, _ in steered.events if e == "page.out"] == []


def test_wiring_after_a_fork_copies():
    """The access of a wiring fault is what the mapping allows: a write."""
    m = boot()
    parent = m.process()
    m.resident(parent, VA)
    child = m.forked(parent)
    alone(m.world, child.mlock, VA)
    ours, theirs = (one.map.amap.lookup(VA >> PAGE_SHIFT) for one in (child, parent))
    assert ours.address != theirs.address
    assert (ours.wired, theirs.wired) == (True, False)


def test_a_wired_page_of_an_object():
    m = boot()
    space, uobj = m.process(), m.object(1)
    m.map_object(space, VA, uobj)
    alone(m.world, space.mlock, VA)
    assert uobj.memq[0].wired
