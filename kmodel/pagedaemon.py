"""The page daemon: laps that make pages free, and the thread that ends its I/O.

Source: sys/uvm/uvm_pdaemon.c 1.101, 1.137, 1.148, 1.157 (uvm_pageout, uvmpd_scan,
uvm_aiodone_daemon), sys/uvm/uvm_pager.c (uvm_aio_aiodone). Left out: active and inactive
lists (a page on the queues is unmapped and written in one go; the queues are looked
through owner by owner), clean pages, clusters, the bound of 16 reactivations of dirty pages
(swap that is full ends the scan), and what uvm_swapisfilled does (slots of resident dirty
pages are dropped). Assumed: a lap with a shortage sheds twice that in buffers, as one without
sheds twice its size of 16 (1.157: 128). Without pv lists each process that may map a page is
looked at. A fix may add a step to the lap.
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark, say
from kmodel.fault import Kernel, Space
from kmodel.param import PAGE_SIZE, PROT_NONE
from kmodel.pmap.pmap import Pmap
from kmodel.point import Loop, procedure
from kmodel.shared import Hidden, shared
from kmodel.vm.anon import Anon, Anons


@shared
class PageDaemon:
    """The thread behind ``&uvm.pagedaemon``, and the one behind ``&uvm.aiodoned``.

    ``lap`` is what a lap without a shortage does about sleepers on
    ``&uvmexp.free``: ``wakes`` them (1.101, 1.148) or is ``silent`` (1.137); 1.157, as
    read in a fork, wakes them and ``counts`` who is in uvm_wait.
    ``owners`` have the locks of the pages on the queues, ``maps`` says who may map whose.
    ``at_work``: it has things in its hands; told of only if a lap ``takes`` any.
    """

    kernel: Final[Kernel]
    owners: Final[tuple[Anons, ...]]
    maps: Final[tuple[tuple[Pmap, tuple[Anons, ...]], ...]]
    takes: Final[bool]
    at_work: Hidden[bool]

    def __init__(
        self, kernel: Kernel, owners: tuple[Anons, ...], spaces: tuple[Space, ...]
    ) -> None:
        self.kernel = kernel
        self.owners = owners if kernel.p.pageout else ()
        self.maps = tuple((space.pmap, _owners(space)) for space in spaces)
        self.takes = kernel.fix.daemon_step is not None or kernel.p.page_cache > 0
        self.at_work = False

    async def uvm_pageout(self) -> None:
        """Sleep until asked, do a lap, for ever.

        It does not look whether it was asked while it ran: a wakeup that comes
        between the end of a lap and the next sleep is lost, unless a pma is queued (or
        uvm_wait's callers are counted).
        """
        mem, loop = self.kernel.physmem, Loop()
        while True:
            loop.head()
            await mem.fpageqlock.enter()
            if self.takes:
                self.at_work = False
            if self._may_sleep():
                await mem.pagedaemon.msleep(mem.fpageqlock)
            if self.takes:
                self.at_work = True
            shortage = await self._begin_lap()
            if shortage is not None:
                await self._scan(loop, shortage)
                await self._end_lap()

    @procedure
    async def _begin_lap(self) -> int | None:
        """A lap up to where it looks through the pages, and how many are missing; ``None`` if it
        does not come to that. Held on entry: fpageqlock; not after."""
        mem = self.kernel.physmem
        asked, shortage = self._wanted()
        await mem.fpageqlock.leave()
        say("daemon.lap", shortage=shortage)
        short = asked or shortage > 0
        if not short:
            mem.laps.again()
        if await self._ends_early(short):
            mark("a page-daemon lap without shortage woke nobody")
            return None
        if self.kernel.p.buffers:
            least = 128 if self.kernel.p.lap == "counts" else 16
            await mem.bufbackoff(2 * max(shortage, least))
        await self.kernel.km.cache.drain()
        return shortage

    @procedure
    async def _end_lap(self) -> None:
        """Wake who waits for memory, if there is any, and be done with a request. Held:
        nothing."""
        mem = self.kernel.physmem
        await mem.fpageqlock.enter()
        if self._frees():
            await mem.uvmexp_free.wakeup()
        await mem.finish_pma()
        await mem.fpageqlock.leave()

    @procedure
    def _frees(self) -> bool:
        """Is nothing on its way out, or something free for the kernel? Held: fpageqlock."""
        mem = self.kernel.physmem
        return mem.paging == 0 or mem.nfree() > mem.reserve_kernel

    @procedure
    def _may_sleep(self) -> bool:
        """Has nobody queued a pma, so that the daemon waits to be asked? 1.137 also waits if
        somebody has, while pages are on their way out; 1.157 does not while anybody is in
        uvm_wait. Held: fpageqlock."""
        mem = self.kernel.physmem
        if mem.pmas or mem.nowait_pma:
            return self.kernel.p.lap == "silent" and mem.paging > 0
        return not (mem.waiting and self.kernel.p.lap == "counts")

    @procedure
    def _wanted(self) -> tuple[bool, int]:
        """Has somebody queued a pma, and how many pages are missing? How many there are beyond
        that matters to no lap. Held: fpageqlock."""
        mem = self.kernel.physmem
        shortage = mem.freetarg - (mem.nfree() + mem.paging)
        return bool(mem.pmas or mem.nowait_pma), max(shortage, 0)

    @procedure
    async def _ends_early(self, short: bool) -> bool:
        """Take the fix's step, if it has one. Is nothing ``short`` after it, in a kernel whose
        lap then ends? Held: nothing."""
        if self.kernel.fix.daemon_step is not None:
            short = await self.kernel.fix.daemon_step(self.kernel) or short
        return not short and self.kernel.p.lap == "silent"

    async def _scan(self, loop: Loop, shortage: int) -> None:
        """uvmpd_scan: begin to write out so many pages. The lock of a page's owner is only
        tried (uvmpd_trylockowner); who holds it keeps its pages. ``loop`` is that of the laps:
        of this one no more is remembered than how far it has come. Held: nothing."""
        for number, anons in enumerate(self.owners):
            if shortage <= 0:
                break
            loop.head(number, shortage)
            if not await anons.lock.enter_try(True):
                mark("the page daemon passed over pages whose owner was locked")
                continue
            address = _next_queued(anons, -1)
            while shortage > 0 and address >= 0:
                loop.head(number, shortage, address)
                if not await self.kernel.swap.uvm_swap_alloc():
                    mark("the page daemon found no room on swap")
                    break
                await self._pageout(anons, address)
                shortage, address = shortage - 1, _next_queued(anons, address)
            loop.head(number, shortage, "done")
            await anons.lock.exit()
        loop.head("looked through")

    @procedure
    async def _pageout(self, anons: Anons, address: int) -> None:
        """Take the page of the anon at ``address`` off the queues, begin to write it. Held: its
        owner's lock, write."""
        mem = self.kernel.physmem
        await self._unmap(anons, address)
        await mem.page_out(1)
        self._say_out(anons, address)
        await self.kernel.swap.uvm_swap_put(anons, address)

    @procedure
    async def _unmap(self, anons: Anons, address: int) -> None:
        """Unmap a page and mark it busy. Held: its owner's lock, write."""
        anon = anons.members[address]
        assert anon is not None
        places = anons.places(anon)
        if self.kernel.pmap_pools.pv is not None:
            assert anon.page is not None
            await self.kernel.pmap_pools.pmap_page_protect(anon.page, PROT_NONE)
        else:
            for pmap, owners in self.maps:
                for va in places if anons in owners else ():
                    await pmap.pmap_remove(va, va + PAGE_SIZE)
        anons.put(anon._replace(busy=True, queued=False))

    @procedure
    def _say_out(self, anons: Anons, address: int) -> None:
        """Held: its owner's lock, write."""
        anon = anons.members[address]
        assert anon is not None
        (va, *_) = anons.places(anon)
        say("page.out", obj=anons.name, va=hex(va), page=anon.page)

    async def uvm_aiodone_daemon(self) -> None:
        """Ends each write to swap: the page is free, and who waits for it or for memory is
        woken. An anon that was freed meanwhile goes too."""
        loop = Loop()
        while True:
            loop.head()
            anons = await self._write_ended()
            await anons.busy_pages.wakeup()
            await anons.lock.exit()

    @procedure
    async def _write_ended(self) -> Anons:
        """Wait until a page has been written, and free it; whose it was. Held after: its owner's
        lock, write."""
        owner, address = await self.kernel.swap.written()
        anons: Anons = owner
        await anons.lock.enter(True)
        page, gone = self._unbusy(anons, address)
        mem = self.kernel.physmem
        await mem.page_out(-1)
        await mem.freepages((page,))
        if gone:
            await self.kernel.anons.uvm_anfree(Anon(address, None), mem, self.kernel.swap)
        return anons

    @procedure
    def _unbusy(self, anons: Anons, address: int) -> tuple[int, bool]:
        """The anon at ``address`` is on swap alone: the page that it had, and whether it is gone
        itself, as it was freed meanwhile. Held: its owner's lock, write."""
        anon = anons.members[address]
        assert anon is not None
        assert anon.page is not None
        anons.members[address] = anon._replace(page=None, busy=False) if anon.ref else None
        self.kernel.contents.swap_out(anon.page, address)
        return anon.page, not anon.ref


@procedure
def _next_queued(anons: Anons, after: int) -> int:
    """The address of the next anon that has a page on the queues; -1 if there is none. Held:
    the lock of ``anons``."""
    for address, anon in anons.members.used:
        if address > after and anon.queued and not anon.busy and anon.page is not None:
            return address
    return -1


def _owners(space: Space) -> tuple[Anons, ...]:
    return tuple(entry.anons for entry in space.map.entries)
