"""The page fault: look up, find or make the page, enter it; on shortage unlock all,
do what the fix says, restart.

Source: sys/uvm/uvm_fault.c 1.159-1.173 (uvm_fault, uvm_fault_check); the parts are in
``uvmfault``, the trap handler's fixup is in ``vmspace``. Left out: uvm_grow (the stack's size
after a fault).
"""

from __future__ import annotations

from typing import Final

from kmodel import vmspace, wiring
from kmodel.event import mark, say
from kmodel.fixes import Fix
from kmodel.panic import Panic
from kmodel.param import PAGE_SIZE, KernelParams
from kmodel.pmap.pmap import ENOMEM, Pmap
from kmodel.pmap.pools import PmapPools
from kmodel.pmap.pte import check_address
from kmodel.point import Loop, operation, procedure
from kmodel.shared import Atomic, Hidden, shared
from kmodel.table import oracle
from kmodel.uvmfault import centre, neighbours
from kmodel.uvmfault.amapcopy import clear_needs_copy
from kmodel.uvmfault.flt import (
    EACCES,
    EFAULT,
    ERESTART_EARLY,
    ERESTART_LOWER,
    ERESTART_UPPER,
    End,
    Flt,
    Found,
    exclusive,
)
from kmodel.uvmfault.lower import uvm_fault_lower
from kmodel.uvmfault.upper import uvm_fault_upper
from kmodel.vm.amap import Amap, AmapPool
from kmodel.vm.anon import Anon, AnonPool
from kmodel.vm.contents import Contents
from kmodel.vm.km import KernelMemory
from kmodel.vm.map import MapEntry, UserMap
from kmodel.vm.object import EIO
from kmodel.vm.physmem import PhysMem
from kmodel.vm.swap import Swap

SIGNALS: Final = {
    0: None,
    ENOMEM: "SIGKILL",
    EFAULT: "SIGSEGV",
    EACCES: "SIGSEGV",
    EIO: "SIGBUS",
}
"""What the trap handler makes of a fault that failed (arm64/trap.c 1.54)."""


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
    contents: Final[Contents]
    amaps: AmapPool | None  # boot; there if the story has amaps to be made

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
        self.contents, self.amaps = Contents(), None

    @procedure
    async def amap_add(self, amap: Amap, index: int, anon: Anon) -> bool:
        """``AmapPool.amap_add``; an amap without chunks has room, and needs no pool."""
        if self.amaps is None:
            amap.install(index, anon)
            return True
        return await self.amaps.amap_add(amap, index, anon)


@shared
class Space:
    """A process's vmspace: its map, and its pmap. ``threads`` hold it; those that never
    ``exit`` are not counted. A forked one is there from the start, and not ``begun``.

    For checks: ``killed_for_nothing`` while memory was plentiful; ``robbed``: killed for
    lack of a descriptor, after neighbours in the same table had got one.
    """

    name: Final[str]
    kernel: Final[Kernel]
    map: Final[UserMap]
    pmap: Final[Pmap]
    threads: Atomic[int]
    begun: Atomic[bool]
    killed_for_nothing: Hidden[bool]
    robbed: Hidden[bool]

    def __init__(self, kernel: Kernel, name: str, first: MapEntry, threads: int = 0) -> None:
        self.name, self.kernel, self.threads, self.begun = name, kernel, threads, True
        self.killed_for_nothing = self.robbed = False
        self.map = UserMap(kernel.p, name, first.end, first)
        self.pmap = Pmap(kernel.p, kernel.pmap_pools, name)

    async def fault(self, va: int, write: bool = True, wire: bool = False) -> int:
        """A thread of the process touches ``va``: uvm_fault, and what the trap handler
        makes of its result. Returns 0 or an errno; after an errno the thread is gone, and
        whoever calls must not go on as that thread."""
        va &= ~(PAGE_SIZE - 1)
        check_address(self.kernel.p, va)
        error = await uvm_fault(self, va, write, wire)
        # swap was full a moment ago, so whether a page is free is all there is to ask
        if error == ENOMEM and oracle(self.kernel.physmem, self.kernel.physmem.plentiful):
            self.killed_for_nothing = True
        self.kernel.physmem.laps.over(for_all=True)
        say("fault.end", obj=self.name, va=hex(va), error=error, signal=SIGNALS[error])
        return error

    async def kernel_fault(self, va: int, write: bool = True, recovery: bool = True) -> int:
        """The kernel itself touches ``va`` for the process, as copyin and copyout do: 0, or
        EFAULT whatever the error, from the recovery address. Panics without one. Nobody is
        killed for it."""
        va &= ~(PAGE_SIZE - 1)
        check_address(self.kernel.p, va)
        error = await uvm_fault(self, va, write)
        say("fault.end", obj=self.name, va=hex(va), error=error, signal=None)
        if error and not recovery:
            raise Panic(f"trap: the kernel faults at {va:#x} of {self.name}: error {error}")
        return EFAULT if error else 0

    async def exit(self) -> None:
        """A thread of the process ends; the last one frees the address space. Threads are
        asked to die by a signal, which one that is in a fault sees when the fault ends."""
        if await self._leave():
            await vmspace.uvmspace_free(self)

    async def munmap(self, start: int, end: int) -> None:
        await vmspace.munmap(self, start, end)

    async def mmap(self) -> None:
        await vmspace.mmap(self)

    async def mlock(self, va: int) -> int:
        """Wire the mapping of ``va``, and its page at ``va``: 0 or an errno."""
        return await wiring.mlock(self, va)

    async def munlock(self, va: int) -> None:
        """The mapping of ``va`` is wired no longer."""
        await wiring.munlock(self, va)

    async def mprotect(self, va: int, prot: int) -> None:
        """The mapping of ``va`` may be used as ``prot`` says."""
        await vmspace.mprotect(self, va, prot)

    async def fork(self, child: Space) -> None:
        """uvmspace_fork, into a process that the story has made (``Machine.child``)."""
        await vmspace.uvmspace_fork(self, child)

    async def add(self, va: int, more: int) -> int:
        """A thread adds to memory, in one instruction: 0, or the errno that kills it."""
        return await vmspace.access(self, va, more)

    async def load(self, va: int) -> int:
        """A thread reads memory: its value (after a fault that fails: less than 0)."""
        return await vmspace.access(self, va, None)

    @operation(event="proc.exit")
    def _leave(self) -> bool:
        self.threads -= 1
        return self.threads == 0

    @operation(event="proc.fork")
    def forked(self) -> None:
        """The process is there."""
        self.begun = True

    @operation(lambda self: self.begun, event="proc.begin")
    def begin(self) -> None:
        """A forked process's thread: not before the fork."""


