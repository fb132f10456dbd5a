"""A page that an anon has already: wait while it is busy, read it in if it is on swap.

Source: sys/uvm/uvm_fault.c 1.165, 1.173 (uvmfault_anonget), sys/uvm/uvm_swap.c
(uvm_swap_get). Left out: I/O errors of swap.
"""

from __future__ import annotations

from kmodel.event import mark, say
from kmodel.point import Loop, procedure
from kmodel.sync.channel import assert_nothing_held
from kmodel.uvmfault.flt import ERESTART, ERESTART_UPPER, Flt
from kmodel.vm.busy import uvm_page_disown, uvm_page_own


@procedure
async def uvmfault_anonget(flt: Flt) -> int:
    """Make the anon's page resident and not busy: 0; or a restart.

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
        anon = amap.lookup(flt.slot)
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
        await amap.am_lock.enter(flt.upper_write)


@procedure
async def _swap_in(flt: Flt, address: int) -> None:
    """Read the page of the anon at ``address``, which is ours while it is busy, and wake
    who waits for it; if the anon was freed meanwhile, free it. Held: nothing."""
    space, kernel, anons = flt.space, flt.space.kernel, flt.entry.anons
    await kernel.swap.uvm_swap_get()
    await anons.lock.enter(True)
    anon = anons.members[address]
    assert anon is not None
    assert anon.page is not None
    kernel.contents.swap_in(address, anon.page)
    uvm_page_disown(anon.page)
    if anon.ref:
        anons.put(anon._replace(busy=False))
        say("page.in", obj=space.name, va=hex(flt.va), page=anon.page)
    else:
        anons.members[address] = None
        await kernel.anons.uvm_anfree(anon, kernel.km.cache, kernel.swap)
    await anons.busy_pages.wakeup()
    await anons.lock.exit()
