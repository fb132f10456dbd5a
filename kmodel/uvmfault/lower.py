"""A fault on a page that no anon has: 2A, the object's page is mapped; 2B, a new anon gets a
copy of it, or zeroes.

Source: sys/uvm/uvm_fault.c 1.165, 1.173 (uvm_fault_lower, uvm_fault_lower_io). Left out:
devices (pgo_fault), entries that zero-fill on an error.
"""

from __future__ import annotations

from kmodel.event import mark
from kmodel.pmap.pmap import ENOMEM
from kmodel.point import pause, procedure
from kmodel.sync.channel import assert_nothing_held
from kmodel.uvmfault import neighbours
from kmodel.uvmfault.flt import ERESTART, ERESTART_LOWER, ERESTART_UPPER, Flt, Found
from kmodel.uvmfault.promote import drop, uvmfault_promote
from kmodel.vm.anon import Anon
from kmodel.vm.object import EAGAIN, UvmObject


@procedure
async def uvm_fault_lower(flt: Flt, ahead: int) -> int | Found:
    """The page, or why there is none to be mapped: an errno, or a restart. Held: map, amap if
    there is one; nothing on return without a page."""
    uobj = flt.entry.uobj
    if uobj is None:
        return await _promote(flt, None, None, ahead)
    await uobj.vmobjlock.enter(flt.lower_write)
    ahead += await neighbours.lower(flt, uobj)
    index = flt.entry.page_of(flt.va)
    page = uobj.resident(index)
    promote = flt.write and flt.entry.cow
    if page is None:
        error = await _io(flt, uobj)
        if error:
            return error
        there = uobj.memq[index]
        assert there is not None
        page = there.page
    if promote:
        return await _promote(flt, page, uobj, ahead)
    mark("a page of an object was mapped")
    if flt.entry.cow:
        flt = flt._replace(enter_write=False)
    return Found(flt, page, None, uobj, ahead)


@procedure
async def _promote(flt: Flt, page: int | None, uobj: UvmObject | None, ahead: int) -> int | Found:
    """2B: a new anon in its slot, with a copy of ``page`` of ``uobj``, or zeroes."""
    amap, kernel = flt.entry.amap, flt.space.kernel
    assert amap is not None
    if not flt.upper_write and not await _upgrade_amap(flt, uobj):
        return ERESTART_UPPER
    error, anon = await uvmfault_promote(flt, page, uobj)
    if anon is None:
        return error
    assert anon.page is not None
    if not await kernel.amap_add(amap, flt.slot, anon):
        return await _no_chunk(flt, anon, uobj)
    if uobj is not None:
        mark("a page of an object was copied before it was written to")
    return Found(flt, anon.page, anon, uobj, ahead)


@procedure
async def _upgrade_amap(flt: Flt, uobj: UvmObject | None) -> bool:
    """The amap's lock for writing, if nobody else reads; else all is unlocked, and the fault
    must start again with it. Held: map, amap (read), ``uobj``."""
    amap = flt.entry.amap
    assert amap is not None
    if await amap.am_lock.upgrade_try():
        return True
    mark("an upgrade of an amap's lock was refused")
    await drop(flt, uobj)
    return False


@procedure
async def _no_chunk(flt: Flt, anon: Anon, uobj: UvmObject | None) -> int:
    """The amap has no room for the anon: give it back, wait for room with nothing held."""
    kernel = flt.space.kernel
    mark("an amap had no room for an anon")
    await drop(flt, uobj)
    await kernel.anons.uvm_anfree(anon, kernel.km.cache, kernel.swap)
    if await kernel.swap.uvm_swapisfull():
        return ENOMEM
    assert kernel.amaps is not None
    await kernel.amaps.amap_populate()
    return ERESTART


@procedure
async def _io(flt: Flt, uobj: UvmObject) -> int:
    """uvm_fault_lower_io: have the pager fetch the page: 0, and it is busy and ours; else an
    errno or a restart, and nothing is held. Held: map, amap, object (then write)."""
    if not flt.lower_write and not await uobj.vmobjlock.upgrade_try():
        mark("an upgrade of an object's lock was refused")
        await flt.space.map.unlockall(flt.entry, uobj)
        return ERESTART_LOWER
    index = flt.entry.page_of(flt.va)
    await flt.entry.unlock_amap()
    await flt.space.map.pause()
    error = await uobj.pgo_get(index)
    if error:
        flt.space.map.timestamp.drop()
        if error != EAGAIN:
            return error
        mark("a pager asked to be asked again")
        assert_nothing_held("fltagain2")
        await pause()  # for 5 ms
        return ERESTART
    again = await flt.space.map.relock()
    amap = flt.entry.amap if again else None
    if amap is not None:
        await amap.am_lock.enter(flt.upper_write)
    await uobj.vmobjlock.enter(True)
    there = uobj.memq[index]
    assert there is not None
    taken = amap is not None and amap.lookup(flt.slot) is not None
    if again and not there.released and not taken:
        return 0
    mark("an object's page came too late for its fault")
    await uobj.unbusy(index)
    if again:
        await flt.space.map.unlockall(flt.entry, uobj)
    else:
        await uobj.vmobjlock.exit()
    return ERESTART
