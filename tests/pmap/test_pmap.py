"""Page tables: what a slot can be, what enter leaves behind, what is given back."""

import pytest
from facts import fact
from pmaps import DISTANT, FAR, NEAR, VA, out, pmap, slot
from worlds import Cell, Steered, alone, at_end, edges, look, panics, run, search, stuck

from kmodel.pmap.pmap import ENOMEM, Pmap
from kmodel.pmap.populate import pmap_populate
from kmodel.pmap.pte import Slot
from kmodel.sync import rwlock

# --- the states of a slot ---------------------------------------------------------------


def test_a_slot_goes_through_its_states():
    """No table, mapped, empty with its tables still there, populated, mapped again."""
    m, pm = pmap()

    async def life():
        seen = [slot(pm, VA)]
        assert await pm.pmap_enter(VA, 5, True, canfail=True) == 0
        seen.append(slot(pm, VA))
        await pm.pmap_remove(VA, NEAR)
        seen.append(slot(pm, VA))
        await pmap_populate(pm, VA)
        seen.append(slot(pm, VA))
        assert await pm.pmap_enter(VA, 6, False, canfail=True) == 0
        return [*seen, slot(pm, VA)]

    assert alone(m.world, life) == [
        Slot.NO_TABLE,
        Slot.VALID,
        Slot.EMPTY,
        Slot.POPULATED,
        Slot.VALID,
    ]


@fact(
    "A populated slot (pte zero) is not mapped: pmap_extract says no",
    "pmap.c 1.113 pmap_extract",
)
def test_populated_is_not_mapped():
    """``pmap_extract`` says no of a populated address, and yes of a mapped one."""
    m, pm = pmap()

    async def ask():
        await pmap_populate(pm, VA)
        await pm.pmap_enter(NEAR, 7, False, canfail=True)
        return [await pm.pmap_extract(va) for va in (VA, NEAR, FAR, DISTANT)]

    assert alone(m.world, ask) == [None, 7, None, None]


@fact(
    "pmap_remove skips populated slots; they stay until pmap_destroy",
    "pmap.c 1.113 pmap_remove",
)
def test_remove_leaves_populated_slots_and_all_tables():
    """Only valid descriptors go; a populated one stays until the pmap is destroyed."""
    m, pm = pmap()

    async def work():
        await pmap_populate(pm, VA)
        await pm.pmap_enter(NEAR, 7, True, canfail=True)
        await pm.pmap_remove(VA, FAR)
        return slot(pm, VA), slot(pm, NEAR), out(pm)

    assert alone(m.world, work) == (Slot.POPULATED, Slot.EMPTY, (3, 1))


@fact(
    "pmap_enter of the same page and protection returns 0 at once",
    "pmap.c 1.113 pmap_enter",
)
def test_entering_the_same_mapping_again_changes_nothing():
    """Same page, same protection: 0 at once, and nothing is taken or let go; with another
    protection the old descriptor goes first."""
    for write, said in ((True, []), (False, [{"obj": "p0 pmap", "va": hex(VA)}])):
        m, pm = pmap()

        async def work(pm=pm, write=write):
            await pm.pmap_enter(VA, 5, True, canfail=True)
            before = out(pm)
            assert await pm.pmap_enter(VA, 5, write, canfail=True) == 0
            return before == out(pm), pm.resident_count

        m.cpu("A", work)
        ended = run(m.world)
        assert ended.results["A"] == (True, 1)
        assert ended.named("pmap.remove") == said


@fact(
    "pmap_enter of another page removes the old descriptor first, and takes a new one",
    "pmap.c 1.113 pmap_enter",
)
def test_entering_another_page_replaces_the_mapping():
    """The old descriptor goes back first; afterwards one is out and one page mapped."""
    m, pm = pmap()

    async def work():
        await pm.pmap_enter(VA, 5, True, canfail=True)
        await pm.pmap_enter(VA, 6, True, canfail=True)
        return await pm.pmap_extract(VA), out(pm), pm.resident_count

    m.cpu("A", work)
    ended = run(m.world)
    assert ended.results["A"] == (6, (3, 1), 1)
    mapped = ended.named("pmap.enter")
    assert [one["page"] for one in mapped] == [5, 6]
    said = [event for _, event, _ in ended.events]
    between = said[said.index("pmap.enter") + 1 :]
    steps = [event for event in between if event in ("pmap.remove", "pool.put", "pool.get")]
    assert steps == ["pmap.remove", "pool.put", "pool.get"]


# --- how much is needed -----------------------------------------------------------------


@fact(
    "A fresh region needs two table pages and a descriptor at 3 levels, three and one at 4",
    "pmap.c 1.113",
)
@pytest.mark.parametrize(("levels", "tables"), [(3, 2), (4, 3)])
def test_a_fresh_mapping_needs_a_table_a_level_below_the_top(levels, tables):
    """Three levels: two tables and a descriptor. Four levels: one table more."""
    m, pm = pmap(levels)

    async def work():
        assert await pm.pmap_enter(VA, 5, True, canfail=True) == 0
        return out(pm)

    assert alone(m.world, work) == (1 + tables, 1)


