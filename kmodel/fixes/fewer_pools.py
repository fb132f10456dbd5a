"""``fewer-pools``: descriptors inside the tables, so that there is no pool of them.

Martin Pieuchot: "fewer usages of pools in UVM and pmaps is the best way forward". The
answer: "these days the pools have some performance-critical optimizations", their per-CPU
caches, "that are very relevant for our pmaps"; no pool has such a cache here.

Assumed: what goes is the pool of descriptors; a last table then holds its own. Table pages
stay a pool on kernel_map, and a failure is still a lack of memory (``uvm_wait``). Left
out: what it costs. 512 descriptors of 40 bytes are 20 KiB more a table, so that the item
would need more addresses and pages than here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kmodel.fault import Kernel, Space
    from kmodel.vm.cause import Cause

SUMMARY = "descriptors inside the tables: one pool fewer to run empty"
PARAMS = {"pmap_pools": "inline"}


async def after_failure(kernel: Kernel, space: Space, va: int, error: int | Cause) -> None:
    """Ask for the page daemon and sleep. Held: nothing."""
    await kernel.physmem.uvm_wait("flt_pmfail")
