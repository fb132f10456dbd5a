"""Pools: NOWAIT and WAITOK, what counts as a failure, and who is served first."""

import pytest
from facts import fact
from worlds import (
    Cell,
    Steered,
    alone,
    at_end,
    boot,
    edges,
    everywhere,
    look,
    marks,
    panics,
    run,
    search,
    stuck,
)

from kmodel.point import pause
from kmodel.shared import shared
from kmodel.sync.mutex import IPL_VM, Mutex
from kmodel.vm.cause import Cause
from kmodel.vm.pool import Pool
from kmodel.world import World, curcpu

SIZE = 64


@shared
class Pages:
    """A page allocator with so many one-item pages, which takes a point to find one."""

    left: int

    def __init__(self, left: int) -> None:
        self.left = left

    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause:
        await pause()
        if not self.left:
            return Cause.PAGES
        self.left -= 1
        return (SIZE * self.left,)


@shared
class Two:
    """A page allocator with one page of two items."""

    left: int

    def __init__(self) -> None:
        self.left = 1

    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause:
        had, self.left = self.left, 0
        await pause()
        return (0, SIZE) if had else Cause.PAGES


def pool_with(pages, items=0, hardlimit=None):
    """A pool that has ``items`` free ones and can make ``pages`` more."""
    with World() as world:
        pool = Pool("toy", Pages(pages), IPL_VM, SIZE, hardlimit=hardlimit)
        pool.prime(tuple(SIZE * (100 + n) for n in range(items)))
    return world, pool


async def get_and_put(pool, waitok=True):
    item = await pool.get(waitok)
    if item is not None:
        await pool.put(item)
    return item is not None


def hold_one_item(world, pool, waiters):
    """A takes an item and holds it over a point; others want one, and say when served."""
    with world:
        served = Cell("")

    async def hold():
        item = await pool.get(True)
        await pause()
        await pool.put(item)

    async def want(name):
        item = await pool.get(True)
        served.value += name
        await pool.put(item)

    world.task("A", hold)
    for name in waiters:
        world.task(name, want, name)
    return served


# --- what counts ------------------------------------------------------------------------


@fact(
    "A NOWAIT get that fails in the pool proper adds one to pr_nfail",
    "subr_pool.c 1.242 pool_get",
)
def test_nowait_gives_null_and_counts_it():
    """A NOWAIT get that finds no item and can make none is a failure, with its cause."""
    world, pool = pool_with(pages=0)
    assert alone(world, get_and_put, pool, False) is False
    assert (pool.fails.nfail, pool.fails.pages) == (1, 1)
    assert (pool.nout, pool.free) == (0, ())


def test_nowait_that_succeeds_counts_nothing():
    """Items from stock, and items on a new page, are no failures."""
    for pages, items in ((1, 0), (0, 1)):
        world, pool = pool_with(pages, items)
        assert alone(world, get_and_put, pool, False) is True
        assert pool.fails.nfail == 0


@fact(
    "A WAITOK get that has to wait is not counted in pr_nfail",
    "subr_pool.c 1.242 pool_get",
)
def test_waitok_that_waits_is_not_counted():
    """Its page allocation failed, it queued and slept, and no failure shows."""
    world, pool = pool_with(pages=0, items=1)
    served = hold_one_item(world, pool, "B")
    with Steered(world) as steered:
        steered.until("A", "task.pause")
        steered.go("B")
        assert steered.about_to("B") == "chan.woken"
        steered.go("A", "B")
        assert steered.outcome is not None
    assert served.value == "B"
    assert pool.fails.nfail == 0


@fact(
    "At the hard limit NOWAIT fails and WAITOK waits",
    "subr_pool.c 1.242 pool_get",
)
def test_the_hard_limit_fails_nowait_and_makes_waitok_wait():
    """At the limit no page is asked for; a NOWAIT get fails with that cause."""
    world, pool = pool_with(pages=5, items=1, hardlimit=0)
    assert alone(world, get_and_put, pool, False) is False
    assert (pool.fails.nfail, pool.fails.limit) == (1, 1)
    assert pool.allocator.left == 5
    world, pool = pool_with(pages=5, hardlimit=0)
    world.task("A", get_and_put, pool)
    assert run(world).outcome.kind == "deadlock"


@fact(
    "At the hard limit PR_LIMITFAIL fails a WAITOK get too, and that is counted",
    "subr_pool.c 1.242 pool_get",
)
def test_limitfail_does_not_wait_at_the_hard_limit():
    world, pool = pool_with(pages=5, hardlimit=0)
    assert alone(world, pool.get, True, True) is None
    assert (pool.fails.nfail, pool.fails.limit, pool.allocator.left) == (1, 1, 5)
    world, pool = pool_with(pages=1, hardlimit=1)
    assert alone(world, pool.get, True, True) is not None


def test_limitfail_waits_for_all_else():
    """Without a page it queues and sleeps as any WAITOK get."""
    world, pool = pool_with(pages=0, hardlimit=1)
    world.task("A", pool.get, True, True)
    assert run(world).outcome.kind == "deadlock"
    assert pool.fails.nfail == 0


