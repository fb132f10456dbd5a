"""Each named property, broken on purpose once, and found."""

from __future__ import annotations

import pytest
from breaks import breaks
from stories import judged
from worlds import boot, everywhere, marks, panics, run, search

from kmodel import situations
from kmodel.explore.schedule import parse
from kmodel.fault import Kernel, Space
from kmodel.fixes import lock_retry, populate, wait
from kmodel.pmap.checks import fails_again
from kmodel.pmap.pmap import ENOMEM, Pmap
from kmodel.pmap.pools import PmapPools
from kmodel.pmap.pte import Slot
from kmodel.point import operation, procedure
from kmodel.properties import PROPERTIES
from kmodel.refit import case_of, refit
from kmodel.settings import UsageError
from kmodel.table import Stamp
from kmodel.uvmfault import centre
from kmodel.uvmfault.flt import Flt
from kmodel.vm.contents import Contents
from kmodel.vm.map import UserMap
from kmodel.vm.object import UvmObject
from kmodel.vm.swap import Swap


def verdict(name: str, situation: str, fix: str = "populate", **params: object) -> str:
    """What breaks the property, or ``holds``."""
    found = situations.load(situation)
    variant = found.combinations()[0] | {"cpus": 1} | params
    cell = judged(found.scenario, fix, situation, **variant).cell((name,))
    return cell.kind or cell.verdict


@breaks("justified kill")
def test_a_kill_is_justified_unless_swap_is_taken_for_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: swap is always full."""
    assert verdict("justified kill", "contention") == "holds"
    monkeypatch.setattr(Swap, "full", lambda self: True)
    assert verdict("justified kill", "contention") == "unjustified-kill"


@breaks("KVA exhaustion is diagnosed")
def test_exhausted_addresses_are_diagnosed_where_a_failure_is_an_error() -> None:
    """With swap full the fault gets ENOMEM, wrong as that is; with room it is told nothing."""
    name = "KVA exhaustion is diagnosed"
    assert verdict(name, "kva", swap_pages=0) == "holds"
    assert verdict(name, "kva") == "deadlock"


@breaks("nobody waits for what is there")
def test_who_waits_for_the_wrong_thing_waits_for_what_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: the fix sleeps on a channel that has nothing to do with what was short."""
    name = "nobody waits for what is there"
    assert verdict(name, "kva", "lock-retry", other="exits") == "holds"

    async def wrong(kernel, space, va, error):
        pool = kernel.pmap_pools.headers
        await pool.mem_mtx.enter()
        await pool.waiters.msleep(pool.mem_mtx, relock=False)

    monkeypatch.setattr(lock_retry, "after_failure", wrong)
    assert verdict(name, "kva", "lock-retry", other="exits") == "deadlock"
    assert verdict(name, "kva", "lock-retry", other="stays") == "holds"


@pytest.mark.parametrize(
    ("fix", "other"), [("lock-retry", "stays"), ("populate", "stays"), ("wait", "exits")]
)
def test_a_hang_found_for_a_property_shows_it_when_it_is_followed_again(
    fix: str, other: str
) -> None:
    """Dead end or loop: the run that is told of is still for that property."""
    found = situations.load("kva")
    variant = found.combinations()[0] | {"other": other}
    verdict = judged(found.scenario, fix, "kva", **variant).cell(found.properties)
    assert verdict.replay is not None
    token = parse(verdict.replay)
    again = refit(case_of(token), token)
    assert (again.again, again.token.property) == (True, verdict.property)


@breaks("no use after free")
def test_a_space_freed_by_the_first_thread_is_used_after_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: the first thread to exit, not the last, frees the address space."""
    assert verdict("no use after free", "teardown") == "holds"

    @operation(event="proc.exit")
    def first(self: Space) -> bool:
        self.threads -= 1
        return self.threads == 1

    monkeypatch.setattr(Space, "_leave", first)
    assert verdict("no use after free", "teardown") == "use-after-free"


@breaks("populated is not mapped")
def test_a_lookup_that_only_tests_the_slot_takes_populated_for_mapped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: pmap_vp_lookup's callers test "slot not NULL" instead of "pte not zero"."""
    assert verdict("populated is not mapped", "churn") == "holds"
    lookup = Pmap.pmap_vp_lookup

    @procedure
    def slot_only(self, va):
        slot, pted = lookup(self, va)
        return (Slot.VALID if pted is not None else slot), pted

    monkeypatch.setattr(Pmap, "pmap_vp_lookup", slot_only)
    assert verdict("populated is not mapped", "churn") == "invariant"


