"""``populate``: the diff of the thread.

With no lock held, make the tables and the descriptor that the faulting address
needs, with PR_WAITOK, and restart: the fault finds them there. Source:
sys/uvm/uvm_fault.c 1.165 under __HAVE_PMAP_POPULATE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmodel.pmap.populate import pmap_populate

if TYPE_CHECKING:
    from kmodel.fault import Kernel, Space
    from kmodel.vm.cause import Cause

SUMMARY = "pmap_populate: make the tables for the address with WAITOK, then retry (the diff)"


async def after_failure(kernel: Kernel, space: Space, va: int, error: int | Cause) -> None:
    """Populate the faulting address. Held: nothing."""
    await pmap_populate(space.pmap, va)