@fact(
    "A NULL from the vp pool may be for want of pages, of a map entry, of a range or of a header",
    "uvm_km.c 1.157 km_alloc, uvm_map.c 1.346 uvm_map, subr_pool.c 1.242 pool_p_alloc",
)
@pytest.mark.parametrize(
    ("cause", "params"),
    [
        (Cause.PAGES, {"npages": 7}),
        (Cause.ENTRY, {"entry_stock": 0, "km_pages": 4}),
        (Cause.RANGE, {"kva_pages": 0}),
        (Cause.HEADER, {"header_stock": 0, "km_pages": 3}),
    ],
    ids=lambda one: one.name if isinstance(one, Cause) else "",
)
def test_each_cause_of_an_empty_vp_pool_is_told_apart(cause, params):
    """The kernel sees NULL for all of them; the model counts them by cause."""
    m = boot(**params)
    vp_pool = m.kernel.pmap_pools.vp_pool
    assert alone(m.world, vp_pool.get, False) is None
    assert (vp_pool.fails.nfail, getattr(vp_pool.fails, cause.name.lower())) == (1, 1)


@fact(
    "A NULL from the vp pool may be for the refused lock of kernel_map alone",
    "uvm_km.c 1.157 km_alloc, uvm_map.c 1.346 vm_map_lock_try",
)
def test_a_refused_map_lock_is_a_cause_of_its_own():
    """With memory and addresses to spare the held kernel map alone makes NOWAIT fail."""
    m = boot()
    vp_pool, free = m.kernel.pmap_pools.vp_pool, m.physmem.nfree()
    m.cpu("A", get_and_put, vp_pool, False)
    m.background("K", m.kernel_map.churn)
    with Steered(m.world) as steered:
        steered.until("K", "lock.release")
        steered.go("A")
    assert (vp_pool.fails.nfail, vp_pool.fails.lock) == (1, 1)
    assert m.physmem.nfree() == free


# --- making an item ---------------------------------------------------------------------


@shared
class Watchful:
    """A page allocator that notes what is held, and how many items are out."""

    pool: Cell
    held: tuple[object, ...]
    nout: int

    def __init__(self) -> None:
        self.pool, self.held, self.nout = Cell(), (), -1

    async def alloc(self, waitok: bool) -> tuple[int, ...]:
        self.held, self.nout = curcpu().held, self.pool.value.nout
        return (SIZE,)


@fact(
    "pool_do_get counts the item as out, then drops pr_mtx to make a page",
    "subr_pool.c 1.242 pool_do_get",
)
def test_the_mutex_is_dropped_while_a_page_is_made():
    """The allocator runs without pr_mtx, and finds the item counted as out already."""
    with World() as world:
        allocator = Watchful()
        pool = Pool("toy", allocator, IPL_VM, SIZE)
        allocator.pool.value = pool
    assert alone(world, get_and_put, pool) is True
    assert (allocator.held, allocator.nout) == ((), 1)
    assert pool.nout == 0


@fact(
    "After a refused page nobody looks whether an item came back meanwhile",
    "subr_pool.c 1.242 pool_do_get",
)
def test_nobody_looks_again_after_a_page_was_refused():
    """An item that came back meanwhile does not help: NULL with a free item in the pool."""
    world, pool = pool_with(pages=0, items=1)
    with world:
        found = Cell()

    async def ask():
        item = await pool.get(False)
        found.value = (item is not None, len(pool.free))
        if item is not None:
            await pool.put(item)

    world.task("A", ask)
    world.task("B", get_and_put, pool)
    assert (False, 1) in at_end(search(world), lambda: found.value)


def test_the_items_are_conserved():
    """In every order all items that were got are back, and none twice."""
    world, pool = pool_with(pages=2, items=1)
    for name in "ABC":
        world.task(name, get_and_put, pool, name != "C")
    graph = search(world)
    assert stuck(graph) == []
    assert graph.violations == []
    ends = at_end(graph, lambda: (pool.nout, len(pool.free), pool.allocator.left))
    assert {(nout, free + left) for nout, free, left in ends} == {(0, 3)}


# --- waiting ----------------------------------------------------------------------------


@fact(
    "Requests of a pool are served in the order in which they came",
    "subr_pool.c 1.242 pool_runqueue",
)
@pytest.mark.parametrize("order", ["BC", "CB"])
def test_requests_are_served_first_come_first_served(order):
    """Whoever queued first is given the item that comes back first."""
    world, pool = pool_with(pages=0, items=1)
    served = hold_one_item(world, pool, "BC")
    with Steered(world) as steered:
        steered.until("A", "task.pause")
        steered.go(*order)
        steered.go("A", *reversed(order), *order)
        assert steered.outcome is not None
        assert steered.outcome.kind == "done"
    assert served.value == order


