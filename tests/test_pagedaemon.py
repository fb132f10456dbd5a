"""The page daemon: what a lap does, and the bell that it does not hear."""

import pytest
from facts import fact
from stories import judged
from worlds import Cell, Steered, at_end, boot, everywhere, look, marks, run, search, stuck

VA = 0x20_0000


def waiting(lap, times=1, **params):
    """A task that calls uvm_wait so often, beside the page daemon."""
    m = boot(lap=lap, **params)
    with m.world:
        turns = Cell(0)

    async def wait():
        for _ in range(times):
            await m.physmem.uvm_wait("test")
            turns.value += 1

    m.cpu("A", wait)
    m.finish()
    return m, turns


def lap_after_a_bell(lap, **params):
    """The daemon asleep, then one waiter, then the daemon: does the waiter go on?"""
    m, turns = waiting(lap, **params)
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "A", "pagedaemon", "A")
        laps = [fields for _, event, fields in steered.events if event == "daemon.lap"]
    return turns.value == 1, laps


@fact(
    "A lap without a shortage wakes &uvmexp.free in 1.101 and 1.148, and does not in 1.137",
    "uvm_pdaemon.c 1.101, 1.137, 1.148 uvm_pageout",
)
@pytest.mark.parametrize(("lap", "wakes"), [("wakes", True), ("silent", False)])
def test_a_lap_without_shortage_wakes_the_waiters_or_does_not(lap, wakes):
    """The revisions differ: 1.101 and 1.148 wake, 1.137 goes straight to sleep again."""
    assert lap_after_a_bell(lap) == (wakes, [{"shortage": 0}])


@fact(
    "A lap with a shortage wakes &uvmexp.free at its end, in each revision",
    "uvm_pdaemon.c 1.101, 1.137 uvm_pageout",
)
@pytest.mark.parametrize("lap", ["wakes", "silent"])
def test_a_lap_with_a_shortage_always_wakes(lap):
    """Short of memory both revisions end their lap with a wakeup."""
    woken, laps = lap_after_a_bell(lap, npages=10, reserve_kernel=5)
    assert woken
    assert laps[0]["shortage"] > 0


def test_a_silent_lap_says_so():
    """The place where a waiter is passed over can be asked for."""
    m, _ = waiting("silent")
    assert "a page-daemon lap without shortage woke nobody" in marks(search(m.world))
    m, _ = waiting("wakes")
    assert "a page-daemon lap without shortage woke nobody" not in marks(search(m.world))


def test_how_much_memory_is_plentiful_is_forgotten():
    """The daemon stands at as many points whether all pages are free in a lap or fewer are,
    but still enough: else every lap would be searched once for each number."""

    def points(took):
        m, _ = waiting("wakes", npages=64)

        async def take():
            for _ in range(took):
                await m.physmem.getpages(1, waitok=False, usereserve=False)

        m.world.task("T", take)
        graph = search(m.world)
        daemon = next(task for task in m.world.tasks if task.daemon)
        return len(graph.histories.nodes[daemon.index])

    assert points(1) == points(0)


@fact(
    "Each lap without a shortage sheds buffers in 1.101 and 1.148, up to twice 16 pages, and none "
    "in 1.137",
    "uvm_pdaemon.c 1.101, 1.137, 1.148 uvm_pageout",
)
@pytest.mark.parametrize(("lap", "shed"), [("wakes", [32, 8]), ("silent", [])])
def test_a_fault_that_waits_for_nothing_costs_buffers(lap, shed):
    """Memory is plentiful, somebody waits for it twice, and the buffer cache pays."""
    m, _ = waiting(lap, times=2, npages=128, buffers=40)
    with Steered(m.world) as steered:
        for _ in range(2):
            steered.go("pagedaemon")
            if steered.can("A"):
                steered.go("A")
        steered.go("pagedaemon")
        assert [f["n"] for _, event, f in steered.events if event == "daemon.shed"] == shed
    assert m.kernel.physmem.nfree() + len(m.physmem.buffers) >= 40


@fact(
    "In 1.157 a lap's size is 128 pages at least, and it sheds up to twice that in buffers",
    "uvm_pdaemon.c 1.157 uvm_pageout, as read in a fork",
)
def test_a_lap_of_the_fork_sheds_more_at_once():
    m, _ = waiting("counts", npages=128, buffers=40)
    assert [f["n"] for f in run(m.world).named("daemon.shed")] == [40]


