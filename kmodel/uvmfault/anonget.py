"""A page that an anon has already: wait while it is busy, read it in if it is on swap.

Source: sys/uvm/uvm_fault.c 1.165, 1.173 (uvmfault_anonget), sys/uvm/uvm_swap.c
(uvm_swap_get).
"""

from __future__ import annotations

from kmodel.event import mark, say
from kmodel.point import Loop, procedure
from kmodel.sync.channel import assert_nothing_held
from kmodel.uvmfault.flt import EACCES, ERESTART, ERESTART_UPPER, Flt
from kmodel.vm.busy import uvm_page_disown, uvm_page_own


@procedure
async def uvmfault_anonget(flt: Flt) -> int:
    """Make the anon's page resident and not busy: 0; or EACCES if it cannot be read; or a
    restart.

    Held: map read, amap; still held on 0, else all unlocked. Without a page it
    waits for memory and never looks whether swap is full.
    """
    space, anons, amap = flt.space, flt.entry.anons, flt.entry.amap
    assert amap is not None
    if amap.ready(flt.slot):
        return 0
    mem, loop = space.kernel.physmem, Loop()
    first = amap.slots[flt.slot]
    while True:
        loop.head()
        anon, pages = amap.lookup(flt.slot), None
        if anon is None or anon.address != first:
            await space.map.unlockall(flt.entry)
            return ERESTART
        if anon.busy:
            mark("a fault waits for a busy page")
            await space.map.pause()
            await anons.uvm_pagewait()
        elif anon.page is not None:
            return 0
        else:
            if not flt.upper_write and not await amap.am_lock.upgrade_try():
                mark("an upgrade of an amap's lock was refused")
                await space.map.unlockall(flt.entry)
                return ERESTART_UPPER
            pages = await space.kernel.km.cache.getpages(1, waitok=False, usereserve=False)
            if pages is not None:
                anons.put(anon._replace(page=pages[0], busy=True))
                uvm_page_own(pages[0])
            await amap.am_lock.exit()
            await space.map.pause()
            if pages is None:
                assert_nothing_held("flt_noram1")
                await mem.uvm_wait("flt_noram1")
            else:
                await _swap_in(flt, anon.address)
        if not await space.map.relock():
            return ERESTART
        if pages is not None and space.kernel.swap.broken:
            await space.map.unlock()
            return EACCES
        await amap.am_lock.enter(flt.upper_write)


@procedure
async def _swap_in(flt: Flt, address: int) -> None:
    """Read the page of the anon at ``address``, which is ours while it is busy, and wake
    who waits for it; if the anon was freed meanwhile, free it. A page that cannot be read is
    freed, and the anon is on swap as before. Held: nothing."""
    space, kernel, anons = flt.space, flt.space.kernel, flt.entry.anons
    await kernel.swap.uvm_swap_get()
    await anons.lock.enter(True)
    anon = anons.members[address]
    assert anon is not None
    page = anon.page
    assert page is not None
    uvm_page_disown(page)
    if kernel.swap.broken:
        mark("a page could not be read from swap")
        await kernel.km.cache.freepages((page,))
        anon = anon._replace(page=None)
    else:
        kernel.contents.swap_in(address, page)
    if anon.ref:
        anons.put(anon._replace(busy=False))
        if anon.page is not None:
            say("page.in", obj=space.name, va=hex(flt.va), page=page)
    else:
        anons.members[address] = None
        await kernel.anons.uvm_anfree(anon, kernel.km.cache, kernel.swap)
    await anons.busy_pages.wakeup()
    await anons.lock.exit()
