"""Faults on pages of an object (2A), and on those that must be made of one (2B)."""

import pytest
from breaks import breaks
from facts import fact
from stories import judged
from worlds import Steered, alone, at_end, boot, everywhere, marks, run, search, stuck

from kmodel.fault import EACCES, EIO
from kmodel.param import PAGE_SHIFT, PAGE_SIZE
from kmodel.pmap.pmap import ENOMEM
from kmodel.pmap.pte import Slot
from kmodel.uvmfault import centre

VA = 0x20_0000


def mapping(backing="file", pages=2, private=False, write=True, fix="wait", **params):
    """A process that maps an object of two pages, none of them resident."""
    m = boot(fix, **params)
    m.watch_contents()
    space = m.process()
    uobj = m.object(pages, backing)
    m.map_object(space, VA, uobj, private=private, write=write)
    return m, space, uobj


def pte(space, va=VA):
    slot, pted = space.pmap.pmap_vp_lookup(va)
    return pted.pte if slot is Slot.VALID else None


def quiet(uobj):
    """No page of the object is busy, and nobody waits for one."""
    return not any(page.busy for _, page in uobj.memq.used) and not uobj.busy_pages.sleepers


@fact(
    "A page of an object that is resident is mapped itself, by every process that shares it (2A)",
    "uvm_fault.c 1.165 uvm_fault_lower",
)
def test_a_resident_page_of_an_object_is_mapped_by_all():
    m, space, uobj = mapping()
    other = m.process()
    m.map_object(other, 2 * VA, uobj)
    m.cached(uobj, 0)

    async def work():
        await space.fault(VA)
        await other.fault(2 * VA)

    alone(m.world, work)
    page = uobj.memq[0].page
    assert pte(space) == pte(other, 2 * VA) == (page, True)
    assert m.kernel.anons.pool.nout == 0


@fact(
    "A missing page of an object is fetched with map and amap unlocked, the page busy and no lock "
    "held over the I/O",
    "uvm_fault.c 1.165 uvm_fault_lower_io",
)
def test_nothing_is_held_while_a_page_of_an_object_is_read():
    m, space, uobj = mapping()
    m.cpu("A", space.load, VA + PAGE_SIZE)
    with Steered(m.world) as steered:
        steered.until("A", "object.read")
        assert m.world.tasks[0].cpu.held == ()
        assert uobj.memq[1].busy
        steered.go("A")
        assert [f["result"] for _, e, f in steered.events if e == "task.end"] == [1]
    assert not uobj.memq[1].busy


def test_fresh_memory_of_an_object_needs_no_io():
    m, space, uobj = mapping("zero")
    m.cpu("A", space.load, VA)
    found = run(m.world)
    assert found.results["A"] == 0
    assert found.named("object.in") == []
    assert quiet(uobj)


@fact(
    "A fault on a busy page of an object sleeps until it is busy no more; the page is read once",
    "uvm_page.c 1.183 uvm_pagewait",
)
@pytest.mark.parametrize("revision", ["1.165", "1.173"])
def test_two_faults_on_one_missing_page_read_it_once(revision):
    m, space, uobj = mapping(uvm_fault=revision)
    m.cpu("A", space.fault, VA)
    m.cpu("B", space.fault, VA)
    graph = search(m.finish())
    assert stuck(graph) == []
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert "a fault waits for a busy page of an object" in marks(graph)
    assert at_end(graph, lambda: (len(uobj.memq.used), quiet(uobj), pte(space) is not None)) == {
        (1, True, True)
    }


@fact("A failing pager ends the fault with EIO, and the process gets SIGBUS", "trap.c 1.54")
def test_a_failing_pager_is_eio():
    m, space, uobj = mapping("broken")
    m.cpu("A", space.fault, VA)
    found = run(m.finish())
    assert found.results["A"] == EIO
    assert found.named("fault.end")[0]["signal"] == "SIGBUS"
    assert uobj.memq.used == ()
    assert found.outcome.kind == "done"


@fact(
    "A pager that says EAGAIN is slept for 5 ms, with nothing held, and the fault restarts",
    "uvm_fault.c 1.165 uvm_fault_lower_io",
)
def test_a_pager_that_wants_to_be_asked_again():
    m, space, uobj = mapping("late")
    m.cpu("A", space.fault, VA, False)
    with Steered(m.world) as steered:
        steered.until("A", "task.pause")
        assert m.world.tasks[0].cpu.held == ()
        steered.go("A")
        assert [e for _, e, _ in steered.events if e in ("fault.restart", "object.read")] == [
            "fault.restart",
            "object.read",
        ]
    assert pte(space) == (uobj.memq[0].page, True)


