"""Taking rights from mappings: by address, and by page over all pmaps."""

import pytest
from breaks import breaks
from facts import fact
from pmaps import FAR, NEAR, VA, out, pmap, slot
from stories import judged
from worlds import Refused, Steered, alone, at_end, boot, marks, panics, search, stuck

from kmodel.param import PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE
from kmodel.pmap.populate import pmap_populate
from kmodel.pmap.pte import Slot
from kmodel.properties import RIGHTS


def pte(pm, va):
    """What the descriptor at ``va`` says: (page, may write)."""
    return pm.pmap_vp_lookup(va)[1].pte


async def enter(pm, va, page, write=True, wired=False):
    assert await pm.pmap_enter(va, page, write, canfail=True, wired=wired) == 0


# --- by address -----------------------------------------------------------------------------


@fact(
    "pmap_protect with READ or EXEC makes mappings read-only, with neither it removes them",
    "pmap.c 1.113 pmap_protect",
)
@pytest.mark.parametrize(
    ("prot", "left"),
    [
        (PROT_READ, (5, False)),
        (PROT_EXEC, (5, False)),
        (PROT_READ | PROT_WRITE, (5, False)),
        (PROT_WRITE, None),
        (PROT_NONE, None),
    ],
)
def test_protect_takes_a_right_away_or_the_mapping(prot, left):
    """It never gives one: WRITE beside READ is not looked at."""
    m, pm = pmap()

    async def work():
        await enter(pm, VA, 5)
        await pm.pmap_protect(VA, NEAR, prot)
        return pte(pm, VA) if slot(pm, VA) is Slot.VALID else None

    assert alone(m.world, work) == left


@fact("pmap_protect and pmap_unwire skip what is not valid", "pmap.c 1.113 pmap_protect")
@pytest.mark.parametrize("prot", [PROT_READ, PROT_NONE])
def test_protect_passes_over_what_is_not_mapped(prot):
    """No table, an empty slot and a populated one stay as they are."""
    m, pm = pmap()

    async def work():
        await pmap_populate(pm, VA)
        await pm.pmap_protect(VA, FAR, prot)
        await pm.pmap_protect(FAR, FAR + 0x1000, prot)
        for va in (VA, NEAR, FAR):
            await pm.pmap_unwire(va)
        return slot(pm, VA), slot(pm, NEAR), slot(pm, FAR)

    assert alone(m.world, work) == (Slot.POPULATED, Slot.EMPTY, Slot.NO_TABLE)
    assert pm.wired_count == 0


# --- wiring ---------------------------------------------------------------------------------


@fact("pmap_remove_pted counts wired down if the mapping is wired", "pmap.c 1.113 pmap_remove_pted")
def test_wired_mappings_are_counted_until_they_are_unwired_or_gone():
    """Unwire leaves the mapping; what is unwired already stays so."""
    m, pm = pmap()

    async def work():
        await enter(pm, VA, 5, wired=True)
        await enter(pm, NEAR, 6, wired=True)
        await enter(pm, FAR, 7)
        await pm.pmap_unwire(VA)
        await pm.pmap_unwire(VA)
        await pm.pmap_remove(NEAR, FAR)
        return pte(pm, VA)

    assert alone(m.world, work) == (5, True)
    assert (pm.resident_count, pm.wired_count) == (2, 0)


@fact(
    "Entering what is mapped already does not record a changed wiring",
    "pmap.c 1.113 pmap_enter",
)
@pytest.mark.parametrize("first", [True, False])
def test_entering_the_same_mapping_does_not_change_its_wiring(first):
    """Same page, same protection: the early return does not look at the flag."""
    m, pm = pmap()

    async def work():
        await enter(pm, VA, 5, wired=first)
        await enter(pm, VA, 5, wired=not first)
        return pm.pmap_vp_lookup(VA)[1].wired

    assert alone(m.world, work) is first
    assert pm.wired_count == first


# --- by page --------------------------------------------------------------------------------


def two(**params):
    """Two pmaps that know where their pages are mapped."""
    m, pm = pmap(pv_lists=True, vp_stock=10, **params)
    return m, pm, m.process().pmap, m.kernel.pmap_pools.pv


