"""The busy flag of a map: one thread keeps the map to itself while it has let its lock go.

Source: sys/uvm/uvm_map.c 1.346 (vm_map_busy, vm_map_unbusy, vm_map_lock, vm_map_lock_try).
Wiring does that over the faults that it takes. Assumed: who gets the lock looks at the flag
once more, as a try does (what was read says so of the try alone). Readers do not look;
whether they wait in the kernel is open.
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark
from kmodel.point import Loop, Task, curtask, procedure
from kmodel.shared import shared
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import IPL_NONE, Mutex
from kmodel.sync.rwlock import RwLock


@shared
class Busy:
    """VM_MAP_BUSY of the map whose lock is ``lock``, and who set it (``owner``)."""

    lock: Final[RwLock]
    flags_lock: Final[Mutex]
    chan: Final[Channel]
    owner: Task | None  # flags_lock

    def __init__(self, lock: RwLock) -> None:
        self.lock = lock
        self.flags_lock = Mutex(f"{lock.name} flags_lock", IPL_NONE)
        self.chan, self.owner = Channel(f"{lock.name} busy"), None

    @procedure
    async def set(self) -> None:
        """vm_map_busy: from now on only the running thread can write-lock the map. Held: its
        lock, write, which may be let go after."""
        self.lock.assert_held()
        await self.flags_lock.enter()
        self.owner = curtask()
        await self.flags_lock.leave()

    @procedure
    async def clear(self) -> None:
        """vm_map_unbusy: as before, and who waited is woken. Held: the map, write."""
        self.lock.assert_held()
        await self.flags_lock.enter()
        self.owner = None
        await self.chan.wakeup()
        await self.flags_lock.leave()

    @procedure
    async def enter(self) -> None:
        """The sleeping part of vm_map_lock: not before nobody else keeps the map busy."""
        loop = Loop()
        while True:
            loop.head()
            await self._wait()
            await self.lock.enter(True)
            if not await self._another():
                return
            await self.lock.exit()

    @procedure
    async def enter_try(self) -> bool:
        """vm_map_lock_try: refused while another thread keeps the map busy, locked or not."""
        if await self._another():
            mark("a map was busy, and its lock was free")
            return False
        if not await self.lock.enter_try(True):
            return False
        if not await self._another():
            return True
        await self.lock.exit()
        return False

    @procedure
    async def _another(self) -> bool:
        await self.flags_lock.enter()
        another = self.owner is not None and self.owner is not curtask()
        await self.flags_lock.leave()
        return another

    @procedure
    async def _wait(self) -> None:
        loop = Loop()
        await self.flags_lock.enter()
        while self.owner is not None and self.owner is not curtask():
            loop.head()
            mark("a thread waits for a map that is busy")
            await self.chan.msleep(self.flags_lock)
        await self.flags_lock.leave()
