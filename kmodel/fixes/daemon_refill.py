"""``daemon-refill``: the page daemon refills the pools.

Martin Pieuchot's alternative: "we can see pool_get() shortages integrated in the page
daemon. Instead of adding pmap_populate() we could simply check for pools needing a refill
in the page daemon." The diff's author is against it: the daemon "could block when there
is a KVA shortage", and allocating is "the last thing you'd want to do" when it wakes up.

Assumed: the fault waits as before (``uvm_wait``, which rings for the daemon). A lap asks
of both pmap pools whether they have no free item, and makes pages for those until
``refill_items`` are free. A pool without an item counts as a shortage, so that such a lap
ends with a wakeup also in kernels whose lap is silent without one. Left open by the
thread: may the daemon sleep for it (``daemon_refill=waitok``), or only try the map's lock
(``trylock``)?
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmodel.point import procedure

if TYPE_CHECKING:
    from kmodel.fault import Kernel, Space
    from kmodel.vm.cause import Cause

SUMMARY = "uvm_wait as before, and the page daemon's lap refills pools that have run empty"
VARIANTS = {"daemon_refill": ("waitok", "trylock")}


async def after_failure(kernel: Kernel, space: Space, va: int, error: int | Cause) -> None:
    """Ask for the page daemon and sleep. Held: nothing."""
    await kernel.physmem.uvm_wait("flt_pmfail")


@procedure
async def daemon_step(kernel: Kernel) -> bool:
    """Refill what is empty; was anything? Held: nothing."""
    short, waitok = False, kernel.p.daemon_refill == "waitok"
    for pool in (kernel.pmap_pools.pted_pool, kernel.pmap_pools.vp_pool):
        short = await pool.refill(kernel.p.refill_items, waitok) or short
    return short
