"""Faults on a page that is on swap, or on its way there."""

from facts import fact
from worlds import Steered, alone, at_end, boot, edges, everywhere, marks, run, search, stuck

from kmodel.param import PAGE_SIZE
from kmodel.pmap.pte import Slot
from kmodel.uvmfault.flt import EACCES, EFAULT
from kmodel.vm.map import UserMap

VA = 0x20_0000


def swapped(**params):
    m = boot(**({"pageout": True, "swap_used": 50} | params))
    space = m.process()
    m.on_swap(space, VA)
    return m, space


def anon(space):
    return space.map.amap.lookup(VA // PAGE_SIZE)


@fact(
    "uvmfault_anonget allocates a page for what is on swap and reads it in",
    "uvm_fault.c 1.165 uvmfault_anonget",
)
def test_a_page_on_swap_is_read_in_and_mapped():
    """A page is taken for it, and its slot comes free."""
    m, space = swapped()
    assert alone(m.world, space.fault, VA) == 0
    assert anon(space).page is not None
    assert space.pmap.pmap_vp_lookup(VA)[1].pte == (anon(space).page, True)
    assert m.kernel.swap.only == 49


@fact(
    "While a page is read in nothing is locked; PG_BUSY keeps others off",
    "uvm_fault.c 1.165 uvmfault_anonget",
)
def test_nothing_is_held_while_a_page_is_read_in():
    """The page is busy meanwhile, and that is what keeps others from it."""
    m, space = swapped()
    m.cpu("A", space.fault, VA)
    with Steered(m.world) as steered:
        steered.until("A", "swap.read")
        assert m.world.tasks[0].cpu.held == ()
        assert anon(space).busy


@fact(
    "Who finds a page busy sleeps on it (PG_WANTED) and looks again",
    "uvm_fault.c 1.165 uvmfault_anonget",
)
def test_two_faults_on_one_swapped_page_read_it_once():
    """The second waits for the busy page, in every order, and both map the same one."""
    m, space = swapped()
    m.cpu("A", space.fault, VA)
    m.cpu("B", space.fault, VA)
    graph = search(m.finish())
    assert stuck(graph) == []
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert "a fault waits for a busy page" in marks(graph)
    assert at_end(graph, lambda: (m.kernel.swap.only, space.pmap.pmap_vp_lookup(VA)[0])) == {
        (49, Slot.VALID)
    }


@fact(
    'uvm_wait("flt_noram1") comes without a look at swap: nobody is killed there',
    "uvm_fault.c 1.165 uvmfault_anonget",
)
def test_without_a_page_it_waits_although_swap_is_full():
    """uvm_wait("flt_noram1") comes with no look at swap, so that nobody is killed."""
    m, space = swapped(npages=11, swap_used=100)
    m.physmem.take(m.physmem.nfree() - 3)
    m.cpu("A", space.fault, VA)
    with Steered(m.world) as steered:
        steered.go("A")
        assert steered.about_to("A") == "chan.woken"
        assert [f["why"] for _, e, f in steered.events if e == "page.wait"] == ["flt_noram1"]


def test_a_wait_for_a_page_to_read_into_with_the_map_locked_is_found(monkeypatch):
    """Planted: the map is not unlocked before flt_noram1."""
    m, space = swapped(npages=11, swap_used=100)
    m.physmem.take(m.physmem.nfree() - 3)

    async def pause(self):
        pass

    monkeypatch.setattr(UserMap, "pause", pause)
    m.cpu("A", space.fault, VA)
    outcome = run(m.world).outcome
    assert outcome.kind == "wait-under-lock"
    assert "flt_noram1" in outcome.message


@fact(
    "After the I/O the fault relocks by timestamp; stale is ERESTART, and a released page is freed",
    "uvm_fault.c 1.165 uvmfault_relock",
)
def test_a_page_unmapped_while_it_is_read_in_is_freed_and_the_fault_starts_again():
    """The timestamp has changed, so what the fault found is not touched again; it maps a
    fresh page or finds the hole. Nothing is lost in any order."""
    m, space = swapped()

    async def again():
        await space.munmap(VA, VA + PAGE_SIZE)
        await space.mmap()

    m.cpu("A", space.fault, VA)
    m.cpu("U", again)
    graph = search(m.finish())
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert stuck(graph) == []
    assert "an anon was freed while its page was busy" in marks(graph)
    assert at_end(graph, lambda: m.kernel.swap.only) == {49}
    assert everywhere(graph, lambda: len(space.map.amap.anons.released) <= 1) == {True}


@fact(
    "A relock after the I/O fails if any writer has had the map, whatever it did there",
    "uvm_fault.c 1.165 uvmfault_relock",
)
def test_a_writer_of_the_map_during_the_io_costs_a_restart():
    """It unmaps nothing, and the page is there: the fault starts again all the same, once."""
    m, space = swapped()

    async def write_lock():
        await space.map.vm_map_lock()
        await space.map.lock.exit()

    m.cpu("A", space.fault, VA)
    m.cpu("W", write_lock)
    with Steered(m.world) as steered:
        steered.until("A", "swap.read")
        steered.go("W", "A")
        said = [event for _, event, _ in steered.events]
    assert (said.count("fault.restart"), said.count("swap.read")) == (1, 1)


@fact(
    "A page that cannot be read from swap ends the fault with EACCES, and the process gets SIGSEGV",
    "uvm_fault.c 1.165 uvmfault_anonget, trap.c 1.54",
)
def test_an_io_error_of_swap_is_eacces():
    """The page that was taken for it is free again, and what is on swap stays there."""
    m, space = swapped(swap_broken=True)
    free = m.physmem.nfree()
    m.cpu("A", space.fault, VA)
    found = run(m.world)
    assert found.results["A"] == EACCES
    assert found.named("fault.end")[0]["signal"] == "SIGSEGV"
    assert (anon(space).page, anon(space).busy) == (None, False)
    assert (m.kernel.swap.only, m.physmem.nfree()) == (50, free)
    assert space.pmap.pmap_vp_lookup(VA)[0] is Slot.NO_TABLE


def test_who_waits_for_a_page_that_cannot_be_read_tries_it_too():
    """Two faults and an unmap, in every order: nobody waits for ever, no page is lost, and who
    fails has met an error of his own (or the hole)."""
    m, space = swapped(swap_broken=True)
    m.cpu("A", space.fault, VA)
    m.cpu("B", space.fault, VA)
    m.cpu("U", space.munmap, VA, VA + PAGE_SIZE)
    graph = search(m.finish(), 200_000)
    assert (stuck(graph), [wrong for wrong in graph.violations if wrong.judged]) == ([], [])
    assert at_end(graph, lambda: space.map.amap.anons.members.used) == {()}
    said = [one for edge in edges(graph) for one in edge.leaf.said]
    errors = {fields["error"] for event, fields in said if event == "fault.end"}
    assert errors == {EACCES, EFAULT}


def test_a_page_that_was_written_out_meanwhile_comes_back():
    """The daemon takes the page of a process that faults on it: the fault waits, reads it in
    again, and ends."""
    m = boot(pageout=True, npages=16, vp_stock=2)
    space = m.process()
    m.resident(space, VA)
    m.physmem.take(m.physmem.nfree() - 3)
    m.cpu("A", space.fault, VA)
    m.cpu("W", m.physmem.uvm_wait, "test")
    m.finish()
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "aiodoned", "W", "pagedaemon")
        assert anon(space).busy
        steered.go("A")
        assert steered.about_to("A") == "chan.woken"
        steered.go("aiodoned", "A")
        assert steered.about_to("A") == "ended"
    assert anon(space).page is not None


def test_memory_is_found_again_after_a_run():
    """A sampled run of the same ends with nothing busy."""
    m, space = swapped()
    m.cpu("A", space.fault, VA)
    assert run(m.finish()).outcome.kind == "done"
    assert not anon(space).busy
