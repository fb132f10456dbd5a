"""``lock-retry``: the hack that the thread starts from.

If there is free memory, the failure cannot have been about memory: instead of
waiting for some, lock and unlock kernel_map (that sleeps until its holder has
left) and restart. Otherwise wait as before. The diff itself was not seen; this
follows the description in the thread, whose author doubts the memory test. Its
threshold here: more than the kernel's reserve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmodel.event import mark

if TYPE_CHECKING:
    from kmodel.fault import Kernel, Space

SUMMARY = "the hack: memory is free, so lock and unlock kernel_map, then retry"


async def after_failure(kernel: Kernel, space: Space, va: int) -> None:
    """Wait for whoever holds kernel_map, or for memory. Held: nothing."""
    mem, kmap = kernel.physmem, kernel.km.kernel_map
    await mem.fpageqlock.enter()
    free = mem.plentiful()
    await mem.fpageqlock.leave()
    if not free:
        await mem.uvm_wait("flt_pmfail")
        return
    mark("a fault waits for the kernel map's lock")
    await kmap.vm_map_lock()
    await kmap.vm_map_unlock()
