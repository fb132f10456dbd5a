"""kernel_map: the lock that can only be tried, its timestamp, and ranges of addresses."""

import pytest
from facts import fact
from stories import judged
from worlds import Cell, Steered, alone, at_end, boot, edges, look, panics, search, stuck

from kmodel.param import PAGE_SIZE
from kmodel.point import pause
from kmodel.vm.cause import Cause
from kmodel.vm.kmap import KERNBASE


def map_of(m):
    """The kernel map and the pool of its entries."""
    return m.kernel_map, m.kernel.km.entries


async def take_range(kmap, entries, trylock):
    got = await kmap.uvm_map(2, entries, trylock=trylock)
    return got.name if isinstance(got, Cause) else got


def test_a_range_is_taken_and_given_back():
    """uvm_map takes addresses and an entry; uvm_unmap gives the addresses back."""
    m = boot()
    kmap, entries = map_of(m)

    async def borrow():
        va = await kmap.uvm_map(2, entries, trylock=False)
        inside = (va - KERNBASE) // PAGE_SIZE
        taken = kmap.used
        await entries.put(await kmap.uvm_unmap(va, 2))
        return taken == 3 << inside, kmap.used, entries.nout

    assert alone(m.world, borrow) == (True, 0, 0)


def test_ranges_do_not_overlap():
    """Two that ask at once get different addresses in every order."""
    m = boot(kva_pages=4)
    kmap, entries = map_of(m)
    with m.world:
        got = [Cell(), Cell()]

    async def ask(cell):
        cell.value = await take_range(kmap, entries, False)

    m.cpu("A", ask, got[0])
    m.cpu("B", ask, got[1])
    ranges = at_end(search(m.world), lambda: frozenset(cell.value for cell in got))
    assert ranges == {frozenset((KERNBASE, KERNBASE + 2 * PAGE_SIZE))}


@fact(
    "uvm_map takes its entry before the lock, and the lock before the range",
    "uvm_map.c 1.346 uvm_map",
)
@pytest.mark.parametrize("trylock", [False, True])
def test_the_entry_comes_first_then_the_lock_then_the_range(trylock):
    """The steps on one CPU, in the order in which the kernel takes them."""
    m = boot()
    m.cpu("A", take_range, *map_of(m), trylock)
    steps = [
        (edge.event, edge.target.name)
        for edge in edges(search(m.world))
        if edge.event != "task.start"
    ]
    assert steps == [
        ("mutex.enter", "vmmpekpl.pr_mtx"),
        ("lock.try" if trylock else "lock.acquire", "kernel_map"),
        ("lock.release", "kernel_map"),
    ]


@fact(
    "vm_map_lock_try is refused by any holder, reader or writer",
    "uvm_map.c 1.346 vm_map_lock_try",
)
@pytest.mark.parametrize("write", [False, True])
def test_a_try_is_refused_by_any_reader_and_any_writer(write):
    """With the lock held in either mode the cause is the lock, and the entry goes back."""
    m = boot()
    kmap, entries = map_of(m)
    with m.world:
        got = Cell()

    async def hold():
        await kmap.lock.enter(write)
        await pause()
        await kmap.lock.exit()

    async def attempt():
        got.value = await take_range(kmap, entries, True)
        if got.value == "LOCK":
            got.value = ("LOCK", entries.nout, kmap.used)

    m.cpu("A", hold)
    m.cpu("B", attempt)
    with Steered(m.world) as steered:
        steered.until("A", "lock.release")
        steered.go("B", "A")
    assert got.value == ("LOCK", 0, 0)


@pytest.mark.parametrize(
    ("params", "cause"),
    [({"kva_pages": 1}, "RANGE"), ({"entry_stock": 0, "km_pages": 4}, "ENTRY")],
)
def test_the_other_ways_to_fail(params, cause):
    """No range, or no entry: nothing is kept, and the cause says which."""
    m = boot(**params)
    kmap, entries = map_of(m)
    assert alone(m.world, take_range, kmap, entries, True) == cause
    assert (entries.nout, kmap.used, kmap.lock.writer) == (0, 0, None)


def test_waiting_for_the_lock_an_entry_is_held():
    """Without trylock the caller sleeps for the lock with its entry taken."""
    m = boot()
    kmap, entries = map_of(m)
    m.cpu("A", take_range, kmap, entries, False)
    m.background("K", kmap.churn)
    with Steered(m.world) as steered:
        steered.until("K", "lock.release")
        steered.go("A")
        assert steered.about_to("A") == "lock.contended"
        assert entries.nout == 1


def compare_stamp(other):
    """What a copy of the timestamp is worth after ``other`` ran somewhere."""
    m = boot()
    kmap, _ = map_of(m)
    with m.world:
        same = Cell()

    async def watch():
        await kmap.lock.enter(False)
        kmap.timestamp.copy()
        await kmap.lock.exit()
        await kmap.lock.enter(False)
        same.value = kmap.timestamp.same()
        await kmap.lock.exit()

    m.cpu("A", watch)
    m.cpu("B", other, kmap)
    graph = search(m.world)
    assert stuck(graph) == []
    return at_end(graph, lambda: same.value)


async def write_lock(kmap):
    await kmap.vm_map_lock()
    await kmap.vm_map_unlock()


