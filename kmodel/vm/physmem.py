"""Physical pages, their two reserves, and waiting for them.

Source: sys/uvm/uvm_pmemrange.c 1.77 (uvm_pmr_getpages, uvm_pmr_freepages),
sys/uvm/uvm_pdaemon.c 1.137 (uvm_wait). Left out: address ranges and segments,
constrained requests (so nobody queues a pma and ``nowait_pma`` stays unused),
per-CPU page caches, zeroing, the wakeup of the daemon for few inactive pages.
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark, say
from kmodel.panic import Panic
from kmodel.param import KernelParams
from kmodel.point import RUN, procedure
from kmodel.shared import shared
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex


@shared
class PhysMem:
    """The free list: bit ``n`` of ``free`` is page ``n``. Lock: ``fpageqlock``.

    ``uvmexp_free`` is the channel ``&uvmexp.free``, ``pagedaemon`` the channel
    ``&uvm.pagedaemon``.
    """

    npages: Final[int]
    reserve_kernel: Final[int]
    reserve_pagedaemon: Final[int]
    freemin: Final[int]
    freetarg: Final[int]
    fpageqlock: Final[Mutex]
    uvmexp_free: Final[Channel]
    pagedaemon: Final[Channel]
    free: int  # fpageqlock

    def __init__(self, p: KernelParams) -> None:
        self.npages = p.npages
        self.reserve_kernel, self.reserve_pagedaemon = p.reserve_kernel, p.reserve_pagedaemon
        # uvmpd_tune (PD137): a thirtieth, never less than the kernel's reserve + 1
        self.freemin = max(p.npages // 30, p.reserve_kernel + 1)
        self.freetarg = max(self.freemin * 4 // 3, self.freemin + 1)
        self.fpageqlock = Mutex("fpageqlock")
        self.uvmexp_free = Channel("&uvmexp.free", condition=self.plentiful)
        self.pagedaemon = Channel("&uvm.pagedaemon")
        self.free = (1 << p.npages) - 1

    @procedure
    def nfree(self) -> int:
        """uvmexp.free: pages on the free list."""
        return self.free.bit_count()

    @procedure
    def plentiful(self) -> bool:
        """Is there memory that an ordinary allocation could have?"""
        return self.nfree() > self.reserve_kernel + 1

    @procedure
    async def getpages(
        self, count: int, *, waitok: bool, usereserve: bool
    ) -> tuple[int, ...] | None:
        """uvm_pmr_getpages: ``count`` pages, or ``None``.

        WAITOK does not help below the kernel's reserve without USERESERVE: that
        fails at once. Between the reserves it waits and starts again.
        """
        while True:
            await self.fpageqlock.enter()
            free = self.nfree()
            if free < self.freemin:
                await self.pagedaemon.wakeup()
            if free <= self.reserve_kernel + count and not usereserve:
                await self.fpageqlock.leave()
                say("page.fail", count=count, why="reserve_kernel")
                return None
            if free > self.reserve_pagedaemon + count:
                pages = self.take(count)
                await self.fpageqlock.leave()
                say("page.alloc", pages=" ".join(map(str, pages)))
                return pages
            await self.fpageqlock.leave()
            if not waitok:
                say("page.fail", count=count, why="reserve_pagedaemon")
                return None
            await self.uvm_wait("uvm_pmr_getpages")

    @procedure
    def take(self, count: int) -> tuple[int, ...]:
        """``count`` free pages, off the list. Held: fpageqlock (or boot).

        Which ones the kernel does not promise; here each CPU looks from a place of its
        own, so that the order of two allocations does not show in the page numbers.
        """
        home = (RUN.task.index + 1) * 8 % self.npages if RUN.task else 0
        order = [*range(home, self.npages), *range(home)]
        pages = tuple([page for page in order if self.free >> page & 1][:count])
        for page in pages:
            self.free &= ~(1 << page)
        return pages

    @procedure
    async def freepages(self, pages: tuple[int, ...]) -> None:
        """uvm_pmr_freepages: back on the free list, and wake who waits for memory."""
        await self.fpageqlock.enter()
        self._give(pages)
        say("page.free", pages=" ".join(map(str, pages)))
        await self.uvmexp_free.wakeup()
        await self.fpageqlock.leave()

    @procedure
    def _give(self, pages: tuple[int, ...]) -> None:
        for page in pages:
            if self.free >> page & 1:
                raise Panic(f"uvm_pmr_freepages: page {page} is free already", "double-free")
            self.free |= 1 << page

    @procedure
    async def uvm_wait(self, why: str) -> None:
        """uvm_wait: ask for the page daemon, and sleep until anybody wakes the channel.

        It looks at no condition before it sleeps: it sleeps also when memory is
        plentiful, and any wakeup ends it. Held: nothing. Left out: the daemon
        calling it for itself.
        """
        say("page.wait", why=why)
        await self.fpageqlock.enter()
        if self.plentiful():
            mark("a thread waits for memory although memory is plentiful")
        await self.pagedaemon.wakeup()
        await self.uvmexp_free.msleep(self.fpageqlock, relock=False)
