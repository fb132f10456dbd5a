"""The page fault: look up, find or make the page, enter it; on shortage unlock all,
do what the fix says, restart.

Source: sys/uvm/uvm_fault.c 1.159-1.165. Left out: neighbours (fault-ahead),
needs-copy, copy-on-write (1B), object pages (2A), wired faults, I/O errors, the trap
handler's fixup. Both amap and map locks as in 1.165: amap WRITE.
"""

from __future__ import annotations

from typing import Final

from kmodel import vmspace
from kmodel.anonget import uvmfault_anonget
from kmodel.event import mark, say
from kmodel.fixes import Fix
from kmodel.param import PAGE_SHIFT, PAGE_SIZE, KernelParams
from kmodel.pmap.pmap import ENOMEM, Pmap
from kmodel.pmap.pools import PmapPools
from kmodel.pmap.pte import check_address
from kmodel.point import Loop, operation, procedure
from kmodel.shared import Atomic, Hidden, shared
from kmodel.sync.channel import assert_nothing_held
from kmodel.table import oracle
from kmodel.vm.amap import Anon, AnonPool
from kmodel.vm.km import KernelMemory
from kmodel.vm.map import UserMap
from kmodel.vm.physmem import PhysMem
from kmodel.vm.swap import Swap

ERESTART: Final = -1
EFAULT: Final = 14
SIGNALS: Final = {0: None, ENOMEM: "SIGKILL", EFAULT: "SIGSEGV"}


@shared
class Kernel:
    """What every process shares, and the fix that this kernel was built with."""

    p: Final[KernelParams]
    physmem: Final[PhysMem]
    swap: Final[Swap]
    km: Final[KernelMemory]
    anons: Final[AnonPool]
    pmap_pools: Final[PmapPools]
    fix: Final[Fix]

    def __init__(
        self,
        p: KernelParams,
        physmem: PhysMem,
        swap: Swap,
        km: KernelMemory,
        anons: AnonPool,
        pmap_pools: PmapPools,
        fix: Fix,
    ) -> None:
        self.p, self.physmem, self.swap, self.km, self.anons = p, physmem, swap, km, anons
        self.pmap_pools, self.fix = pmap_pools, fix


@shared
class Space:
    """A process's vmspace: its map, and its pmap. ``threads`` hold it; those that never
    ``exit`` are not counted."""

    name: Final[str]
    kernel: Final[Kernel]
    map: Final[UserMap]
    pmap: Final[Pmap]
    threads: Atomic[int]
    killed_for_nothing: Hidden[bool]

    def __init__(self, kernel: Kernel, name: str, threads: int = 0) -> None:
        self.name, self.kernel, self.threads = name, kernel, threads
        self.killed_for_nothing = False
        self.map = UserMap(kernel.p, name, 1 << (PAGE_SHIFT + 9 * kernel.p.levels))
        self.pmap = Pmap(kernel.p, kernel.pmap_pools, name)

    async def fault(self, va: int, write: bool = True) -> int:
        """A thread of the process touches ``va``: uvm_fault, and what the trap handler
        makes of its result. Returns 0 or an errno; after an errno the thread is gone, and
        whoever calls must not go on as that thread."""
        va &= ~(PAGE_SIZE - 1)
        check_address(self.kernel.p, va)
        error = await uvm_fault(self, va, write)
        # swap was full a moment ago, so whether a page is free is all there is to ask
        if error == ENOMEM and oracle(self.kernel.physmem, self.kernel.physmem.plentiful):
            self.killed_for_nothing = True
        say("fault.end", obj=self.name, va=hex(va), error=error, signal=SIGNALS[error])
        return error

    async def exit(self) -> None:
        """A thread of the process ends; the last one frees the address space. Threads are
        asked to die by a signal, which one that is in a fault sees when the fault ends."""
        if await self._leave():
            await vmspace.uvmspace_free(self)

    async def munmap(self, start: int, end: int) -> None:
        await vmspace.munmap(self, start, end)

    async def mmap(self) -> None:
        await vmspace.mmap(self)

    @operation(event="proc.exit")
    def _leave(self) -> bool:
        self.threads -= 1
        return self.threads == 0


@procedure
async def uvm_fault(space: Space, va: int, write: bool) -> int:
    """Resolve a fault at ``va``: 0, EFAULT or ENOMEM. Nothing bounds the restarts, and
    no signal is looked at between them. Held: nothing."""
    say("fault.begin", obj=space.name, va=hex(va))
    fix = space.kernel.fix
    if fix.before_locks is not None:
        await fix.before_locks(space.kernel, space, va)
    loop = Loop()
    while True:
        loop.head()
        error = await _once(space, va, write)
        if error != ERESTART:
            if fix.at_end is not None:
                await fix.at_end(space.kernel, space, va)
            return error
        say("fault.restart", obj=space.name, va=hex(va))
        mark("a fault was restarted")


@procedure
async def _once(space: Space, va: int, write: bool) -> int:
    """One pass: uvm_fault_check, then upper or lower case, then pmap_enter."""
    kernel, amap = space.kernel, space.map.amap
    if not await space.map.uvmfault_lookup(va):
        mark("a fault found its address unmapped")
        return EFAULT
    await amap.am_lock.enter(True)
    anon = amap.slots[va >> PAGE_SHIFT]
    error = 0
    if anon is None:
        error = await _promote(space, va)
    elif not await uvmfault_anonget(space, va >> PAGE_SHIFT):
        return ERESTART
    if error:
        return error
    anon = amap.slots[va >> PAGE_SHIFT]
    assert anon is not None
    assert anon.page is not None
    failed = await space.pmap.pmap_enter(va, anon.page, write, canfail=True)
    if not failed and kernel.p.pageout:
        amap.activate(va >> PAGE_SHIFT)
    await space.map.unlockall()
    if not failed:
        return 0
    # the error itself is not looked at here: every failure counts as "no memory"
    if await kernel.swap.uvm_swapisfull():
        return ENOMEM
    assert_nothing_held("flt_pmfail")
    await kernel.fix.after_failure(kernel, space, va, failed)
    return ERESTART


@procedure
async def _promote(space: Space, va: int) -> int:
    """uvmfault_promote, zero fill (2B): a new anon with a new page, in its slot: 0.

    Held: map read, amap write; still held on 0, else all unlocked. Anon first,
    then page, both NOWAIT.
    """
    kernel, amap = space.kernel, space.map.amap
    anon = await kernel.anons.uvm_analloc()
    pages = None
    if anon is not None:
        pages = await kernel.km.cache.getpages(1, waitok=False, usereserve=False)
    if anon is not None and pages is not None:
        amap.slots[va >> PAGE_SHIFT] = Anon(anon, pages[0])
        return 0
    if anon is not None:
        await kernel.anons.pool.put(anon)
    await space.map.unlockall()
    if await kernel.swap.uvm_swapisfull():
        return ENOMEM
    assert_nothing_held("uvmfault_promote")
    if anon is None:
        await kernel.anons.uvm_anwait()
    else:
        await kernel.physmem.uvm_wait("flt_noram3")
    return ERESTART
