"""``cause``: pmap_enter says why it failed, and the fault waits for that.

Implied by the thread: "the issue really is that we can't tell whether pmap_enter(9)
failed because we're out of physical memory, or if it failed for some other reason", such
as the map's lock, or "we have completely run out of KVA".

Assumed, cause by cause: the lock refused: lock and unlock kernel_map, as the hack does. No
pages: ``uvm_wait``. No address range: sleep until a range of kernel_map is given back (the
kernel has such a sleep for other maps only). A pool's page, entry, header or limit: get an
item of that pool with PR_WAITOK and put it back. Then restart: nothing is kept, so that it
may be refused again, for the same or another cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmodel.event import mark
from kmodel.point import procedure
from kmodel.vm.cause import Cause
from kmodel.vm.pool import Pool

if TYPE_CHECKING:
    from kmodel.fault import Kernel, Space

SUMMARY = "pmap_enter says why it failed, and the fault waits for just that, then retries"
PARAMS = {"pmap_error": "cause"}


async def after_failure(kernel: Kernel, space: Space, va: int, error: int | Cause) -> None:
    """Wait for what was missing. Held: nothing."""
    pools, kmap = kernel.pmap_pools, kernel.km.kernel_map
    assert isinstance(error, Cause)
    if error is Cause.LOCK:
        mark("a fault waits for the kernel map's lock")
        await kmap.vm_map_lock()
        await kmap.vm_map_unlock()
    elif error is Cause.RANGE:
        await kmap.wait_for_range(2)
    elif error in (Cause.PAGES, Cause.CONTIG):
        await kernel.physmem.uvm_wait("flt_pmfail")
    else:
        starved = {
            Cause.ENTRY: kernel.km.entries,
            Cause.HEADER: pools.headers,
            Cause.STOCK: pools.pted_pool,
            Cause.LIMIT: pools.vp_pool,
        }
        await _wait_for_item(starved[error])


@procedure
async def _wait_for_item(pool: Pool) -> None:
    """As uvm_anwait does: get one, put it back."""
    item = await pool.get(True)
    assert item is not None
    await pool.put(item)
