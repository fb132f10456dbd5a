"""Physical pages, their two reserves, and waiting for them.

Source: sys/uvm/uvm_pmemrange.c 1.77 (uvm_pmr_getpages, uvm_pmr_freepages),
sys/uvm/uvm_pdaemon.c 1.137 (uvm_wait, uvm_wait_pla). Left out: address ranges and
segments (the one constraint that a request can have is that its pages lie side by
side), per-CPU page caches, zeroing, the wakeup of the daemon for few inactive pages,
the floor of 16 KiB under freemin (memory is small here), what buffers hold (``buffers``
pages of it can always be shed). Assumed: uvm_wait_pla too lets the daemon sleep for 125 ms
at most (that part was not read).
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark, say
from kmodel.panic import Panic
from kmodel.param import KernelParams
from kmodel.point import RUN, Loop, Task, curtask, procedure
from kmodel.shared import shared
from kmodel.streak import Streak
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex

DAEMON: Final = "pagedaemon"
"""The name of the task that is the page daemon."""
SHORT: Final = "too few pages were free"


@shared
class PhysMem:
    """The free list: bit ``n`` of ``free`` is page ``n``. Lock: ``fpageqlock``.

    ``uvmexp_free`` is the channel ``&uvmexp.free``, ``pagedaemon`` the channel
    ``&uvm.pagedaemon``. ``paging`` counts pages that are being written to swap (atomic
    in the kernel). ``pmas`` are requests for pages of a kind that was not there, and
    ``nowait_pma`` the one that stands for all who would not wait. ``others`` pages
    belong to somebody else for good, ``buffers`` to the buffer cache.
    """

    npages: Final[int]
    reserve_kernel: Final[int]
    reserve_pagedaemon: Final[int]
    freemin: Final[int]
    freetarg: Final[int]
    fpageqlock: Final[Mutex]
    uvmexp_free: Final[Channel]
    pagedaemon: Final[Channel]
    pla: Final[Channel]
    others: int  # boot
    free: int  # fpageqlock
    p: Final[KernelParams]
    waiting: int  # fpageqlock; threads in uvm_wait, if this kernel counts them
    paging: int  # fpageqlock
    pmas: tuple[Task, ...]  # fpageqlock
    nowait_pma: bool  # fpageqlock
    buffers: tuple[int, ...]  # fpageqlock
    laps: Final[Streak]  # for a check; those for which nothing was short

    def __init__(self, p: KernelParams) -> None:
        self.npages = p.npages
        self.reserve_kernel, self.reserve_pagedaemon = p.reserve_kernel, p.reserve_pagedaemon
        # uvmpd_tune (PD137): a thirtieth, never less than the kernel's reserve + 1
        self.freemin = max(p.npages // 30, p.reserve_kernel + 1)
        self.freetarg = max(self.freemin * 4 // 3, self.freemin + 1)
        self.fpageqlock = Mutex("fpageqlock")
        self.uvmexp_free = Channel("&uvmexp.free", condition=self.plentiful)
        self.pagedaemon = Channel("&uvm.pagedaemon")
        self.pla = Channel("uvm_wait_pla")
        self.free, self.others = (1 << p.npages) - 1, 0
        self.paging, self.pmas, self.nowait_pma = 0, (), False
        self.p, self.waiting, self.laps = p, 0, Streak("laps for nothing")
        self.buffers = self.take(p.buffers)

    def fragment(self) -> None:
        """The end of boot: every second page goes to somebody else for good, if it is free."""
        odd = sum(1 << page for page in range(1, self.npages, 2))
        self.others = (self.free & odd).bit_count()
        self.free &= ~odd

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
        self, count: int, *, waitok: bool, usereserve: bool, contiguous: bool = False
    ) -> tuple[int, ...] | None:
        """uvm_pmr_getpages: ``count`` pages, or ``None``; ``contiguous`` asks that they
        lie side by side (one segment). An empty tuple: pages there are, but none that do.

        WAITOK does not help below the kernel's reserve without USERESERVE: that
        fails at once. Between the reserves it waits and starts again, as it does when
        no pages of that kind are there. The page daemon may have the last page; the syncer,
        which may too, is left out.
        """
        loop = Loop()
        while True:
            loop.head()
            await self.fpageqlock.enter()
            free = self.nfree()
            if free < self.freemin:
                await self.pagedaemon.wakeup()
            if free <= self.reserve_kernel + count and not usereserve:
                await self.fpageqlock.leave()
                mark(SHORT)
                say("page.fail", count=count, why="reserve_kernel")
                return None
            if free > self.reserve_pagedaemon + count or curtask().name == DAEMON:
                pages = self.take(count, contiguous=contiguous) if free >= count else ()
                if pages:
                    await self.fpageqlock.leave()
                    say("page.alloc", pages=" ".join(map(str, pages)))
                    return pages
                if await self._not_side_by_side(waitok):
                    continue
                say("page.fail", count=count, why="not side by side" if contiguous else "none")
                return () if contiguous else None
            await self.fpageqlock.leave()
            mark(SHORT)
            if not waitok:
                say("page.fail", count=count, why="reserve_pagedaemon")
                return None
            await self.uvm_wait("uvm_pmr_getpages")

    @procedure
    async def _not_side_by_side(self, waitok: bool) -> bool:
        """Pages are free, and none of the kind that was asked for. WAITOK queues a pma and
        sleeps until the daemon has done with it (uvm_wait_pla): true, try again. NOWAIT
        links ``nowait_pma`` for the daemon and fails. Held on entry: fpageqlock."""
        if not waitok:
            self.nowait_pma = True
            await self.pagedaemon.wakeup()
            await self.fpageqlock.leave()
            return False
        if curtask().name == DAEMON:
            await self._daemon_waits()
            return True
        me = curtask()
        say("page.wait", why="uvm_wait_pla")
        self.pmas = (*self.pmas, me)
        await self.pagedaemon.wakeup()
        loop = Loop()
        while me in self.pmas:
            loop.head()
            await self.pla.msleep(self.fpageqlock)
        await self.fpageqlock.leave()
        return True

    @procedure
    async def _daemon_waits(self) -> None:
        """The page daemon waits for memory, which only it makes free: it sheds four buffers; if
        there are not so many, it says "deadlock detected", and sleeps for a moment. Held:
        fpageqlock; not after."""
        if self.p.buffers:
            await self.fpageqlock.leave()
            if await self.bufbackoff(4) == 4:
                return
            await self.fpageqlock.enter()
        mark("the page daemon waited for memory itself")
        await self.uvmexp_free.msleep_a_while(self.fpageqlock)

    @procedure
    async def bufbackoff(self, most: int) -> int:
        """Pages of the buffer cache become free, ``most`` of them at most: how many. Held:
        nothing."""
        await self.fpageqlock.enter()
        shed, self.buffers = self.buffers[:most], self.buffers[most:]
        await self.fpageqlock.leave()
        if shed:
            say("daemon.shed", n=len(shed))
            await self.freepages(shed)
        return len(shed)

    @procedure
    async def page_out(self, more: int) -> None:
        """So many pages more are on their way out. Held: nothing."""
        await self.fpageqlock.enter()
        self.paging += more
        await self.fpageqlock.leave()

    @procedure
    async def finish_pma(self) -> None:
        """The end of a lap: the daemon has done with the first queued request, whether it
        helped or not. Held: fpageqlock."""
        self.nowait_pma = False
        if self.pmas:
            self.pmas = self.pmas[1:]
            await self.pla.wakeup()

    @procedure
    def side_by_side(self, count: int, order: list[int]) -> tuple[int, ...]:
        """The first ``count`` free pages that follow each other, or nothing. The first one's
        number is a multiple of ``count``."""
        want = (1 << count) - 1
        aligned = (page for page in order if page % count == 0)
        first = next((page for page in aligned if self.free >> page & want == want), None)
        return () if first is None else tuple(range(first, first + count))

    @procedure
    def take(self, count: int, *, contiguous: bool = False) -> tuple[int, ...]:
        """``count`` free pages, off the list; none if they must be ``contiguous`` and no
        such pages are free. Held: fpageqlock (or boot).

        Which ones the kernel does not promise; here each CPU looks from a place of its
        own, so that the order of two allocations does not show in the page numbers.
        """
        home = (RUN.task.index + 1) * 8 % self.npages if RUN.task else 0
        order = [*range(home, self.npages), *range(home)]
        if count > 1 and self.others and not self.side_by_side(count, order):
            mark("no two free pages lay side by side")
        if contiguous:
            pages = self.side_by_side(count, order)
        else:
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
        plentiful, and any wakeup ends it. Held: nothing. 1.157 counts who is in here.
        """
        say("page.wait", why=why)
        await self.fpageqlock.enter()
        if self.plentiful():
            mark("a thread waits for memory although memory is plentiful")
        if curtask().name == DAEMON:
            await self._daemon_waits()
            return
        await self.pagedaemon.wakeup()
        if self.p.lap != "counts":
            await self.uvmexp_free.msleep(self.fpageqlock, relock=False)
            return
        self.waiting += 1
        await self.uvmexp_free.msleep(self.fpageqlock)
        self.waiting -= 1
        await self.fpageqlock.leave()
