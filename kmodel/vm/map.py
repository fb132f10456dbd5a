"""A process's address space: its map, and how a fault looks an address up.

Source: sys/uvm/uvm_map.c 1.346, sys/uvm/uvm_fault_i.h (uvmfault_lookup,
uvmfault_unlockall, uvmfault_relock). Left out: submaps, clipping (entries do not change
their ends; a later one lies over an earlier, and what is unmapped is one hole),
the most that a protection may become
(max_protection), inheritance changes, the refresh of the process's max RSS when a fault
unlocks the map. The map's busy flag, which wiring keeps over an unlock, is there with
``map_busy``.
"""

from __future__ import annotations

from typing import Final

from kmodel.param import PAGE_SHIFT, PAGE_SIZE, PROT_READ, PROT_WRITE, KernelParams
from kmodel.point import curtask, procedure
from kmodel.shared import Hidden, shared
from kmodel.sync.rwlock import RwLock, rwlock
from kmodel.table import Stamp, oracle
from kmodel.vm.amap import Amap
from kmodel.vm.anon import Anons
from kmodel.vm.mapbusy import Busy
from kmodel.vm.object import UvmObject

VM_MIN: Final = PAGE_SIZE


@shared
class MapEntry:
    """struct vm_map_entry: [start, end) is mapped. Lock: the map's.

    Anonymous memory in ``amap`` lies over ``uobj``, if there is one; ``cow`` entries copy
    what they write. ``needs_copy``: the amap is somebody else's too, or is not there yet.
    ``spares`` are amaps that it may get (none can be made during a run). ``protection``:
    mprotect. ``wired``: mlock.
    """

    start: Final[int]
    end: Final[int]
    uobj: Final[UvmObject | None]
    cow: Final[bool]
    anons: Final[Anons]
    spares: tuple[Amap, ...]  # boot
    amap: Amap | None
    needs_copy: bool
    protection: int
    wired: bool

    def __init__(
        self,
        start: int,
        end: int,
        anons: Anons,
        *,
        amap: Amap | None = None,
        uobj: UvmObject | None = None,
        cow: bool = True,
        writable: bool = True,
        spares: tuple[Amap, ...] = (),
    ) -> None:
        self.start, self.end, self.anons = start, end, anons
        self.uobj, self.cow, self.spares = uobj, cow, spares
        self.amap, self.needs_copy, self.wired = amap, False, False
        self.protection = PROT_READ | PROT_WRITE if writable else PROT_READ

    def allows(self, write: bool) -> bool:
        """May it be written to, or read? Held: the map."""
        return bool(self.protection & (PROT_WRITE if write else PROT_READ))

    def page_of(self, va: int) -> int:
        """Which page of the object lies at ``va``."""
        return (va - self.start) >> PAGE_SHIFT

    async def unlock_amap(self) -> None:
        """Held: the amap's lock, if there is an amap."""
        if self.amap is not None:
            await self.amap.am_lock.exit()


@shared
class UserMap:
    """vm_map of a process. Lock: ``lock``; faults only read-lock it.

    The first entry is anonymous, covers [VM_MIN, end), and has an amap from the start.
    There may be a ``hole`` [start, end) where something has been unmapped (empty if
    nothing has). ``stale`` and ``misjudged`` are for checks: a fault went on with what it
    had found before a writer came; a relock told the wrong thing.
    """

    name: Final[str]
    lock: Final[RwLock]
    busy: Final[Busy | None]
    timestamp: Final[Stamp]
    end: Final[int]
    entries: tuple[MapEntry, ...]  # lock
    hole: tuple[int, int]  # lock
    stale: Hidden[bool]
    misjudged: Hidden[bool]

    def __init__(self, p: KernelParams, name: str, end: int, first: MapEntry) -> None:
        self.name, self.end = f"{name} map", end
        self.lock = rwlock(f"{name} vm_map", p.rwlock)
        self.busy = Busy(self.lock) if p.map_busy else None
        self.timestamp, self.entries, self.hole = Stamp(), (first,), (0, 0)
        self.stale = self.misjudged = False

    @property
    def amap(self) -> Amap:
        """The amap of the first entry. Held: the map."""
        amap = self.entries[0].amap
        assert amap is not None
        return amap

    @procedure
    def entry_at(self, va: int) -> MapEntry | None:
        """uvm_map_lookup_entry. Held: the map."""
        if self.hole[0] <= va < self.hole[1]:
            return None
        return next((one for one in reversed(self.entries) if one.start <= va < one.end), None)

    def private(self, va: int) -> bool:
        """Is there anonymous memory, this process's alone? As somebody outside sees it."""

        def anonymous() -> bool:
            entry = self.entry_at(va)
            return entry is not None and entry.uobj is None

        return oracle(self.timestamp, anonymous)

    @procedure
    async def uvmfault_lookup(self, va: int, write_lock: bool = False) -> MapEntry | None:
        """Lock the map if ``va`` is mapped, for reading unless said; ``None`` is EFAULT,
        nothing held.

        The range is tested without the lock first: ``end`` never changes here. The
        timestamp is noted (``ufi.mapv``), for ``relock``.
        """
        if not VM_MIN <= va < self.end:
            return None
        if write_lock:
            await self.vm_map_lock()
        else:
            await self.lock.enter(False)
        entry = self.entry_at(va)
        if entry is None:
            await self.lock.exit()
            return None
        self.timestamp.copy()
        return entry

    @procedure
    async def unlockall(self, entry: MapEntry, uobj: UvmObject | None = None) -> None:
        """uvmfault_unlockall: object (if its lock is held), amap, then map. Held: all."""
        if uobj is not None:
            await uobj.vmobjlock.exit()
        await entry.unlock_amap()
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
        current = self._current()
        again = self.timestamp.same()
        if again is not current:
            self.misjudged = True
        if again:
            return True
        await self.unlock()
        return False

    def _current(self) -> bool:
        """Has no writer come since the running task's lookup? For checks."""
        stamp = self.timestamp
        return oracle(stamp, lambda: curtask() in stamp.current)

    @procedure
    def use(self) -> None:
        """What the lookup found is used, so it must still be true. For checks."""
        if not self._current():
            self.stale = True

    @procedure
    async def vm_map_lock(self) -> None:
        """Write-lock the map, once nobody else keeps it busy; a new timestamp."""
        await (self.lock.enter(True) if self.busy is None else self.busy.enter())
        self.timestamp.bump()

    @procedure
    async def upgrade(self) -> bool:
        """vm_map_upgrade: from the read to the write lock without sleeping, if nobody else
        reads; a new timestamp. Held: the read lock; still, if it is refused."""
        if not await self.lock.upgrade_try():
            return False
        self.timestamp.bump()
        return True

    @procedure
    async def downgrade(self) -> None:
        """vm_map_downgrade: from the write to the read lock; the new timestamp is noted
        (assumed: what was found is still true). Held: the write lock."""
        self.timestamp.copy()
        await self.lock.downgrade()

    @procedure
    async def unlock(self) -> None:
        """Leave the lookup. Held: the lock that it took."""
        self.timestamp.drop()
        await self.lock.exit()