@breaks("no leak")
def test_a_descriptor_that_is_not_given_back_is_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: put_pted forgets the pool."""
    assert verdict("no leak", "teardown") == "holds"

    @procedure
    async def forget(self, pted):
        pted.pte, pted.live = None, False

    monkeypatch.setattr(PmapPools, "put_pted", forget)
    assert verdict("no leak", "teardown") == "leak"


@breaks("no panic with CANFAIL")
def test_a_failure_that_panics_although_it_may_not_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: pmap_enter does not look at PMAP_CANFAIL."""
    assert verdict("no panic with CANFAIL", "contention") == "holds"
    enter = Pmap.pmap_enter

    @procedure
    async def strict(self, va, page, write, **how):
        return await enter(self, va, page, write, **(how | {"canfail": False}))

    monkeypatch.setattr(Pmap, "pmap_enter", strict)
    assert verdict("no panic with CANFAIL", "contention") == "panic"


@breaks("no leak")
def test_a_slot_of_swap_that_is_not_given_back_is_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the end of a process forgets what it had on swap."""

    def end() -> str:
        m = boot(pageout=True, swap_used=50)
        space = m.process(threads=1)
        m.on_swap(space, 0x20_0000)
        m.cpu("A", space.exit)
        return run(m.finish()).outcome.kind

    assert end() == "done"

    @operation(event="swap.free")
    def forget(self: Swap) -> None:
        self.only -= 1

    monkeypatch.setattr(Swap, "uvm_swap_free", forget)
    assert end() == "leak"


def test_a_property_without_a_test_cannot_be_asked_for() -> None:
    """It is always judged; asking is a mistake of the scenario."""
    with pytest.raises(ValueError, match="always judged"):
        boot().must("ends")


@pytest.mark.parametrize(
    ("name", "lack", "machine"),
    [
        ("NOWAIT never blocks", "watch_nowait=true", {"watch_nowait": True}),
        ("no right but the mapping's", "tlb=true", {"tlb": True}),
        ("the kernel's pmap allocates nothing", "kernel_pmap=true", {"kernel_pmap": True}),
        ("the one-page stock is refilled", "km_lowat=1", {"km_lowat": 1}),
    ],
)
def test_a_property_that_nothing_could_break_is_refused(
    name: str, lack: str, machine: dict[str, object]
) -> None:
    """Else it would hold without a word; the message says what makes it mean something."""
    with pytest.raises(UsageError, match=lack):
        boot().must(name)
    boot(**machine).must(name)


def test_every_property_is_one_sentence() -> None:
    """It ends a line of the table's legend, so it has no full stop of its own."""
    for name, one in PROPERTIES.items():
        assert one.sentence
        assert not one.sentence.endswith("."), name


# --- what a fault finds, shares and maps ahead ------------------------------------------------


def cell(name: str, scenario: str, **params: object) -> str:
    """What breaks that property in that scenario, or ``holds``."""
    found = judged(scenario, "populate", **params).cell((name,))
    return found.kind or found.verdict


def broken(*names: str, **params: object) -> set[str]:
    """The checks of those properties that break while one thread faults on a page of a file
    and another unmaps it."""
    m = boot(**params)
    space, uobj = m.process(), m.object(1)
    m.map_object(space, 0x20_0000, uobj)
    m.must(*names)
    m.cpu("A", space.fault, 0x20_0000)
    m.cpu("U", space.munmap, 0x20_0000, 0x20_1000)
    return {wrong.property for wrong in search(m.finish()).violations if wrong.judged}


@breaks("no stale map data")
def test_a_relock_that_always_succeeds_uses_stale_map_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: uvmfault_relock does not compare timestamps."""
    assert broken("no stale map data") == set()

    @procedure
    async def relock(self: UserMap) -> bool:
        await self.lock.enter(False)
        return True

    monkeypatch.setattr(UserMap, "relock", relock)
    assert broken("no stale map data") == {"no stale map data"}


@breaks("a timestamp tells of every writer")
def test_a_write_lock_without_a_new_timestamp_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: vm_map_lock forgets to bump."""
    name = "a timestamp tells of every writer"
    assert broken(name) == set()

    @procedure
    async def vm_map_lock(self: UserMap) -> None:
        await self.lock.enter(True)

    monkeypatch.setattr(UserMap, "vm_map_lock", vm_map_lock)
    assert broken(name) == {name}


