"""The page daemon: laps that make pages free, and the thread that ends its I/O.

Source: sys/uvm/uvm_pdaemon.c 1.101, 1.137, 1.148, 1.157 (uvm_pageout, uvmpd_scan,
uvm_aiodone_daemon), sys/uvm/uvm_pager.c (uvm_aio_aiodone). Left out: active and inactive
lists (a page on the queues is unmapped and written in one go; the queues are looked
through owner by owner), clean pages, the buffer cache, clusters, the
bound on reactivations of dirty pages (swap that is full ends the scan). A fix may add a
step to the lap.
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark, say
from kmodel.fault import Kernel, Space
from kmodel.param import PAGE_SIZE
from kmodel.point import Loop, procedure
from kmodel.shared import shared
from kmodel.vm.amap import Anon


@shared
class PageDaemon:
    """The thread behind ``&uvm.pagedaemon``, and the one behind ``&uvm.aiodoned``.

    ``lap`` is what a lap without a shortage does about sleepers on
    ``&uvmexp.free``: ``wakes`` them (1.101, 1.148) or is ``silent`` (1.137); 1.157, as
    read in a fork, wakes them and ``counts`` who is in uvm_wait.
    ``spaces`` own the pages on the queues.
    """

    kernel: Final[Kernel]
    spaces: Final[tuple[Space, ...]]

    def __init__(self, kernel: Kernel, spaces: tuple[Space, ...]) -> None:
        self.kernel = kernel
        self.spaces = spaces if kernel.p.pageout else ()

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
            if self._may_sleep():
                await mem.pagedaemon.msleep(mem.fpageqlock)
            asked = bool(mem.pmas or mem.nowait_pma)
            shortage = mem.freetarg - (mem.nfree() + mem.paging)
            await mem.fpageqlock.leave()
            say("daemon.lap", shortage=max(shortage, 0))
            short = shortage > 0 or asked
            if self.kernel.fix.daemon_step is not None:
                short = await self.kernel.fix.daemon_step(self.kernel) or short
            if not short and self.kernel.p.lap == "silent":
                mark("a page-daemon lap without shortage woke nobody")
                continue
            await self.kernel.km.cache.drain()
            await self._scan(shortage)
            await mem.fpageqlock.enter()
            if mem.paging == 0 or mem.nfree() > mem.reserve_kernel:
                await mem.uvmexp_free.wakeup()
            await mem.finish_pma()
            await mem.fpageqlock.leave()

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
    async def _scan(self, shortage: int) -> None:
        """uvmpd_scan: begin to write out so many pages. The lock of a page's owner is only
        tried (uvmpd_trylockowner); who holds it keeps its pages. Held: nothing."""
        for space in self.spaces:
            amap = space.map.amap
            if shortage <= 0:
                return
            if not await amap.am_lock.enter_try(True):
                mark("the page daemon passed over pages whose owner was locked")
                continue
            for index, anon in amap.slots.used:
                if shortage > 0 and anon.queued and not anon.busy and anon.page is not None:
                    if not await self.kernel.swap.uvm_swap_alloc():
                        mark("the page daemon found no room on swap")
                        break
                    await self._pageout(space, index, anon)
                    shortage -= 1
            await amap.am_lock.exit()

    @procedure
    async def _pageout(self, space: Space, index: int, anon: Anon) -> None:
        """Unmap a page, mark it busy, begin to write it. Held: its amap's lock, write."""
        mem, va = self.kernel.physmem, index * PAGE_SIZE
        await space.pmap.pmap_remove(va, va + PAGE_SIZE)
        space.map.amap.slots[index] = anon._replace(busy=True, queued=False)
        await mem.fpageqlock.enter()
        mem.paging += 1
        await mem.fpageqlock.leave()
        say("page.out", obj=space.name, va=hex(va), page=anon.page)
        await self.kernel.swap.uvm_swap_put(space, anon.address)

    async def uvm_aiodone_daemon(self) -> None:
        """Ends each write to swap: the page is free, and who waits for it or for memory is
        woken. An anon that was freed meanwhile goes too."""
        kernel, loop = self.kernel, Loop()
        while True:
            loop.head()
            space, address = await kernel.swap.written()
            amap = space.map.amap
            await amap.am_lock.enter(True)
            await self._unbusy(space, address)
            await amap.busy_pages.wakeup()
            await amap.am_lock.exit()

    @procedure
    async def _unbusy(self, space: Space, address: int) -> None:
        """The page of the anon at ``address`` is written: free it. Held: its amap's lock."""
        kernel, amap = self.kernel, space.map.amap
        index = amap.index_of(address)
        gone = next((a for a in amap.released if a.address == address), None)
        written = gone if index is None else amap.slots[index]
        assert written is not None
        assert written.page is not None
        on_swap = written._replace(page=None, busy=False)
        if index is None:
            amap.released = tuple(a for a in amap.released if a.address != address)
        else:
            amap.slots[index] = on_swap
        mem = kernel.physmem
        await mem.fpageqlock.enter()
        mem.paging -= 1
        await mem.fpageqlock.leave()
        await mem.freepages((written.page,))
        if index is None:
            await kernel.anons.uvm_anfree(on_swap, kernel.physmem, kernel.swap)
