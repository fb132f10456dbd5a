"""Amaps: which anon lies at which page of a mapping; copied when they are written to.

Source: sys/uvm/uvm_amap.c 1.97 (amap_lookup, amap_add, amap_copy, amap_populate,
amap_wipeout). Not read, and modelled as generally known: that the copy of an amap shares
its lock, and that the last user of an amap takes it over instead of copying it. Left out:
a copy without anons gets a lock of its own; am_ref is also looked at without the lock; the
copy's chunks come with it; a small amap, which needs no chunk, is one without
``amap_chunks``; partial references (ppref).
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark
from kmodel.param import PAGE_SIZE
from kmodel.point import procedure
from kmodel.shared import shared
from kmodel.sync.channel import assert_nothing_held
from kmodel.sync.mutex import IPL_MPFLOOR
from kmodel.sync.rwlock import RwLock
from kmodel.table import Sparse
from kmodel.vm.anon import Anon, AnonPool, Anons
from kmodel.vm.km import SinglePages
from kmodel.vm.pagecache import PageCache
from kmodel.vm.physmem import PhysMem
from kmodel.vm.pool import Pool
from kmodel.vm.swap import Swap

CHUNK_SLOTS: Final = 16


@shared
class Amap:
    """An amap: page number -> the address of its anon. Lock: ``am_lock``, which is that of
    the anons. ``am_ref`` maps use it (none: it is not allocated). ``chunked`` ones have room
    only where a chunk was allocated."""

    anons: Final[Anons]
    chunked: Final[bool]
    slots: Final[Sparse[int]]  # am_lock
    chunks: Final[Sparse[int]]  # am_lock; an item of amapchunkpl each
    am_ref: int  # am_lock
    item: int | None  # of amappl; the first amap of a process is from before the story

    def __init__(self, anons: Anons, chunked: bool = False) -> None:
        self.anons, self.am_ref, self.item, self.chunked = anons, 0, None, chunked
        self.slots, self.chunks = Sparse(), Sparse()
        anons.slots = (*anons.slots, self.slots)

    @property
    def am_lock(self) -> RwLock:
        return self.anons.lock

    @procedure
    def lookup(self, index: int) -> Anon | None:
        """amap_lookup: the anon of a slot. Held: am_lock."""
        address = self.slots[index]
        return None if address is None else self.anons.members[address]

    @procedure
    def ready(self, index: int) -> bool:
        """Is the page of that slot's anon resident, and nobody does I/O on it? Held: am_lock."""
        anon = self.lookup(index)
        return anon is not None and anon.page is not None and not anon.busy

    @procedure
    def install(self, index: int, anon: Anon) -> None:
        """Put a new anon into a slot that has room. Held: am_lock, write."""
        self.anons.put(anon)
        self.slots[index] = anon.address

    @procedure
    async def amap_wipeout(
        self, start: int, end: int, pool: AnonPool, mem: PhysMem | PageCache, swap: Swap
    ) -> None:
        """Empty the slots from ``start`` up to ``end``; an anon in no slot any more is freed.
        A busy page stays, and is released by whoever does I/O on it. Held: am_lock, write."""
        for index, address in self.slots.used:
            if not start <= index < end:
                continue
            self.slots[index] = None
            anon = self.anons.members[address]
            assert anon is not None
            anon = anon._replace(ref=anon.ref - 1)
            if anon.ref or anon.busy:
                self.anons.put(anon)
                if not anon.ref:
                    mark("an anon was freed while its page was busy")
                continue
            self.anons.members[address] = None
            await pool.uvm_anfree(anon, mem, swap)


@shared
class AmapPool:
    """``amappl`` and ``amapchunkpl``, and what is made of their items."""

    amaps: Final[Pool]
    chunks: Final[Pool]

    def __init__(self, amaps: SinglePages, chunks: SinglePages) -> None:
        self.amaps = Pool("amappl", amaps, IPL_MPFLOOR, PAGE_SIZE // 4)
        self.chunks = Pool("amapchunkpl", chunks, IPL_MPFLOOR, PAGE_SIZE // 4)

    @procedure
    async def amap_copy(self, amap: Amap | None, spares: tuple[Amap, ...]) -> Amap | None:
        """What the writer of a needs-copy mapping of ``amap`` uses from now on, or ``None``:
        no memory (NOWAIT). Held: the map, write. Without an amap it gets an empty one; its
        only user keeps it; else each anon is referenced once more. ``spares`` are amaps to
        be: what is allocated during a run exists from the start."""
        if amap is None:
            item = await self.amaps.get(False)
            if item is None:
                return None
            spares[0].am_ref, spares[0].item = 1, item
            return spares[0]
        await amap.am_lock.enter(True)
        alone = amap.am_ref == 1
        await amap.am_lock.exit()
        if alone:
            return amap
        item = await self.amaps.get(False)
        if item is None:
            mark("a copy of an amap could not be had")
            return None
        await amap.am_lock.enter(True)
        if amap.am_ref == 1:  # it was left while we allocated
            await amap.am_lock.exit()
            await self.amaps.put(item)
            return amap
        copy = next(spare for spare in spares if not spare.am_ref)
        copy.am_ref, copy.item = 1, item
        for index, address in amap.slots.used:
            anon = amap.anons.members[address]
            assert anon is not None
            copy.install(index, anon._replace(ref=anon.ref + 1))
        amap.am_ref -= 1
        await amap.am_lock.exit()
        mark("an amap was copied")
        return copy

    @procedure
    async def amap_add(self, amap: Amap, index: int, anon: Anon) -> bool:
        """A new anon into an empty slot; false if that needs a chunk, and there is none
        (NOWAIT). Held: am_lock, write."""
        if amap.chunked and amap.chunks[index // CHUNK_SLOTS] is None:
            chunk = await self.chunks.get(False)
            if chunk is None:
                return False
            amap.chunks[index // CHUNK_SLOTS] = chunk
        amap.install(index, anon)
        return True

    @procedure
    async def amap_populate(self) -> None:
        """Get a chunk with WAITOK, for a fault that comes round again. Held: nothing.

        Left out: the kernel's keeps it where it will be needed, here it only goes through the
        pool, as an anon does in uvm_anwait (where it is kept was not read).
        """
        assert_nothing_held("amap_populate")
        chunk = await self.chunks.get(True)
        assert chunk is not None
        await self.chunks.put(chunk)

    @procedure
    async def amap_free(self, amap: Amap) -> None:
        """Its last user is gone: its items go back. Held: nothing that is a mutex."""
        for _, chunk in amap.chunks.used:
            await self.chunks.put(chunk)
        amap.chunks.used = ()
        if amap.item is not None:
            await self.amaps.put(amap.item)
            amap.item = None
