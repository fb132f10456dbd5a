"""``wait``: what the kernel did.

Every failure of ``pmap_enter`` is taken for a lack of memory: the fault sleeps
until anybody wakes ``&uvmexp.free`` (``uvm_wait("flt_pmfail1")``), and restarts.
Source: sys/uvm/uvm_fault.c up to 1.159, and today on machines without
__HAVE_PMAP_POPULATE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kmodel.fault import Kernel, Space
    from kmodel.vm.cause import Cause

SUMMARY = "uvm_wait: sleep for memory, whatever was missing (uvm_fault.c up to 1.159)"


async def after_failure(kernel: Kernel, space: Space, va: int, error: int | Cause) -> None:
    """Ask for the page daemon and sleep. Held: nothing."""
    await kernel.physmem.uvm_wait("flt_pmfail")
