"""Writing to a page that another process has too, since a fork (case 1B)."""

import pytest
from facts import fact
from worlds import Cell, Steered, alone, at_end, boot, marks, search, stuck

from kmodel.param import PAGE_SHIFT
from kmodel.pmap.pmap import ENOMEM
from kmodel.pmap.pte import Slot

VA = 0x20_0000


def forked(fix="wait", mapped=True, **params):
    """A process that has touched a page, and its child: the page is both's."""
    m = boot(fix, **params)
    m.watch_contents()
    parent = m.process("parent")
    m.resident(parent, VA, mapped=mapped)
    return m, parent, m.forked(parent, "child")


def anon(space):
    return space.map.amap.lookup(VA >> PAGE_SHIFT)


def pte(space):
    slot, pted = space.pmap.pmap_vp_lookup(VA)
    return pted.pte if slot is Slot.VALID else None


def restarts(steered):
    return [fields["va"] for _, event, fields in steered.events if event == "fault.restart"]


@fact(
    "A write to an anon that others reference too gets a new anon with a copy of the page; the "
    "old one loses a reference (case 1B)",
    "uvm_fault.c 1.165 uvm_fault_upper",
)
def test_a_write_to_a_shared_anon_copies_it():
    m, parent, child = forked()

    async def work():
        assert await parent.fault(VA, write=True) == 0

    old = anon(parent)
    m.kernel.contents.store(old.page, 7)
    alone(m.world, work)
    new = anon(parent)
    assert new.address != old.address
    assert (new.ref, new.page == old.page) == (1, False)
    assert anon(child)[:2] == old[:2]
    assert anon(child).ref == 1
    assert pte(parent) == (new.page, True)
    assert m.kernel.contents.value(("page", new.page)) == 7


@fact(
    "A read of an anon that others reference too maps it as it is, without the right to write",
    "uvm_fault.c 1.165 uvm_fault_upper",
)
def test_a_read_of_a_shared_anon_maps_it_read_only():
    m, parent, child = forked(mapped=False)
    alone(m.world, child.fault, VA, False)
    assert anon(child).ref == 2
    assert pte(child) == (anon(parent).page, False)


@fact(
    "The last user of an anon writes to it without a copy (case 1A)",
    "uvm_fault.c 1.165 uvm_fault_upper",
)
def test_the_last_user_keeps_the_page():
    m, parent, child = forked()

    async def work():
        await parent.fault(VA)
        await child.fault(VA)

    page = anon(parent).page
    alone(m.world, work)
    assert pte(child) == (page, True)
    assert m.kernel.anons.pool.nout == 2


@fact(
    "A private page that is read is entered with the right to write that its mapping has",
    "uvm_fault.c 1.165 uvm_fault_check",
)
def test_a_read_fault_enters_what_the_mapping_allows():
    m = boot()
    space = m.process()
    alone(m.world, space.fault, VA, False)
    assert pte(space) == (anon(space).page, True)


def test_two_processes_write_in_every_order_and_each_reads_its_own():
    m, parent, child = forked()

    async def write(space, value):
        await space.add(VA, value)
        return await space.load(VA)

    m.cpu("P", write, parent, 1)
    m.cpu("C", write, child, 2)
    graph = search(m.finish())
    assert stuck(graph) == []
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert "a page was copied before it was written to" in marks(graph)

    def both():
        return [m.kernel.contents.value(("page", pte(space)[0])) for space in (parent, child)]

    assert at_end(graph, lambda: tuple(both())) == {(1, 2)}


def test_a_child_forked_while_the_parent_writes_reads_before_or_after():
    """What it reads is what the page held at the fork, and stays so."""
    m = boot()
    m.watch_contents()
    parent = m.process("parent")
    m.resident(parent, VA, mapped=True)
    child = m.child(parent, "child")
    with m.world:
        got = Cell()

    async def fork():
        await parent.fork(child)
        await parent.add(VA, 2)

    async def write():
        await parent.add(VA, 1)

    async def read():
        await child.begin()
        first = await child.load(VA)
        again = await child.load(VA)
        got.value = (first, again)

    m.cpu("F", fork)
    m.cpu("W", write)
    m.cpu("C", read)
    graph = search(m.finish(), 300_000)
    assert stuck(graph) == []
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert at_end(graph, lambda: got.value) == {(0, 0), (1, 1)}


@fact(
    "A promotion without memory unlocks all, and with swap full ends the fault with ENOMEM",
    "uvm_fault.c 1.165 uvmfault_promote",
)
def test_a_copy_without_memory_is_enomem_with_swap_full():
    m, parent, child = forked(npages=24, swap_used=100)
    m.physmem.others = len(m.physmem.take(m.physmem.nfree() - 3))
    assert alone(m.world, parent.fault, VA) == ENOMEM
    assert anon(parent) == anon(child)
    assert anon(parent).ref == 2


@fact(
    "A promotion without a page waits in uvm_wait with nothing held, and the fault restarts",
    "uvm_fault.c 1.165 uvmfault_promote",
)
def test_a_copy_without_memory_waits_and_starts_again():
    m, parent, _ = forked(npages=24)
    pages = m.physmem.take(m.physmem.nfree() - 3)
    m.cpu("A", parent.fault, VA)
    m.cpu("G", m.physmem.freepages, pages)
    with Steered(m.world) as steered:
        steered.go("A")
        assert steered.about_to("A") == "chan.woken"
        assert m.world.tasks[0].cpu.held == ()
        assert [f["why"] for _, e, f in steered.events if e == "page.wait"] == ["flt_noram3"]
        steered.go("G", "A")
    assert len(restarts(steered)) == 2  # the first is for needs-copy
    assert anon(parent).ref == 1


@pytest.mark.parametrize("fix", ["wait", "populate"])
def test_a_copy_that_could_not_be_mapped_is_kept(fix):
    """The new anon stays in its slot, the old mapping is gone, and the retry maps the same page."""
    m, parent, child = forked(fix, vp_stock=0, mapped=False)
    m.cpu("A", parent.fault, VA)
    m.background("K", m.kernel_map.churn)
    m.finish()
    with Steered(m.world) as steered:
        steered.go("pagedaemon")
        steered.until("K", "lock.release")
        steered.go("A")
        kept = anon(parent)
        assert (kept.ref, kept.busy) == (1, False)
        assert anon(child).ref == 1
        while steered.outcome is None:
            steered.step("K")
            steered.go("pagedaemon", "A")
    assert anon(parent)[:2] == kept[:2]
    assert pte(parent) == (kept.page, True)
