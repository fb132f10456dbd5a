"""Who has a busy page in hand, said aloud for whoever wants to check it.

Source: uvm_page_own of sys/uvm/uvm_page.c, which only a kernel built with UVM_PAGE_TRKOWN
has (not read, and modelled as generally known). Left out: pages that the page daemon
writes out. They are busy for their I/O, which nobody waits for, and are no thread's.
"""

from __future__ import annotations

from kmodel.panic import Panic
from kmodel.point import curtask, procedure
from kmodel.world import curcpu


@procedure
def uvm_page_own(page: int) -> None:
    """The running thread has just set PG_BUSY. Held: the lock of the page's owner, write."""
    cpu = curcpu()
    cpu.busy = (*cpu.busy, page)


@procedure
def uvm_page_disown(page: int) -> None:
    """It takes PG_BUSY back, or frees the page. Panics if somebody else had set it. Held:
    the lock of the page's owner, write."""
    cpu = curcpu()
    if page not in cpu.busy:
        raise Panic(f"uvm_page_unbusy: page {page} is not {curtask()}'s", culprits=(str(page),))
    cpu.busy = tuple(one for one in cpu.busy if one != page)
