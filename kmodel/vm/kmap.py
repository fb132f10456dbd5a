"""kernel_map: the kernel's address space, its lock, and ranges in it.

Source: sys/uvm/uvm_map.c 1.346 (vm_map_lock, vm_map_lock_try, uvm_map, uvm_unmap, and
uvm_map_kmem_grow if the kernel's pmap is modelled). Left out: splitting and joining of entries,
address selectors (each CPU looks from a place of its own; a range is aligned to its size),
which entry is whose (nothing is in one: ranges have them in common, and one that is given back
returns the first of them). The busy flag is there if somebody sets it (``churn=wire``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from kmodel.event import mark, say
from kmodel.panic import Panic
from kmodel.param import PAGE_SIZE, KernelParams
from kmodel.point import RUN, Loop, procedure
from kmodel.shared import shared
from kmodel.streak import Streak
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import IPL_NONE, Mutex
from kmodel.sync.rwlock import RwLock, rwlock
from kmodel.table import Stamp
from kmodel.vm.cause import Cause
from kmodel.vm.mapbusy import Busy

if TYPE_CHECKING:
    from kmodel.vm.pool import Pool

KERNBASE: Final = 0xFFFF_FF80_0000_0000
GROW: Final = 8
"""Pages that kernel_map grows by at least; 256 on the real machine (VM_MAP_KSIZE_DELTA)."""


class Growing(Protocol):
    """The kernel's pmap: so many pages of kernel_map have page tables, and how to get more."""

    reach: int

    async def pmap_growkernel(self, to: int) -> int: ...


