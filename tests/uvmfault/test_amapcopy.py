"""A mapping that shares its amap since a fork, and needs one of its own."""

import pytest
from facts import fact
from worlds import Steered, alone, at_end, boot, marks, run, search, stuck

from kmodel.param import PAGE_SHIFT

VA = 0x20_0000
ACQUIRE = "lock.acquire"
REVISIONS = ("1.165", "1.171", "1.173")


def forked(**params):
    m = boot(**params)
    parent = m.process("parent", threads=1)
    m.resident(parent, VA, mapped=True)
    return m, parent, m.forked(parent, "child", threads=1)


def amaps(m):
    return m.kernel.amaps.amaps


@fact(
    "After a fork both mappings use one amap and need a copy; a write fault of either copies it, "
    "and each anon is referenced once more",
    "uvm_fault.c 1.165 uvm_fault_check; uvm_amap.c 1.97 amap_copy",
)
@pytest.mark.parametrize("revision", REVISIONS)
def test_the_first_to_write_copies_the_amap(revision):
    m, parent, child = forked(uvm_fault=revision)
    assert parent.map.amap is child.map.amap
    alone(m.world, child.fault, VA, False)
    assert parent.map.amap is not child.map.amap
    assert parent.map.amap.anons is child.map.amap.anons  # the lock too
    assert parent.map.amap.lookup(VA >> PAGE_SHIFT).ref == 2
    assert (parent.map.entries[0].needs_copy, child.map.entries[0].needs_copy) == (True, False)


@fact(
    "A fault on a needs-copy mapping without an object gets its own amap even if it only reads",
    "uvm_fault.c 1.165 uvm_fault_check",
)
def test_reading_anonymous_memory_copies_the_amap_too():
    m, _, child = forked()
    alone(m.world, child.fault, VA, False)
    assert amaps(m).nout == 1


@fact(
    "Whoever is alone in using an amap keeps it: needs-copy is cleared, and nothing allocated",
    "as generally known; that part of amap_copy in uvm_amap.c was not read",
)
def test_the_last_user_keeps_the_amap():
    m, parent, child = forked()

    async def work():
        await child.fault(VA)
        await parent.fault(VA)

    before = parent.map.amap
    m.cpu("A", work)
    got = [item["obj"] for item in run(m.world).named("pool.get")]
    assert got.count(amaps(m).name) == 1  # the child's
    assert parent.map.amap is before
    assert not parent.map.entries[0].needs_copy
    assert amaps(m).nout == 1


@fact(
    "The map is write-locked to copy an amap, and the fault restarts after it",
    "uvm_fault.c 1.165 uvmfault_amapcopy",
)
def test_1_165_locks_the_map_again_and_restarts():
    m, _, child = forked()
    m.cpu("A", child.fault, VA)
    found = run(m.world)
    assert len(found.named("fault.restart")) == 1
    assert [fields["write"] for fields in found.named("lock.acquire")][:2] == [False, True]


@fact(
    "The map's read lock is upgraded in place to copy an amap, and the fault goes on",
    "uvm_fault.c 1.171 uvm_fault_check",
)
def test_1_171_upgrades_and_goes_on():
    m, _, child = forked(uvm_fault="1.171")
    m.cpu("A", child.fault, VA)
    found = run(m.world)
    assert found.named("fault.restart") == []
    assert [fields["result"] for fields in found.named("lock.upgrade")] == [True]
    assert len(found.named("lock.downgrade")) == 1


@fact(
    "An upgrade that is refused looks the address up again with the write lock",
    "uvm_fault.c 1.171 uvm_fault_check",
)
def test_two_threads_that_upgrade_at_once():
    def machine():
        m, _, child = forked(uvm_fault="1.171")
        m.cpu("A", child.fault, VA)
        m.cpu("B", child.fault, VA)
        return m

    m = machine()
    graph = search(m.finish())
    assert stuck(graph) == []
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert "an upgrade of the map's lock was refused" in marks(graph)
    assert at_end(graph, lambda: amaps(m).nout) == {1}
    with Steered(machine().world) as steered:
        steered.until("A", "lock.upgrade")
        steered.until("B", "lock.upgrade")
        steered.step("A")
        seen = len(steered.events)
        steered.until("A", "lock.acquire")
        steered.go("B", "A")
        again = [f for who, event, f in steered.events[seen:] if (who, event) == ("A", ACQUIRE)]
    assert (again[0]["obj"], again[0]["write"]) == ("child vm_map", True)


@fact(
    "An amap that cannot be had is waited for with nothing held, until it is there",
    "uvm_fault.c 1.165 uvmfault_amapcopy",
)
@pytest.mark.parametrize("revision", ["1.165", "1.171"])
def test_without_an_amap_the_fault_waits(revision):
    m, _, child = forked(uvm_fault=revision, amap_stock=0, npages=24)
    m.kernel.km.kmpages.free = 0
    m.cpu("A", child.fault, VA)
    with Steered(m.world) as steered:
        steered.go("A")
        assert steered.about_to("A") == "chan.woken"
        assert m.world.tasks[0].cpu.held == ()
        assert [f["why"] for _, e, f in steered.events if e == "page.wait"] == ["fltamapcopy"]


@pytest.mark.parametrize("revision", REVISIONS)
def test_parent_and_child_write_and_exit_in_every_order(revision):
    """Each copies or keeps, nobody hangs, and everything goes back."""
    m, parent, child = forked(uvm_fault=revision)

    async def touch(space):
        await space.fault(VA)
        await space.exit()

    m.cpu("P", touch, parent)
    m.cpu("C", touch, child)
    graph = search(m.finish(), 300_000)
    assert stuck(graph) == []
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert at_end(graph, lambda: (amaps(m).nout, m.kernel.anons.pool.nout)) == {(0, 0)}
    assert {"an amap was copied", "a page was copied before it was written to"} <= marks(graph)


def test_a_mapping_of_a_private_object_gets_its_first_amap_when_written_to():
    m = boot()
    space, uobj = m.process(), m.object(1)
    m.map_object(space, VA, uobj, private=True)
    entry = space.map.entries[1]
    alone(m.world, space.fault, VA)
    assert (entry.amap.am_ref, entry.needs_copy, amaps(m).nout) == (1, False, 1)
