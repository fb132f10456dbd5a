"""What mlock keeps where it is, and munlock lets go."""

from worlds import alone, boot

from kmodel.param import PAGE_SIZE, PROT_NONE, PROT_READ, PROT_WRITE

VA = 0x20_0000


def anon(space, va=VA):
    return space.map.amap.lookup(va // PAGE_SIZE)


def test_what_is_wired_no_longer_is_on_the_queues_again():
    m = boot()
    space = m.process()

    async def work():
        await space.mlock(VA)
        await space.fault(VA + PAGE_SIZE)
        held = space.pmap.wired_count
        await space.munlock(VA)
        return held

    assert alone(m.world, work) == 2
    assert space.pmap.wired_count == 0
    for va in (VA, VA + PAGE_SIZE):
        assert (anon(space, va).wired, anon(space, va).queued) == (False, True)


def test_a_fault_after_munlock_wires_nothing():
    m = boot()
    space = m.process()

    async def work():
        await space.mlock(VA)
        await space.munlock(VA)
        await space.fault(VA + PAGE_SIZE)

    alone(m.world, work)
    assert not anon(space, VA + PAGE_SIZE).wired


def test_a_page_that_is_not_mapped_stays_wired():
    """munlock finds pages through the pmap, and mprotect has taken the mapping away."""
    m = boot()
    space = m.process()

    async def work():
        await space.mlock(VA)
        await space.mprotect(VA, PROT_NONE)
        await space.munlock(VA)

    alone(m.world, work)
    assert anon(space).wired


def test_nothing_is_faulted_in_of_memory_that_may_not_be_used():
    m = boot()
    space = m.process()

    async def work():
        await space.mprotect(VA, PROT_NONE)
        told = await space.mlock(VA)
        await space.mprotect(VA, PROT_READ | PROT_WRITE)
        return told, await space.fault(VA)

    assert alone(m.world, work) == (0, 0)
    assert anon(space).wired


def test_munlock_of_what_is_not_wired_does_nothing():
    m = boot()
    space = m.process()

    async def work():
        await space.fault(VA)
        await space.munlock(VA)

    alone(m.world, work)
    assert not anon(space).queued


def test_pages_of_an_object_are_wired_and_let_go():
    m = boot()
    space, uobj = m.process(), m.object(2)
    m.map_object(space, VA, uobj)
    seen = []

    async def work():
        await space.mlock(VA)
        seen.append(uobj.memq[0].wired)
        await space.munlock(VA)

    alone(m.world, work)
    assert seen == [True]
    assert not uobj.memq[0].wired
    assert space.pmap.wired_count == 0