def test_no_page_of_the_buffer_cache_is_lost_or_in_two_places():
    """A fault that waits for memory while a lap sheds, in every order."""
    found = judged("contended_kernel_map", "wait", cpus=1, buffers=3).verdict()
    assert found.kind == "lost-wakeup"
    assert not any("pages taken" in one.message for one in found.findings)
    m, _ = waiting("wakes", buffers=3)
    m.must("each page is in one place")
    assert not any("page" in wrong.property for wrong in search(m.world).violations)


@fact(
    "The page daemon sleeps on &uvm.pagedaemon until somebody asks; it has no clock",
    "uvm_pdaemon.c 1.137 uvm_pageout",
)
def test_the_daemon_sleeps_until_it_is_asked():
    """With nobody ringing it makes no lap."""
    m, _ = waiting("wakes")
    with Steered(m.world) as steered:
        steered.go("pagedaemon")
        assert steered.about_to("pagedaemon") == "chan.woken"
        assert [event for _, event, _ in steered.events if event == "daemon.lap"] == []


def test_with_silent_laps_a_waiter_never_goes_on():
    """Nobody else wakes ``&uvmexp.free`` here: no order ends the wait."""
    m, turns = waiting("silent")
    graph = search(m.world)
    assert at_end(graph, lambda: turns.value) == set()
    assert stuck(graph) != []


@fact(
    "The daemon does not look whether it was asked while it ran",
    "uvm_pdaemon.c 1.101, 1.137 uvm_pageout",
)
def test_a_bell_between_the_end_of_a_lap_and_the_next_sleep_is_lost():
    """Found by search: the first wait ended with a lap, the second rings while the daemon
    is not yet asleep again, and then both sleep for ever."""
    m, turns = waiting("wakes", times=2)
    graph = search(m.world)
    assert at_end(graph, lambda: turns.value) == {2}  # it can go well
    asleep = {
        look(graph, number, lambda: (turns.value, len(m.physmem.pagedaemon.sleepers)))
        for number in stuck(graph)
    }
    assert (1, 1) in asleep


@fact(
    "1.157 (a fork) counts the callers of uvm_wait and does not sleep while there are any: no "
    "bell is lost",
    "uvm_pdaemon.c 1.157 uvm_pageout, as read in a fork",
)
@pytest.mark.parametrize("times", [1, 2])
def test_a_daemon_that_counts_its_callers_loses_no_bell(times):
    """In every order all waits end, however late the daemon goes back to sleep."""
    m, turns = waiting("counts", times)
    graph = search(m.world)
    assert stuck(graph) == []
    assert at_end(graph, lambda: turns.value) == {times}
    assert everywhere(graph, lambda: m.physmem.waiting) == {0, 1}


@fact(
    "1.137 sleeps although a pma is queued while pages are being written out; 1.101 does not",
    "uvm_pdaemon.c 1.137 uvm_pageout",
)
@pytest.mark.parametrize(
    ("lap", "paging", "laps"),
    [("wakes", 1, 1), ("silent", 1, 0), ("silent", 0, 1), ("counts", 1, 1)],
)
def test_a_queued_pma_keeps_the_daemon_awake_unless_pages_are_on_their_way(lap, paging, laps):
    m = boot(lap=lap)
    m.physmem.nowait_pma, m.physmem.paging = True, paging
    m.cpu("A", m.physmem.freepages, ())
    m.finish()
    with Steered(m.world) as steered:
        steered.until("pagedaemon", "chan.woken")
        assert len([event for _, event, _ in steered.events if event == "daemon.lap"]) == laps


# --- a real shortage --------------------------------------------------------------------------


def short_of_memory(free=3, pages=3, **params):
    """One thread waits for memory; an idle process has pages on the queues."""
    m = boot(pageout=True, **({"npages": 20, "anon_stock": 4} | params))
    space = m.process("idle")
    for page in range(pages):
        m.resident(space, VA + page * 0x1000)
    m.physmem.take(m.physmem.nfree() - free)
    m.cpu("A", m.physmem.uvm_wait, "test")
    m.finish()
    return m, space


def written(steered):
    return [fields["va"] for _, event, fields in steered.events if event == "page.out"]


@fact(
    "The shortage is freetarg less what is free or on its way out",
    "uvm_pdaemon.c 1.137 uvm_pageout",
)
@pytest.mark.parametrize(
    ("free", "paging", "out"), [(3, 0, 1), (2, 0, 2), (4, 0, 0), (2, 1, 1), (3, 1, 0)]
)
def test_a_lap_writes_out_as_many_pages_as_are_short(free, paging, out):
    """freetarg less what is free or on its way."""
    m, _ = short_of_memory(free)
    assert m.physmem.freetarg == 4
    m.physmem.paging = paging
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "aiodoned", "A", "pagedaemon")
        assert len(written(steered)) == out
        assert m.physmem.paging == paging + out


