"""Freeing tables before their pmap is destroyed, which no kernel here does: what it breaks."""

import pytest
from breaks import breaks
from facts import fact
from pmaps import DISTANT, FAR, NEAR, VA, out, pmap, slot
from stories import judged
from worlds import alone, at_end, everywhere, marks, panics, search, stuck

from kmodel.pmap.checks import over_windows
from kmodel.pmap.populate import pmap_populate
from kmodel.pmap.pte import Slot
from kmodel.properties import LINKED

FREED = "an empty table was freed before its pmap"


async def map_and_unmap(pm, va):
    assert await pm.pmap_enter(va, 5, True, canfail=True) == 0
    await pm.pmap_remove(va, va + 0x1000)


@fact("Tables are never freed before pmap_destroy", "pmap.c 1.113 pmap_remove_pted")
@pytest.mark.parametrize(("how", "left"), [("never", 3), ("last", 2), ("all", 1)])
def test_how_much_of_the_tables_an_unmap_leaves(how, left):
    """As in the kernel all of them; with the switch on, what is not empty, or the top."""
    m, pm = pmap(table_reclaim=how)

    async def work():
        await map_and_unmap(pm, VA)
        return out(pm)

    assert alone(m.world, work) == (left, 0)


@pytest.mark.parametrize("how", ["last", "all"])
def test_a_table_in_use_is_not_freed(how):
    """A neighbour is mapped, or only populated: the last table stays."""
    m, pm = pmap(table_reclaim=how)

    async def work():
        await pmap_populate(pm, VA)
        await map_and_unmap(pm, NEAR)
        await map_and_unmap(pm, DISTANT)
        return slot(pm, VA), slot(pm, FAR)

    assert alone(m.world, work) == (Slot.POPULATED, Slot.NO_TABLE)


def window(levels, how, va=NEAR):
    """Populate beside a thread that maps and unmaps a neighbour; tables in stock."""
    m, pm = pmap(levels, vp_stock=8, table_reclaim=how)
    m.must(LINKED)
    m.cpu("A", pmap_populate, pm, VA)
    m.cpu("B", map_and_unmap, pm, va)
    return search(m.world), pm


@fact(
    "pmap_populate uses tables that it read before a window: safe as none is freed before "
    "pmap_destroy",
    "pmap.c 1.113 pmap_vp_populate",
)
@pytest.mark.parametrize("levels", [3, 4])
@pytest.mark.parametrize("how", ["never", "last"])
def test_over_a_window_no_table_goes_if_only_the_last_level_does(levels, how):
    """The last table is read after the window, under the lock: freeing that alone is safe."""
    graph, pm = window(levels, how)
    assert stuck(graph) == []
    assert graph.violations == []
    assert (FREED in marks(graph)) is (how == "last")
    assert at_end(graph, lambda: slot(pm, VA)) == {Slot.POPULATED}


@breaks("no use after free over windows")
@pytest.mark.parametrize("levels", [3, 4])
def test_over_a_window_a_table_above_the_last_is_used_after_free(levels):
    """The parent was read before the window and is used after it."""
    graph, _ = window(levels, "all")
    assert any(wrong.property == LINKED for wrong in graph.violations)
    assert all(wrong.kind == "use-after-free" for wrong in panics(graph))
    assert panics(graph)


@pytest.mark.parametrize(
    ("how", "kind"), [("never", None), ("last", None), ("all", "use-after-free")]
)
def test_the_story_of_the_window_shows_it(how, kind):
    """The packaged scenario, with the switch in each position."""
    assert judged("populate_window", "wait", table_reclaim=how).verdict().kind == kind


def test_a_table_that_was_freed_and_taken_again_is_found_too():
    """It is in use then, elsewhere: only that it is not where it was tells it apart."""
    m, pm = pmap(vp_stock=4, kva_pages=12, table_reclaim="all")

    async def elsewhere():
        await map_and_unmap(pm, NEAR)
        await pm.pmap_enter(DISTANT, 6, True, canfail=True)

    m.cpu("A", pmap_populate, pm, VA)
    m.cpu("B", elsewhere)
    seen = everywhere(
        search(m.world), lambda: (any(vp.live for _, vp in pm.window), over_windows(pm) is None)
    )
    assert (True, False) in seen
