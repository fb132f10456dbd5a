"""What happens to a process's addresses: munmap, mmap, mprotect, fork, the threads' own
reads and writes, and the end of the process.

Source: sys/uvm/uvm_map.c 1.346 (uvm_unmap_remove, uvm_unmap_kill_entry, uvm_mapanon,
uvm_map_teardown, uvmspace_free), sys/kern/kern_exit.c. Fork (uvmspace_fork,
uvm_mapent_forkcopy) and mprotect (uvm_map_protect) were not read, and are modelled as
generally known. Left out: the kernel frees the anons of an entry just after it has let the
map go (uvm_unmap_detach), here it is done before; the reaper (the last thread frees the
address space itself); fork of wired memory; memory that is shared over a fork.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmodel.event import mark, say
from kmodel.param import PAGE_SIZE, PROT_NONE, PROT_READ
from kmodel.pmap.pte import Slot
from kmodel.point import Loop, procedure
from kmodel.vm.amap import Amap
from kmodel.vm.map import MapEntry
from kmodel.world import ScenarioError

if TYPE_CHECKING:
    from kmodel.fault import Kernel, Space
    from kmodel.vm.object import UvmObject


@procedure
async def munmap(space: Space, start: int, end: int) -> None:
    """Unmap [start, end), the one hole that the map may have. Held: nothing; may sleep."""
    await space.map.vm_map_lock()
    for entry in space.map.entries:
        await _kill_range(space, entry, start, end)
    space.map.hole = (start, end)
    say("map.unmap", obj=space.map.name, va=hex(start), n=(end - start) // PAGE_SIZE)
    await space.map.lock.exit()


@procedure
async def mmap(space: Space) -> None:
    """Map over the hole what was there. Held: nothing; may sleep."""
    await space.map.vm_map_lock()
    space.map.hole = (0, 0)
    say("map.map", obj=space.map.name)
    await space.map.lock.exit()


@procedure
async def mprotect(space: Space, va: int, prot: int) -> None:
    """uvm_map_protect: the mapping that ``va`` lies in may be used as ``prot`` says, and no
    more. Held: nothing; may sleep. What is mapped loses WRITE, or goes; it gets no right by
    this, only by its next fault. Left out: a part of a mapping (nothing is clipped), the most
    that it may become (max_protection), the reserve for what becomes writable, immutable
    mappings, and that a mapping which loses all rights is wired no longer."""
    await space.map.vm_map_lock()
    entry = space.map.entry_at(va)
    if entry is not None and entry.protection != prot:
        entry.protection = prot
        say("map.protect", obj=space.map.name, va=hex(entry.start), value=prot)
        if entry.amap is not None:
            await entry.amap.am_lock.enter(True)
            await _protect_anons(space, entry.amap, prot)
            await entry.amap.am_lock.exit()
        if entry.uobj is not None:
            await entry.uobj.vmobjlock.enter(True)
            await space.pmap.pmap_protect(entry.start, entry.end, prot)
            await entry.uobj.vmobjlock.exit()
    await space.map.lock.exit()


@procedure
async def _kill_range(space: Space, entry: MapEntry, start: int, end: int) -> None:
    """uvm_unmap_kill_entry: mappings first, then what was mapped. Held: the map, write."""
    start, end = max(start, entry.start), min(end, entry.end)
    kernel, amap = space.kernel, entry.amap
    if start >= end:
        return
    kernel.contents.forget(space.name, start, end)
    if entry.uobj is not None:
        await _unmap_object(space, entry, start, end)
    if amap is None:
        return
    await amap.am_lock.enter(True)
    first, after = start // PAGE_SIZE, end // PAGE_SIZE
    for index, _ in amap.slots.used:
        if first <= index < after:
            mark("munmap or exit took pages away")
            await space.pmap.pmap_remove(index * PAGE_SIZE, (index + 1) * PAGE_SIZE)
    whole = (start, end) == (entry.start, entry.end)
    if amap.am_ref > 1:
        if not whole:
            raise ScenarioError(
                f"{space.name}: a part of memory is unmapped that it still shares with a fork, "
                "and that is not modelled; write to the memory first, or unmap all of it"
            )
        amap.am_ref -= 1
    else:
        await amap.amap_wipeout(first, after, kernel.anons, kernel.km.cache, kernel.swap)
        amap.am_ref -= whole
    gone = not amap.am_ref
    await amap.am_lock.exit()
    if gone and kernel.amaps is not None:
        await kernel.amaps.amap_free(amap)


@procedure
async def _unmap_object(space: Space, entry: MapEntry, start: int, end: int) -> None:
    """Mappings of the object's pages go, the pages stay. Held: the map, write."""
    assert entry.uobj is not None
    await entry.uobj.vmobjlock.enter(True)
    await space.pmap.pmap_remove(start, end)
    await entry.uobj.vmobjlock.exit()


