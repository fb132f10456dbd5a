"""A process's address space: its map, and how a fault looks an address up.

Source: sys/uvm/uvm_map.c 1.346, sys/uvm/uvm_fault_i.h (uvmfault_lookup,
uvmfault_unlockall). Left out: submaps, several entries (one anonymous entry
covers all), protection and inheritance changes, needs-copy.
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

    One entry [VM_MIN, end), readable and writable, anonymous, backed by ``amap``.
    """

    name: Final[str]
    lock: Final[RwLock]
    timestamp: Final[Stamp]
    amap: Final[Amap]
    end: Final[int]

    def __init__(self, p: KernelParams, name: str, end: int) -> None:
        self.name, self.end = f"{name} map", end
        self.lock = rwlock(f"{name} vm_map", p.rwlock)
        self.timestamp, self.amap = Stamp(), Amap(p, name)

    @procedure
    async def uvmfault_lookup(self, va: int) -> bool:
        """Read-lock the map if ``va`` lies in it; ``False`` is EFAULT, nothing held.

        The range is tested without the lock first: ``end`` never changes here.
        """
        if not VM_MIN <= va < self.end:
            return False
        await self.lock.enter(False)
        self.timestamp.copy()
        return True

    @procedure
    async def unlock(self) -> None:
        """Leave the lookup. Held: the read lock."""
        self.timestamp.drop()
        await self.lock.exit()