@procedure
async def uvm_fault(space: Space, va: int, write: bool, wire: bool = False) -> int:
    """Resolve a fault at ``va``: 0, EFAULT, EACCES, EIO or ENOMEM. Nothing bounds the
    restarts, and no signal is looked at between them. ``wire`` is VM_FAULT_WIRE. Held:
    nothing."""
    say("fault.begin", obj=space.name, va=hex(va))
    fix, p = space.kernel.fix, space.kernel.p
    if fix.before_locks is not None:
        await fix.before_locks(space.kernel, space, va)
    narrow, upper, lower = not p.neighbours, exclusive(p), exclusive(p)
    loop = Loop()
    while True:
        loop.head(narrow, upper, lower)
        end = await _once(space, va, write, wire, (narrow, upper, lower))
        error = end if isinstance(end, int) else await centre.after(space, va, end)
        if error >= 0:
            if fix.at_end is not None:
                await fix.at_end(space.kernel, space, va)
            return error
        # a lock once wanted for writing is taken so from then on
        narrow = narrow or error != ERESTART_EARLY
        upper, lower = upper or error == ERESTART_UPPER, lower or error == ERESTART_LOWER
        say("fault.restart", obj=space.name, va=hex(va))
        mark("a fault was restarted")


@procedure
async def _once(
    space: Space, va: int, write: bool, wire: bool, how: tuple[bool, bool, bool]
) -> End:
    """One pass: the page is found, or made, and mapped."""
    found = await _find(space, va, write, wire, how)
    return found if isinstance(found, int) else await centre.enter(found)


@procedure
async def _find(
    space: Space, va: int, write: bool, wire: bool, how: tuple[bool, bool, bool]
) -> int | Found:
    """uvm_fault_check, neighbours, then upper or lower case. Without a page nothing is held."""
    flt = await _check(space, va, write, wire, how)
    if isinstance(flt, int):
        return flt
    ahead = await neighbours.upper(flt)
    amap = flt.entry.amap
    if amap is not None and amap.slots[flt.slot] is not None:
        return await uvm_fault_upper(flt, ahead)
    return await uvm_fault_lower(flt, ahead)


@procedure
async def _check(
    space: Space, va: int, write: bool, wire: bool, how: tuple[bool, bool, bool]
) -> Flt | int:
    """uvm_fault_check: what the fault is about, with map (read) and amap locked; or an errno,
    or a restart, and nothing held."""
    entry = await space.map.uvmfault_lookup(va)
    if entry is None:
        mark("a fault found its address unmapped")
        return EFAULT
    if not entry.allows(write):
        await space.map.unlock()
        return EACCES
    narrow, upper, lower = how
    if wire or entry.wired:
        wire, write, narrow, upper, lower = True, entry.allows(True), True, True, True
    may_write = entry.allows(True)
    if entry.needs_copy:
        if not write and entry.uobj is not None:
            may_write = False
        elif not await clear_needs_copy(space, entry, va):
            return ERESTART_EARLY
    if entry.amap is None and entry.uobj is None:
        mark("a fault found nothing behind its mapping")
        await space.map.unlock()
        return EFAULT
    if write and entry.uobj is not None and entry.amap is not None:
        narrow = True
    if entry.amap is not None:
        upper = upper or write
        await entry.amap.am_lock.enter(upper)
    space.map.use()
    return Flt(space, entry, va, write, may_write, wire, narrow, upper, lower)
