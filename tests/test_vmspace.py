"""What munmap takes away, and what the end of a process gives back."""

import pytest
from facts import fact
from stories import judged
from worlds import (
    Refused,
    Steered,
    alone,
    at_end,
    boot,
    everywhere,
    look,
    marks,
    run,
    search,
    stuck,
)

from kmodel.fault import EACCES, EFAULT
from kmodel.param import PAGE_SIZE, PROT_NONE, PROT_READ, PROT_WRITE
from kmodel.pmap.pmap import ENOMEM
from kmodel.pmap.pte import Slot

VA = 0x20_0000


def pools(m):
    return m.kernel.pmap_pools


def out(m):
    """Items of the process's kind that are out, and free pages."""
    return (pools(m).vp_pool.nout, pools(m).pted_pool.nout, m.kernel.anons.pool.nout)


@fact(
    "An unmap gives the descriptor back and frees no table",
    "pmap.c 1.113 pmap_remove",
)
def test_munmap_frees_the_page_and_its_descriptor_and_keeps_the_tables():
    """pmap_remove gives the descriptor back; no table is freed before pmap_destroy."""
    m = boot()
    space = m.process()
    free = m.physmem.nfree()

    async def work():
        await space.fault(VA)
        await space.munmap(VA, VA + PAGE_SIZE)

    alone(m.world, work)
    assert out(m) == (3, 0, 0)
    assert space.pmap.pmap_vp_lookup(VA)[0] is Slot.EMPTY
    assert m.physmem.nfree() == free - 4


def test_after_munmap_a_fault_is_efault_until_mmap():
    """Then it maps a fresh page."""
    m = boot()
    space = m.process()

    async def work():
        await space.munmap(VA, VA + PAGE_SIZE)
        gone = await space.fault(VA)
        await space.mmap()
        return gone, await space.fault(VA)

    assert alone(m.world, work) == (EFAULT, 0)


def test_munmap_skips_what_is_only_populated():
    """A zero descriptor of a page that was made stays, though its anon goes."""
    m = boot("populate")
    space = m.process()
    m.resident(space, VA)

    async def work():
        await m.kernel.fix.after_failure(m.kernel, space, VA, ENOMEM)
        await space.munmap(VA, VA + PAGE_SIZE)

    alone(m.world, work)
    assert space.pmap.pmap_vp_lookup(VA)[0] is Slot.POPULATED
    assert out(m) == (3, 1, 0)


def test_munmap_wakes_who_waits_for_memory():
    """The page that it frees is a page for anybody."""
    m = boot()
    space = m.process()
    m.resident(space, VA)
    m.cpu("A", m.physmem.uvm_wait, "test")
    m.cpu("U", space.munmap, VA, VA + PAGE_SIZE)
    with Steered(m.world) as steered:
        steered.go("A", "U", "A")
        assert steered.outcome is not None


def test_the_last_thread_gives_everything_back():
    """Whichever of them it is, in every order: tables, descriptors, anons and pages."""
    m = boot()
    space = m.process(threads=2)
    m.resident(space, VA, mapped=True)

    async def touch():
        await space.fault(VA + PAGE_SIZE)
        await space.exit()

    m.cpu("A", touch)
    m.cpu("X", space.exit)
    graph = search(m.finish())
    assert graph.violations == []
    assert stuck(graph) == []
    assert at_end(graph, lambda: (*out(m), space.pmap.top)) == {(0, 0, 0, None)}
    assert "the last thread of a process freed its address space" in marks(graph)


@fact(
    "pmap_destroy frees all descriptors, valid or only populated, and all tables",
    "pmap.c 1.113 pmap_destroy",
)
def test_populated_descriptors_go_with_the_process_too():
    """pmap_destroy walks everything, valid or not."""
    m = boot("populate")
    space = m.process(threads=1)

    async def work():
        await m.kernel.fix.after_failure(m.kernel, space, VA, ENOMEM)
        await space.exit()

    alone(m.world, work)
    assert out(m) == (0, 0, 0)


def test_an_address_space_is_not_freed_while_a_thread_is_in_it():
    """Nothing is freed as long as anybody has yet to exit."""
    m = boot()
    space = m.process(threads=2)
    m.cpu("X", space.exit)
    graph = search(m.world)
    assert everywhere(graph, lambda: space.pmap.top is not None) == {True}


