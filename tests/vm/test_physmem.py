"""Physical pages: the two reserves, the page daemon's bell, and waiting for memory."""

import pytest
from facts import fact
from worlds import (
    Cell,
    Steered,
    alone,
    at_end,
    boot,
    done,
    everywhere,
    marks,
    panics,
    search,
    stuck,
)

from kmodel.param import KernelParams
from kmodel.vm.physmem import PhysMem
from kmodel.world import World

BELL = ("chan.wakeup", "&uvm.pagedaemon")


def memory(free, **params):
    """Physical memory with so many pages left, and the reserves 2 (kernel) and 1 (daemon)."""
    with World() as world:
        mem = PhysMem(KernelParams(npages=16, **params))
        mem.take(16 - free)
    return world, mem


def asking(free, *, count=1, waitok=False, usereserve=False):
    """The world in which one task asks for pages; its cell says how many it got."""
    world, mem = memory(free)
    with world:
        got = Cell("nothing yet")

    async def ask():
        pages = await mem.getpages(count, waitok=waitok, usereserve=usereserve)
        got.value = None if pages is None else len(pages)

    world.task("A", ask)
    return world, mem, got


@fact(
    "free <= reserve_kernel + count without USERESERVE fails at once, WAITOK too",
    "uvm_pmemrange.c 1.77 uvm_pmr_getpages",
)
@pytest.mark.parametrize("waitok", [False, True])
@pytest.mark.parametrize(
    ("free", "count", "wanted"), [(3, 1, None), (4, 1, 1), (5, 3, None), (6, 3, 3)]
)
def test_below_the_kernels_reserve_an_ordinary_request_fails_at_once(free, count, wanted, waitok):
    """``free <= reserve_kernel + count`` is a failure even with WAITOK: nobody sleeps."""
    world, _, got = asking(free, count=count, waitok=waitok)
    graph = search(world)
    assert stuck(graph) == []
    assert at_end(graph, lambda: got.value) == {wanted}


@fact(
    "USERESERVE goes below reserve_kernel, but not below reserve_pagedaemon",
    "uvm_pmemrange.c 1.77 uvm_pmr_getpages",
)
@pytest.mark.parametrize(
    ("free", "count", "wanted"), [(3, 1, 1), (2, 1, None), (4, 3, None), (5, 3, 3)]
)
def test_usereserve_takes_the_kernels_reserve_but_not_the_daemons(free, count, wanted):
    """With USERESERVE a request fails only at ``free <= reserve_pagedaemon + count``."""
    world, _, got = asking(free, count=count, usereserve=True)
    assert at_end(search(world), lambda: got.value) == {wanted}


def waiting_for_release():
    """One task needs memory below the daemon's reserve; another frees two pages."""
    world, mem, got = asking(2, waitok=True, usereserve=True)
    world.task("B", mem.freepages, (0, 1))
    return world, got


@fact(
    "Below reserve_pagedaemon WAITOK waits with uvm_wait and starts again",
    "uvm_pmemrange.c 1.77 uvm_pmr_getpages",
)
def test_below_the_daemons_reserve_waitok_waits_and_starts_again():
    """It sleeps on ``&uvmexp.free`` until pages come back, and then takes them."""
    world, _, _ = asking(2, waitok=True, usereserve=True)
    assert at_end(search(world), lambda: None) == set()
    world, got = waiting_for_release()
    with Steered(world) as run:
        run.go("A")
        assert run.about_to("A") == "chan.woken"
        run.go("B", "A")
        assert run.outcome is not None
    assert got.value == 1


def test_pages_freed_between_the_look_and_the_sleep_wake_nobody():
    """The free-page lock is dropped in between, and uvm_wait does not look again."""
    world, got = waiting_for_release()
    graph = search(world)
    assert at_end(graph, lambda: got.value) == {1}
    assert "a thread waits for memory although memory is plentiful" in marks(graph)
    assert stuck(graph) != []


def test_a_request_that_fails_changes_nothing():
    """All pages or none: a failure leaves the free list as it was."""
    world, mem, _ = asking(4, count=3)
    assert at_end(search(world), mem.nfree) == {4}


@fact(
    "A request that finds less than freemin wakes the page daemon",
    "uvm_pmemrange.c 1.77 uvm_pmr_getpages",
)
@pytest.mark.parametrize(("free", "rings"), [(2, True), (3, False), (10, False)])
def test_the_daemon_is_woken_below_freemin(free, rings):
    """A request that finds less than freemin wakes the daemon, whether it succeeds or not."""
    world, mem, _ = asking(free, usereserve=True)
    assert mem.freemin == 3
    assert (BELL in done(search(world))) is rings


