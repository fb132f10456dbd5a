"""``reserve``: take what a mapping may need before any lock, and hand it to pmap_enter.

Martin Pieuchot's wish: "I'd prefer if we can work on a fix that avoids re-faulting". The
thread does not say how; this is the plain way: a reservation. Before it locks anything
the fault takes with PR_WAITOK a descriptor and a table page for each level below the
top, whether they will be needed or not (it cannot know without the locks), and
pmap_enter takes from these what is missing, before it asks a pool.

Assumed: the reservation is made once a fault, in populate's order, kept over restarts
for other reasons (no anon, no page), and what is left goes back to the pools at the end,
with nothing held. Each thread has its own. Should pmap_enter fail all the same, the
reservation is filled up again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kmodel.fault import Kernel, Space
    from kmodel.vm.cause import Cause

SUMMARY = "take all that may be missing with WAITOK before the first lock: no refault"
PARAMS = {"pmap_pools": "reserved"}


async def before_locks(kernel: Kernel, space: Space, va: int) -> None:
    """Reserve for one mapping. Held: nothing."""
    await kernel.pmap_pools.reserve(kernel.p.levels - 1)


async def at_end(kernel: Kernel, space: Space, va: int) -> None:
    """Give back what was not used. Held: nothing."""
    await kernel.pmap_pools.unreserve()


async def after_failure(kernel: Kernel, space: Space, va: int, error: int | Cause) -> None:
    """Fill the reservation up. Held: nothing."""
    await before_locks(kernel, space, va)
