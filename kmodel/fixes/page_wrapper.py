"""``page-wrapper``: the pmap's pools as a thin wrapper over the page allocator.

Martin Pieuchot's question: could they "act as a thin wrapper around
uvm_pagealloc(9)/uvm_pglistalloc(9)", to "ensure pmap_enter(9) only returns an error if
OOM", with the "benefit of the per-CPU page cache for all pmaps"? The answer: "not really.
... The problem here is allocating virtual address space." So it comes in two variants:
on kernel_map as arm64 is, and with a direct map.

Assumed: a table page that is put back goes to the page allocator at once, and needs no
pool header. Its pages come one by one through the CPU's page cache if kernel_map gives the
address, and as one contiguous pair, past the cache (which has single pages only), with a
direct map. Descriptors, many to a page, stay a pool, whose pages come through the cache.
So does the page of the fault itself. Since an error is to mean that memory is out, the
fault then waits for memory (``uvm_wait``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kmodel.fault import Kernel, Space
    from kmodel.vm.cause import Cause

SUMMARY = "pmap pools as a thin wrapper over the page allocator and its per-CPU caches"
PARAMS = {"pmap_pools": "wrapper", "page_cache": 2}
VARIANTS = {"pool_memory": ("kernel_map", "direct")}


async def after_failure(kernel: Kernel, space: Space, va: int, error: int | Cause) -> None:
    """Ask for the page daemon and sleep. Held: nothing."""
    await kernel.physmem.uvm_wait("flt_pmfail")
