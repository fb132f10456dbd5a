"""Pages that a fault maps beside its own."""

import pytest
from facts import fact
from worlds import Steered, alone, boot, marks, run, search, stuck

from kmodel.param import PAGE_SHIFT, PAGE_SIZE
from kmodel.pmap.pmap import ENOMEM, Pmap
from kmodel.pmap.pte import Slot

VA = 0x20_1000
BEFORE, AFTER = VA - PAGE_SIZE, VA + PAGE_SIZE


def touched(*places, fix="wait", **params):
    """A process that has touched these addresses, and maps none of them."""
    m = boot(fix, **({"neighbours": 1, "anon_stock": 8} | params))
    space = m.process()
    for va in places:
        m.resident(space, va)
    return m, space


def mapped(space, *places):
    return [space.pmap.pmap_vp_lookup(va)[0] is Slot.VALID for va in places]


@fact(
    "A fault maps the neighbours too that have an anon with a resident page and no mapping",
    "uvm_fault.c 1.165 uvm_fault_upper_lookup",
)
@pytest.mark.parametrize(("neighbours", "want"), [(0, [False, False]), (1, [True, True])])
def test_neighbours_are_mapped_ahead(neighbours, want):
    m, space = touched(BEFORE, VA, AFTER, neighbours=neighbours)
    alone(m.world, space.fault, VA)
    assert mapped(space, BEFORE, AFTER) == want
    assert mapped(space, VA) == [True]


@fact(
    "A neighbour that is mapped already, or whose page is busy, is left alone",
    "uvm_fault.c 1.165 uvm_fault_upper_lookup",
)
def test_neighbours_that_are_mapped_or_busy_are_left_alone():
    """Also one that is mapped read-only, and could be written to."""
    m, space = touched(VA, AFTER)
    m.resident(space, BEFORE, mapped=True)
    amap, before = space.map.amap, space.pmap.pmap_vp_lookup(BEFORE)[1]
    before.pte = (before.pte[0], False)
    amap.anons.put(amap.lookup(AFTER >> PAGE_SHIFT)._replace(busy=True))
    m.cpu("A", space.fault, VA)
    found = run(m.world)
    assert [one["va"] for one in found.named("pmap.enter")] == [hex(VA)]
    assert mapped(space, BEFORE, AFTER) == [True, False]
    assert not before.pte[1]


def test_neighbours_without_a_page_are_left_alone():
    """None was touched: only the faulting page gets an anon."""
    m, space = touched()
    alone(m.world, space.fault, VA)
    assert mapped(space, BEFORE, AFTER) == [False, False]
    assert m.kernel.anons.pool.nout == 1


@fact(
    "A neighbour whose anon others reference too is mapped without the right to write",
    "uvm_fault.c 1.165 uvm_fault_upper_lookup",
)
def test_a_shared_neighbour_is_read_only():
    m, space = touched(VA, AFTER)
    m.forked(space)
    alone(m.world, space.fault, VA)
    _, pted = space.pmap.pmap_vp_lookup(AFTER)
    assert pted.pte == (space.map.amap.lookup(AFTER >> PAGE_SHIFT).page, False)


@fact(
    "Resident neighbours in an object are mapped too, never writable where a write means a copy",
    "uvm_fault.c 1.165 uvm_fault_lower_lookup",
)
@pytest.mark.parametrize("private", [False, True])
def test_an_objects_neighbours(private):
    m = boot(neighbours=1)
    space, uobj = m.process(), m.object(3)
    m.map_object(space, BEFORE, uobj, private=private)
    for index in range(3):
        m.cached(uobj, index)
    alone(m.world, space.fault, VA, False)
    assert mapped(space, BEFORE, VA, AFTER) == [True] * 3
    assert space.pmap.pmap_vp_lookup(BEFORE)[1].pte == (uobj.memq[0].page, not private)


@fact(
    "A neighbour in an object is read-only also where the mapping has an amap of its own already",
    "uvm_fault.c 1.165 uvm_fault_lower_lookup",
)
def test_an_objects_neighbour_beside_a_copy_is_read_only():
    """Nothing but copy-on-write takes the right away then: the mapping needs no copy any more."""
    m = boot(neighbours=1)
    space, uobj = m.process(), m.object(3)
    m.map_object(space, BEFORE, uobj, private=True)
    for index in range(3):
        m.cached(uobj, index)

    async def write_then_read():
        await space.fault(BEFORE)
        await space.fault(VA, False)

    alone(m.world, write_then_read)
    assert space.pmap.pmap_vp_lookup(AFTER)[1].pte == (uobj.memq[2].page, False)