@fact(
    "freemin is a thirtieth of memory, more than reserve_kernel; freetarg is a third more",
    "uvm_pdaemon.c 1.137 uvmpd_tune",
)
@pytest.mark.parametrize(
    ("npages", "freemin", "freetarg"), [(16, 3, 4), (300, 10, 13), (3000, 100, 133)]
)
def test_freemin_is_a_thirtieth_and_more_than_the_reserve(npages, freemin, freetarg):
    """uvmpd_tune: freetarg is a third more, and always more than freemin."""
    with World():
        mem = PhysMem(KernelParams(npages=npages))
    assert (mem.freemin, mem.freetarg) == (freemin, freetarg)


def waiting(free=16):
    """One task in uvm_wait."""
    world, mem = memory(free)
    world.task("A", mem.uvm_wait, "test")
    return world, mem


@fact(
    "uvm_wait looks at no condition: it sleeps although memory is plentiful",
    "uvm_pdaemon.c 1.137 uvm_wait",
)
def test_uvm_wait_sleeps_although_memory_is_plentiful():
    """It looks at no condition: with every page free it sleeps all the same."""
    world, mem = waiting()
    graph = search(world)
    assert stuck(graph) != []
    assert everywhere(graph, mem.nfree) == {16}
    assert marks(graph) == {"a thread waits for memory although memory is plentiful"}


@fact(
    "uvm_wait wakes &uvm.pagedaemon before it sleeps",
    "uvm_pdaemon.c 1.137 uvm_wait",
)
def test_uvm_wait_rings_for_the_daemon():
    """Before it sleeps it wakes ``&uvm.pagedaemon``, memory or not."""
    assert BELL in done(search(waiting()[0]))


@fact(
    "uvm_wait returns on any wakeup of &uvmexp.free, memory gained or not",
    "uvm_pdaemon.c 1.137 uvm_wait",
)
def test_uvm_wait_ends_with_any_wakeup():
    """Whoever wakes the channel ends the wait, also without a page gained."""
    world, mem = waiting(free=0)

    async def wake():
        await mem.fpageqlock.enter()
        await mem.uvmexp_free.wakeup()
        await mem.fpageqlock.leave()

    world.task("B", wake)
    graph = search(world)
    assert at_end(graph, mem.nfree) == {0}
    assert stuck(graph) != []  # and a wakeup that came first is lost


@fact(
    "uvm_wait called by the page daemon itself sleeps for 125 ms at most",
    "uvm_pdaemon.c 1.137 uvm_wait",
)
def test_the_page_daemon_does_not_wait_for_itself():
    """It is on the channel meanwhile, and comes back though nobody else is there."""
    world, mem = memory(3)
    world.task("pagedaemon", mem.uvm_wait, "test")
    graph = search(world)
    assert (stuck(graph), panics(graph)) == ([], [])
    assert everywhere(graph, lambda: len(mem.uvmexp_free.sleepers)) == {0, 1}
    assert at_end(graph, lambda: mem.uvmexp_free.sleepers) == {()}
    assert BELL not in done(graph)


def test_uvm_wait_returns_without_the_lock():
    """The free-page lock is not held after it, nor anything else."""
    world, mem = waiting()
    world.task("B", mem.freepages, ())
    graph = search(world)
    assert at_end(graph, lambda: mem.fpageqlock.owner) == {None}


@fact(
    "Freeing pages wakes &uvmexp.free",
    "uvm_pmemrange.c 1.77 uvm_pmr_freepages",
)
def test_freeing_pages_wakes_who_waits_for_memory():
    """Each freepages wakes ``&uvmexp.free``, under the free-page lock."""
    world, mem = memory(10)
    world.task("A", mem.freepages, (0,))
    graph = search(world)
    assert ("chan.wakeup", "&uvmexp.free") in done(graph)
    assert at_end(graph, mem.nfree) == {11}


def test_freeing_a_page_twice_panics():
    """A page that is on the free list already is a broken rule."""
    world, mem = memory(16)
    world.task("A", mem.freepages, (5,))
    (wrong,) = panics(search(world))
    assert (wrong.kind, wrong.message) == (
        "double-free",
        "uvm_pmr_freepages: page 5 is free already",
    )


def test_pages_are_taken_by_one_task_only():
    """Two that ask at once get different pages, in every order."""
    world, mem = memory(16)
    with world:
        mine = [Cell(), Cell()]

    async def ask(cell):
        cell.value = await mem.getpages(2, waitok=False, usereserve=False)

    world.task("A", ask, mine[0])
    world.task("B", ask, mine[1])
    graph = search(world)
    assert at_end(graph, lambda: len({*mine[0].value, *mine[1].value})) == {4}
    assert at_end(graph, mem.nfree) == {12}


