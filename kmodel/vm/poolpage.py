"""The idle pages of a pool, and when they go back to the page allocator.

Source: sys/kern/subr_pool.c 1.242 (pool_put, pool_p_insert, pool_p_remove,
pool_gc_pages, pool_setlowat, pool_sethiwat, POOL_WAIT_FREE, POOL_WAIT_GC). Left out: the
lists of full and partial pages (which page an item lies on is in its address), colouring,
pool_reclaim.
"""

from __future__ import annotations

from typing import Final, Protocol

from kmodel.point import procedure
from kmodel.shared import shared
from kmodel.sync.clock import Clock
from kmodel.vm.poolcache import WAIT_GC

WAIT_FREE: Final = 1
"""Seconds that a page must have been idle before a put gives one back."""


class Returnable(Protocol):
    """A page allocator that takes pages back too, by the address of their first item."""

    async def free(self, page: int) -> None: ...


@shared
class IdlePages:
    """Which pages of a pool have no item out, and since when; all is under the pool's
    mutex. A page has ``items`` and ``size`` bytes. More than ``most`` idle ones (pr_maxpages,
    pool_sethiwat; 8 in the kernel) are given back by put, one at a time; the collector leaves
    ``least`` (pr_minpages, pool_setlowat)."""

    allocator: Final[Returnable]
    clock: Final[Clock]
    items: Final[int]
    size: Final[int]
    most: Final[int]
    least: int
    since: tuple[tuple[int, int], ...]  # (page, second), the one that has been idle longest first

    def __init__(
        self, allocator: Returnable, clock: Clock, items: int, size: int, most: int
    ) -> None:
        self.allocator, self.clock, self.items, self.size = allocator, clock, items, size
        self.most, self.least, self.since = most, 0, ()

    @procedure
    def page(self, item: int) -> int:
        """The address of the page that an item lies on."""
        return item // self.size * self.size

    @procedure
    def empty(self, item: int) -> bool:
        """Does this item lie on an idle page?"""
        return any(page == self.page(item) for page, _ in self.since)

    @procedure
    def inserted(self, item: int) -> None:
        """A new page, which has no time of its own before it was used once."""
        self.since = ((self.page(item), 0), *self.since)

    @procedure
    def taken(self, item: int) -> None:
        """An item goes out: its page is not idle any more."""
        self.since = tuple(pair for pair in self.since if pair[0] != self.page(item))

    @procedure
    def returned(self, item: int, free: tuple[int, ...], now: int) -> None:
        """An item is back, and ``free`` with it: if that was the last one of its page, the
        page is idle from now on."""
        page = self.page(item)
        if sum(self.page(one) == page for one in free) == self.items:
            self.since = (*self.since, (page, now))

    @procedure
    def surplus(self, now: int) -> int | None:
        """pool_put: the page that goes, if there are too many."""
        return self._oldest(self.most, now, WAIT_FREE)

    @procedure
    def stale(self, now: int) -> int | None:
        """pool_gc_pages: the page that goes, if any has been idle for long."""
        return self._oldest(self.least, now, WAIT_GC)

    @procedure
    def _oldest(self, keep: int, now: int, wait: int) -> int | None:
        if len(self.since) <= keep or now - self.since[0][1] <= wait:
            return None
        (page, _), *rest = self.since
        self.since = tuple(rest)
        return page
