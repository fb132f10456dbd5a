"""uvm_km_pages and its thread: when it wakes, what it takes, and what it waits for."""

import pytest
from facts import fact
from worlds import Steered, alone, at_end, boot, edges, marks, search, stuck

from kmodel.vm.kmap import KERNBASE
from kmodel.vm.kmstock import OWN_STOCK, THREAD


def stock_of(pages, lowat=2, **params):
    """A machine whose stock has ``pages`` addresses left after boot (4 go to the pools)."""
    params = {"kva_pages": 4, "npages": 40} | params
    m = boot(km_pages=pages + 5, km_lowat=lowat, **params)
    return m, m.kernel.km


async def take(km, times=1, waitok=False):
    got = [await km.kmpages.get(waitok) for _ in range(times)]
    return sum(one is not None for one in got)


def test_boot_leaves_so_many():
    _, km = stock_of(3)
    assert km.kmpages.free == len(km.kmpages.page) == 3
    assert km.kmpages.hiwat == 8


@fact(
    "A get that leaves less than lowat wakes the thread, which refills the stock in batches",
    "uvm_km.c 1.157 km_alloc, uvm_km_thread",
)
@pytest.mark.parametrize(("left", "woken"), [(3, False), (2, True)])
def test_the_thread_is_woken_below_lowat(left, woken):
    m, km = stock_of(left)
    m.cpu("A", take, km)
    with Steered(m.finish()) as steered:
        steered.go(THREAD, "pagedaemon", "A")
        assert steered.can(THREAD) is woken
        steered.go(THREAD)
    assert km.kmpages.free == (1 + km.kmpages.batch if woken else 2)


@fact(
    "An empty stock fails NOWAIT and puts WAITOK to sleep, and neither wakes the thread",
    "uvm_km.c 1.157 km_alloc",
)
@pytest.mark.parametrize("waitok", [False, True])
def test_who_gets_nothing_wakes_nobody(waitok):
    m, km = stock_of(0)
    m.cpu("A", take, km, 1, waitok)
    graph = search(m.world)
    assert [edge.target.name for edge in edges(graph) if edge.event == "chan.wakeup"] == []
    assert at_end(graph, lambda: km.kmpages.free) == (set() if waitok else {0})
    assert bool(stuck(graph)) is waitok


def test_a_sleeper_gets_what_the_thread_brings():
    """In every order: the stock was empty, the thread refills it, the sleeper goes on."""
    m, _ = stock_of(0, anon_stock=0)
    m.cpu("A", borrow, m)
    m.cpu("B", borrow, m)
    graph = search(m.finish())
    assert stuck(graph) == []
    assert graph.violations == []
    assert "chan.woken" in {edge.event for edge in edges(graph) if edge.task in "AB"}


async def borrow(m):
    pool = m.kernel.anons.pool
    await pool.put(await pool.get(True))


@fact(
    "The first address of a batch sleeps for the map's lock, the following ones only try it",
    "uvm_km.c 1.157 uvm_km_thread",
)
def test_the_first_address_of_a_batch_sleeps_and_the_others_try():
    m, km = stock_of(0)
    m.cpu("A", take, km, 1, True)
    with Steered(m.finish()) as steered:
        steered.go("pagedaemon")
        steered.until(THREAD, "chan.wakeup")
        said = [event for task, event, _ in steered.events if task == THREAD and "lock" in event]
    assert said == ["lock.acquire", "lock.release", "lock.try", "lock.release"]


@fact(
    "The thread wakes the sleepers even when its batch gained nothing",
    "uvm_km.c 1.157 uvm_km_thread",
)
def test_sleepers_are_woken_even_if_nothing_was_gained():
    """With no address in kernel_map it goes round and round, and wakes them each time."""
    m, km = stock_of(0, kva_pages=0)
    m.cpu("A", take, km, 1, True)
    with Steered(m.finish()) as steered:
        steered.go("pagedaemon", "A")
        assert steered.about_to("A") == "chan.woken"
        steered.until(THREAD, "chan.wakeup")
        steered.step(THREAD)
        assert steered.can("A")
        steered.go("A")
        assert steered.about_to("A") == "chan.woken"
        assert km.kmpages.free == 0


@fact(
    "The thread's own map entries come from a pool whose pages have addresses of the stock: "
    "without an entry it sleeps for the stock that only it refills",
    "uvm_km.c 1.157 uvm_km_thread, uvm_map.c 1.346 uvm_mapent_alloc",
)
def test_without_a_map_entry_the_thread_sleeps_for_itself():
    m, km = stock_of(1, entry_stock=0)
    while km.kmpages.free:
        km.kmpages.take()
    m.cpu("A", take, km, 1, True)
    graph = search(m.finish())
    assert OWN_STOCK in marks(graph)
    assert stuck(graph) != []
    m, km = stock_of(0, entry_stock=4)
    m.cpu("A", take, km, 1, True)
    assert stuck(search(m.finish())) == []


def single(m):
    return m.kernel.anons.pool.allocator


def fill(km):
    """The array is full of what others gave back."""
    while km.kmpages.free < km.kmpages.hiwat:
        km.kmpages.page, km.kmpages.free = (*km.kmpages.page, KERNBASE), km.kmpages.free + 1


@fact(
    "A freed single page goes back into the array, and what has no room there to the thread",
    "uvm_km.c 1.157 km_free, uvm_km_doputpage",
)
@pytest.mark.parametrize("room", [True, False])
def test_a_freed_page_goes_into_the_array_or_to_the_thread(room):
    m, km = stock_of(3)
    before = m.physmem.nfree()

    async def story():
        page = await single(m).alloc(False)
        if not room:
            fill(km)
        await single(m).free(page[0])

    alone(m.world, story)
    assert bool(km.kmpages.queued) is not room
    assert m.physmem.nfree() == before - (not room)


def test_the_thread_unmaps_what_has_no_room():
    """Its page is free then, and its address the map's again."""
    m, km = stock_of(3)
    before, used = m.physmem.nfree(), km.kernel_map.used.bit_count()

    async def story():
        page = await single(m).alloc(False)
        fill(km)
        await single(m).free(page[0])

    m.cpu("A", story)
    with Steered(m.finish()) as steered:
        steered.go(THREAD, "pagedaemon", "A", THREAD)
    assert km.kmpages.queued == ()
    assert m.physmem.nfree() == before
    assert km.kernel_map.used.bit_count() == used - 1
