"""Page caches: a magazine at a time from the free list, and nobody sees what is in them."""

from itertools import permutations

from facts import fact
from worlds import Cell, Steered, alone, at_end, boot, edges, search, stuck


def cached(size=2, **params):
    m = boot(page_cache=size, **params)
    return m, m.kernel.km.cache


def one(cache, waitok=False):
    return cache.getpages(1, waitok=waitok, usereserve=False)


@fact(
    "The per-CPU page cache refills a magazine at a time",
    "uvm_pmemrange.c 1.77 uvm_pmr_cache_alloc",
)
def test_a_refill_takes_a_magazine_at_once():
    """One page asked for, two gone from the free list: the second costs no lock."""
    m, cache = cached()

    async def two():
        await one(cache)
        await one(cache)

    m.cpu("A", two)
    names = [getattr(edge.target, "name", "") for edge in edges(search(m.world))]
    assert names[1:] == ["fpageqlock"]


@fact(
    "uvmexp.free does not count the pages in per-CPU caches",
    "uvm_pmemrange.c 1.77",
)
def test_cached_pages_are_not_free():
    """uvmexp.free does not count them; they are accounted for all the same."""
    m, cache = cached()
    before = m.physmem.nfree()

    async def borrow():
        pages = await one(cache)
        await cache.freepages(pages)

    alone(m.world, borrow)
    assert m.physmem.nfree() == before - 2
    assert cache.held() == 2


def test_a_page_put_into_the_cache_wakes_nobody():
    """Who sleeps for memory is woken by the free list only: here by a drain."""
    m, cache = cached(1)

    async def give():
        pages = await m.physmem.getpages(3, waitok=False, usereserve=False)
        for page in pages:
            await cache.freepages((page,))

    m.cpu("A", give)
    done = [edge.event for edge in edges(search(m.world))]
    assert done.count("chan.wakeup") == 1


def test_each_cpu_has_its_own():
    """In every order two CPUs get different pages and share nothing but the free list."""
    m, cache = cached()
    with m.world:
        got = [Cell(), Cell()]

    async def take(cell):
        pages = await one(cache)
        cell.value = pages[0]
        await cache.freepages(pages)

    for name, cell in zip("AB", got):
        m.cpu(name, take, cell)
    graph = search(m.world)
    assert stuck(graph) == []
    assert graph.violations == []
    ((a, b),) = at_end(graph, lambda: (got[0].value, got[1].value))
    assert a != b


@fact(
    "If no magazine can be had, one page comes by the ordinary way",
    "uvm_pmemrange.c 1.77",
)
def test_with_no_magazine_to_be_had_one_page_comes_the_ordinary_way():
    """Near the reserve there are not enough for a magazine; one there is."""
    m, cache = cached(4)
    while m.physmem.nfree() > m.physmem.reserve_kernel + 3:
        m.physmem.take(1)

    async def borrow():
        pages = await one(cache)
        await m.physmem.freepages(pages)

    m.cpu("A", borrow)
    with Steered(m.world) as steered:
        steered.until("A", "chan.wakeup")
        assert cache.held() == 0
        given = [fields["pages"] for _, event, fields in steered.events if event == "page.alloc"]
    assert [len(pages.split()) for pages in given] == [1]


def test_several_that_cannot_be_had_go_back():
    """The first of two is in the cache again when the second fails."""
    m, cache = cached(1)
    while m.physmem.nfree() > m.physmem.reserve_kernel + 2:
        m.physmem.take(1)

    async def two():
        return await cache.getpages(2, waitok=False, usereserve=False)

    m.world.task("A", two)
    graph = search(m.world)
    assert at_end(graph, cache.held) == {1}


def test_a_page_is_put_back_once():
    """Twice is a double free."""
    m, cache = cached()

    async def twice():
        pages = await one(cache)
        await cache.freepages(pages)
        await cache.freepages(pages)

    m.cpu("A", twice)
    (wrong,) = search(m.world).violations
    assert wrong.kind == "double-free"


def test_without_magazines_it_is_the_page_allocator():
    """The kernel as it was: nothing is kept, and no state is added."""
    m, cache = cached(0)
    before = m.physmem.nfree()

    async def borrow():
        pages = await one(cache)
        await cache.freepages(pages)

    alone(m.world, borrow)
    assert (m.physmem.nfree(), cache.held()) == (before, 0)


@fact(
    "A drain empties the page cache of the CPU that it runs on, and no other",
    "uvm_pmemrange.c 1.77 uvm_pmr_cache_drain",
)
def test_a_drain_empties_only_the_cache_of_its_own_cpu():
    """What lies in another CPU's magazines stays there, however short memory is."""
    m = boot(page_cache=2)
    cache, before = m.kernel.km.cache, m.physmem.nfree()

    async def fill(drain):
        pages = await cache.getpages(1, waitok=False, usereserve=False)
        await cache.freepages(pages)
        if drain:
            await cache.drain()

    m.cpu("A", fill, True)
    m.cpu("B", fill, False)
    assert at_end(search(m.world), lambda: (m.physmem.nfree(), cache.held())) == {(before - 2, 2)}


def test_in_what_order_pages_were_put_is_no_matter():
    """A CPU that gives three pages back in any order comes to the same magazines."""
    found = set()
    for order in permutations(range(3)):
        m, cache = cached()

        async def give(cache=cache, order=order):
            pages = await cache.getpages(3, waitok=False, usereserve=False)
            await cache.freepages(tuple(pages[n] for n in order))

        alone(m.world, give)
        found.add(tuple(cache.magazines))
        assert cache.held() == 4
    assert len(found) == 1
