"""The hardware's half of a pmap: the descriptors that a table walk finds, and TLBs.

Source: sys/arch/arm64/arm64/pmap.c 1.113 (pmap_pte_insert, pmap_pte_remove, pmap_pte_update,
ttlb_flush). arm64 broadcasts an invalidation, so what any CPU's TLB may still hold is kept
once. A TLB here never drops an entry by itself: that is the worst case for whoever forgets to
flush. Left out: ASIDs and their reuse, the referenced and modified bits, the tables' own
entries in the hardware half, memory that is fetched ahead of its use.
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark
from kmodel.point import operation
from kmodel.shared import Atomic, shared

Entry = tuple[int, int, bool]
"""Address, page, may write."""


@shared
class Mmu:
    """``walk`` is what the hardware would find in the tables, ``tlb`` what it remembers. It
    looks at both while others hold whatever locks they like."""

    name: Final[str]
    walk: Atomic[tuple[Entry, ...]]
    tlb: Atomic[tuple[Entry, ...]]

    def __init__(self, name: str) -> None:
        self.name, self.walk, self.tlb = f"{name} mmu", (), ()

    async def pmap_pte_insert(self, va: int, page: int, write: bool) -> None:
        """The descriptor in the table is valid. Held: pm_mtx."""
        await self._write(hex(va), page, write)

    async def pmap_pte_remove(self, va: int) -> None:
        """The walk finds nothing any more. Held: pm_mtx."""
        await self._clear(hex(va))

    async def pmap_pte_update(self, va: int) -> None:
        """The descriptor in the table, if it is valid there, loses WRITE. Held: pm_mtx, or the
        page's pv mutex."""
        await self._protect(hex(va))

    async def ttlb_flush(self, va: int) -> None:
        """No TLB holds an entry for ``va`` once this is done."""
        await self._flush(hex(va))

    async def touch(self, va: int, write: bool) -> int | None:
        """A thread of the process reads or writes at ``va``: the page it meets, or ``None``,
        which is a fault. Held: nothing; the hardware asks nobody."""
        page = await self._access(hex(va), write)
        if page is not None:
            mark("an access met a page")
        return page

    def boot(self, va: int, page: int, write: bool) -> None:
        """``pmap_pte_insert`` before anything runs."""
        self.walk = tuple(sorted((*_without(self.walk, va), (va, page, write))))

    # an operation's arguments stand in logs, where addresses are text

    @operation(event="mmu.write")
    def _write(self, va: str, page: int, write: bool) -> None:
        self.boot(int(va, 16), page, write)

    @operation(event="mmu.clear")
    def _clear(self, va: str) -> None:
        self.walk = _without(self.walk, int(va, 16))

    @operation(event="mmu.protect")
    def _protect(self, va: str) -> None:
        gone = int(va, 16)
        self.walk = tuple((at, page, write and at != gone) for at, page, write in self.walk)

    @operation(event="mmu.flush")
    def _flush(self, va: str) -> None:
        self.tlb = _without(self.tlb, int(va, 16))

    @operation(event="mmu.flush")
    def leave(self) -> None:
        """No CPU uses these tables any more, and no TLB remembers them."""
        self.walk, self.tlb = (), ()

    @operation(event="mmu.access")
    def _access(self, va: str, write: bool) -> int | None:
        entry = _of(self.tlb, int(va, 16))
        if entry is None:
            entry = _of(self.walk, int(va, 16))
            if entry is not None:
                self.tlb = tuple(sorted((*self.tlb, entry)))
        if entry is None or (write and not entry[2]):
            return None
        return entry[1]


def _of(entries: tuple[Entry, ...], va: int) -> Entry | None:
    return next((entry for entry in entries if entry[0] == va), None)


def _without(entries: tuple[Entry, ...], va: int) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries if entry[0] != va)
