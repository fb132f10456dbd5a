"""A page that an anon has already: wait while it is busy, read it in if it is on swap.

Source: sys/uvm/uvm_fault.c 1.165 (uvmfault_anonget), sys/uvm/uvm_swap.c (uvm_swap_get).
Left out: I/O errors, shared locks (an upgrade is never wanted).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmodel.event import mark, say
from kmodel.param import PAGE_SHIFT
from kmodel.point import Loop, procedure

if TYPE_CHECKING:
    from kmodel.fault import Space


@procedure
async def uvmfault_anonget(space: Space, index: int) -> bool:
    """Make the anon's page resident and not busy: true; or false, to restart the fault.

    Held: map read, amap write; still held if true, else all unlocked. Without a page it
    waits for memory and never looks whether swap is full.
    """
    if space.map.amap.ready(index):
        return True
    mem, amap, loop = space.kernel.physmem, space.map.amap, Loop()
    first = amap.slots[index]
    assert first is not None
    while True:
        loop.head()
        anon = amap.slots[index]
        if anon is None or anon.address != first.address:
            await space.map.unlockall()
            return False
        if anon.busy:
            mark("a fault waits for a busy page")
            await space.map.pause()
            await amap.uvm_pagewait()
        elif anon.page is not None:
            return True
        else:
            pages = await space.kernel.km.cache.getpages(1, waitok=False, usereserve=False)
            if pages is not None:
                amap.slots[index] = anon._replace(page=pages[0], busy=True)
            await amap.am_lock.exit()
            await space.map.pause()
            if pages is None:
                await mem.uvm_wait("flt_noram1")
            else:
                await _swap_in(space, anon.address)
        if not await space.map.relock():
            return False
        await amap.am_lock.enter(True)


@procedure
async def _swap_in(space: Space, address: int) -> None:
    """Read the page of the anon at ``address``, which is ours while it is busy, and wake
    who waits for it; if the anon was freed meanwhile, free it. Held: nothing."""
    kernel, amap = space.kernel, space.map.amap
    await kernel.swap.uvm_swap_get()
    await amap.am_lock.enter(True)
    index = amap.index_of(address)
    if index is not None:
        anon = amap.slots[index]
        assert anon is not None
        amap.slots[index] = anon._replace(busy=False)
        say("page.in", obj=space.name, va=hex(index << PAGE_SHIFT), page=anon.page)
    else:
        (anon,) = [anon for anon in amap.released if anon.address == address]
        amap.released = tuple(a for a in amap.released if a.address != address)
        await kernel.anons.uvm_anfree(anon, kernel.km.cache, kernel.swap)
    await amap.busy_pages.wakeup()
    await amap.am_lock.exit()