def test_who_queues_while_the_queue_is_served_comes_behind():
    """B and C are looked after when D comes: unserved, they go back in front of D."""
    world, pool = pool_with(pages=0, items=1)
    served = hold_one_item(world, pool, "BCD")
    with Steered(world) as steered:
        steered.until("A", "task.pause")
        steered.go("B")
        for _ in range(2):  # C's own attempt asks for a page, then C as the queue's runner
            steered.until("C", "task.pause")
            steered.step("C")
        steered.go("D", "C")
        steered.go("A", "D", "C", "B", "D", "C", "D")
        assert steered.outcome is not None
    assert served.value == "BCD"


@fact(
    "pool_put runs the queue of requests",
    "subr_pool.c 1.242 pool_wakeup",
)
def test_put_serves_a_request():
    """The item goes to who waits for it, and is never seen on the free list."""
    world, pool = pool_with(pages=0, items=1)
    served = hold_one_item(world, pool, "B")
    with Steered(world) as steered:
        steered.until("A", "task.pause")
        steered.go("B", "A")
        assert (pool.free, pool.nout, len(pool.given)) == ((), 1, 1)
        steered.go("B")
    assert served.value == "B"


@fact(
    "pool_put looks at the queue of requests without a lock",
    "subr_pool.c 1.242 pool_put",
)
@pytest.mark.parametrize("pages", [0, 1])
def test_a_put_that_comes_while_the_queue_is_served_wakes_nobody(pages):
    """The runner keeps the requests to itself while it asks for a page, ``put`` looks at
    the empty queue without a lock, and nobody looks again: asleep with an item free."""
    world, pool = pool_with(pages, items=1)
    for name in "ABC":
        world.task(name, get_and_put, pool)
    graph = search(world)
    asleep = {
        look(graph, number, lambda: (len(pool.free), len(pool.requests))) for number in stuck(graph)
    }
    assert (1 + pages, 1) in asleep
    # the sleepers are on the queue: the next put would serve them
    assert {free for free, _ in asleep} == {1 + pages}


@fact(
    "A get that makes a page takes one item of it and runs no queue: the others serve nobody",
    "subr_pool.c 1.242 pool_get, pool_do_get",
)
def test_a_page_made_by_one_get_serves_no_other():
    """A makes a page of two items; B asked for it in vain meanwhile, queued, and sleeps on
    beside the second item. The next put would serve it."""
    with World() as world:
        pool = Pool("toy", Two(), IPL_VM, SIZE)
    world.task("A", pool.get, False)
    world.task("B", pool.get, True)
    graph = search(world)
    asleep = {
        look(graph, number, lambda: (len(pool.free), len(pool.requests))) for number in stuck(graph)
    }
    assert asleep == {(1, 1)}
    assert {edge.task for edge in edges(graph) if edge.event == "pool.requests"} == {"B"}


@fact(
    "Concurrent runners of the queue are merged: the active one goes round again",
    "subr_pool.c 1.242 pool_runqueue",
)
def test_the_queue_has_one_runner_at_a_time():
    """A second one only asks the first to go round again, and nothing is left of it."""
    world, pool = pool_with(pages=0, items=1)
    for name in "ABC":
        world.task(name, get_and_put, pool)
    graph = search(world)
    assert everywhere(graph, lambda: pool.requesting) == {0, 1, 2, 3}
    assert at_end(graph, lambda: pool.requesting) == {0}


def test_a_get_that_queues_says_so():
    """The search can ask whether the slow path was ever taken."""
    world, pool = pool_with(pages=0, items=1)
    hold_one_item(world, pool, "B")
    assert marks(search(world)) == {"a WAITOK get had to queue a request"}


@fact(
    "A WAITOK get asserts that it may sleep",
    "subr_pool.c 1.242 pool_get",
)
def test_waitok_with_a_mutex_held_panics():
    """It may sleep, so it is refused even if an item is free; NOWAIT is allowed."""
    world, pool = pool_with(pages=0, items=2)
    with world:
        mutex = Mutex("spin")

    async def ask():
        await mutex.enter()
        await pool.get(False)
        await pool.get(True)

    world.task("A", ask)
    (wrong,) = panics(search(world))
    assert wrong.message == "pool_get(toy pool, PR_WAITOK): A would sleep holding mutex spin"


def test_putting_an_item_twice_panics():
    """The second put of one item is a broken rule, with its own kind."""
    world, pool = pool_with(pages=0, items=1)

    async def twice():
        item = await pool.get(False)
        await pool.put(item)
        await pool.put(item)

    world.task("A", twice)
    (wrong,) = panics(search(world))
    assert wrong.kind == "double-free"
    assert "toy pool: item" in wrong.message


def test_who_takes_first_does_not_show_in_the_addresses():
    """Each of four CPUs prefers an item of its own, so in every order each has the same one."""
    with World() as world:
        pool, got = Pool("four", Pages(0), IPL_VM, SIZE), [Cell() for _ in range(4)]
        pool.free = tuple(range(0, 4 * SIZE, SIZE))

    async def take(cell):
        cell.value = await pool.get(False)

    for name, cell in zip("ABCD", got):
        world.task(name, take, cell)
    assert len(at_end(search(world), lambda: tuple(cell.value for cell in got))) == 1
