"""A pool that is a thin wrapper: it keeps no item, its pages come from and go back to
the page allocator at once.

Not in the kernel: Martin Pieuchot's question in the thread ("a thin wrapper around
uvm_pagealloc(9)/uvm_pglistalloc(9)").
"""

from __future__ import annotations

from typing import Final, Protocol

from kmodel.event import say
from kmodel.point import procedure
from kmodel.shared import shared
from kmodel.vm.cause import Cause
from kmodel.vm.pool import Pool


class Returnable(Protocol):
    """A page allocator, one item a page, that also takes pages back."""

    async def alloc(self, waitok: bool) -> tuple[int, ...] | Cause: ...

    async def free(self, item: int) -> None: ...


@shared
class WrapperPool(Pool):
    """pool_get is the allocator's ``alloc``, pool_put its ``free``."""

    pages: Final[Returnable]

    def __init__(self, name: str, pages: Returnable, ipl: int, size: int) -> None:
        super().__init__(name, pages, ipl, size)
        self.pages = pages

    @procedure
    async def put(self, item: int) -> None:
        """Give the item's page back. May sleep if the allocator's ``free`` does."""
        await self.pr_mtx.enter()
        self._unclaim()
        await self.pr_mtx.leave()
        say("pool.put", obj=self.name, item=hex(item))
        await self.pages.free(item)
        await self._wakeup()
