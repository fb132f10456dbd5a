"""A process's map: where a fault looks first."""

import pytest
from facts import fact
from worlds import Steered, alone, boot, panics, search

from kmodel.param import PAGE_SIZE
from kmodel.point import pause
from kmodel.vm.map import VM_MIN
from kmodel.world import curcpu


def user_map():
    m = boot()
    return m, m.process().map


@pytest.mark.parametrize(
    ("place", "inside"),
    [(0, False), (VM_MIN - 1, False), (VM_MIN, True), (1 << 39, False)],
)
def test_a_lookup_holds_the_read_lock_only_of_an_address_inside(place, inside):
    """Outside is EFAULT, and nothing is held then; page 0 is outside."""
    m, vm_map = user_map()

    async def look_up():
        found = await vm_map.uvmfault_lookup(place) is not None
        held = curcpu().held == (vm_map.lock,)
        if found:
            await vm_map.unlock()
        return found, held, curcpu().held

    assert alone(m.world, look_up) == (inside, inside, ())


def test_the_last_page_is_inside():
    """The map ends where the tables end."""
    m, vm_map = user_map()
    assert vm_map.end == 1 << 39

    async def look_up():
        return await vm_map.uvmfault_lookup(vm_map.end - PAGE_SIZE) is vm_map.entries[0]

    assert alone(m.world, look_up)


def test_a_lookup_notes_the_timestamp_and_unlocking_forgets_it():
    """What was seen can be compared until the map is unlocked."""
    m, vm_map = user_map()

    async def look_up():
        await vm_map.uvmfault_lookup(VM_MIN)
        current = vm_map.timestamp.same()
        await vm_map.unlock()
        return current, vm_map.timestamp.current

    assert alone(m.world, look_up) == (True, ())


def test_unlocking_a_map_that_is_not_locked_panics():
    """The read lock is released by who has it."""
    m, vm_map = user_map()
    m.cpu("A", vm_map.unlock)
    (wrong,) = panics(search(m.world))
    assert wrong.message == "lock p0 vm_map is not held by A"


# --- what a writer changes ------------------------------------------------------------------


@fact(
    "uvmfault_relock succeeds only if no writer came between",
    "uvm_fault.c 1.165 uvmfault_relock",
)
@pytest.mark.parametrize(("between", "same"), [(False, True), (True, False)])
def test_a_relock_succeeds_if_no_writer_came_between(between, same):
    """The timestamp of the lookup is compared; each write lock is a new one."""
    m, vm_map = user_map()

    async def look_away():
        await vm_map.uvmfault_lookup(VM_MIN)
        await vm_map.pause()
        if between:
            await vm_map.vm_map_lock()
            await vm_map.lock.exit()
        again = await vm_map.relock()
        held = curcpu().held == (vm_map.lock,)
        if again:
            await vm_map.unlock()
        return again, held

    assert alone(m.world, look_away) == (same, same)


def test_a_reader_between_is_no_reason_to_start_again():
    """Faults of other threads only read-lock the map."""
    m, vm_map = user_map()

    async def look_away():
        await vm_map.uvmfault_lookup(VM_MIN)
        await vm_map.pause()
        await vm_map.lock.enter(False)
        await vm_map.lock.exit()
        again = await vm_map.relock()
        await vm_map.unlock()
        return again

    assert alone(m.world, look_away) is True


def test_a_lookup_in_the_hole_is_efault():
    """What was unmapped is outside, and nothing is held after; its neighbours are inside."""
    m, vm_map = user_map()
    vm_map.hole = (VM_MIN, VM_MIN + PAGE_SIZE)

    async def look_up():
        inside = await vm_map.uvmfault_lookup(VM_MIN) is not None, curcpu().held
        beside = await vm_map.uvmfault_lookup(VM_MIN + PAGE_SIZE) is not None
        await vm_map.unlock()
        return (*inside, beside)

    assert alone(m.world, look_up) == (False, (), True)


@fact(
    "Each write lock of a map is a new timestamp, also one that a reader is upgraded to",
    "uvm_map.c 1.346 vm_map_lock, vm_map_upgrade",
)
@pytest.mark.parametrize("how", ["lock", "upgrade"])
def test_every_write_lock_is_a_new_timestamp(how):
    """Whoever has looked something up before it must look again."""
    m, vm_map = user_map()

    async def write():
        if how == "lock":
            await vm_map.vm_map_lock()
            await vm_map.lock.exit()
            return
        await vm_map.uvmfault_lookup(VM_MIN)
        assert await vm_map.upgrade()
        await vm_map.downgrade()
        assert vm_map.timestamp.same()  # its own copy is a new one
        await vm_map.unlock()

    async def look_away():
        await vm_map.uvmfault_lookup(VM_MIN)
        await vm_map.pause()
        await pause()
        return await vm_map.relock()

    m.cpu("A", look_away)
    m.cpu("W", write)
    with Steered(m.world) as steered:
        steered.until("A", "task.pause")
        steered.go("W", "A")
        assert [f["result"] for task, e, f in steered.events if (task, e) == ("A", "task.end")] == [
            False
        ]


def test_the_upgrade_of_a_map_is_refused_while_others_read():
    """Nothing is changed then: the read lock is still held, and the timestamp the same."""
    m, vm_map = user_map()

    async def read():
        await vm_map.lock.enter(False)
        await pause()

    async def upgrade():
        await vm_map.uvmfault_lookup(VM_MIN)
        refused = not await vm_map.upgrade()
        return refused and vm_map.timestamp.same() and curcpu().held == (vm_map.lock,)

    m.cpu("A", upgrade)
    m.cpu("R", read)
    with Steered(m.world) as steered:
        steered.until("R", "task.pause")
        steered.go("A")
        assert [f["result"] for task, e, f in steered.events if (task, e) == ("A", "task.end")] == [
            True
        ]
