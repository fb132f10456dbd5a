"""The machine: what it boots with, what it refuses, and what must hold of any run."""

import re

import pytest
from worlds import Cell, alone, boot, run, search

from kmodel import fixes
from kmodel.point import pause
from kmodel.settings import UsageError

VA = 0x20_0000


async def idle():
    await pause()


# --- parameters ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"reserve_kernel": 64}, r"reserve_kernel \(64\) must be below npages \(64\)"),
        ({"reserve_pagedaemon": 3}, r"reserve_pagedaemon \(3\) must not exceed reserve_kernel"),
        ({"swap_used": 101}, r"swap_used \(101\) must not exceed swap_pages \(100\)"),
        ({"levels": 5}, "levels"),
        ({"npages": 0}, "npages"),
        ({"lap": "loud"}, "lap"),
        ({"rwlock": "fair"}, "rwlock"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(params, message):
    """Ranges, choices and contradictions are all found before anything is built."""
    with pytest.raises(ValueError, match=message):
        boot(**params)


def test_all_contradictions_are_named_at_once():
    """One look at the message is enough to mend the parameters."""
    with pytest.raises(ValueError, match=r"reserve_kernel .*\n.*swap_used .*"):
        boot(reserve_kernel=64, swap_used=101)


# --- boot ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stock", "pool"),
    [
        ("vp_stock", lambda m: m.kernel.pmap_pools.vp_pool),
        ("pted_stock", lambda m: m.kernel.pmap_pools.pted_pool),
        ("anon_stock", lambda m: m.kernel.anons.pool),
        ("entry_stock", lambda m: m.kernel.km.entries),
        ("header_stock", lambda m: m.kernel.pmap_pools.headers),
    ],
)
def test_the_pools_start_with_their_stock(stock, pool):
    """Whole pages are made until there is enough; nothing of it is out."""
    m = boot(**{"km_pages": 16, "vp_stock": 2, stock: 3})
    if stock == "vp_stock":
        assert len(pool(m).free) == 3
        assert pool(m).nout == 0
    elif stock in ("pted_stock", "anon_stock"):
        assert len(pool(m).free) == 4
        assert pool(m).nout == 0
    else:  # each table page in stock has taken one of these
        assert len(pool(m).free) == 4 - 2
        assert pool(m).nout == 2


@pytest.mark.parametrize(
    ("params", "short"),
    [
        ({"km_pages": 2}, {"km_pages": 5}),
        (
            {"vp_stock": 13, "km_pages": 40},
            {"kva_pages": 26, "entry_stock": 13, "header_stock": 13},
        ),
        ({"vp_stock": 5}, {"entry_stock": 5}),
        ({"npages": 4}, {"npages": 5}),
        ({"npages": 8, "vp_stock": 3}, {"npages": 11}),
        ({"vp_stock": 3, "kva_pages": 5}, {"kva_pages": 6}),
        ({"vp_stock": 3, "pool_memory": "intrsafe", "kmem_pages": 5}, {"kmem_pages": 6}),
    ],
)
def test_a_machine_too_small_to_boot_is_refused(params, short):
    """All that is too small is named, with what it would have to be; with that it boots."""
    with pytest.raises(ValueError, match="at boot") as said:
        boot(**params)
    named = dict(re.findall(r"(\w+) \(\d+\) is less than the (\d+)", str(said.value)))
    assert {name: int(need) for name, need in named.items()} == short
    boot(**params | short)


def test_a_process_that_does_not_fit_is_refused():
    """Its top table needs addresses, pages, an entry and a header."""
    m = boot(kva_pages=1)
    with pytest.raises(ValueError, match="raise kva_pages, npages, entry_stock or header_stock"):
        m.process()


def test_processes_have_names_of_their_own():
    """p0, p1, ... unless the scenario says better."""
    m = boot()
    assert [m.process().name, m.process("editor").name, m.process().name] == ["p0", "editor", "p2"]


def test_two_processes_share_the_kernel_and_nothing_else():
    """Same address, different maps, amaps and pmaps; both faults succeed."""
    m = boot("populate")
    one, two = m.process(), m.process()

    async def both():
        return await one.fault(VA), await two.fault(VA)

    assert alone(m.world, both) == (0, 0)
    assert one.map.amap.slots.used != two.map.amap.slots.used
    assert one.kernel is two.kernel


# --- running ------------------------------------------------------------------------------