async def write_try(kmap):
    if await kmap.vm_map_lock_try():
        await kmap.vm_map_unlock()


async def read_lock(kmap):
    await kmap.lock.enter(False)
    await kmap.lock.exit()


@fact(
    "Each write lock of a map makes a new timestamp, a try that succeeds too",
    "uvm_map.c 1.346 vm_map_lock",
)
@pytest.mark.parametrize("lock", [write_lock, write_try])
def test_each_write_lock_makes_a_new_timestamp(lock):
    """A copy is stale if, and only if, a writer came between; a try counts too."""
    assert compare_stamp(lock) == {True, False}


@fact(
    "A read lock leaves the timestamp alone",
    "uvm_map.c 1.346 vm_map_lock_read",
)
def test_readers_leave_the_timestamp_alone():
    """A read lock changes nothing, so every copy is still good."""
    assert compare_stamp(read_lock) == {True}


def test_a_refused_try_leaves_the_timestamp_alone():
    """Only a try that got the lock is a write lock."""
    m = boot()
    kmap, _ = map_of(m)
    with m.world:
        same = Cell()

    async def watch():
        await kmap.lock.enter(False)
        kmap.timestamp.copy()
        await pause()
        same.value = kmap.timestamp.same()
        await kmap.lock.exit()

    m.cpu("A", watch)
    m.cpu("B", write_try, kmap)
    graph = search(m.world)
    assert False in {edge.leaf.result for edge in edges(graph) if edge.event == "lock.try"}
    assert at_end(graph, lambda: same.value) == {True}


def test_which_entry_is_whose_is_no_matter():
    """Two ranges with two entries: either way the map is the same."""
    found = set()
    for first, second in ((1, 2), (2, 1)):
        kmap, _ = map_of(boot())
        kmap.insert(4, 2, first)
        kmap.insert(8, 2, second)
        found.add((kmap.entries, kmap.entered, kmap.used))
    assert len(found) == 1


def test_unmapping_what_is_not_mapped_panics():
    """A range that is free already is a broken rule."""
    m = boot()
    m.cpu("A", m.kernel_map.uvm_unmap, KERNBASE, 2)
    (wrong,) = panics(search(m.world))
    assert (wrong.kind, wrong.message) == (
        "double-free",
        "uvm_unmap: page 0 of kernel_map is not mapped",
    )


@pytest.mark.parametrize(("body", "takes"), [("hold", False), ("alloc", True)])
def test_a_churner_locks_and_unlocks_for_ever(body, takes):
    """It holds the lock again and again; with the body ``alloc`` it also takes a range."""
    m = boot(churn=body)
    m.background("K", m.kernel_map.churn)
    m.cpu("A", pause_once)
    graph = search(m.world)
    assert len(graph) < 60
    used = {look(graph, number, lambda: m.kernel_map.used) for number in range(len(graph))}
    assert (used != {0}) is takes


async def pause_once():
    await pause()


# --- spinning, readers ----------------------------------------------------------------------


def tried_while_held(spins, write):
    """Does B get the lock, if A lets go of it while B spins; and how often has it looked?"""
    m = boot(rwlock_spins=spins)
    kmap = map_of(m)[0]
    with m.world:
        got = Cell()

    async def hold():
        await kmap.lock.enter(write)
        await kmap.lock.exit()

    async def attempt():
        got.value = await kmap.vm_map_lock_try()
        if got.value:
            await kmap.vm_map_unlock()

    m.cpu("A", hold)
    m.cpu("B", attempt)
    with Steered(m.world) as steered:
        steered.until("A", "lock.release")
        steered.until("B", "lock.try")
        steered.step("B")
        while not write and steered.about_to("B") != "ended":
            steered.step("B")
        steered.go("A", "B")
        tries = [event for who, event, _ in steered.events if (who, event) == ("B", "lock.try")]
    return got.value, len(tries)


@fact(
    "A NOSLEEP request spins up to 1000 turns while the lock is write-locked, then it is EBUSY",
    "kern_rwlock.c 1.50, 1.58 rw_enter",
)
@pytest.mark.parametrize(
    ("spins", "write", "got", "tries"),
    [(0, True, False, 1), (1, True, True, 2), (1, False, False, 1)],
)
def test_a_try_that_spins_waits_for_a_writer_and_not_for_readers(spins, write, got, tries):
    assert tried_while_held(spins, write) == (got, tries)


def test_spinning_is_no_way_out():
    """However often it looks, the holder can be back each time: nothing hangs less."""
    for spins in (0, 2):
        found = judged("contended_kernel_map", "wait", None, cpus=1, rwlock_spins=spins)
        kinds = {one.kind for one in found.found.hanging + found.found.repeating}
        assert kinds == {"lost-wakeup", "livelock"}


def test_a_churner_that_only_reads_refuses_a_try_as_well():
    m = boot(churn="read")
    m.cpu("A", m.kernel.pmap_pools.vp_pool.get, False)
    m.background("K", m.kernel_map.churn)
    with Steered(m.world) as steered:
        steered.until("K", "lock.release")
        assert m.kernel_map.lock.readers
        steered.go("A")
    assert m.kernel.pmap_pools.vp_pool.fails.lock == 1
