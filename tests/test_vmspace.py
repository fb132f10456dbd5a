"""What munmap takes away, and what the end of a process gives back."""

from facts import fact
from worlds import Steered, alone, at_end, boot, everywhere, look, marks, search, stuck

from kmodel.fault import EFAULT
from kmodel.param import PAGE_SIZE
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


@fact(
    "pmap_remove skips populated slots; they stay until pmap_destroy",
    "pmap.c 1.113 pmap_remove",
)
def test_munmap_skips_what_is_only_populated():
    """A zero descriptor stays until pmap_destroy."""
    m = boot("populate")
    space = m.process()

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
        return bool(m.kernel.swap.writing or space.map.amap.released or any(held))

    return still
