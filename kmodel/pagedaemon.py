"""The page daemon, as far as a machine with memory to spare goes.

Source: sys/uvm/uvm_pdaemon.c 1.101, 1.137, 1.148 (uvm_pageout). Left out: scanning
and pageout (nothing is on the page queues), buffer cache, drain of page caches,
queued pmas. A fix may add a step to the lap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kmodel.event import mark, say
from kmodel.param import KernelParams
from kmodel.point import Loop
from kmodel.shared import shared
from kmodel.vm.physmem import PhysMem

if TYPE_CHECKING:
    from kmodel.fault import Kernel


@shared
class PageDaemon:
    """The thread behind ``&uvm.pagedaemon``.

    ``lap`` is what a lap without a shortage does about sleepers on
    ``&uvmexp.free``: ``wakes`` them (1.101, 1.148) or is ``silent`` (1.137).
    """

    physmem: Final[PhysMem]
    lap: Final[str]
    kernel: Final[Kernel]

    def __init__(self, p: KernelParams, physmem: PhysMem, kernel: Kernel) -> None:
        self.physmem, self.lap, self.kernel = physmem, p.lap, kernel

    async def uvm_pageout(self) -> None:
        """Sleep until asked, do a lap, for ever.

        It does not look whether it was asked while it ran: a wakeup that comes
        between the end of a lap and the next sleep is lost.
        """
        mem, loop = self.physmem, Loop()
        while True:
            loop.head()
            await mem.fpageqlock.enter()
            await mem.pagedaemon.msleep(mem.fpageqlock)
            shortage = mem.freetarg - mem.nfree()
            await mem.fpageqlock.leave()
            say("daemon.lap", shortage=max(shortage, 0))
            short = shortage > 0
            if self.kernel.fix.daemon_step is not None:
                short = await self.kernel.fix.daemon_step(self.kernel) or short
            if not short and self.lap == "silent":
                mark("a page-daemon lap without shortage woke nobody")
                continue
            await mem.fpageqlock.enter()
            # free > reserve_kernel, or paging == 0: and nothing is ever paging here
            await mem.uvmexp_free.wakeup()
            await mem.fpageqlock.leave()
