"""Anonymous memory: anons, and the amaps that hold them.

Source: sys/uvm/uvm_amap.c 1.97 (amap_wipeout), sys/uvm/uvm_anon.c 1.67 (uvm_analloc,
uvm_anfree, uvm_anwait, uvm_anon_release), sys/uvm/uvm_page.c 1.183 (uvm_pagewait). Left
out: reference counts and copy-on-write, chunks (an amap has room for every slot).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kmodel.event import mark, say
from kmodel.param import PAGE_SIZE, KernelParams
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
    where the page daemon finds it."""

    address: int
    page: int | None
    busy: bool = False
    queued: bool = False


@shared
class Amap:
    """An amap: page index -> its anon.

    ``am_lock`` protects the slots and the anons in them (an anon shares its
    amap's lock). ``released`` are anons that were freed while their page was busy
    (PG_RELEASED): whoever ends the I/O frees them. All who wait for a busy page of the
    amap share a channel, and wake to look.
    """

    am_lock: Final[RwLock]
    slots: Final[Sparse[Anon]]  # am_lock
    busy_pages: Final[Channel]
    released: tuple[Anon, ...]  # am_lock

    def __init__(self, p: KernelParams, name: str) -> None:
        self.am_lock, self.slots = rwlock(f"{name} amap", p.rwlock), Sparse()
        self.busy_pages, self.released = Channel(f"busy page of {name}"), ()

    @procedure
    async def uvm_pagewait(self) -> None:
        """Sleep until a busy page of the amap is busy no more. Held: am_lock, not after."""
        await self.busy_pages.rwsleep(self.am_lock)

    @procedure
    def activate(self, index: int) -> None:
        """uvm_pageactivate: the page is on the queues. Held: am_lock."""
        anon = self.slots[index]
        if anon is not None and not anon.queued:
            self.slots[index] = anon._replace(queued=True)

    @procedure
    def ready(self, index: int) -> bool:
        """Is the page of that slot's anon resident, and nobody does I/O on it? Held: am_lock."""
        anon = self.slots[index]
        return anon is not None and anon.page is not None and not anon.busy

    @procedure
    def index_of(self, address: int) -> int | None:
        """The slot of the anon at ``address``. Held: am_lock."""
        return next((at for at, anon in self.slots.used if anon.address == address), None)


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
    async def amap_wipeout(
        self, amap: Amap, start: int, end: int, mem: PhysMem | PageCache, swap: Swap
    ) -> None:
        """Free the anons of the slots from ``start`` up to ``end``. A busy page stays, and
        is released by whoever does I/O on it. Held: am_lock."""
        for index, anon in amap.slots.used:
            if not start <= index < end:
                continue
            amap.slots[index] = None
            if anon.busy:
                mark("an anon was freed while its page was busy")
                amap.released = (*amap.released, anon)
                continue
            await self.uvm_anfree(anon, mem, swap)

    @procedure
    async def uvm_anfree(self, anon: Anon, mem: PhysMem | PageCache, swap: Swap) -> None:
        """Give back an anon with its page or its slot of swap. Held: its amap's lock."""
        if anon.page is not None:
            await mem.freepages((anon.page,))
        else:
            await swap.uvm_swap_free()
        await self.pool.put(anon.address)
        say("anon.free", item=hex(anon.address))
