"""Anons: NOWAIT in the fault path, and the wait that only fills the pool."""

from facts import fact
from worlds import Cell, alone, at_end, boot, search, stuck

from kmodel.vm.amap import Amap
from kmodel.vm.anon import Anon, Anons


def anons(**params):
    m = boot(**params)
    return m, m.kernel.anons


def test_an_amap_is_empty_at_first():
    """A slot without an anon is ``None``, and a filled one says anon and page."""
    m, _ = anons()
    with m.world:
        amap = Amap(Anons("p0", "wake-all"))
    assert amap.lookup(7) is None
    amap.install(7, Anon(0x1000, 3))
    assert amap.lookup(7) == (0x1000, 3, False, False, 1, False)


@fact(
    "uvm_analloc never sleeps",
    "uvm_anon.c 1.67 uvm_analloc",
)
def test_analloc_never_sleeps():
    """With no anon, page or address left it gives ``None`` at once."""
    m, pool = anons(anon_stock=0, km_pages=4)
    assert alone(m.world, pool.uvm_analloc) is None
    assert pool.pool.fails.nfail == 1


def test_anwait_gets_one_and_puts_it_back():
    """Afterwards the pool has a free item, and none more is out than before."""
    m, pool = anons(anon_stock=0)
    assert alone(m.world, pool.uvm_anwait) is None
    assert (pool.pool.nout, len(pool.pool.free)) == (0, 4)
    assert pool.pool.fails.nfail == 0


@fact(
    "What uvm_anwait gave back another thread may take before the retry",
    "uvm_anon.c 1.67 uvm_anwait",
)
def test_what_anwait_left_can_be_stolen():
    """Between its put and the caller's retry another thread may take the item."""
    m, pool = anons(anon_stock=0, km_pages=5)
    with m.world:
        got = Cell(0)

    async def wait_and_retry():
        await pool.uvm_anwait()
        got.value = await pool.uvm_analloc() is not None

    async def thief():
        for _ in range(4):
            await pool.uvm_analloc()

    m.cpu("A", wait_and_retry)
    m.cpu("T", thief)
    graph = search(m.world)
    assert at_end(graph, lambda: got.value) == {True, False}
    assert stuck(graph) != []  # all four can go before the waiter had any