@fact("pmap_page_protect with READ write-protects every mapping", "pmap.c 1.113 pmap_page_protect")
def test_every_mapping_of_a_page_becomes_read_only():
    """In each pmap, at each address; other pages are left alone."""
    m, pm, other, pv = two()

    async def work():
        await enter(pm, VA, 5)
        await enter(pm, FAR, 5)
        await enter(other, NEAR, 5)
        await enter(other, VA, 6)
        await pv.pmap_page_protect(5, PROT_READ)
        return pte(pm, VA), pte(pm, FAR), pte(other, NEAR), pte(other, VA)

    assert alone(m.world, work) == ((5, False), (5, False), (5, False), (6, True))


@fact("pmap_page_protect with NONE removes every mapping", "pmap.c 1.113 pmap_page_protect")
def test_every_mapping_of_a_page_is_removed():
    """The descriptors go back, both counts go down, and no reference is left."""
    m, pm, other, pv = two()

    async def work():
        await enter(pm, VA, 5, wired=True)
        await enter(pm, FAR, 5)
        await enter(other, NEAR, 5)
        await enter(other, VA, 6)
        await pv.pmap_page_protect(5, PROT_NONE)
        return pv.lists[5], slot(pm, VA), slot(other, NEAR), pte(other, VA), out(pm)[1]

    assert alone(m.world, work) == ((), Slot.EMPTY, Slot.EMPTY, (6, True), 1)
    assert (pm.resident_count, pm.wired_count, other.resident_count) == (0, 0, 1)
    assert (pm.refs, other.refs) == (1, 1)


@fact(
    "A mapping is on its page's pv list from pmap_enter until it is removed or replaced",
    "pmap.c 1.113 pmap_enter, pmap_remove_pted",
)
def test_the_list_of_a_page_says_where_it_is_mapped():
    """A populated address is on no list."""
    m, pm, other, pv = two()

    async def work():
        await enter(pm, VA, 5)
        await enter(other, VA, 5)
        await pmap_populate(pm, NEAR)
        both = [(of.name, va) for of, va, _ in pv.lists[5]]
        await enter(pm, VA, 6)
        await other.pmap_remove(VA, NEAR)
        return both, len(pv.lists[5]), [va for _, va, _ in pv.lists[6]]

    assert alone(m.world, work) == ([("p1 pmap", VA), ("p0 pmap", VA)], 0, [VA])


@fact("The lock order is pm_mtx, then the pv mutex of a page", "pmap.c 1.113 pmap_page_protect")
def test_who_takes_a_page_away_from_a_pmap_does_not_wait_for_it_with_the_list_locked():
    """B maps the page again, in the same pmap: it has that locked when it wants the list."""
    m, pm, _, pv = two()
    m.cpu("A", setup_and_protect, pm, pv, PROT_NONE)
    m.cpu("B", enter, pm, NEAR, 5)
    graph = search(m.world)
    assert stuck(graph) == []
    assert graph.violations == []


@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ])
def test_every_order_of_protecting_a_page_and_entering_it_agrees(prot):
    """Found by search: nobody gets stuck, nothing is lost, and the counts stay exact."""
    m, pm, other, pv = two()
    m.cpu("A", setup_and_protect, pm, pv, prot)
    m.cpu("B", enter, other, VA, 5)
    graph = search(m.world)
    assert stuck(graph) == []
    assert graph.violations == []
    ends = at_end(graph, lambda: (slot(pm, VA), slot(other, VA), len(pv.lists[5]), pm.exact))
    if prot == PROT_NONE:
        assert ends == {
            (Slot.EMPTY, Slot.EMPTY, 0, True),
            (Slot.EMPTY, Slot.VALID, 1, True),
        }
    else:
        assert ends == {(Slot.VALID, Slot.VALID, 2, True)}


async def setup_and_protect(pm, pv, prot):
    await enter(pm, VA, 5)
    await pv.pmap_page_protect(5, prot)