@fact(
    "A fault lets go of the object's lock first, then the amap's, then the map's",
    "uvm_fault.c 1.165 uvmfault_unlockall",
)
def test_locks_are_let_go_in_the_reverse_of_their_order():
    m, space, uobj = mapping(private=True)
    m.resident(space, VA + 16 * PAGE_SIZE)
    m.cached(uobj, 0)
    m.cpu("A", space.fault, VA)
    found = run(m.world)
    taken = [f["obj"] for f in found.named("lock.acquire")]
    let_go = [f["obj"] for f in found.named("lock.release")]
    three = ["p0 vm_map", "p0 obj0 amap", "obj0 vmobjlock"]
    assert [one for one in taken if one in three][-3:] == three
    assert [one for one in let_go if one in three][-3:] == three[::-1]


@fact(
    "An access that the mapping does not allow ends with EACCES, and the process gets SIGSEGV",
    "trap.c 1.54",
)
def test_a_write_that_is_not_allowed_is_eacces():
    m, space, _ = mapping(write=False)
    m.cpu("A", space.fault, VA)
    found = run(m.finish())
    assert found.results["A"] == EACCES
    assert found.named("fault.end")[0]["signal"] == "SIGSEGV"
    assert m.world.tasks[0].cpu.held == ()


@fact(
    "A write to a private mapping of an object copies the page into a new anon (2B), and leaves "
    "the object's as it is",
    "uvm_fault.c 1.165 uvm_fault_lower",
)
def test_a_private_write_copies_the_objects_page():
    m, space, uobj = mapping(private=True)

    async def work():
        await space.add(VA + PAGE_SIZE, 5)
        return await space.load(VA + PAGE_SIZE)

    assert alone(m.world, work) == 1 + 5
    page = uobj.memq[1]
    assert (page.busy, m.kernel.contents.value(("page", page.page))) == (False, 1)
    amap = space.map.entries[1].amap
    assert amap.lookup((VA + PAGE_SIZE) >> PAGE_SHIFT).page == pte(space, VA + PAGE_SIZE)[0]


@fact(
    "A read of a private mapping of an object maps the object's page without the right to write",
    "uvm_fault.c 1.165 uvm_fault_lower",
)
def test_a_private_read_maps_the_objects_page_read_only():
    m, space, uobj = mapping(private=True)
    alone(m.world, space.load, VA)
    assert pte(space) == (uobj.memq[0].page, False)
    assert space.map.entries[1].needs_copy


@fact(
    "So does one of a mapping that has an amap of its own, for another page: only COW takes the "
    "right away then",
    "uvm_fault.c 1.165 uvm_fault_lower",
)
def test_a_private_read_beside_a_copy_is_read_only_too():
    m, space, uobj = mapping(private=True)

    async def work():
        await space.fault(VA + PAGE_SIZE)
        await space.load(VA)

    alone(m.world, work)
    assert not space.map.entries[1].needs_copy
    assert pte(space) == (uobj.memq[0].page, False)


@fact(
    "An object's page that was released while a fault fetched it is freed by that fault, which "
    "restarts",
    "uvm_fault.c 1.165 uvm_fault_lower_io",
)
def test_a_page_released_meanwhile_is_freed_and_the_fault_starts_again():
    m, space, uobj = mapping()
    m.cpu("A", space.fault, VA)
    m.cpu("T", m.cut_short, uobj, 0)
    graph = search(m.finish())
    assert stuck(graph) == []
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert "an object's page was released while busy" in marks(graph)
    assert "an object's page came too late for its fault" in marks(graph)
    assert at_end(graph, lambda: quiet(uobj)) == {True}
    assert at_end(graph, lambda: any(page.released for _, page in uobj.memq.used)) == {False}


@fact(
    "After the I/O of an object's page the map is relocked only if its timestamp is the same; "
    "else the page is let go and the fault restarts",
    "uvm_fault.c 1.165 uvm_fault_lower_io",
)
def test_a_map_that_changed_meanwhile_restarts_the_fault():
    m, space, uobj = mapping()
    m.cpu("A", space.fault, VA)
    m.cpu("U", space.munmap, VA, VA + PAGE_SIZE)
    graph = search(m.finish())
    assert stuck(graph) == []
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert "an object's page came too late for its fault" in marks(graph)
    assert at_end(graph, lambda: (pte(space), quiet(uobj))) == {(None, True)}
    assert everywhere(graph, lambda: space.map.stale) == {False}


