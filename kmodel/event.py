"""Everything that can be said to have happened.

An event is ``noun.verb`` and a few flat fields. Saying one costs a comparison
unless somebody listens: the log, or a search that counts.

A *mark* is a sentence that model code reaches; a scenario's ``sometimes`` asks
that some run reaches it, so that a pass in which nothing happened is not a pass.
"""

from __future__ import annotations

from typing import Any, Final

from kmodel.point import RUN

EVENTS: Final[dict[str, str]] = {
    "task.start": "a thread begins",
    "task.pause": "a point that does nothing",
    "task.end": "a thread is done; result says what it returned",
    "task.kill": "SIGKILL to a thread that sleeps: it ends when its present operation has",
    "delay.begin": "the holder of a lock is held up, by a disk or a callout",
    "delay.end": "it goes on",
    "timer.expire": "what held it up is over",
    "intr.begin": "an interrupt arrives; its handler runs on top of the thread, at IPL_VM",
    "intr.end": "the handler is done, and the thread goes on",
    "mutex.enter": "mtx_enter(9)",
    "mutex.park": "mtx_enter(9): in the queue of those who wait, where there is one",
    "mutex.try": "mtx_enter_try(9)",
    "mutex.leave": "mtx_leave(9)",
    "lock.acquire": "rw_enter(9): one attempt; result says whether the lock was had",
    "lock.contended": "rw_enter(9) asleep on the lock",
    "lock.try": "rw_enter(9) with RW_NOSLEEP",
    "lock.spin": "rw_enter(9) with RW_NOSLEEP, refused: have readers the lock?",
    "lock.upgrade": "rw_enter(9) with RW_UPGRADE and RW_NOSLEEP: from reader to writer",
    "lock.downgrade": "rw_enter(9) with RW_DOWNGRADE: from writer to reader",
    "lock.release": "rw_exit(9)",
    "chan.sleep": "msleep(9): on the sleep queue, interlock released",
    "chan.woken": "msleep(9): taken off the sleep queue by a wakeup, or because its time is over",
    "chan.wakeup": "wakeup(9)",
    "chan.wakeup_one": "wakeup_one(9)",
    "witness.order": "witness(4): about to wait for a lock while others are held",
    "time.read": "getnsecuptime, in seconds",
    "time.pass": "seconds pass, as the story says",
    "time.sleep": "a timeout(9): asleep until some second",
    "page.alloc": "uvm_pglistalloc / uvm_pagealloc gave pages",
    "page.fail": "no pages: below a reserve",
    "page.free": "uvm_pmr_freepages",
    "page.wait": "uvm_wait, uvm_wait_pla",
    "page.out": "the page daemon unmaps a page, marks it busy and begins to write it",
    "page.in": "a page is read from swap (uvm_swap_get)",
    "anon.free": "uvm_anfree",
    "anon.copy": "a page that others use too is copied before it is written to (1B)",
    "amap.copy": "amap_copy: a needs-copy mapping gets an amap of its own",
    "object.read": "a page of an object is read by its pager; the thread sleeps meanwhile",
    "object.in": "a page of an object is there (pgo_get)",
    "swap.full": "uvm_swapisfull",
    "swap.alloc": "uvm_swap_alloc; result says whether there was a slot",
    "swap.write": "uvm_swap_put: a page is on its way to swap",
    "swap.written": "a write to swap is over (uvm_aio_aiodone)",
    "swap.read": "uvm_swap_get",
    "swap.free": "uvm_swap_free",
    "map.unmap": "munmap: a range of a process's map is gone",
    "map.map": "mmap: it is there again, with nothing in it",
    "map.protect": "mprotect: a mapping may be used as value says (1 read, 2 write)",
    "map.unwire": "munlock: a mapping is wired no longer",
    "proc.fork": "a forked process is there (uvmspace_fork)",
    "proc.begin": "the first thread of a forked process begins (fork_return)",
    "cpu.add": "a thread adds to memory that is mapped for it, in one instruction",
    "cpu.load": "a thread reads memory that is mapped for it",
    "proc.exit": "a thread leaves its address space; result says whether it was the last",
    "space.free": "uvmspace_free: everything of the process is given back",
    "kva.alloc": "a range of kernel_map was taken",
    "kva.fail": "no kernel virtual address; why says so",
    "kva.free": "a range of kernel_map was given back",
    "pool.get": "pool_get gave an item",
    "pool.fail": "pool_get(PR_NOWAIT) gave NULL; why says so, nfail goes up",
    "pool.wait": "pool_get(PR_WAITOK) queued a request; why says so",
    "pool.put": "pool_put",
    "pool.refill": "a page was added to a pool for whoever comes next",
    "pool.page": "an idle page goes back to the page allocator",
    "pool.requests": "the list of queued requests is looked at or changed",
    "pmap.enter": "pmap_enter made a mapping",
    "pmap.fail": "pmap_enter returned ENOMEM",
    "pmap.table": "a page-table page was linked",
    "pmap.remove": "pmap_remove_pted",
    "pmap.protect": "a mapping of a page loses WRITE (pmap_page_protect)",
    "pmap.reference": "pmap_reference",
    "pmap.release": "pmap_destroy gives one reference up; result is how many are left",
    "mmu.write": "a descriptor in the hardware's half of a table becomes valid",
    "mmu.clear": "it becomes invalid",
    "mmu.protect": "it loses WRITE",
    "mmu.flush": "ttlb_flush: no TLB remembers the address any more",
    "mmu.access": "the hardware translates an address; result is the page, or none (a fault)",
    "pmap.populate": "pmap_populate put a table or a descriptor in place",
    "fault.begin": "uvm_fault entered",
    "fault.restart": "uvm_fault goes round again (ERESTART)",
    "fault.end": "uvm_fault left; error says how",
    "daemon.lap": "one lap of the page daemon",
    "daemon.shed": "bufbackoff: so many pages of the buffer cache become free",
    "op.call": "an operation of a test is called",
    "op.return": "it returns; result says what",
    "mark": "a place that scenarios may require to be reached",
    "inv.violation": "a check failed",
    "log.header": "the first record of a log: what was run",
    "run.end": "the run is over; outcome says how, waiting who could not go",
}
"""Event -> its kernel counterpart. A rename is a change of the log's schema."""


def say(event: str, /, **fields: Any) -> None:
    """Note that ``event`` happened in the present step."""
    if RUN.sink is not None:
        RUN.sink(event, fields)


def mark(sentence: str) -> None:
    """The running task reaches the place that ``sentence`` describes."""
    if RUN.sink is not None:
        RUN.sink("mark", {"text": sentence})