@fact(
    "pmap_page_protect drops the pv mutex to take pm_mtx, and begins again if another pmap's "
    "mapping has come first",
    "pmap.c 1.113 pmap_page_protect",
)
def test_a_mapping_that_comes_first_meanwhile_is_met_again():
    """In some order the one that was first no longer is; in none is one forgotten."""
    m, pm, other, pv = two()

    async def enter_and_leave():
        await enter(other, VA, 5)
        await other.pmap_remove(VA, NEAR)

    m.cpu("A", setup_and_protect, pm, pv, PROT_NONE)
    m.cpu("B", enter_and_leave)
    graph = search(m.world)
    assert graph.violations == []
    assert "pmap_page_protect found another mapping first when it came back" in marks(graph)
    assert at_end(graph, lambda: (len(pv.lists[5]), pm.refs, other.refs)) == {(0, 1, 1)}


@fact("pmap_page_protect references the pmap over the gap", "pmap.c 1.113 pmap_page_protect")
def test_the_pmap_of_a_mapping_is_kept_while_its_page_is_protected():
    """The process ends meanwhile: whoever lets go last frees the tables, and only then."""
    m = boot(pv_lists=True)
    space = m.process()
    m.resident(space, VA, mapped=True)
    pm, pools = space.pmap, m.kernel.pmap_pools
    page = pte(pm, VA)[0]

    async def end():
        await pm.pmap_remove(VA, NEAR)
        await pm.pmap_destroy()

    m.cpu("A", pools.pmap_page_protect, page, PROT_NONE)
    m.cpu("B", end)
    graph = search(m.world)
    assert panics(graph) == []
    assert stuck(graph) == []
    assert at_end(graph, lambda: (pm.refs, pm.top, out(pm))) == {(0, None, (0, 0))}


def test_a_pmap_destroyed_with_a_mapping_leaves_it_on_the_list_of_its_page():
    """Whoever protects the page then uses what is free. UVM removes all mappings before."""
    m, pm, _, pv = two()

    async def work():
        await enter(pm, VA, 5, wired=True)
        await pm.pmap_destroy()
        await pv.pmap_page_protect(5, PROT_NONE)

    m.cpu("A", work)
    (wrong,) = panics(search(m.world))
    assert wrong.kind == "use-after-free"


def test_a_descriptor_is_not_wired_when_it_is_used_again():
    """Also one that was wired when its pmap was destroyed."""
    m, pm, other, _ = two()

    async def work():
        await enter(pm, VA, 5, wired=True)
        await pm.pmap_destroy()
        await enter(other, VA, 5)
        return [item.wired for level, _, item in other.linked() if level == 4]

    assert alone(m.world, work) == [False]


def test_protecting_holds_one_pv_mutex_after_the_pmap_lock():
    """At the retake both are held, pm_mtx first; between, neither is."""
    m, pm, _, pv = two()
    m.cpu("A", setup_and_protect, pm, pv, PROT_NONE)
    with Steered(m.world) as steered:
        steered.until("A", "pmap.reference")
        assert m.world.tasks[0].cpu.held == (pv.mtx[5],)
        steered.step("A")
        steered.step("A")
        assert m.world.tasks[0].cpu.held == (pm.pm_mtx,)
        steered.step("A")
        steered.go("A")
        assert steered.outcome is not None


@pytest.mark.parametrize("other", ["enter", "exit", "mprotect", "touch"])
def test_removing_the_mappings_of_a_page_disturbs_nobody(other):
    """Whatever the process does meanwhile: pm_mtx is held while a mapping goes."""
    assert protected("none", other) == set()


@breaks("no right but the mapping's")
@pytest.mark.parametrize(
    ("other", "found"),
    [
        ("enter", set()),
        ("exit", set()),
        ("mprotect", {"no data race"}),
        ("touch", {"no data race", RIGHTS}),
    ],
)
def test_write_protecting_a_page_relies_on_the_lock_of_its_owner(other, found):
    """The pv mutex alone keeps off neither mprotect nor the trap handler, which then tells the
    hardware of a right that is gone. Assumed, that no more than it is held (see ``pv.py``)."""
    assert protected("read", other) == found


def protected(prot, other):
    """Which properties the story of a protected page breaks."""
    case = judged("page_protected", "wait", tlb=True, prot=prot, other=other)
    broken = [*case.found.violated, *case.found.racing, *case.found.inverted]
    return {one.property for one in broken}


def test_without_pv_lists_a_page_cannot_be_protected():
    """A scenario that wants it is told what to set."""
    m, pm = pmap()
    with pytest.raises(Refused, match="know_mappings"):
        alone(m.world, pm.pools.pmap_page_protect, 5, PROT_NONE)