@pytest.mark.parametrize(("va", "tables"), [(NEAR, 0), (FAR, 1), (DISTANT, 2)])
def test_tables_are_shared_by_what_lies_close(va, tables):
    """The second mapping needs only the tables that the first did not make."""
    m, pm = pmap()

    async def work():
        await pm.pmap_enter(VA, 5, True, canfail=True)
        before = out(pm)[0]
        await pm.pmap_enter(va, 6, True, canfail=True)
        return out(pm)[0] - before

    assert alone(m.world, work) == tables


@fact(
    "pmap_enter into a populated slot allocates nothing, so it cannot fail",
    "pmap.c 1.113 pmap_enter",
)
def test_a_populated_slot_needs_no_allocation():
    """Entering there asks no pool, so it cannot fail: only populate itself took items."""
    m, pm = pmap()

    async def work():
        await pmap_populate(pm, VA)
        return await pm.pmap_enter(VA, 5, True, canfail=False)

    m.cpu("A", work)
    found = run(m.world)
    assert found.results["A"] == 0
    assert [fields["obj"] for fields in found.named("pool.get")] == [
        "pted pool",
        "vp pool",
        "vp pool",
    ]


# --- failure ------------------------------------------------------------------------------


def refused(levels, vp_stock):
    """A machine whose kernel map is held while A enters, with so many tables in stock."""
    m, pm = pmap(levels, vp_stock)
    with m.world:
        got = Cell(())

    async def enter():
        for _ in range(2):
            error = await pm.pmap_enter(VA, 5, True, canfail=True)
            got.value = (*got.value, (error, out(pm)))

    m.cpu("A", enter)
    m.background("K", m.kernel_map.churn)
    return m, pm, got


@fact(
    "Levels linked before a deeper one failed stay; the descriptor goes back",
    "pmap.c 1.113 pmap_vp_enter",
)
@pytest.mark.parametrize(
    ("levels", "stock", "left"), [(3, 0, 1), (3, 1, 2), (4, 0, 1), (4, 1, 2), (4, 2, 3)]
)
def test_tables_linked_before_a_failure_stay(levels, stock, left):
    """A failed enter gives its descriptor back, but not the tables it has linked."""
    m, pm, got = refused(levels, stock)
    with Steered(m.world) as steered:
        steered.until("K", "lock.release")
        steered.go("A")
        assert got.value[0] == (ENOMEM, (left, 0))
        assert slot(pm, VA) is Slot.NO_TABLE


@fact(
    "A retry needs fewer items than the pass that failed",
    "pmap.c 1.113 pmap_vp_enter",
)
def test_a_retry_needs_fewer():
    """Two failures in a row lose nothing; once the map is free only the rest is made."""
    m, pm, got = refused(4, 1)
    with Steered(m.world) as steered:
        steered.until("K", "lock.release")
        while len(got.value) < 1:
            steered.step("A")
        steered.step("K")
        steered.go("A")
        assert steered.outcome is not None
    assert got.value == ((ENOMEM, (2, 0)), (0, (4, 1)))
    assert pm.pools.vp_pool.fails.nfail == 1


@fact(
    "Without PMAP_CANFAIL a failed allocation panics",
    "pmap.c 1.113 pmap_enter",
)
def test_without_canfail_a_failure_panics():
    """The caller said that it cannot go on without the mapping."""
    m, pm = pmap(vp_stock=0, kva_pages=2)

    async def enter():
        await pm.pmap_enter(VA, 5, True, canfail=False)

    m.cpu("A", enter)
    (wrong,) = panics(search(m.world))
    assert wrong.message == "pmap_enter: p0 pmap: failed to allocate for 0x200000"


@fact(
    "resident_count is raised before the allocations, and a failure does not take it back",
    "pmap.c 1.113 pmap_enter",
)
def test_a_failure_leaves_resident_count_too_high():
    """It is raised before anything is allocated and never taken down: a finding, no verdict."""
    m, pm = pmap(vp_stock=0, kva_pages=2)

    m.cpu("A", enter_and_ignore, pm)
    graph = search(m.world)
    assert at_end(graph, lambda: pm.exact) == {False}
    (finding,) = graph.violations
    assert not finding.judged
    assert finding.property == "resident_count of p0"


def test_the_count_itself_shows_in_a_single_run():
    """One failed enter: one page counted, and none mapped."""
    m, pm = pmap(vp_stock=0, kva_pages=2)
    assert alone(m.world, enter_and_ignore, pm) is None
    assert pm.resident_count == 1


async def enter_and_ignore(pm):
    assert await pm.pmap_enter(VA, 5, True, canfail=True) == ENOMEM