def test_what_is_paging_counts_as_free():
    """A second lap before the I/O is over writes out nothing more."""
    m, _ = short_of_memory()
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "aiodoned", "A", "pagedaemon")
        assert len(written(steered)) == 1
        assert steered.outcome is not None or not steered.can("pagedaemon")


@fact(
    "Pages written out are freed by the aiodone daemon, which wakes &uvmexp.free",
    "uvm_pdaemon.c 1.137 uvm_aiodone_daemon",
)
def test_the_end_of_the_io_frees_the_page_and_wakes_who_waits():
    """The anon keeps its slot of swap, and no page. No lap had woken who waits."""
    m, space = short_of_memory(free=2, pages=1)
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "aiodoned", "A", "pagedaemon")
        assert (m.physmem.nfree(), steered.can("A")) == (2, False)
        steered.go("aiodoned")
        assert (m.physmem.nfree(), steered.can("A")) == (3, True)
    anon = space.map.amap.lookup(VA // 0x1000)
    assert (anon.page, anon.busy, m.kernel.swap.only) == (None, False, 1)


@fact(
    "The daemon takes owner locks only by a try",
    "uvm_pdaemon.c 1.137 uvmpd_trylockowner",
)
def test_pages_whose_owner_is_locked_are_passed_over():
    """uvmpd_trylockowner: the daemon never waits for an owner."""
    m, space = short_of_memory()

    async def keep():
        await space.map.amap.am_lock.enter(True)
        await m.physmem.uvm_wait("test")
        await space.map.amap.am_lock.exit()

    m.cpu("B", keep)
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "aiodoned", "B", "pagedaemon")
        assert written(steered) == []
        assert steered.about_to("B") != "ended"
        assert steered.about_to("pagedaemon") == "chan.woken"  # its lap is over


@fact(
    "With swap full the daemon leaves dirty pages where they are",
    "uvm_pdaemon.c 1.137",
)
@pytest.mark.parametrize("pages", [0, 1, 2])
def test_a_full_swap_ends_the_scan(pages):
    """Nothing is written, and with nothing paging the waiters are woken all the same."""
    m, space = short_of_memory(pages=pages, swap_used=100)
    before = space.map.amap.slots.used
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "aiodoned", "A", "pagedaemon", "A")
        assert written(steered) == []
        assert space.map.amap.slots.used == before
        assert steered.outcome is not None


@fact(
    "At its end a lap wakes if free > reserve_kernel or paging == 0",
    "uvm_pdaemon.c 1.137 uvm_pageout",
)
@pytest.mark.parametrize(
    ("free", "pages", "wakes"), [(2, 1, False), (2, 0, True), (3, 1, True), (3, 0, True)]
)
def test_a_lap_wakes_if_nothing_is_paging_or_the_kernels_reserve_is_left(free, pages, wakes):
    """Else it leaves the waking to the end of the I/O."""
    m, _ = short_of_memory(free, pages)
    assert m.physmem.reserve_kernel == 2
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "aiodoned", "A", "pagedaemon")
        assert (m.physmem.paging, m.physmem.nfree()) == (pages, free)
        assert steered.can("A") is wakes
        if pages:
            steered.go("aiodoned")
            assert steered.can("A")


@fact(
    "The scan skips busy pages",
    "uvm_pdaemon.c 1.137 uvmpd_scan_inactive",
)
def test_pages_are_never_written_twice_at_a_time():
    """A second lap, asked for while the only page is on its way out, still finds too few
    pages free, and nothing to write: in no order is an anon in flight twice."""
    m, _ = short_of_memory(free=2, pages=1)
    m.cpu("B", m.physmem.uvm_wait, "test")
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "aiodoned", "A", "pagedaemon", "B", "pagedaemon")
        laps = [fields for _, event, fields in steered.events if event == "daemon.lap"]
        assert [lap["shortage"] for lap in laps] == [2, 1]
        assert len(written(steered)) == 1
    graph = search(m.world)
    assert everywhere(graph, lambda: len(m.kernel.swap.writing)) == {0, 1}


def test_without_pageout_nothing_is_on_the_queues():
    """The thread's situation has no shortage, and pays nothing for what it does not need."""
    m = boot()
    assert [task.name for task in m.finish().tasks] == ["pagedaemon"]
