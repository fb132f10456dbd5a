"""The busy flag of a map: who is kept out while its lock is free, and who is not."""

import pytest
from facts import fact
from stories import judged
from worlds import Cell, Steered, at_end, boot, marks, panics, search, stuck

from kmodel.param import PAGE_SIZE
from kmodel.vm.cause import Cause
from kmodel.vm.mapbusy import Busy

VA = 0x20_0000


def kept_busy(**params):
    """A machine, and a thread K that stops where it keeps kernel_map busy, the lock let go."""
    m = boot(churn="wire", **params)
    m.background("K", m.kernel_map.churn, 1)
    return m


def until_busy(m, steered):
    while m.kernel_map.busy.owner is None or m.kernel_map.lock.writer is not None:
        steered.step("K")


async def take_range(m, cell, trylock):
    got = await m.kernel_map.uvm_map(2, m.kernel.km.entries, trylock=trylock)
    cell.value = got.name if isinstance(got, Cause) else "a range"


@fact(
    "vm_map_lock_try is refused while another thread keeps the map busy, though the lock is free",
    "uvm_map.c 1.346 vm_map_lock_try",
)
def test_a_try_is_refused_by_a_busy_map():
    m = kept_busy()
    with m.world:
        got = Cell()
    m.cpu("A", take_range, m, got, True)
    with Steered(m.world) as steered:
        until_busy(m, steered)
        steered.go("A")
        assert (got.value, m.kernel.km.entries.nout) == ("LOCK", 0)


@fact(
    "vm_map_lock waits while another thread keeps the map busy, and is woken when it does no more",
    "uvm_map.c 1.346 vm_map_lock, vm_map_unbusy",
)
def test_the_lock_of_a_busy_map_is_waited_for():
    m = kept_busy()
    with m.world:
        got = Cell()
    m.cpu("A", take_range, m, got, False)
    with Steered(m.world) as steered:
        until_busy(m, steered)
        steered.go("A")
        assert m.kernel_map.lock.writer is None
        assert steered.about_to("A") == "chan.woken"
        steered.go("K", "A")
        assert got.value == "a range"


def broken_in(m, got, trylock):
    """A takes a range in every order; what is told if somebody else keeps the map busy then."""
    kmap, me = m.kernel_map, m.cpu("A", take_range, m, got, trylock)
    busy = kmap.busy

    def test():
        inside = kmap.lock.writer is me and kmap.used and busy.owner not in (None, me)
        return "a range was taken of a busy map" if inside else None

    m.always("nobody gets in", test)
    return search(m.world)


@pytest.mark.parametrize("trylock", [False, True])
def test_in_no_order_has_anybody_a_range_while_another_keeps_the_map_busy(trylock):
    """Whoever gets the lock finds out before it changes anything; nobody sleeps for ever."""
    m = kept_busy()
    with m.world:
        got = Cell()
    graph = broken_in(m, got, trylock)
    assert (stuck(graph), panics(graph)) == ([], [])
    assert "nobody gets in" not in {one.property for one in graph.violations}
    assert at_end(graph, lambda: got.value) == {"a range", *["LOCK"] * trylock}
    met = "a map was busy, and its lock was free", "a thread waits for a map that is busy"
    assert met[not trylock] in marks(graph)


@pytest.mark.parametrize("trylock", [False, True])
def test_a_flag_that_nobody_looks_at_again_lets_somebody_in(monkeypatch, trylock):
    """Planted: who has got the lock does not look once more."""

    async def once(self):
        await self._wait()
        await self.lock.enter(True)

    async def once_try(self):
        return not await self._another() and await self.lock.enter_try(True)

    monkeypatch.setattr(Busy, "enter", once)
    monkeypatch.setattr(Busy, "enter_try", once_try)
    m = kept_busy()
    with m.world:
        got = Cell()
    graph = broken_in(m, got, trylock)
    assert "nobody gets in" in {one.property for one in graph.violations}


@fact(
    "Wiring keeps the map busy over an unlock: others that would change the map wait for its end",
    "uvm_map.c 1.346 vm_map_busy",
)
def test_nobody_unmaps_what_is_being_wired():
    m = boot(map_busy=True)
    space = m.process()
    m.cpu("A", space.mlock, VA)
    m.cpu("U", space.munmap, VA, VA + PAGE_SIZE)
    m.cpu("F", space.fault, VA + PAGE_SIZE, False)
    with Steered(m.finish()) as steered:
        steered.go("pagedaemon")
        while space.map.busy.owner is None or space.map.lock.writer is not None:
            steered.step("A")
        steered.go("U")
        assert steered.about_to("U") == "chan.woken"
        steered.go("F")  # who only reads the map does not ask
        assert steered.about_to("F") == "ended"
        steered.go("A", "U")
        assert steered.about_to("U") == "ended"
    assert space.map.hole == (VA, VA + PAGE_SIZE)


def test_a_wired_page_survives_every_order_of_a_fault_beside_it():
    """The wiring thread comes back to its own map, whoever else waits for it."""
    m = boot(map_busy=True)
    space = m.process()
    m.cpu("A", space.mlock, VA)
    m.cpu("B", space.mlock, VA)
    graph = search(m.finish())
    assert (stuck(graph), panics(graph)) == ([], [])
    page = VA // PAGE_SIZE
    ends = at_end(graph, lambda: (space.map.busy.owner, space.map.amap.lookup(page).wired))
    assert ends == {(None, True)}


@pytest.mark.parametrize(("fix", "kind"), [("wait", "lost-wakeup"), ("populate", "livelock")])
def test_a_map_that_is_kept_busy_again_and_again(fix, kind):
    """No lock is ever asked for in vain, so lock-grant says nothing: even populate can find
    the map busy each time."""
    found = judged("contended_kernel_map", fix, churn="wire", cpus=1).verdict()
    assert (found.verdict, found.kind) == ("violated", kind)