def test_resident_count_is_exact_without_failures():
    """Enter, replace and remove all keep it equal to the number of valid descriptors."""
    m, pm = pmap()

    async def work():
        await pm.pmap_enter(VA, 5, True, canfail=True)
        await pm.pmap_enter(VA, 6, True, canfail=True)
        await pmap_populate(pm, NEAR)
        await pm.pmap_enter(FAR, 7, True, canfail=True)
        await pm.pmap_remove(VA, FAR)

    m.cpu("A", work)
    run(m.world)
    assert (pm.resident_count, pm.exact) == (1, True)


# --- a table page without a header --------------------------------------------------------------


def no_header():
    """A page, a map entry and an address can be had, but no page header."""
    m, pm = pmap(vp_stock=0, header_stock=4, km_pages=6)
    pm.pools.headers.free = ()

    async def enter():
        await pm.pmap_enter(VA, 5, True, canfail=True)

    m.cpu("A", enter)
    return m, pm


@fact(
    "To free a table page write-locks kernel_map, which can sleep",
    "pmap.c 1.113 pmap_vp_page_free",
)
def test_without_a_header_the_page_is_freed_under_the_pmap_lock():
    """pool_p_alloc gives the page back, which needs kernel_map's lock, with pm_mtx held."""
    m, _ = no_header()
    (wrong,) = panics(search(m.world))
    assert wrong.message == "rw_enter(kernel_map): A would sleep holding mutex p0 pm_mtx"


def test_it_does_sleep_there_if_somebody_takes_the_map_in_between(monkeypatch):
    """Where nothing forbids it: asleep on the map with pm_mtx held, after a trylock that was
    not refused."""
    monkeypatch.setattr(rwlock, "assert_may_sleep", lambda what: None)
    m, pm = no_header()
    m.background("K", m.kernel_map.churn, 1)
    graph = search(m.world)
    asleep = {
        edge.at for edge in edges(graph) if edge.task == "A" and edge.event == "lock.contended"
    }
    assert asleep
    assert {look(graph, at, lambda: pm.pm_mtx.owner.name) for at in asleep} == {"A"}


# --- the whole life -----------------------------------------------------------------------


@pytest.mark.parametrize("levels", [3, 4])
def test_destroy_returns_everything(levels):
    """All tables and all descriptors, valid or populated, are back in their pools."""
    m, pm = pmap(levels, vp_stock=11)

    async def life():
        await pm.pmap_enter(VA, 5, True, canfail=True)
        await pmap_populate(pm, FAR)
        await pmap_populate(pm, DISTANT)
        await pm.pmap_destroy()
        return out(pm), pm.top

    assert alone(m.world, life) == ((0, 0), None)


@fact(
    "pmap_create takes the top table with WAITOK",
    "pmap.c 1.113 pmap_create",
)
def test_a_pmap_is_created_with_its_top_table():
    """pmap_create takes one table, and destroy gives it back."""
    m, _ = pmap()
    with m.world:
        young = Pmap(m.params, m.kernel.pmap_pools, "young")

    async def life():
        await young.pmap_create()
        born = young.top is not None, out(young)
        await young.pmap_destroy()
        return born, out(young)

    m.cpu("A", life)
    ended = run(m.world)
    # the process of this machine has a top table too
    assert ended.results["A"] == ((True, (2, 0)), (1, 0))
    assert [got["waitok"] for got in ended.named("pool.get")] == [True]


def test_a_table_with_slots_in_use_is_not_given_back():
    """Freeing a table that still holds something would be a use after free."""
    m, pm = pmap()

    async def work():
        await pm.pmap_enter(VA, 5, True, canfail=True)
        await pm.pools.put_vp(pm.top)

    m.cpu("A", work)
    (wrong,) = panics(search(m.world))
    assert wrong.kind == "use-after-free"


def test_a_freed_table_is_not_walked():
    """A table that lies in its pool is found out when it is looked into."""
    m, pm = pmap()

    async def work():
        top = pm.top
        await pm.pmap_destroy()
        pm.top = top
        await pm.pmap_extract(VA)

    m.cpu("A", work)
    (wrong,) = panics(search(m.world))
    assert wrong.kind == "use-after-free"
    assert "is used after free" in wrong.message


def test_two_cpus_enter_side_by_side():
    """Every order of two enters and a remove keeps tables, counts and pools in step."""
    m, pm = pmap()

    async def enter(va, page):
        assert await pm.pmap_enter(va, page, True, canfail=True) == 0

    m.cpu("A", enter, VA, 5)
    m.cpu("B", enter, FAR, 6)
    m.cpu("C", pm.pmap_remove, VA, NEAR)
    graph = search(m.world)
    assert stuck(graph) == []
    assert graph.violations == []
    assert at_end(graph, lambda: (slot(pm, VA), slot(pm, FAR))) == {
        (Slot.VALID, Slot.VALID),
        (Slot.EMPTY, Slot.VALID),
    }
