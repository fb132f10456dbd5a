"""``direct``: a direct map, so that no kernel address has to be found.

Named in the thread as a mitigation (``__HAVE_PMAP_DIRECT``) that is "not guaranteed to
work"; arm64 has none. A table page is then two *contiguous* physical pages.

Assumed: the vp pool asks for one segment (the kernel maps only single pages and
one-segment requests directly; today's request would still go to kernel_map), the other
pools' single pages are mapped directly too, and a failure is still taken for a lack of
memory (``uvm_wait``), also if contiguous pages are what is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kmodel.fault import Kernel, Space
    from kmodel.vm.cause import Cause

SUMMARY = "a direct map: no address to find, but a table page is two contiguous pages"
PARAMS = {"pool_memory": "direct"}


async def after_failure(kernel: Kernel, space: Space, va: int, error: int | Cause) -> None:
    """Ask for the page daemon and sleep. Held: nothing."""
    await kernel.physmem.uvm_wait("flt_pmfail")