@procedure
async def uvmspace_free(space: Space) -> None:
    """The last thread is gone: everything of the process goes back. Held: nothing."""
    mark("the last thread of a process freed its address space")
    await space.map.vm_map_lock()
    for entry in space.map.entries:
        await _kill_range(space, entry, 0, space.map.end)
    space.map.entries = ()
    await space.map.lock.exit()
    await space.pmap.pmap_destroy()
    say("space.free", obj=space.name)


@procedure
async def uvmspace_fork(parent: Space, child: Space) -> None:
    """The child gets the parent's mappings: anonymous memory and private objects are both's
    until one of them writes (needs-copy); the parent may only read from here on. Held:
    nothing."""
    await parent.map.vm_map_lock()
    await child.map.vm_map_lock()
    for old, new in zip(parent.map.entries, child.map.entries):
        if old.wired:
            raise ScenarioError(f"{parent.name}: fork of wired memory is not modelled")
        if old.amap is not None:
            await old.amap.am_lock.enter(True)
            old.amap.am_ref += 1
            if not old.needs_copy:
                await _protect_anons(parent, old.amap, PROT_READ)
                old.needs_copy = True
            await old.amap.am_lock.exit()
        new.amap, new.needs_copy = old.amap, old.needs_copy
        new.protection = old.protection
    child.map.hole = parent.map.hole
    parent.kernel.contents.inherit(parent.name, child.name)
    await child.map.lock.exit()
    await parent.map.lock.exit()
    await child.forked()


@procedure
async def _protect_anons(space: Space, amap: Amap, prot: int) -> None:
    """Whatever anon is mapped, the next write to it faults, or any access. The kernel gives the
    pmap the whole entry at once; what has no anon is not mapped, or an object's. Held: map,
    amap."""
    for index, _ in amap.slots.used:
        await space.pmap.pmap_protect(index * PAGE_SIZE, (index + 1) * PAGE_SIZE, prot)


@procedure
async def cut_short(kernel: Kernel, uobj: UvmObject, index: int, spaces: tuple[Space, ...]) -> None:
    """An object loses a page (uvn_flush with PGO_FREE): unmapped wherever it may be mapped, and
    freed; a busy one is freed by whoever has it in hand. Held: nothing."""
    await uobj.vmobjlock.enter(True)
    there = uobj.memq[index]
    if there is not None and kernel.pmap_pools.pv is not None:
        await kernel.pmap_pools.pmap_page_protect(there.page, PROT_NONE)
    elif there is not None:
        for space in spaces:
            for entry in space.map.entries:
                if entry.uobj is uobj:
                    va = entry.start + index * PAGE_SIZE
                    await space.pmap.pmap_remove(va, va + PAGE_SIZE)
    page = uobj.flush(index)
    if page is not None:
        await kernel.km.cache.freepages((page,))
    await uobj.vmobjlock.exit()


@procedure
async def access(space: Space, va: int, more: int | None) -> int:
    """A thread adds ``more``, or reads (``None``): what it read, or 0; a fault that fails
    kills it: then the errno, less than 0 if it was reading. Looking an address up and using
    it is one step, as in hardware. Left out: reference and modify emulation."""
    loop = Loop()
    while True:
        loop.head()
        page = await _translate(space, va, more is not None)
        if page is not None:
            return _touch(space, va, page, more)
        # the trap handler asks the pmap first; without a hardware half it has nothing to say
        if space.pmap.mmu is not None and await space.pmap.pmap_fault_fixup(va, more is not None):
            continue
        error = await space.fault(va, write=more is not None)
        if error:
            return error if more is not None else -error


@procedure
async def _translate(space: Space, va: int, write: bool) -> int | None:
    """The page that the hardware finds, if it may be used so. Where it has no tables of its
    own (no ``tlb``), the lock only keeps them as they are for this one step."""
    if space.pmap.mmu is not None:
        return await space.pmap.mmu.touch(va, write)
    await space.pmap.lock()
    slot, pted = space.pmap.pmap_vp_lookup(va)
    page = None
    if slot is Slot.VALID and pted is not None and pted.pte is not None:
        page = pted.pte[0] if pted.pte[1] or not write else None
    await space.pmap.unlock()
    return page


@procedure
def _touch(space: Space, va: int, page: int, more: int | None) -> int:
    """In the step in which the page was found."""
    contents, private = space.kernel.contents, space.map.private(va)
    if more is not None:
        contents.add(page, more)
        if private:
            contents.expect(space.name, va, more)
        say("cpu.add", obj=space.name, va=hex(va), value=more)
        return 0
    got = contents.load(page)
    if private:
        contents.found(space.name, va, got)
    say("cpu.load", obj=space.name, va=hex(va), value=got)
    return got
