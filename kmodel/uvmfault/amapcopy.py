"""An amap of its own for a mapping that still uses somebody else's (needs-copy).

Source: sys/uvm/uvm_fault.c 1.165 (uvmfault_amapcopy) and 1.171 (uvm_fault_check).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmodel.event import mark, say
from kmodel.point import Loop, procedure
from kmodel.sync.channel import assert_nothing_held
from kmodel.uvmfault.flt import UNCHANGED
from kmodel.vm.map import MapEntry

if TYPE_CHECKING:
    from kmodel.fault import Space


@procedure
async def clear_needs_copy(space: Space, entry: MapEntry, va: int) -> bool:
    """Held: the map, read. True: copied, and still held; or false: nothing is held, restart."""
    if space.kernel.p.uvm_fault == UNCHANGED:
        await space.map.unlock()
        await _amapcopy(space, va)
        return False
    return await _in_place(space, entry, va)


@procedure
async def _amapcopy(space: Space, va: int) -> None:
    """uvmfault_amapcopy: with the map write-locked, until it is done. Held: nothing."""
    loop = Loop()
    while True:
        loop.head()
        entry = await space.map.uvmfault_lookup(va, write_lock=True)
        if entry is None:
            return
        done = await _copy(space, entry)
        await space.map.unlock()
        if done:
            return
        assert_nothing_held("fltamapcopy")
        await space.kernel.physmem.uvm_wait("fltamapcopy")


@procedure
async def _in_place(space: Space, entry: MapEntry, va: int) -> bool:
    """1.171: upgrade the read lock; if that is refused, look up again with the write lock."""
    found: MapEntry | None = entry
    if not await space.map.upgrade():
        mark("an upgrade of the map's lock was refused")
        await space.map.unlock()
        found = await space.map.uvmfault_lookup(va, write_lock=True)
    if found is None:
        return False
    if await _copy(space, found) and found is entry:
        await space.map.downgrade()
        return True
    done = not found.needs_copy
    await space.map.unlock()
    if not done:
        assert_nothing_held("fltamapcopy")
        await space.kernel.physmem.uvm_wait("fltamapcopy")
    return False


@procedure
async def _copy(space: Space, entry: MapEntry) -> bool:
    """amap_copy with no waiting; nothing to do if another thread has done it. Held: the
    map, write."""
    if not entry.needs_copy:
        return True
    pool = space.kernel.amaps
    assert pool is not None
    amap = await pool.amap_copy(entry.amap, entry.spares)
    if amap is None:
        return False
    entry.amap, entry.needs_copy = amap, False
    say("amap.copy", obj=space.name, n=len(amap.slots.used))
    return True
