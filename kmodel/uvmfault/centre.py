"""The page that was faulted on: it is mapped, and if that fails the fix gets its say.

Source: sys/uvm/uvm_fault.c 1.159-1.165 (the ends of uvm_fault_upper and uvm_fault_lower).
"""

from __future__ import annotations

from kmodel.pmap.pmap import ENOMEM
from kmodel.point import procedure
from kmodel.sync.channel import assert_nothing_held
from kmodel.uvmfault.flt import ERESTART, Flt
from kmodel.uvmfault.promote import drop
from kmodel.vm.anon import Anon
from kmodel.vm.object import UvmObject


@procedure
async def enter(flt: Flt, page: int, anon: Anon | None, uobj: UvmObject | None, ahead: int) -> int:
    """Map ``page``, which is the anon's, or else the object's; then all is unlocked: 0, ENOMEM
    or ERESTART. ``ahead`` neighbours in its table got a descriptor in this pass.

    Held: map, amap, ``uobj`` if given. A failure leaves the page where it is, on no queue,
    and not busy.
    """
    space, kernel, va = flt.space, flt.space.kernel, flt.va
    space.map.use()
    failed = await space.pmap.pmap_enter(va, page, flt.enter_write, canfail=True, wired=flt.wire)
    if not failed:
        _queue(flt, anon, uobj)
    await drop(flt, uobj)
    if not failed:
        return 0
    # the error itself is not looked at here: every failure counts as "no memory"
    if await kernel.swap.uvm_swapisfull():
        space.robbed = space.robbed or bool(ahead)
        return ENOMEM
    assert_nothing_held("flt_pmfail")
    await kernel.fix.after_failure(kernel, space, va, failed)
    return ERESTART


def _queue(flt: Flt, anon: Anon | None, uobj: UvmObject | None) -> None:
    """Wire the page, or activate it. Held: the lock of its owner."""
    if anon is not None and (flt.wire or flt.space.kernel.p.pageout):
        flt.entry.anons.activate(anon, flt.wire)
    elif flt.wire and anon is None and uobj is not None:
        uobj.wire(flt.entry.page_of(flt.va))
