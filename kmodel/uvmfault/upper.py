"""A fault on a page that an anon has: 1A, it is mapped as it is; 1B, it is written to while
others have it too, and so is copied.

Source: sys/uvm/uvm_fault.c 1.165, 1.173 (uvm_fault_upper), as on a machine with
__HAVE_PMAP_MPSAFE_ENTER_COW: pmap_enter itself takes the old mapping away.
"""

from __future__ import annotations

from kmodel.event import mark, say
from kmodel.point import procedure
from kmodel.uvmfault.anonget import uvmfault_anonget
from kmodel.uvmfault.flt import Flt, Found
from kmodel.uvmfault.promote import uvmfault_promote


@procedure
async def uvm_fault_upper(flt: Flt, ahead: int) -> int | Found:
    """The page, or why there is none to be mapped: an errno, or a restart. Held: map, amap;
    nothing on return without a page."""
    error = await uvmfault_anonget(flt)
    if error:
        return error
    amap = flt.entry.amap
    assert amap is not None
    anon = amap.lookup(flt.slot)
    assert anon is not None
    if flt.write and anon.ref > 1:
        return await _copy(flt, ahead)
    if anon.ref > 1:
        flt = flt._replace(enter_write=False)
    assert anon.page is not None
    return Found(flt, anon.page, anon, None, ahead)


@procedure
async def _copy(flt: Flt, ahead: int) -> int | Found:
    """1B. Held: map, amap (write: a write access takes it so)."""
    amap = flt.entry.amap
    assert amap is not None
    old = amap.lookup(flt.slot)
    assert old is not None
    error, anon = await uvmfault_promote(flt, old.page)
    if anon is None:
        return error
    assert anon.page is not None
    amap.install(flt.slot, anon)
    flt.entry.anons.put(old._replace(ref=old.ref - 1))
    mark("a page was copied before it was written to")
    say("anon.copy", obj=flt.space.name, va=hex(flt.va), page=anon.page, old=old.page)
    return Found(flt, anon.page, anon, None, ahead)