def test_a_slot_of_swap_goes_with_the_process():
    """A page that is nowhere else leaves its slot."""
    m = boot(swap_used=50, pageout=True)
    space = m.process(threads=1)
    m.on_swap(space, VA)
    alone(m.world, space.exit)
    assert (m.kernel.swap.free, m.kernel.swap.only) == (51, 49)


def test_a_page_that_is_busy_is_freed_by_whoever_does_io_on_it():
    """PG_RELEASED: munmap leaves it, the thread that ends the write frees page and anon."""
    m = boot(npages=11, pageout=True)
    space = m.process()
    m.resident(space, VA)
    assert m.physmem.nfree() == 3

    async def unmap():
        await m.physmem.uvm_wait("test")
        await space.munmap(VA, VA + PAGE_SIZE)

    m.cpu("U", unmap)
    graph = search(m.finish())
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert "an anon was freed while its page was busy" in marks(graph)
    quiet = [n for n in range(len(graph)) if graph.final(n) and not look(graph, n, busy(m, space))]
    assert {look(graph, n, lambda: (*out(m)[1:], m.kernel.swap.only)) for n in quiet} == {(0, 0, 0)}


def busy(m, space):
    """Is the write still going on?"""

    def still():
        held = [task.cpu.held for task in m.world.tasks]
        return bool(m.kernel.swap.writing or space.map.amap.anons.released or any(held))

    return still


# --- fork -----------------------------------------------------------------------------------


@fact(
    "A fork lets both processes use one amap, write-protects what the parent has mapped, and marks "
    "both mappings needs-copy",
    "as generally known; uvmspace_fork in uvm_map.c was not read",
)
def test_a_fork_shares_what_the_parent_has():
    m = boot()
    parent = m.process("parent")
    m.resident(parent, VA, mapped=True)
    child = m.child(parent, "child")
    alone(m.world, parent.fork, child)
    (one,), (other,) = parent.map.entries, child.map.entries
    assert one.amap is other.amap
    assert (one.amap.am_ref, one.needs_copy, other.needs_copy) == (2, True, True)
    assert parent.pmap.pmap_vp_lookup(VA)[1].pte[1] is False
    assert child.pmap.pmap_vp_lookup(VA)[0] is Slot.NO_TABLE


def test_a_fork_that_has_been_is_what_a_fork_leaves():
    """A story that begins after it, and one that runs it, are in the same place."""

    def after(run_it):
        m = boot()
        parent = m.process("parent")
        m.resident(parent, VA, mapped=True)
        if run_it:
            child = m.child(parent, "child")
            alone(m.world, parent.fork, child)
        else:
            child = m.forked(parent, "child")
        pted = parent.pmap.pmap_vp_lookup(VA)[1].pte
        entries = [*parent.map.entries, *child.map.entries]
        return pted, [(one.needs_copy, one.amap.am_ref) for one in entries], child.begun

    assert after(True) == after(False)


def test_a_childs_thread_waits_for_the_fork():
    m = boot()
    parent = m.process("parent")
    child = m.child(parent, "child")

    async def first():
        await child.begin()

    m.cpu("C", first)
    m.cpu("F", parent.fork, child)
    with Steered(m.world) as steered:
        steered.go("C")
        assert steered.about_to("C") == "proc.begin"
        steered.go("F", "C")
        assert steered.about_to("C") == "ended"