def test_a_machine_boots_with_what_its_parameters_say():
    """The reserves and sizes of a machine are those of its parameters."""
    mem = boot(npages=100, reserve_kernel=7, reserve_pagedaemon=3).physmem
    assert (mem.npages, mem.reserve_kernel, mem.reserve_pagedaemon) == (100, 7, 3)


def test_one_cpu_alone_gets_and_gives_back():
    """What was taken can be given back, and all pages are free again."""
    world, mem = memory(16)

    async def borrow():
        pages = await mem.getpages(3, waitok=True, usereserve=False)
        await mem.freepages(pages)
        return mem.nfree()

    assert alone(world, borrow) == 16


# --- pages side by side ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "count", "got"),
    [
        (range(0, 12, 2), 2, ()),
        ((0, 2, 4, 5, 8, 10), 2, (4, 5)),
        ((0, 2, 4, 5, 8, 10), 3, ()),
        ((0, 2, 6, 7, 8, 10), 3, (6, 7, 8)),
        ((0, 2, 5, 6, 8, 10), 2, ()),
    ],
)
def test_contiguous_pages_follow_each_other_or_are_not_had(free, count, got):
    """Any pages will not do, however many are free; and none is taken in vain. A segment
    begins at a multiple of its length."""
    _, mem = memory(16)
    mem.free = sum(1 << page for page in free)
    before = mem.nfree()
    assert mem.take(count, contiguous=True) == got
    assert mem.nfree() == before - len(got)


def test_fragmented_memory_is_half_free_and_has_no_pair():
    """The other half belongs to somebody else for good."""
    with World():
        mem = PhysMem(KernelParams(npages=16))
    mem.fragment()
    assert (mem.nfree(), mem.others) == (8, 8)
    assert mem.take(2, contiguous=True) == ()
    assert len(mem.take(2)) == 2


def contiguous(waitok):
    """One task asks a fragmented machine for a pair, beside the page daemon."""
    m = boot(npages=128, fragmented=True)
    with m.world:
        got = Cell("nothing yet")

    async def ask():
        got.value = await m.physmem.getpages(2, waitok=waitok, usereserve=True, contiguous=True)

    m.cpu("A", ask)
    m.finish()
    return m, got


@fact(
    "NOWAIT that finds no range links nowait_pma, wakes the daemon and fails",
    "uvm_pmemrange.c 1.77 uvm_pmr_getpages",
)
def test_nowait_without_a_pair_links_nowait_pma_and_fails():
    """The daemon is asked for a lap, which does away with the request."""
    m, got = contiguous(waitok=False)
    graph = search(m.world)
    assert at_end(graph, lambda: got.value) == {()}
    assert BELL in done(graph)
    assert everywhere(graph, lambda: m.physmem.nowait_pma) == {False, True}


@fact(
    "WAITOK that finds no range sleeps in uvm_wait_pla until the daemon has done with its pma",
    "uvm_pmemrange.c 1.77 uvm_wait_pla",
)
def test_waitok_without_a_pair_waits_for_the_daemon_and_asks_again():
    """uvm_wait_pla sleeps until the daemon has done with the request; with memory in pieces
    for good that goes on for ever. Nothing is lost: the daemon looks before it sleeps."""
    m, _ = contiguous(waitok=True)
    with Steered(m.world) as steered:
        for _ in range(3):
            steered.go("pagedaemon")
            steered.step("A")
            steered.until("A", "chan.woken")
        laps = [event for _, event, _ in steered.events if event == "daemon.lap"]
        waits = [f["why"] for _, event, f in steered.events if event == "page.wait"]
    assert len(laps) >= 2
    assert waits[:2] == ["uvm_wait_pla", "uvm_wait_pla"]
    assert stuck(search(contiguous(waitok=True)[0].world)) == []


@fact(
    "The page daemon may go below reserve_pagedaemon, and takes the last page",
    "uvm_pmemrange.c 1.77 uvm_pmr_getpages",
)
@pytest.mark.parametrize(("name", "got"), [("pagedaemon", 1), ("other", None)])
def test_the_daemon_may_have_the_last_page(name, got):
    world, mem = memory(1)
    with world:
        had = Cell()

    async def ask():
        pages = await mem.getpages(1, waitok=False, usereserve=True)
        had.value = pages and len(pages)

    world.task(name, ask)
    assert at_end(search(world), lambda: had.value) == {got}


def test_the_daemon_fails_where_there_is_no_page_at_all():
    """With NOWAIT, as everybody; with WAITOK it would wait for itself."""
    world, mem = memory(1)
    with world:
        had = Cell("nothing yet")

    async def ask():
        had.value = await mem.getpages(2, waitok=False, usereserve=True)

    world.task("pagedaemon", ask)
    assert at_end(search(world), lambda: had.value) == {None}
