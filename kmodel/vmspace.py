"""What happens to a process's addresses: munmap, mmap, and the end of the process.

Source: sys/uvm/uvm_map.c 1.346 (uvm_unmap_remove, uvm_unmap_kill_entry, uvm_mapanon,
uvm_map_teardown, uvmspace_free), sys/kern/kern_exit.c. Left out: the kernel frees the
anons of an entry just after it has let the map go (uvm_unmap_detach), here it is done
before; the reaper (the last thread frees the address space itself).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmodel.event import mark, say
from kmodel.param import PAGE_SIZE
from kmodel.point import procedure

if TYPE_CHECKING:
    from kmodel.fault import Space


@procedure
async def munmap(space: Space, start: int, end: int) -> None:
    """Unmap [start, end), the one hole that the map may have. Held: nothing; may sleep."""
    await space.map.vm_map_lock()
    await _kill_range(space, start, end)
    space.map.hole = (start, end)
    say("map.unmap", obj=space.map.name, va=hex(start), n=(end - start) // PAGE_SIZE)
    await space.map.lock.exit()


@procedure
async def mmap(space: Space) -> None:
    """Map anonymous memory over the hole. Held: nothing; may sleep."""
    await space.map.vm_map_lock()
    space.map.hole = (0, 0)
    say("map.map", obj=space.map.name)
    await space.map.lock.exit()


@procedure
async def _kill_range(space: Space, start: int, end: int) -> None:
    """uvm_unmap_kill_entry: mappings first, then what was mapped. Held: the map, write."""
    kernel, amap = space.kernel, space.map.amap
    first, after = start // PAGE_SIZE, end // PAGE_SIZE
    await amap.am_lock.enter(True)
    for index, _ in amap.slots.used:
        if first <= index < after:
            mark("munmap or exit took pages away")
            await space.pmap.pmap_remove(index * PAGE_SIZE, (index + 1) * PAGE_SIZE)
    await kernel.anons.amap_wipeout(amap, first, after, kernel.km.cache, kernel.swap)
    await amap.am_lock.exit()


@procedure
async def uvmspace_free(space: Space) -> None:
    """The last thread is gone: everything of the process goes back. Held: nothing."""
    mark("the last thread of a process freed its address space")
    await space.map.vm_map_lock()
    await _kill_range(space, 0, space.map.end)
    await space.map.lock.exit()
    await space.pmap.pmap_destroy()
    say("space.free", obj=space.name)
