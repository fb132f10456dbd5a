"""Memory that is wired stays where it is: mlock and munlock.

Source: sys/uvm/uvm_map.c 1.346 (uvm_map_pageable), sys/uvm/uvm_fault.c (uvm_fault_wire,
uvm_fault_unwire); they were not read, and are modelled as generally known. Left out: what was
wired is undone where a fault fails; mlock of more than a page; how often something is wired
(mappings and pages are, or are not); limits on wired memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmodel.event import say
from kmodel.param import PAGE_SHIFT, PAGE_SIZE, PROT_NONE
from kmodel.point import procedure
from kmodel.vm.map import MapEntry

if TYPE_CHECKING:
    from kmodel.fault import Space


@procedure
async def mlock(space: Space, va: int) -> int:
    """Wire a mapping, and fault its page at ``va`` in so that it stays: 0 or an errno. Nothing
    is faulted in of one that may not be used at all. The map is kept busy meanwhile (with
    ``map_busy``). Held: nothing."""
    busy = space.map.busy
    await space.map.vm_map_lock()
    entry = space.map.entry_at(va)
    useless = entry is not None and entry.protection == PROT_NONE
    if entry is not None:
        entry.wired = True
    if useless:
        await space.map.lock.exit()
        return 0
    if busy is not None:
        await busy.set()
    await space.map.lock.exit()
    error = await space.fault(va, write=False, wire=True)
    if busy is not None:
        await space.map.vm_map_lock()
        await busy.clear()
        await space.map.lock.exit()
    return error


@procedure
async def munlock(space: Space, va: int) -> None:
    """A mapping is wired no longer, nor are the pages that it maps. Held: nothing. Pages are
    found through the pmap, so that one that is not mapped now stays wired."""
    await space.map.vm_map_lock()
    entry = space.map.entry_at(va)
    if entry is not None and entry.wired:
        entry.wired = False
        await _unwire_anons(space, entry)
        await _unwire_object(space, entry)
        say("map.unwire", obj=space.map.name, va=hex(entry.start))
    await space.map.lock.exit()


@procedure
async def _unwire_anons(space: Space, entry: MapEntry) -> None:
    """uvm_fault_unwire_locked, for what has an anon. Held: the map, write."""
    amap = entry.amap
    if amap is None:
        return
    await amap.am_lock.enter(True)
    for index, _ in amap.slots.used:
        if await _unwired(space, index << PAGE_SHIFT):
            anon = amap.lookup(index)
            assert anon is not None
            amap.anons.unwire(anon)
    await amap.am_lock.exit()


@procedure
async def _unwire_object(space: Space, entry: MapEntry) -> None:
    """The same, for pages of an object that no anon lies over. Held: the map, write."""
    if entry.uobj is None:
        return
    await entry.uobj.vmobjlock.enter(True)
    for va in range(entry.start, entry.end, PAGE_SIZE):
        covered = entry.amap is not None and entry.amap.slots[va >> PAGE_SHIFT] is not None
        if not covered and await _unwired(space, va):
            entry.uobj.unwire(entry.page_of(va))
    await entry.uobj.vmobjlock.exit()


@procedure
async def _unwired(space: Space, va: int) -> bool:
    """Is there a mapping at ``va``? It is wired no longer then."""
    if await space.pmap.pmap_extract(va) is None:
        return False
    await space.pmap.pmap_unwire(va)
    return True
