"""The page that was faulted on: it is mapped, and if that fails the fix gets its say.

Source: sys/uvm/uvm_fault.c 1.159-1.165 (the ends of uvm_fault_upper and uvm_fault_lower).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmodel.pmap.pmap import ENOMEM
from kmodel.point import procedure
from kmodel.sync.channel import assert_nothing_held
from kmodel.uvmfault.flt import ERESTART, End, Failure, Flt, Found
from kmodel.uvmfault.promote import drop
from kmodel.vm.anon import Anon
from kmodel.vm.object import UvmObject

if TYPE_CHECKING:
    from kmodel.fault import Space


@procedure
async def enter(found: Found) -> End:
    """Map the page; then all is unlocked. A failure leaves the page where it is, on no queue,
    and not busy."""
    flt, page, anon, uobj, ahead = found
    space, va = flt.space, flt.va
    space.map.use()
    failed = await space.pmap.pmap_enter(va, page, flt.enter_write, canfail=True, wired=flt.wire)
    if not failed:
        _queue(flt, anon, uobj)
    await drop(flt, uobj)
    return (failed, bool(ahead)) if failed else 0


@procedure
async def after(space: Space, va: int, failure: Failure) -> int:
    """What the fault does about it: ENOMEM or ERESTART. It is part of the pass in the kernel,
    and is here after it, as nothing that the pass had found out matters any more. Held:
    nothing."""
    kernel, (failed, ahead) = space.kernel, failure
    # the error itself is not looked at here: every failure counts as "no memory"
    if await kernel.swap.uvm_swapisfull():
        space.robbed = space.robbed or ahead
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
