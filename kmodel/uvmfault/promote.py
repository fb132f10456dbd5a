"""A new anon with a new page: zero, or a copy of an older page (uvmfault_promote).

Source: sys/uvm/uvm_fault.c 1.165, sys/uvm/uvm_anon.c 1.67.
"""

from __future__ import annotations

from kmodel.event import mark
from kmodel.pmap.pmap import ENOMEM
from kmodel.point import procedure
from kmodel.sync.channel import assert_nothing_held
from kmodel.uvmfault.flt import ERESTART, Flt
from kmodel.vm.anon import Anon
from kmodel.vm.object import UvmObject


@procedure
async def uvmfault_promote(
    flt: Flt, old: int | None, uobj: UvmObject | None = None
) -> tuple[int, Anon | None]:
    """(0, anon): a new anon, not in its slot yet; its page is a copy of page ``old``, or zero.
    Or an errno, or ERESTART, and no anon.

    Held: map read, amap write, ``uobj`` if given; still held on 0, else all unlocked, and
    the busy page of ``uobj`` let go. Anon first, then page, both NOWAIT.
    """
    kernel = flt.space.kernel
    anon = await kernel.anons.uvm_analloc()
    pages = None
    if anon is not None:
        pages = await kernel.km.cache.getpages(1, waitok=False, usereserve=False)
    if anon is not None and pages is not None:
        if old is None:
            kernel.contents.zero(pages[0])
        else:
            kernel.contents.copy(old, pages[0])
        return 0, Anon(anon, pages[0])
    if anon is not None:
        await kernel.anons.pool.put(anon)
    await drop(flt, uobj)
    if await kernel.swap.uvm_swapisfull():
        return ENOMEM, None
    assert_nothing_held("uvmfault_promote")
    if anon is None:
        mark("a fault found no anon")
    if anon is None and kernel.p.no_anon == "anwait":
        await kernel.anons.uvm_anwait()
    elif anon is None:
        await kernel.physmem.uvm_wait("flt_noanon")
    else:
        await kernel.physmem.uvm_wait("flt_noram3")
    return ERESTART, None


@procedure
async def drop(flt: Flt, uobj: UvmObject | None) -> None:
    """Unlock all; a page of ``uobj`` that the fault had made busy is so no more."""
    if uobj is not None:
        page = uobj.memq[flt.entry.page_of(flt.va)]
        if page is not None and page.busy:
            await uobj.unbusy(flt.entry.page_of(flt.va))
    await flt.space.map.unlockall(flt.entry, uobj)
