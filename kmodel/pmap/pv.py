"""pv lists: where a page is mapped, and taking all of its mappings away or down.

Source: sys/arch/arm64/arm64/pmap.c 1.113 (pmap_enter_pv, pmap_remove_pv,
pmap_page_protect). Every page is managed. Assumed, for what was read does not say it: a
new mapping goes to the head of the list, and to take WRITE away the pv mutex is all that
is held (pm_mtx comes before it in the lock order, and no going round is told of). Left out:
bits for referenced and modified, executable pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kmodel.event import mark, say
from kmodel.panic import Panic
from kmodel.point import Loop, procedure
from kmodel.shared import shared
from kmodel.sync.mutex import IPL_VM, Mutex
from kmodel.table import Table

if TYPE_CHECKING:
    from kmodel.pmap.pmap import Pmap
    from kmodel.pmap.pte import Pted

Mapping = tuple["Pmap", int, "Pted"]
"""Whose pmap, at which address, by which descriptor: pted_pmap, pted_va, and itself."""


@shared
class PvLists:
    """The lists of all pages. ``mtx[page]`` protects ``lists[page]``, newest first."""

    mtx: Final[tuple[Mutex, ...]]
    lists: Final[Table[tuple[Mapping, ...]]]

    def __init__(self, npages: int) -> None:
        self.mtx = tuple(Mutex(f"pv_mtx of page {page}", IPL_VM) for page in range(npages))
        empty: list[tuple[Mapping, ...]] = [()] * npages
        self.lists = Table(empty)

    @procedure
    async def enter(self, page: int, pm: Pmap, va: int, pted: Pted) -> None:
        """pmap_enter_pv. Held: the pm_mtx of ``pm``."""
        await self.mtx[page].enter()
        self.boot(page, pm, va, pted)
        await self.mtx[page].leave()

    @procedure
    async def remove(self, page: int, pted: Pted) -> None:
        """pmap_remove_pv. Held: the pm_mtx of its pmap."""
        await self.mtx[page].enter()
        left = tuple(one for one in self.lists[page] if one[2] is not pted)
        if len(left) == len(self.lists[page]):
            raise Panic(f"pmap_remove_pv: {pted.name} is not on the list of page {page}")
        self.lists[page] = left
        await self.mtx[page].leave()

    def boot(self, page: int, pm: Pmap, va: int, pted: Pted) -> None:
        """pmap_enter_pv, with nobody to wait for."""
        self.lists[page] = ((pm, va, pted), *self.lists[page])

    @procedure
    def head(self, page: int) -> Mapping | None:
        """The first mapping of ``page``. Held: its pv mutex."""
        found = self.lists[page]
        return found[0] if found else None

    @procedure
    async def pmap_page_protect(self, page: int, prot: int) -> None:
        """Take WRITE from every mapping of ``page``; with PROT_NONE, remove them all.

        Held: nothing of the pmap's (in the kernel, the lock of the page's owner). Removing
        needs pm_mtx, which comes before the pv mutex: so the first mapping's pmap is
        referenced, the pv mutex dropped, and both are taken in their order. Any mapping of
        that pmap will do then; if another one is first by now, all is done again.
        """
        mtx = self.mtx[page]
        await mtx.enter()
        if prot:
            for pm, va, pted in self.lists[page]:
                await pm.pmap_page_ro(va, pted)
                say("pmap.protect", obj=pm.name, va=hex(va), page=page)
            await mtx.leave()
            return
        loop = Loop()
        while (first := self.head(page)) is not None:
            await self._remove_first(page, first[0])
            await mtx.enter()
            loop.head()
        await mtx.leave()

    @procedure
    async def _remove_first(self, page: int, pm: Pmap) -> None:
        """Remove the first mapping of ``page`` if it is one of ``pm``. Held: its pv mutex,
        and nothing after."""
        await pm.pmap_reference()
        await self.mtx[page].leave()
        await pm.lock()
        await self.mtx[page].enter()
        first = self.head(page)
        await self.mtx[page].leave()
        if first is not None and first[0] is pm:
            await pm.pmap_remove_pted(first[1], first[2])
            pm.failures.over(first[1], for_all=True)
        else:
            mark("pmap_page_protect found another mapping first when it came back")
        await pm.unlock()
        await pm.pmap_destroy()