def test_a_machine_has_a_page_daemon_of_its_own():
    """``finish`` gives it a CPU; it need not end."""
    m = boot()
    m.cpu("A", idle)
    world = m.finish()
    assert [(task.name, task.obliged) for task in world.tasks] == [
        ("A", True),
        ("pagedaemon", False),
    ]


def test_a_scenario_can_say_what_must_hold():
    """``always`` is asked in every state, ``finally_`` at the end, ``sometimes`` of all runs."""
    m = boot()
    with m.world:
        cell = Cell(0)

    async def work():
        for value in (1, 0):
            await pause()
            cell.value = value

    m.cpu("A", work)
    m.always("zero", lambda: "not zero" if cell.value else None)
    m.finally_("back to zero", lambda: "not zero" if cell.value else None)
    m.sometimes("something happens")
    assert [wrong.property for wrong in search(m.world).violations] == ["zero"]
    assert m.world.sometimes == ["something happens"]


@pytest.mark.parametrize(
    ("params", "mark"),
    [
        ({}, "a NOWAIT get was refused by the map lock"),
        ({"pool_memory": "intrsafe"}, "a table page came from the interrupt-safe map"),
        ({"pool_memory": "direct"}, "a table page came from the direct map"),
        ({"pmap_pools": "reserved"}, "a fault took its items before any lock"),
    ],
)
def test_what_a_kernel_cannot_reach_is_replaced_by_what_it_does_instead(params, mark):
    """A kernel that never tries the map's lock is not vacuous for that; it must show where
    its table pages come from. Any other sentence stays what it is."""
    m = boot(**params)
    m.sometimes("a NOWAIT get was refused by the map lock")
    m.sometimes("a fault was restarted")
    assert m.world.sometimes == [mark, "a fault was restarted"]


# --- the leak check -----------------------------------------------------------------------


async def lose_a_page(m, space):
    await m.physmem.getpages(1, waitok=True, usereserve=False)


async def lose_an_anon(m, space):
    await m.kernel.anons.uvm_analloc()


async def lose_a_descriptor(m, space):
    await space.pmap.pools.get_pted(True)


async def lose_a_table(m, space):
    await space.pmap.pools.get_vp(True)


async def lose_a_range(m, space):
    await m.kernel_map.uvm_map(2, m.kernel.km.entries, trylock=False)


@pytest.mark.parametrize(
    ("lose", "names"),
    [
        (lose_a_page, "pages taken"),
        (lose_an_anon, "anonpl pool: items out: 1; anons in amaps: 0"),
        (lose_a_descriptor, "pted pool: items out: 1; descriptors linked: 0"),
        (lose_a_table, "vp pool: items out: 2; table pages linked: 1"),
        (lose_a_range, "vmmpekpl pool: items out: 2; ranges in kernel_map: 1"),
    ],
)
def test_what_is_lost_is_a_leak(lose, names):
    """At the end everything is either free or where it belongs."""
    m = boot()
    m.cpu("A", lose, m, m.process())
    outcome = run(m.world).outcome
    assert (outcome.kind, outcome.property) == ("leak", "no leak")
    assert names in outcome.message


@pytest.mark.parametrize("fix", fixes.names())
@pytest.mark.parametrize("levels", [3, 4])
def test_a_fault_leaks_nothing(fix, levels):
    """Whichever the fix and the order: what is out at the end is in use."""
    m = boot(fix, levels=levels)
    space = m.process()
    m.cpu("A", space.fault, VA)
    m.background("K", m.kernel_map.churn)
    graph = search(m.finish())
    assert [wrong.message for wrong in graph.violations if wrong.judged] == []
    assert any(graph.final(number) for number in range(len(graph)))


@pytest.mark.parametrize(
    ("pages", "backing", "va", "index"),
    [(0, "file", 0x1000, 0), (1, "tape", 0x1000, 0), (1, "file", 0x1001, 0)]
    + [(1, "file", 0, 0), (1, "file", 1 << 39, 0), (2, "file", (1 << 39) - 0x1000, 0)]
    + [(1, "file", 0x1000, 1), (1, "file", 0x1000, -1)],
)
def test_an_object_that_cannot_be_is_refused(pages, backing, va, index):
    """No pages, an unknown pager, an address that is none, a page that it has not."""
    m = boot()
    space = m.process()

    def build():
        uobj = m.object(pages, backing)
        m.map_object(space, va, uobj)
        m.cached(uobj, index)

    with pytest.raises(UsageError):
        build()