def test_the_window_ends_with_the_mapping():
    """A page of another mapping is no neighbour."""
    m, space = touched(BEFORE)
    uobj = m.object(1)
    m.map_object(space, VA, uobj)
    m.cached(uobj, 0)
    alone(m.world, space.fault, VA)
    assert mapped(space, BEFORE, VA) == [False, True]


@fact(
    "The result of a neighbour's pmap_enter is ignored, and counted in the pool's failures only",
    "uvm_fault.c 1.165 uvm_fault_upper_lookup",
)
def test_a_neighbour_that_cannot_be_mapped_changes_nothing(monkeypatch):
    """As if its descriptor could not be had, and that of the faulting page could."""
    m, space = touched(AFTER)
    enter = Pmap.pmap_enter

    async def refuse(self, va, *args, **more):
        return ENOMEM if va == AFTER else await enter(self, va, *args, **more)

    monkeypatch.setattr(Pmap, "pmap_enter", refuse)
    m.cpu("A", space.fault, VA)
    found = run(m.world)
    assert found.results["A"] == 0
    assert found.named("fault.restart") == []
    assert mapped(space, VA, AFTER) == [True, False]


@fact(
    "A fault that is restarted maps only its own page",
    "uvm_fault.c 1.165 uvm_fault_check",
)
def test_a_restarted_fault_is_narrow():
    """The first pass could map neither; the second does not try the neighbour."""
    m, space = touched(VA, AFTER)
    m.cpu("A", space.fault, VA)
    m.background("K", m.kernel_map.churn)
    m.finish()
    with Steered(m.world) as steered:
        steered.go("pagedaemon")
        steered.until("K", "lock.release")
        steered.go("A")
        while steered.outcome is None:
            steered.step("K")
            steered.go("pagedaemon", "A")
    assert mapped(space, VA, AFTER) == [True, False]
    assert [event for _, event, _ in steered.events].count("fault.restart") == 1


@fact(
    "A restart for a needs-copy mapping comes before the window is computed, and keeps it",
    "uvm_fault.c 1.165 uvm_fault_check",
)
def test_a_needs_copy_restart_is_not_narrow():
    m, space = touched(VA, AFTER)
    m.forked(space)
    alone(m.world, space.fault, VA)
    assert mapped(space, AFTER) == [True]


@fact(
    "A write to a mapping that has both an amap and an object maps no neighbours",
    "uvm_fault.c 1.165 uvm_fault_check",
)
def test_a_write_over_an_object_is_narrow():
    m = boot(neighbours=1)
    space, uobj = m.process(), m.object(2)
    m.map_object(space, VA, uobj, private=True)
    m.cached(uobj, 0)
    m.cached(uobj, 1)
    alone(m.world, space.fault, VA)
    assert mapped(space, VA, AFTER) == [True, False]


@pytest.mark.parametrize("revision", ["1.165", "1.173"])
def test_two_faults_that_map_each_others_pages(revision):
    """In every order both end, and both pages are mapped once."""
    m, space = touched(VA, AFTER, uvm_fault=revision)
    m.cpu("A", space.fault, VA, False)
    m.cpu("B", space.fault, AFTER, False)
    graph = search(m.finish())
    assert stuck(graph) == []
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert "a neighbour was mapped ahead" in marks(graph)


@fact(
    "The hardware is not told of a neighbour: its first touch is resolved without UVM",
    "uvm_fault.c 1.165 uvm_fault_upper_lookup; pmap.c 1.113 pmap_fault_fixup",
)
def test_the_first_touch_of_a_neighbour_needs_no_fault():
    m, space = touched(VA, AFTER, tlb=True)

    async def work():
        await space.load(VA)
        await space.load(AFTER)

    m.cpu("A", work)
    found = run(m.world)
    assert [fields["va"] for fields in found.named("fault.begin")] == [hex(VA)]
    assert mapped(space, AFTER) == [True]
    told = [fields["va"] for fields in found.named("mmu.write")]
    assert told == [hex(VA), hex(AFTER)]  # the second by its first touch
    said = [event for _, event, _ in found.events]
    assert said.index("fault.end") < len(said) - 1 - said[::-1].index("mmu.write")