@shared
class KernelMap:
    """kernel_map: bit ``n`` of ``used`` is the page at ``KERNBASE + n * PAGE_SIZE``.

    Lock: ``lock``, a sleeping rwlock; a path that may not sleep can only try it.
    """

    lock: Final[RwLock]
    busy: Final[Busy | None]
    npages: Final[int]
    pmap: Final[Growing | None]  # the kernel's, if it is modelled; set at boot
    timestamp: Final[Stamp]
    churn_body: Final[str]
    entries: tuple[int, ...]  # lock; those of all ranges, in order
    entered: int  # lock; bit n: the range that begins at page n has a map entry
    used: int  # lock
    wanted: bool  # lock; VM_MAP_WANTVA: somebody sleeps on ``freed``
    freed_mtx: Final[Mutex]
    freed: Final[Channel]
    refusals: Final[Streak]  # for a check

    def __init__(self, p: KernelParams) -> None:
        self.lock = rwlock("kernel_map", p.rwlock, p.rwlock_spins)
        self.busy = Busy(self.lock) if p.churn == "wire" else None
        # the addresses of single pages come first, and are taken at boot
        singles = p.km_pages if p.own_singles else 0
        self.npages, self.churn_body, self.pmap = singles + p.kva_pages, p.churn, None
        self.timestamp, self.entries, self.entered = Stamp(), (), 0
        self.used, self.wanted = (1 << singles) - 1, False
        self.freed_mtx = Mutex("kernel_map.freed", IPL_NONE)
        self.freed = Channel("kernel_map va")
        self.refusals = Streak("refusals of kernel_map")

    async def vm_map_lock(self) -> None:
        """Write-lock the map, sleeping while somebody else holds it, or keeps it busy; a new
        timestamp."""
        await (self.lock.enter(True) if self.busy is None else self.busy.enter())
        self.timestamp.bump()

    async def vm_map_lock_try(self) -> bool:
        """Write-lock the map if no reader or writer has it and nobody keeps it busy; never
        sleeps, never queues."""
        got = await (self.lock.enter_try(True) if self.busy is None else self.busy.enter_try())
        if not got:
            self.refusals.again()
            return False
        self.refusals.over()
        self.timestamp.bump()
        return True

    async def vm_map_unlock(self) -> None:
        await self.lock.exit()

    @procedure
    async def uvm_map(self, npages: int, entries: Pool, *, trylock: bool) -> int | Cause:
        """Take a range: entry first, then the lock, then the addresses.

        With ``trylock`` neither the entry nor the lock may sleep. A failure gives
        the entry back, and its cause is lost to the caller in the kernel.
        """
        entry = await entries.get(not trylock)
        if entry is None:
            return Cause.ENTRY
        got = await self._insert(npages, entry, trylock)
        if isinstance(got, Cause):
            await entries.put(entry)
            return got
        say("kva.alloc", va=hex(got), n=npages)
        return got

    @procedure
    async def _insert(self, npages: int, entry: int, trylock: bool) -> int | Cause:
        """The part under the lock; nothing held after."""
        if not trylock:
            await self.vm_map_lock()
        elif not await self.vm_map_lock_try():
            mark("a NOWAIT get was refused by the map lock")
            return Cause.LOCK
        if self.pmap is not None and self.find(npages) is None:
            await self.pmap.pmap_growkernel(self.pmap.reach + max(npages * 4, GROW))
        got = self._take_range(npages, entry)
        await self.vm_map_unlock()
        return got

    @procedure
    def _take_range(self, npages: int, entry: int) -> int | Cause:
        first = self.find(npages)
        if first is None:
            mark("kernel_map had no address left")
            return Cause.RANGE
        self.insert(first, npages, entry)
        return KERNBASE + first * PAGE_SIZE

    @procedure
    def insert(self, first: int, npages: int, entry: int) -> None:
        """The range is taken, and has an entry. Held: the lock (or boot)."""
        self.used |= ((1 << npages) - 1) << first
        self.entered |= 1 << first
        self.entries = tuple(sorted((*self.entries, entry)))

    @procedure
    async def uvm_unmap(self, va: int, npages: int) -> int:
        """Give a range back; returns an entry (0: it had none), which goes back to the pool
        unlocked. May sleep for the lock."""
        first = (va - KERNBASE) // PAGE_SIZE
        await self.vm_map_lock()
        entry = self._give_range(first, npages)
        await self._unlock_freed()
        say("kva.free", va=hex(va), n=npages)
        return entry

    @procedure
    def _give_range(self, first: int, npages: int) -> int:
        want = ((1 << npages) - 1) << first
        if self.used & want != want:
            raise Panic(f"uvm_unmap: page {first} of kernel_map is not mapped", "double-free")
        self.used &= ~want
        if not self.entered >> first & 1:
            return 0  # one of boot
        self.entered &= ~(1 << first)
        entry, *rest = self.entries
        self.entries = tuple(rest)
        return entry

    @procedure
    def find(self, npages: int) -> int | None:
        """A free range, by its first page. Held: the lock (or boot)."""
        reach = self.npages if self.pmap is None else self.pmap.reach
        return first_fit(self.used, reach, npages)

    def room(self, npages: int) -> bool:
        """Is a range free, or would be if the kernel's pmap grew? For checks."""
        return first_fit(self.used, self.npages, npages) is not None

    @procedure
    async def wait_for_range(self, npages: int) -> None:
        """Sleep until a range has been given back, unless one is free now. Held: nothing.

        No path of the kernel does this on kernel_map: only map modes with ``kv_wait`` sleep
        for addresses (uvm_km.c, km_alloc). A fix may want it.
        """
        await self.vm_map_lock()
        if self.find(npages) is not None:
            await self.vm_map_unlock()
            return
        self.wanted = True
        # from before the map is left until asleep, so that no wakeup comes in between
        await self.freed_mtx.enter()
        await self.vm_map_unlock()
        mark("a thread waits for kernel address space")
        await self.freed.msleep(self.freed_mtx, relock=False)

    @procedure
    async def _unlock_freed(self) -> None:
        """Leave the map after a range was given back, and wake who waits for one."""
        wanted = self.wanted
        if wanted:
            self.wanted = False
        await self.vm_map_unlock()
        if wanted:
            await self.freed_mtx.enter()
            await self.freed.wakeup()
            await self.freed_mtx.leave()

    async def churn(self, turns: int | None = None) -> None:
        """A thread that locks, holds and unlocks the map for ever, or for so many ``turns``
        (other kernel allocations). With the body ``alloc`` it also takes a range and gives it
        back, with ``read`` it only reads the map, with ``wire`` it keeps the map busy while it
        has let the lock go. Left out: pages behind the range, so that its freeing wakes nobody
        who waits for memory; what wiring does meanwhile."""
        if turns is not None:
            for _ in range(turns):
                await self._churn_once()
            return
        loop = Loop()
        while True:
            loop.head()
            await self._churn_once()

    async def _churn_once(self) -> None:
        if self.churn_body == "read":
            await self.lock.enter(False)
            await self.vm_map_unlock()
            return
        await self.vm_map_lock()
        if self.busy is not None:
            await self.busy.set()
            await self.vm_map_unlock()
            await self.vm_map_lock()
            await self.busy.clear()
        first = self._churn_take()
        await self.vm_map_unlock()
        if first is not None:
            await self.vm_map_lock()
            self._give_range(first, 1)
            await self._unlock_freed()

    @procedure
    def _churn_take(self) -> int | None:
        first = self.find(1) if self.churn_body == "alloc" else None
        if first is not None:
            self.used |= 1 << first
        return first


def first_fit(used: int, size: int, npages: int) -> int | None:
    """The first page of ``npages`` free ones of ``size``, aligned to their number; bit ``n``
    of ``used`` says that page ``n`` is taken.

    Each CPU looks from a place of its own (see ``PhysMem.take``).
    """
    want = (1 << npages) - 1
    home = (RUN.task.index * 6 + 2) % max(size, 1) if RUN.task else 0
    order = [*range(0, size - npages + 1, npages)]
    order.sort(key=lambda first: (first - home) % size)
    return next((first for first in order if not used >> first & want), None)
