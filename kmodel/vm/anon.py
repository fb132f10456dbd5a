"""Anons: pages of anonymous memory, and the pool that they come from.

Source: sys/uvm/uvm_anon.c 1.67 (uvm_analloc, uvm_anfree, uvm_anwait, uvm_anon_release),
sys/uvm/uvm_page.c 1.183 (uvm_pagewait). Left out: one channel a page (all who wait for a
busy page under one lock share a channel, and wake to look).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kmodel.event import say
from kmodel.param import PAGE_SHIFT, PAGE_SIZE
from kmodel.point import procedure
from kmodel.shared import shared
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import IPL_MPFLOOR
from kmodel.sync.rwlock import RwLock, rwlock
from kmodel.table import Sparse
from kmodel.vm.km import SinglePages
from kmodel.vm.pagecache import PageCache
from kmodel.vm.physmem import PhysMem
from kmodel.vm.pool import Pool
from kmodel.vm.swap import Swap


class Anon(NamedTuple):
    """struct vm_anon, with the flags of its page. ``page`` is ``None`` while it is on swap
    alone; ``busy`` while I/O goes on (PG_BUSY); ``queued`` once it is on the page queues,
    where the page daemon finds it. ``ref`` slots of amaps hold it; with none left it is
    gone (PG_RELEASED), and is there only until the I/O on its page ends."""

    address: int
    page: int | None
    busy: bool = False
    queued: bool = False
    ref: int = 1
    wired: bool = False


@shared
class Anons:
    """The anons under one lock. An anon shares its amap's lock, so amaps that have anons in
    common, as after a fork, have the lock in common too."""

    name: Final[str]
    lock: Final[RwLock]
    members: Final[Sparse[Anon]]  # lock; by address
    busy_pages: Final[Channel]
    slots: tuple[Sparse[int], ...]  # boot: of each amap that has this lock, or may get it

    def __init__(self, name: str, policy: str) -> None:
        self.name, self.lock = f"{name} anons", rwlock(f"{name} amap", policy)
        self.members, self.slots = Sparse(), ()
        self.busy_pages = Channel(f"busy page of {name}", condition=self._none_busy)

    @procedure
    def put(self, anon: Anon) -> None:
        """The anon as it is from now on. Held: lock, write."""
        self.members[anon.address] = anon

    @procedure
    def places(self, anon: Anon) -> tuple[int, ...]:
        """The addresses at which an anon lies in some amap. Held: lock."""
        found = {
            index << PAGE_SHIFT
            for slots in self.slots
            for index, address in slots.used
            if address == anon.address
        }
        return tuple(sorted(found))

    @procedure
    async def uvm_pagewait(self) -> None:
        """Sleep until a busy page is busy no more. Held: lock; not after."""
        await self.busy_pages.rwsleep(self.lock)

    @procedure
    def activate(self, anon: Anon, wire: bool = False) -> None:
        """uvm_pageactivate, or uvm_pagewire: the page is on the queues, or off them for good.
        Held: lock, write."""
        if wire and not anon.wired:
            self.put(anon._replace(queued=False, wired=True))
        elif not (wire or anon.wired or anon.queued):
            self.put(anon._replace(queued=True))

    @procedure
    def unwire(self, anon: Anon) -> None:
        """uvm_pageunwire: a page that was wired is on the queues again. Held: lock, write."""
        if anon.wired:
            self.put(anon._replace(queued=True, wired=False))

    @property
    def released(self) -> tuple[Anon, ...]:
        """Anons that were freed while their page was busy: whoever ends the I/O frees them."""
        return tuple(anon for _, anon in self.members.used if not anon.ref)

    def _none_busy(self) -> bool:
        return not any(anon.busy for _, anon in self.members.used)


@shared
class AnonPool:
    """``anonpl`` and what waits for it."""

    pool: Final[Pool]

    def __init__(self, pages: SinglePages) -> None:
        self.pool = Pool("anonpl", pages, IPL_MPFLOOR, PAGE_SIZE // 4)

    @procedure
    async def uvm_analloc(self) -> int | None:
        """An anon, NOWAIT: the caller holds map and amap locks."""
        return await self.pool.get(False)

    @procedure
    async def uvm_anwait(self) -> None:
        """Get one anon with WAITOK and put it straight back, so that the pool has one
        when the fault comes round again; another thread can steal it. Held: nothing."""
        anon = await self.pool.get(True)
        assert anon is not None
        await self.pool.put(anon)

    @procedure
    async def uvm_anfree(self, anon: Anon, mem: PhysMem | PageCache, swap: Swap) -> None:
        """Give back an anon with its page or its slot of swap. Held: its lock."""
        if anon.page is not None:
            await mem.freepages((anon.page,))
        else:
            await swap.uvm_swap_free()
        await self.pool.put(anon.address)
        say("anon.free", item=hex(anon.address))
