"""A process's address space: its map, and how a fault looks an address up.

Source: sys/uvm/uvm_map.c 1.346, sys/uvm/uvm_fault_i.h (uvmfault_lookup,
uvmfault_unlockall, uvmfault_relock). Left out: submaps, several entries (one anonymous
entry covers all but for at most one hole), protection and inheritance changes, needs-copy.
"""

from __future__ import annotations

from typing import Final

from kmodel.param import PAGE_SIZE, KernelParams
from kmodel.point import procedure
from kmodel.shared import shared
from kmodel.sync.rwlock import RwLock, rwlock
from kmodel.table import Stamp
from kmodel.vm.amap import Amap

VM_MIN: Final = PAGE_SIZE


@shared
class UserMap:
    """vm_map of a process. Lock: ``lock``; faults only read-lock it.

    One entry [VM_MIN, end), readable and writable, anonymous, backed by ``amap``, with a
    ``hole`` [start, end) where something has been unmapped (empty if nothing has).
    """

    name: Final[str]
    lock: Final[RwLock]
    timestamp: Final[Stamp]
    amap: Final[Amap]
    end: Final[int]
    hole: tuple[int, int]  # lock

    def __init__(self, p: KernelParams, name: str, end: int) -> None:
        self.name, self.end = f"{name} map", end
        self.lock = rwlock(f"{name} vm_map", p.rwlock)
        self.timestamp, self.amap, self.hole = Stamp(), Amap(p, name), (0, 0)

    @procedure
    async def uvmfault_lookup(self, va: int) -> bool:
        """Read-lock the map if ``va`` is mapped; ``False`` is EFAULT, nothing held.

        The range is tested without the lock first: ``end`` never changes here. The
        timestamp is noted (``ufi.mapv``), for ``relock``.
        """
        if not VM_MIN <= va < self.end:
            return False
        await self.lock.enter(False)
        if self.hole[0] <= va < self.hole[1]:
            await self.lock.exit()
            return False
        self.timestamp.copy()
        return True

    async def unlockall(self) -> None:
        """uvmfault_unlockall: amap, then map. Held: both."""
        await self.amap.am_lock.exit()
        await self.unlock()

    @procedure
    async def pause(self) -> None:
        """Let the map go and keep the timestamp. Held: the read lock."""
        await self.lock.exit()

    @procedure
    async def relock(self) -> bool:
        """uvmfault_relock: the read lock again, unless a writer has come between; then
        nothing is held, and what the lookup found is worth nothing any more."""
        await self.lock.enter(False)
        if self.timestamp.same():
            return True
        await self.unlock()
        return False

    @procedure
    async def vm_map_lock(self) -> None:
        """Write-lock the map; a new timestamp."""
        await self.lock.enter(True)
        self.timestamp.bump()

    @procedure
    async def unlock(self) -> None:
        """Leave the lookup. Held: the read lock."""
        self.timestamp.drop()
        await self.lock.exit()
