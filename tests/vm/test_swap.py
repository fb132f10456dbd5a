"""Swap: when it is full, and what a page on its way there takes."""

import pytest
from worlds import Steered, alone, at_end, search

from kmodel.param import KernelParams
from kmodel.vm.swap import Swap
from kmodel.world import World


def swap(pages=100, used=0):
    with World() as world:
        device = Swap(KernelParams(swap_pages=pages, swap_used=used, pageout=True))
    return world, device


def doing(operation):
    """A task that does one operation."""

    async def once():
        return await operation()

    return once


@pytest.mark.parametrize(
    ("pages", "used", "full"),
    [(100, 98, False), (100, 99, True), (2, 0, False), (2, 1, True), (1, 0, True), (0, 0, True)],
)
def test_swap_is_full_at_99_percent_in_whole_numbers(pages, used, full):
    """swpgonly >= swpages * 99 / 100: one slot is full always, and so is none."""
    world, device = swap(pages, used)
    assert alone(world, device.uvm_swapisfull) is full


def test_a_full_swap_gives_no_slot():
    """Though one is free: who would write a page out leaves it where it is."""
    world, device = swap(used=99)
    assert alone(world, doing(device.uvm_swap_alloc)) is False
    assert device.free == 1


def test_a_page_written_out_takes_a_slot_and_is_nowhere_else_once_it_is_written():
    """The slot is taken first; swpgonly follows when the I/O is over."""
    world, device = swap()

    async def write():
        assert await device.uvm_swap_alloc()
        await device.uvm_swap_put(device, 7)

    world.task("A", write)
    world.task("I", doing(device.written))
    with Steered(world) as steered:
        steered.go("A")
        assert (device.free, device.only) == (99, 0)
        steered.go("I")
        assert (device.free, device.only) == (99, 1)


def test_who_ends_writes_sleeps_while_there_is_none():
    """Nothing in flight: no step."""
    world, device = swap()
    world.task("I", doing(device.written))
    assert at_end(search(world), lambda: None) == set()


def test_a_page_read_in_gives_its_slot_back():
    """So that swap can come to have room again."""
    world, device = swap(used=99)
    alone(world, doing(device.uvm_swap_get))
    assert (device.free, device.only, device.full()) == (2, 98, False)


def test_on_a_machine_that_does_not_page_out_asking_is_no_point():
    """Swap never changes there, so the thread's situation has no state for it."""
    with World() as world:
        device = Swap(KernelParams(swap_used=100))
    world.task("A", device.uvm_swapisfull)
    assert len(search(world)) == 2