def test_the_child_of_a_fork_that_exits_leaves_the_parent_all():
    m = boot()
    parent = m.process("parent")
    m.resident(parent, VA, mapped=True)
    child = m.forked(parent, "child", threads=1)
    alone(m.world, child.exit)
    assert parent.map.amap.am_ref == 1
    assert parent.map.amap.lookup(VA // PAGE_SIZE).ref == 1
    assert m.kernel.anons.pool.nout == 1


def test_a_part_of_shared_memory_cannot_be_unmapped_here():
    """Partial references of amaps are not modelled, and it says so."""
    m = boot()
    parent = m.process("parent")
    m.resident(parent, VA)
    m.forked(parent, "child")
    m.cpu("U", parent.munmap, VA, VA + PAGE_SIZE)
    with pytest.raises(Refused, match="still shares with a fork"):
        run(m.world)


def test_wired_memory_cannot_be_forked_here():
    m = boot()
    parent = m.process("parent")
    child = m.child(parent, "child")

    async def work():
        await parent.mlock(VA)
        await parent.fork(child)

    m.cpu("A", work)
    with pytest.raises(Refused, match="fork of wired memory is not modelled"):
        run(m.world)


# --- what threads read and write --------------------------------------------------------------


def test_a_thread_adds_to_memory_and_reads_it_again():
    """The first access faults; with nothing mapped for writing, a second one does."""
    m = boot()
    m.watch_contents()
    space = m.process()

    async def work():
        before = await space.load(VA)
        await space.add(VA, 2)
        await space.add(VA, 3)
        return before, await space.load(VA)

    assert alone(m.world, work) == (0, 5)


def test_an_access_that_cannot_be_made_tells_the_errno():
    m = boot()
    space = m.process()

    async def work():
        await space.munmap(VA, VA + PAGE_SIZE)
        return await space.add(VA, 1), await space.load(VA)

    assert alone(m.world, work) == (EFAULT, -EFAULT)


PROMISED = ("ends", "pages stay whole", "no stale map data", "a timestamp tells of every writer")


@pytest.mark.parametrize(
    ("scenario", "params"),
    [
        ("cow_after_fork", {"vp_stock": 2, "holds": 0}),
        pytest.param("cow_after_fork", {}, marks=pytest.mark.slow),
        pytest.param("cow_after_fork", {"uvm_fault": "1.173"}, marks=pytest.mark.slow),
        ("fork_meanwhile", {}),
        ("fork_meanwhile", {"tlb": True, "pv_lists": True}),
        ("fork_meanwhile", {"uvm_fault": "1.171", "pages": 2, "neighbours": 1}),
        ("file_page", {"cut": True}),
        ("file_page", {"cut": True, "tlb": True, "pv_lists": True}),
        ("file_page", {"remaps": 1, "uvm_fault": "1.173"}),
    ],
)
def test_in_every_order_memory_is_what_it_should_be(scenario, params):
    """The whole search, to its end: nothing lost, nothing seen that is another's, nobody hangs."""
    found = judged(scenario, "populate", **params)
    verdict = found.cell(PROMISED)
    assert (verdict.verdict, found.found.graph.complete) == ("holds", True)


# --- mprotect ---------------------------------------------------------------------------------


def rights(space, va=VA):
    """What the pmap says of ``va``: may it be written to? ``None`` if it is not mapped."""
    slot, pted = space.pmap.pmap_vp_lookup(va)
    return pted.pte[1] if slot is Slot.VALID else None


@fact(
    "A mapping that loses WRITE is marked read-only, and removed if it loses all rights",
    "pmap.c 1.113 pmap_protect",
)
@pytest.mark.parametrize(("prot", "left"), [(PROT_READ, False), (PROT_NONE, None)])
def test_what_is_mapped_loses_the_right_that_its_mapping_loses(prot, left):
    m = boot()
    space = m.process()

    async def work():
        await space.fault(VA)
        await space.mprotect(VA, prot)
        return await space.fault(VA), await space.fault(VA, write=False)

    assert alone(m.world, work) == (EACCES, EACCES if prot == PROT_NONE else 0)
    assert rights(space) is left
    assert space.map.amap.lookup(VA // PAGE_SIZE) is not None


def test_a_right_that_is_given_back_comes_with_the_next_fault():
    m = boot()
    m.watch_contents()
    space = m.process()

    async def work():
        await space.add(VA, 2)
        await space.mprotect(VA, PROT_READ)
        refused = await space.add(VA, 1)
        await space.mprotect(VA, PROT_READ | PROT_WRITE)
        before = rights(space)
        return refused, before, await space.add(VA, 3), await space.load(VA)

    assert alone(m.world, work) == (EACCES, False, 0, 5)
    assert rights(space) is True


def test_after_mprotect_nobody_writes_whatever_faults_are_under_way():
    m = boot("populate", vp_stock=0)
    space = m.process()
    m.cpu("A", space.fault, VA)
    m.cpu("B", space.mprotect, VA, PROT_READ)
    graph = search(m.world)
    assert not stuck(graph)
    assert at_end(graph, lambda: rights(space)) == {None, False}


def test_the_pages_of_an_object_lose_the_right_too():
    m = boot()
    space, uobj = m.process(), m.object(1)
    m.map_object(space, VA, uobj)

    async def work():
        await space.fault(VA)
        before = rights(space)
        await space.mprotect(VA, PROT_READ)
        return before, rights(space)

    assert alone(m.world, work) == (True, False)


def test_a_child_may_do_what_its_parent_may():
    m = boot()
    parent = m.process("parent")
    child = m.child(parent, "child")

    async def work():
        await parent.mprotect(VA, PROT_READ)
        await parent.fork(child)
        return await child.fault(VA)

    assert alone(m.world, work) == EACCES