def read_in_and_not_mapped():
    """A fault reads a page of an object, and no address is left for the tables."""
    m, space, uobj = mapping(vp_stock=0)
    m.kernel_map.used = (1 << m.kernel_map.npages) - 1
    m.cpu("A", space.fault, VA, False)
    return m, uobj


@fact(
    "After a failed pmap_enter the object's page is busy no more, stays resident, and who waited "
    "for it is woken, before the fault waits",
    "uvm_fault.c 1.165 uvm_fault_lower",
)
def test_a_page_that_cannot_be_mapped_is_not_kept_busy():
    m, uobj = read_in_and_not_mapped()
    with Steered(m.world) as steered:
        steered.go("A")
        assert [f["why"] for _, e, f in steered.events if e == "page.wait"] == ["flt_pmfail"]
        events = [(e, f.get("obj")) for _, e, f in steered.events]
        woken = events.index(("chan.wakeup", "busy page of obj0"))
        assert woken < events.index(("page.wait", None))
    assert not uobj.memq[0].busy
    assert m.world.tasks[0].cpu.busy == ()


@breaks("nothing is held at a wait")
def test_a_fault_that_waits_with_a_page_busy_is_found(monkeypatch):
    """Planted: the locks are let go, and the page is not."""
    m, _ = read_in_and_not_mapped()

    async def unlock_only(flt, uobj):
        await flt.space.map.unlockall(flt.entry, uobj)

    monkeypatch.setattr(centre, "drop", unlock_only)
    outcome = run(m.world).outcome
    assert outcome.kind == "wait-under-lock"
    assert "cpu A would wait" in outcome.message


def test_a_private_write_without_a_page_lets_the_objects_page_go():
    m, space, uobj = mapping(private=True, npages=24, swap_used=100)
    m.cached(uobj, 0)
    m.physmem.others = len(m.physmem.take(m.physmem.nfree() - 3))
    assert alone(m.world, space.fault, VA) == ENOMEM
    assert quiet(uobj)
    assert m.kernel.anons.pool.nout == 0


# --- room in the amap -----------------------------------------------------------------------


@fact(
    "An anon for a slot without a chunk needs one, NOWAIT; without it the anon is given back, "
    "amap_populate waits with nothing held, and the fault restarts",
    "uvm_amap.c 1.97 amap_add; uvm_fault.c 1.165 uvm_fault_lower",
)
def test_without_a_chunk_the_fault_waits_in_amap_populate():
    m = boot(amap_chunks=True, chunk_stock=0, km_pages=6, anon_stock=4)
    space = m.process()
    m.kernel.km.kmpages.free = 0
    m.cpu("A", space.fault, VA)
    m.finish()
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "A")
        assert steered.about_to("A") == "chan.woken"
        assert m.world.tasks[0].cpu.held == ()
    assert m.kernel.anons.pool.nout == 0
    assert space.map.amap.slots.used == ()
    assert m.kernel.amaps.chunks.fails.nfail == 1


def test_a_chunk_serves_sixteen_slots_and_goes_with_the_process():
    m = boot(amap_chunks=True)
    space = m.process(threads=1)

    async def work():
        await space.fault(VA)
        await space.fault(VA + PAGE_SIZE)
        one = m.kernel.amaps.chunks.nout
        await space.fault(VA + 16 * PAGE_SIZE)
        two = m.kernel.amaps.chunks.nout
        await space.exit()
        return one, two, m.kernel.amaps.chunks.nout

    assert alone(m.world, work) == (1, 2, 0)


def test_without_a_chunk_and_with_swap_full_the_fault_is_enomem():
    m = boot(amap_chunks=True, chunk_stock=0, km_pages=6, swap_used=100)
    space = m.process()
    m.kernel.km.kmpages.free = 0
    m.cpu("A", space.fault, VA)
    assert run(m.world).results["A"] == ENOMEM
    assert m.kernel.anons.pool.nout == 0


@pytest.mark.parametrize("backing", ["broken", "late"])
def test_in_every_order_a_pager_that_fails_or_is_late_leaves_nothing_behind(backing):
    """While the file is cut short, too."""
    found = judged("file_page", "populate", backing=backing, cut=True).verdict()
    assert (found.verdict, found.findings) == ("holds", ())
