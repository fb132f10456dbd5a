"""``lock-retry``: the hack that the thread starts from.

If there is free memory, the failure cannot have been about memory: instead of
waiting for some, lock and unlock kernel_map (that sleeps until its holder has
left) and restart. Otherwise wait as before. The diff itself was not seen; this
follows the description in the thread, whose author doubts the memory test ("I'm not
sure the free memory check this does is right"). Assumed: its threshold, more than the
kernel's reserve and ``retry_free`` pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmodel.event import mark
from kmodel.point import procedure

if TYPE_CHECKING:
    from kmodel.fault import Kernel, Space
    from kmodel.vm.cause import Cause

SUMMARY = "the hack: memory is free, so lock and unlock kernel_map, then retry"


async def after_failure(kernel: Kernel, space: Space, va: int, error: int | Cause) -> None:
    """Wait for whoever holds kernel_map, or for memory. Held: nothing."""
    mem, kmap = kernel.physmem, kernel.km.kernel_map
    await mem.fpageqlock.enter()
    free = _enough(kernel)
    await mem.fpageqlock.leave()
    if not free:
        await mem.uvm_wait("flt_pmfail")
        return
    mark("a fault waits for the kernel map's lock")
    await kmap.vm_map_lock()
    await kmap.vm_map_unlock()


@procedure
def _enough(kernel: Kernel) -> bool:
    """Is so much memory free that it cannot be what was missing? Held: fpageqlock."""
    mem = kernel.physmem
    return mem.nfree() > mem.reserve_kernel + 1 + kernel.p.retry_free
