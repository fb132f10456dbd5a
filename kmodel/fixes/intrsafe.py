"""``intrsafe``: table pages get their addresses from the interrupt-safe map.

Named in the thread as what most pools with PR_NOWAIT use, and as why the vp pool does
not: that map is locked by a mutex, so nobody is refused and nobody sleeps, but "the
address space of the "interrupt safe" kernel map is small", the items are large and many,
and "we would quickly fill" it.

Assumed: nothing else changes. A failure is still taken for a lack of memory
(``uvm_wait``), also if addresses are what is missing. Its size is ``kmem_pages``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kmodel.fault import Kernel, Space
    from kmodel.vm.cause import Cause

SUMMARY = "table pages from the interrupt-safe map: a mutex, but little address space"
PARAMS = {"pool_memory": "intrsafe"}


async def after_failure(kernel: Kernel, space: Space, va: int, error: int | Cause) -> None:
    """Ask for the page daemon and sleep. Held: nothing."""
    await kernel.physmem.uvm_wait("flt_pmfail")
