"""Why an allocation came to nothing, and how often.

Source: sys/kern/subr_pool.c 1.242 (pr_nfail), sys/uvm/uvm_km.c 1.157 (km_alloc). The kernel
sees NULL for all causes, and keeps none of them: a table page lacks its two physical
pages, a map entry, the lock of the map, an address, or its header; a single page its
physical page or an address from the stock; and any pool may be at its hard limit.
"""

from __future__ import annotations

import enum

from kmodel.shared import Hidden, Statistic, shared


class Cause(enum.Enum):
    """Why a pool's page could not be had. The kernel sees NULL for all of them."""

    PAGES = "no physical pages"
    CONTIG = "no two contiguous pages"
    ENTRY = "no map entry"
    LOCK = "map lock refused"
    RANGE = "no address range"
    STOCK = "one-page stock empty"
    HEADER = "no page header"
    LIMIT = "hard limit"


@shared
class FailCounters:
    """``nfail`` of vmstat -m, and what the kernel does not keep: by cause.

    ``amiss`` is the NULLs that left the pool proper less those counted: what a check may
    know of a counter that is no part of the state.
    """

    nfail: Statistic
    pages: Statistic
    contig: Statistic
    entry: Statistic
    lock: Statistic
    range: Statistic
    stock: Statistic
    header: Statistic
    limit: Statistic
    amiss: Hidden[int]

    def __init__(self) -> None:
        self.nfail = self.pages = self.contig = self.entry = self.lock = 0
        self.range = self.stock = self.header = self.limit = self.amiss = 0

    def count(self, cause: Cause) -> None:
        """One more failure. Held: the pool's mutex."""
        self.nfail += 1
        self.amiss -= 1
        name = cause.name.lower()
        setattr(self, name, getattr(self, name) + 1)

    def refused(self) -> None:
        """A NULL leaves the pool proper. Held: the pool's mutex."""
        self.amiss += 1
