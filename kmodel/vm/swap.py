"""Swap: its slots, how full it is, and pages on their way to it.

Source: sys/uvm/uvm_swap.c (uvm_swap_alloc, uvm_swap_free, uvm_swapisfull, uvm_swap_get,
uvm_swap_put). Left out: devices and priorities, clusters (a page is written alone), errors
of writes, what becomes of a slot that cannot be read (it stays as it is), encryption,
``uvm_swapisfilled``. A slot is given back when its page is read in (the kernel keeps it
until the page is written to). Each operation is one hold of ``uvm_swap_data_lock``.
"""

from __future__ import annotations

from typing import Any, Final

from kmodel.param import KernelParams
from kmodel.point import operation
from kmodel.shared import Atomic, shared


@shared
class Swap:
    """The swap device. ``free`` are its free slots, ``only`` counts pages that are
    nowhere else (swpgonly), ``writing`` are pages on their way out, as (owner, anon). All
    reads of a ``broken`` one fail."""

    name: Final[str]
    npages: Final[int]
    moving: Final[bool]
    broken: Final[bool]
    full_at_boot: Final[bool]
    free: Atomic[int]
    only: Atomic[int]
    writing: Atomic[tuple[tuple[Any, int], ...]]

    def __init__(self, p: KernelParams) -> None:
        self.name, self.npages, self.moving = "swap", p.swap_pages, p.pageout
        self.broken = p.swap_broken
        self.free, self.only, self.writing = p.swap_pages - p.swap_used, p.swap_used, ()
        self.full_at_boot = self.full()

    def full(self) -> bool:
        """99 % of the slots hold pages that are nowhere else, in whole numbers."""
        return self.only >= self.npages * 99 // 100

    async def uvm_swapisfull(self) -> bool:
        """Is there no sense in waiting for pageout? On a machine that does not page out
        it never changes, and asking is no point."""
        return await self._isfull() if self.moving else self.full_at_boot

    @operation(event="swap.full")
    def _isfull(self) -> bool:
        return self.full()

    @operation(event="swap.alloc")
    def uvm_swap_alloc(self) -> bool:
        """One slot for a page to be written; false if swap is full, or has none free."""
        if self.full() or not self.free:
            return False
        self.free -= 1
        return True

    @operation(event="swap.write")
    def uvm_swap_put(self, owner: Any, anon: int) -> None:
        """Begin to write a page, and do not wait."""
        self.writing = (*self.writing, (owner, anon))

    @operation(lambda self: bool(self.writing), event="swap.written")
    def written(self) -> tuple[Any, int]:
        """Sleep until a page has been written: the oldest. It is on swap alone from now on
        (the kernel counts it when the page is freed, a moment later)."""
        first, self.writing = self.writing[0], self.writing[1:]
        self.only += 1
        return first

    @operation(event="swap.read")
    def uvm_swap_get(self) -> None:
        """Read a page in and give its slot back, unless it cannot be read: the thread sleeps
        meanwhile."""
        if not self.broken:
            self.only -= 1
            self.free += 1

    @operation(event="swap.free")
    def uvm_swap_free(self) -> None:
        """The slot of a page that is on swap alone, and that nobody wants any more."""
        self.only -= 1
        self.free += 1