@breaks("a timestamp tells of every writer")
def test_a_relock_that_fails_for_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a timestamp is never the same."""
    name = "a timestamp tells of every writer"
    monkeypatch.setattr(Stamp, "same", lambda self: False)
    assert broken(name) == {name}


@breaks("pages stay whole")
def test_a_fork_that_leaves_the_parent_its_right_to_write_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: nothing is write-protected, so the child sees what the parent writes later."""
    assert cell("pages stay whole", "fork_meanwhile") == "holds"

    @procedure
    async def nothing(self: Pmap, start: int, end: int, prot: int) -> None:
        pass

    monkeypatch.setattr(Pmap, "pmap_protect", nothing)
    assert cell("pages stay whole", "fork_meanwhile") == "invariant"


@breaks("pages stay whole")
def test_a_promotion_that_forgets_to_copy_loses_what_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: the new page is zeroed. No mapping is wrong then, only what is in the page."""
    monkeypatch.setattr(Contents, "copy", lambda self, old, new: self.zero(new))
    m = boot()
    m.watch_contents()
    parent = m.process("parent")
    m.resident(parent, 0x20_0000, mapped=True)

    async def work() -> None:
        await parent.add(0x20_0000, 1)
        await parent.fork(child)
        await parent.add(0x20_0000, 2)
        await parent.load(0x20_0000)

    child = m.child(parent, "child")
    m.cpu("A", work)
    m.must("pages stay whole")
    assert run(m.finish()).outcome.message == "parent read 2 at 0x200000, and should find 3"


@breaks("pages stay whole")
def test_a_copy_that_the_old_mapping_survives_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a copy that cannot be mapped leaves the process with the page of the other."""
    enter = Pmap.pmap_enter

    @procedure
    async def late(self: Pmap, va: int, page: int, write: bool, **how: bool) -> object:
        _, pted = self.pmap_vp_lookup(va)
        if pted is not None and pted.pte is not None and pted.pte[0] != page:
            return ENOMEM
        return await enter(self, va, page, write, **how)

    m = boot("populate")
    parent = m.process()
    m.resident(parent, 0x20_0000, mapped=True)
    m.forked(parent)
    m.must("pages stay whole")
    m.cpu("A", parent.fault, 0x20_0000)
    monkeypatch.setattr(Pmap, "pmap_enter", late)
    messages = {wrong.message for wrong in search(m.finish()).violations}
    assert any("maps page" in message for message in messages)


@breaks("ends")
def test_a_waiter_for_a_busy_page_that_is_forgotten_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: the page is busy no more, and PG_WANTED is not looked at."""
    assert judged("file_page", "wait").cell(("ends",)).verdict == "holds"

    @procedure
    async def unbusy(self: UvmObject, index: int) -> bool:
        self.memq[index] = self.memq[index]._replace(busy=False)
        return True

    monkeypatch.setattr(UvmObject, "unbusy", unbusy)
    assert judged("file_page", "wait").cell(("ends",)).kind == "lost-wakeup"


@breaks("neighbours do no harm")
def test_a_neighbour_can_cost_a_process_its_life() -> None:
    """No plant is needed: with no swap left, and the last descriptor spent ahead."""
    name = "neighbours do no harm"
    assert cell(name, "last_descriptor", neighbours=1, swap_pages=0) == "invariant"
    assert cell(name, "last_descriptor", neighbours=1) == "holds"
    assert cell(name, "last_descriptor", neighbours=0, swap_pages=0) == "holds"


# --- locks that are held where they must not be -----------------------------------------------


@breaks("no sleep under a mutex")
def test_a_table_that_is_asked_for_with_waitok_under_the_mutex_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: pmap_enter's request may sleep."""
    name, ask = "no sleep under a mutex", PmapPools.ask_vp
    assert verdict(name, "contention") == "holds"

    @procedure
    async def waits(self: PmapPools, waitok: bool) -> object:
        return await ask(self, True)

    monkeypatch.setattr(PmapPools, "ask_vp", waits)
    assert verdict(name, "contention") == "sleep-under-mutex"


