"""pmap_populate: makes what a mapping needs, and leaves nothing over."""

import pytest
from facts import fact
from pmaps import FAR, NEAR, VA, out, pmap, slot
from worlds import Steered, alone, at_end, edges, past, run, search, stuck

from kmodel.pmap.pools import PmapPools
from kmodel.pmap.populate import pmap_populate
from kmodel.pmap.pte import Slot


@fact(
    "pmap_populate makes every missing table and installs a zero descriptor",
    "pmap.c 1.113 pmap_vp_populate",
)
@pytest.mark.parametrize(("levels", "tables"), [(3, 3), (4, 4)])
def test_populate_makes_all_tables_and_a_zero_descriptor(levels, tables):
    """From an empty pmap: one table a level, one descriptor, and the slot is populated."""
    m, pm = pmap(levels)

    async def work():
        await pmap_populate(pm, VA)
        return slot(pm, VA), out(pm)

    assert alone(m.world, work) == (Slot.POPULATED, (tables, 1))


def after_an_exit():
    """Another pmap is destroyed with its one descriptor valid, then ``VA`` is populated: what
    the slot is, and whether the descriptor is the same."""
    m, pm = pmap(pted_stock=1)
    other = m.process().pmap

    async def work():
        await other.pmap_enter(VA, 5, True, canfail=True)
        _, before = other.pmap_vp_lookup(VA)
        await other.pmap_destroy()
        stale = before.pte
        await pmap_populate(pm, VA)
        _, after = pm.pmap_vp_lookup(VA)
        return stale, slot(pm, VA), after is before

    return alone(m.world, work)


@fact(
    "pmap_destroy gives descriptors back as they are, and PR_ZERO clears one when it is taken",
    "pmap.c 1.113 pmap_destroy, subr_pool.c 1.242 pool_get",
)
def test_a_descriptor_that_was_valid_comes_back_zero():
    assert after_an_exit() == ((5, True), Slot.POPULATED, True)


def test_without_pr_zero_a_populated_slot_looks_mapped(monkeypatch):
    """Planted: the get does not clear what it gives."""
    ask = PmapPools.ask_pted

    async def as_it_is(self, waitok):
        before = {pted: pted.pte for pted in self.pteds}
        pted = await ask(self, waitok)
        pted.pte = before[pted]
        return pted

    monkeypatch.setattr(PmapPools, "ask_pted", as_it_is)
    assert after_an_exit() == ((5, True), Slot.VALID, True)


@fact(
    "pmap_populate takes the descriptor first, then tables, each with PR_WAITOK",
    "pmap.c 1.113 pmap_vp_populate",
)
@pytest.mark.parametrize(("levels", "tables"), [(3, 2), (4, 3)])
def test_populate_asks_for_all_with_waitok(levels, tables):
    m, pm = pmap(levels)
    m.cpu("A", pmap_populate, pm, VA)
    got = [(item["obj"], item["waitok"]) for item in run(m.world).named("pool.get")]
    assert got == [("pted pool", True), *[("vp pool", True)] * tables]


@fact(
    "pmap_populate always takes a table and a descriptor, and returns what is left over",
    "pmap.c 1.113 pmap_vp_populate",
)
@pytest.mark.parametrize("before", ["populated", "mapped", "neighbour mapped"])
def test_what_is_not_needed_goes_back(before):
    """A table and a descriptor are always taken, and returned if nothing was missing."""
    m, pm = pmap()

    async def work():
        if before == "populated":
            await pmap_populate(pm, VA)
        else:
            va = VA if before == "mapped" else NEAR
            await pm.pmap_enter(va, 5, True, canfail=True)
        tables, descriptors = out(pm)
        await pmap_populate(pm, VA)
        return out(pm) == (tables, descriptors + (before == "neighbour mapped"))

    assert alone(m.world, work) is True


@fact(
    "pmap_populate installs its descriptor only into an empty slot",
    "pmap.c 1.113 pmap_vp_populate",
)
def test_populate_leaves_a_mapping_alone():
    """A slot that is in use keeps its descriptor and its page."""
    m, pm = pmap()

    async def work():
        await pm.pmap_enter(VA, 5, True, canfail=True)
        await pmap_populate(pm, VA)
        return await pm.pmap_extract(VA)

    assert alone(m.world, work) == 5


@fact(
    "Child slots are read again after each window, so no table is installed twice",
    "pmap.c 1.113 pmap_vp_populate",
)
@pytest.mark.parametrize("levels", [3, 4])
@pytest.mark.parametrize("other", ["enter", "populate"])
def test_another_cpu_can_link_a_table_in_the_window(levels, other):
    """The mutex is dropped to fetch the next table. Found by search: the other CPU links
    that very table meanwhile; in no order is a slot overwritten or an item lost."""
    m, pm = pmap(levels)
    m.cpu("A", pmap_populate, pm, VA)
    if other == "enter":
        m.cpu("B", pm_enter, pm, VA)
    else:
        m.cpu("B", pmap_populate, pm, VA)
    graph = search(m.world)
    assert stuck(graph) == []
    assert graph.violations == []
    wanted = Slot.VALID if other == "enter" else Slot.POPULATED
    assert at_end(graph, lambda: (slot(pm, VA), *out(pm))) == {(wanted, levels, 1)}
    assert any(overtaken(edge) for edge in edges(graph))


def overtaken(edge):
    """Does A give back a table although it had linked one, and so had fetched two?"""
    puts = [fields["obj"] for event, fields in edge.leaf.said if event == "pool.put"]
    linked = [fields["level"] for event, fields in past(edge.node) if event == "pmap.populate"]
    return edge.task == "A" and "vp pool" in puts and any(level < 3 for level in linked)


async def pm_enter(pm, va):
    assert await pm.pmap_enter(va, 5, True, canfail=True) == 0


def test_populating_neighbours_at_once_shares_the_tables():
    """Two addresses of one region: one set of tables, two descriptors, nothing over."""
    m, pm = pmap()
    m.cpu("A", pmap_populate, pm, VA)
    m.cpu("B", pmap_populate, pm, NEAR)
    graph = search(m.world)
    assert graph.violations == []
    assert at_end(graph, lambda: out(pm)) == {(3, 2)}


@fact(
    "pmap_populate drops pm_mtx to get a table with WAITOK",
    "pmap.c 1.113 pmap_vp_populate",
)
def test_populate_sleeps_for_its_tables_with_nothing_held():
    """While the kernel map is held it waits for the map's lock, and pm_mtx is free."""
    m, pm = pmap(vp_stock=0)
    m.cpu("A", pmap_populate, pm, VA)
    m.background("K", m.kernel_map.churn)
    with Steered(m.world) as steered:
        steered.until("K", "lock.release")
        steered.go("A")
        assert steered.about_to("A") == "lock.contended"
        assert pm.pm_mtx.owner is None
        steered.step("K")
        steered.go("A")
        assert steered.outcome is not None
    assert slot(pm, VA) is Slot.POPULATED


def test_after_populate_a_mapping_cannot_fail():
    """Also with the kernel map held all the time, for it needs nothing of it."""
    m, pm = pmap()

    async def work():
        await pmap_populate(pm, VA)
        await pmap_populate(pm, FAR)
        await pm_enter(pm, VA)
        await pm_enter(pm, FAR)

    m.cpu("A", work)
    m.background("K", m.kernel_map.churn)
    graph = search(m.world)
    assert graph.violations == []
    assert at_end(graph, lambda: (slot(pm, VA), slot(pm, FAR))) == {(Slot.VALID, Slot.VALID)}
