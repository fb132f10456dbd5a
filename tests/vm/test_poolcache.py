"""Per-CPU caches of a pool: two lists a CPU, full ones in a depot."""

from facts import fact
from worlds import Steered, alone, at_end, boot, edges, look, run, search, stuck

from kmodel.param import PAGE_SIZE
from kmodel.point import pause
from kmodel.sync.mutex import IPL_VM
from kmodel.vm.pool import Pool


def pool_of(size=1, **params):
    m = boot(pool_cache=size, **params)
    return m, m.kernel.pmap_pools.pted_pool


async def borrow(pool, count=1):
    items = [await pool.get(False) for _ in range(count)]
    for item in items:
        await pool.put(item)


@fact(
    "nout counts the items in per-CPU caches as out of the pool",
    "subr_pool.c 1.242 pool_cache_put",
)
def test_what_is_put_stays_on_this_cpu():
    """nout counts it as out, the pool has not got it back, and the next get takes no lock of
    the pool."""
    m, pool = pool_of()

    async def twice():
        await borrow(pool)
        await borrow(pool)

    m.cpu("A", twice)
    graph = search(m.world)
    taken = [edge.target.name for edge in edges(graph) if edge.event == "mutex.enter"]
    assert taken.count("pted.pr_mtx") == 1
    assert at_end(graph, lambda: (pool.nout, len(pool.free), pool.cache.held())) == {(1, 3, 1)}


@fact(
    "A put into a full cache moves the previous list to the depot",
    "subr_pool.c 1.242 pool_cache_put",
)
def test_full_lists_go_to_the_depot_and_come_back_from_it():
    """Three items through lists of one: active, previous, depot, which has what came first."""
    m, pool = pool_of()
    first = []

    async def three():
        items = [await pool.get(False) for _ in range(3)]
        first.extend(items)
        for item in items:
            await pool.put(item)

    m.cpu("A", three)
    run(m.world)
    assert pool.cache.depot == ((first[0],),)
    assert pool.cache.lists[0] == ((first[2],), (first[1],))


@fact(
    "An item that is put back while a request is seen to wait goes past the cache, to the pool",
    "subr_pool.c 1.242 pool_put",
)
def test_who_waits_is_served_past_the_cache():
    """W is at the hard limit, and gets the item that A puts back."""
    m, _ = pool_of()
    with m.world:
        pool = Pool("limited", m.kernel.km.single(4), IPL_VM, PAGE_SIZE // 4, hardlimit=1, cached=1)

    async def keep():
        item = await pool.get(False)
        await pause()
        await pool.put(item)

    async def wait():
        return await pool.get(True)

    m.cpu("A", keep)
    m.cpu("W", wait)
    with Steered(m.world) as steered:
        steered.until("A", "task.pause")
        steered.go("W")
        assert steered.about_to("W") == "chan.woken"
        steered.go("A", "W")
        assert steered.about_to("W") == "ended"
    assert pool.cache.held() == 0


@fact(
    "Items in other CPUs' lists are not searched",
    "subr_pool.c 1.242 pool_cache_get",
)
def test_another_cpu_finds_what_lies_in_the_depot_only():
    """Items in the lists of another CPU are not searched; the depot is for all."""
    m, pool = pool_of()
    m.cpu("A", borrow, pool, 3)
    m.cpu("B", borrow, pool, 2)
    with Steered(m.world) as steered:
        steered.go("A")
        assert (pool.nout, len(pool.free)) == (3, 1)
        steered.go("B")
        assert (pool.nout, len(pool.free)) == (4, 0)


def test_the_items_of_all_caches_are_conserved():
    """In every order of two CPUs: free, or in a cache, and nothing twice."""
    m, pool = pool_of()
    m.cpu("A", borrow, pool, 2)
    m.cpu("B", borrow, pool, 2)
    graph = search(m.world)
    assert stuck(graph) == []
    assert graph.violations == []
    ends = at_end(graph, lambda: (len(pool.free) + pool.cache.held(), pool.nout))
    assert {total for total, _ in ends} == {4}


def exhausted():
    """A has all the items there can be and puts one back; W sleeps for one."""
    m, pool = pool_of(km_pages=5)

    async def take_all_and_put_one():
        items = [await pool.get(False) for _ in range(4)]
        await pool.put(items[0])

    m.cpu("A", take_all_and_put_one)
    m.cpu("W", pool.get, True)
    return m, pool


def test_a_sleeper_does_not_see_what_is_parked_on_another_cpu():
    """A put that looks before the request is queued leaves the item in the cache, and nobody
    takes it out again: in some orders the sleeper sleeps on, an item in no reach of it."""
    m, pool = exhausted()
    graph = search(m.world)
    parked = {look(graph, number, pool.cache.held) for number in stuck(graph)}
    assert 1 in parked
    # an empty stock ends it elsewhere: it sleeps for an address before it ever queues
    assert parked <= {0, 1}


def test_putting_an_item_twice_into_a_cache_panics():
    """A double free is found on this CPU at once."""
    m, pool = pool_of(2)

    async def twice():
        item = await pool.get(False)
        await pool.put(item)
        await pool.put(item)

    m.cpu("A", twice)
    (wrong,) = search(m.world).violations
    assert wrong.kind == "double-free"


@fact(
    "A per-CPU cache has a fail counter of its own: a miss is no failure of the pool",
    "subr_pool.c 1.242 pool_cache_get",
)
def test_a_miss_of_the_cache_is_no_failure_of_the_pool():
    m, pool = pool_of()
    alone(m.world, borrow, pool, 2)
    assert (pool.cache.nfail, pool.fails.nfail) == (2, 0)


@fact(
    "Interrupts are masked while a CPU is at its cache, also where it waits for the depot",
    "subr_pool.c 1.242 pool_cache_get, pool_cache_put",
)
def test_no_interrupt_comes_while_a_cpu_is_at_its_cache():
    """Else its handler, which may allocate, would change lists that have been read already."""
    m, pool = pool_of()
    m.cpu("A", borrow, pool, 3)
    levels = set()
    with Steered(m.world) as steered:
        while steered.can("A"):
            op = steered.about_to("A")
            at = steered._execution.pending[0]
            if op == "mutex.enter" and at[1] is pool.cache.depot_mtx:
                levels.add(max((lock.ipl for lock in m.world.tasks[0].cpu.held), default=0))
            steered.step("A")
        assert m.world.tasks[0].cpu.held == ()
    assert levels == {IPL_VM}