@breaks("nothing is held at a wait")
def test_a_fault_that_waits_with_its_map_locked_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: uvmfault_unlockall forgets the map."""
    name = "nothing is held at a wait"
    assert verdict(name, "contention") == "holds"

    @procedure
    async def unlock(self: UserMap) -> None:
        pass

    monkeypatch.setattr(UserMap, "unlock", unlock)
    assert verdict(name, "contention") == "wait-under-lock"


def page_that_cannot_be_mapped(fix: str = "populate") -> set[str]:
    """What goes wrong while a page of a file is read in, and is refused its table."""
    m = boot(fix, vp_stock=0)
    space, file = m.process(), m.object(1)
    m.map_object(space, 0x20_0000, file)
    m.cpu("A", space.fault, 0x20_0000)
    m.background("K", m.kernel_map.churn, 1)
    graph = search(m.finish())
    assert "a NOWAIT get was refused by the map lock" in marks(graph)
    return {wrong.message for wrong in panics(graph)}


@breaks("nothing is held at a wait")
@pytest.mark.parametrize("fix", ["wait", "populate"])
def test_a_fault_that_waits_with_its_page_busy_is_found(
    monkeypatch: pytest.MonkeyPatch, fix: str
) -> None:
    """Planted: a page that could not be mapped stays busy. No lock is held."""
    assert page_that_cannot_be_mapped(fix) == set()

    @procedure
    async def keep(flt: Flt, uobj: UvmObject | None) -> None:
        await flt.space.map.unlockall(flt.entry, uobj)

    monkeypatch.setattr(centre, "drop", keep)
    (said,) = page_that_cannot_be_mapped(fix)
    assert "flt_pmfail: cpu A would wait holding busy page" in said


# --- how often in a row -------------------------------------------------------------------------

REFAULTS, REFUSALS, STORM = "bounded refaults", "bounded refusals", "no wake storm"


def exceeded(name: str, fix: str, most: int | None = None, holds: int | None = None) -> set[str]:
    """What breaks the property while one thread faults, and kernel_map is locked and unlocked
    so often, or for ever."""
    m = boot(fix, vp_stock=0)
    space = m.process()
    m.must(name, most=most)
    m.cpu("A", space.fault, 0x20_0000)
    m.background("K", m.kernel_map.churn, holds)
    graph = search(m.finish())
    assert not panics(graph)
    return {wrong.message for wrong in graph.violations if wrong.property == name}


@pytest.mark.parametrize("name", [REFAULTS, REFUSALS, STORM])
def test_populate_is_refused_once_restarted_once_and_wakes_nobody(name: str) -> None:
    """However often the lock is taken: of two CPUs too."""
    assert exceeded(name, "populate") == set()
    m = boot("populate", vp_stock=0)
    space = m.process()
    for cpu in range(2):
        m.cpu("AB"[cpu], space.fault, 0x20_0000 * (cpu + 1))
    m.background("K", m.kernel_map.churn, 1)
    m.must(name)
    assert not [wrong for wrong in search(m.finish()).violations if wrong.property == name]


@breaks("bounded refaults")
@pytest.mark.parametrize("fix", ["wait", "lock-retry", "cause"])
def test_who_retries_without_what_it_needs_fails_again_without_bound(fix: str) -> None:
    """No plant is needed. Tables that were made stay, so none fails for more than before."""
    assert exceeded(REFAULTS, fix) == {"p0 pmap: A's pmap_enter of 0x200000 failed 2 times"}
    assert exceeded(REFAULTS, fix, 3) == {"p0 pmap: A's pmap_enter of 0x200000 failed 4 times"}


@breaks("bounded refaults")
def test_a_populate_that_leaves_a_table_out_is_called_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: it links one table, and no more."""

    async def one(kernel: Kernel, space: Space, va: int, error: int) -> None:
        pm = space.pmap
        vp = await pm.pools.get_vp(True)
        await pm.lock()
        assert pm.top is not None
        child = pm.table(pm.top, va, 1)
        level, above = (1, pm.top) if child is None else (2, child)
        if pm.table(above, va, level) is None:
            pm.link(above, va, level, vp)
            vp = None
        await pm.unlock()
        if vp is not None:
            await pm.pools.put_vp(vp)

    monkeypatch.setattr(populate, "after_failure", one)
    assert exceeded(REFAULTS, "populate") == {"p0 pmap: A's pmap_enter of 0x200000 failed 2 times"}
    assert exceeded(REFAULTS, "populate", 2) == set()


@breaks("bounded refaults")
def test_a_retry_that_needs_more_than_before_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: who waits for memory loses its tables."""
    rest = wait.after_failure

    async def strip(kernel: Kernel, space: Space, va: int, error: int) -> None:
        await space.pmap.lock()
        top = space.pmap.top
        assert top is not None
        top.slots.used = ()
        await space.pmap.unlock()
        await rest(kernel, space, va, error)

    more = "p0 pmap: pmap_enter failed again, and lacked more than the last time"
    assert more not in said_of_failures()
    monkeypatch.setattr(wait, "after_failure", strip)
    assert more in said_of_failures()


def said_of_failures() -> set[str | None]:
    """What the check says in any state of a fault that is refused again and again."""
    m = boot("wait", vp_stock=0)
    space = m.process()
    m.must(REFAULTS)
    m.cpu("A", space.fault, 0x20_0000)
    m.background("K", m.kernel_map.churn)
    return everywhere(search(m.finish()), lambda: fails_again(space.pmap))


@breaks("bounded refusals")
@pytest.mark.parametrize("fix", ["wait", "lock-retry", "cause"])
def test_who_tries_the_lock_again_may_be_refused_without_bound(fix: str) -> None:
    """No plant is needed: the lock that was waited for is somebody else's again."""
    assert exceeded(REFUSALS, fix) == {
        "A's tries of kernel_map's lock were refused 2 times in a row"
    }
    assert exceeded(REFUSALS, fix, 3) == {
        "A's tries of kernel_map's lock were refused 4 times in a row"
    }


@breaks("bounded refusals")
def test_a_populate_that_only_tries_is_refused_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: populate asks with NOWAIT until it is given a table, or three times."""

    async def spin(kernel: Kernel, space: Space, va: int, error: int) -> None:
        for _ in range(3):
            vp = await space.pmap.pools.get_vp(False)
            if vp is not None:
                await space.pmap.pools.put_vp(vp)
                return

    monkeypatch.setattr(populate, "after_failure", spin)
    assert exceeded(REFUSALS, "populate")


@breaks("no wake storm")
def test_who_waits_for_memory_that_is_not_short_has_laps_done_for_nothing() -> None:
    """No plant is needed; of fixes that do not wait for memory there is no lap."""
    end = "with no page short, and no fault ended meanwhile"
    assert exceeded(STORM, "wait") == {f"the pagedaemon did a lap {end}"}
    assert exceeded(STORM, "wait", 2) == {f"the pagedaemon did 3 laps {end}"}
    assert exceeded(STORM, "lock-retry") == set()


@breaks("no wake storm")
def test_a_populate_that_rings_for_the_page_daemon_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: it wakes the daemon, in case that helps."""
    real = populate.after_failure

    async def ring(kernel: Kernel, space: Space, va: int, error: int) -> None:
        await kernel.physmem.pagedaemon.wakeup()
        await real(kernel, space, va, error)

    monkeypatch.setattr(populate, "after_failure", ring)
    assert exceeded(STORM, "populate")


def test_an_unmap_meanwhile_is_no_fault_of_the_fix() -> None:
    """The descriptor that populate made goes with the mapping, and must be made again."""
    m = boot("populate", vp_stock=0, pted_stock=0)
    space = m.process()

    async def twice() -> None:
        for _ in range(2):
            await space.fault(0x20_0000)
            await space.munmap(0x20_0000, 0x20_1000)
            await space.mmap()

    m.must(REFAULTS)
    m.cpu("A", twice)
    m.background("K", m.kernel_map.churn, 2)
    assert not [w for w in search(m.finish()).violations if w.property == REFAULTS]


def test_in_a_cell_what_was_asked_for_is_a_finding() -> None:
    """The headline stays that of the situation's own properties; more states are searched."""
    found = situations.load("contention")
    names = f"{REFAULTS}, {REFUSALS}, {STORM}"
    cells = {}
    for must in ("", names):
        searched = judged(found.scenario, "wait", "contention", cpus=1, must=must)
        cells[must] = searched.cell(found.properties)
    assert cells[""].kind == cells[names].kind == "lost-wakeup"
    assert {one.property for one in cells[names].findings} >= {REFAULTS, REFUSALS, STORM}
    assert not {one.property for one in cells[""].findings} & {REFAULTS, REFUSALS, STORM}
    assert cells[names].evidence.states > cells[""].evidence.states


def test_a_bound_is_for_what_has_one() -> None:
    """And for nothing less than none."""
    with pytest.raises(ValueError, match="most=2"):
        boot().must("each page is in one place", most=2)
    with pytest.raises(ValueError, match="most=-1"):
        boot().must(REFAULTS, most=-1)


def test_processes_may_come_after_what_is_asked_of_them() -> None:
    """They are looked at all the same."""
    m = boot(vp_stock=0)
    m.must(REFAULTS)
    m.cpu("A", m.process().fault, 0x20_0000)
    m.background("K", m.kernel_map.churn)
    found = {wrong.property for wrong in search(m.finish()).violations if wrong.judged}
    assert found == {REFAULTS}

    m = boot("populate")
    m.must("bounded waste")
    space = m.process()
    m.cpu("A", space.fault, 0x20_0000)
    m.finish()
    assert space.pmap.calls == 0
