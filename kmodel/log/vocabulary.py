"""What each event of a log stands for in the kernel, and which fields it has: one table,
from which the JSON Schema (``events.schema.json``) and the page ``docs/events.md`` are made.

What an event means is said in ``kmodel.event.EVENTS``; which revision of a file is meant,
in the module that says the event.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import attrs

from kmodel.event import EVENTS
from kmodel.log.record import END, HEADER

Type = Literal["int", "flag", "text", "hex", "any"]


@attrs.frozen
class Field:
    """A key of an event. ``flag`` is true or false, ``hex`` a string such as "0x200000"."""

    name: str
    type: Type
    required: bool


@attrs.frozen
class Word:
    """An event: its kernel counterpart, and its own fields by name."""

    event: str
    function: str
    file: str
    fields: tuple[Field, ...]

    @property
    def meaning(self) -> str:
        return EVENTS[self.event]


KERN, UVM, ARM64 = "sys/kern/", "sys/uvm/", "sys/arch/arm64/arm64/"
MODEL = ""
"""In place of a file: an event of kmodel itself."""

LOCK: Final = "obj:text result:flag write:flag"

_TABLE: Final[dict[str, tuple[str, str, str]]] = {
    "task.start": ("-", MODEL, ""),
    "task.pause": ("-", MODEL, ""),
    "task.end": ("-", MODEL, "result?:any"),
    "task.kill": ("psignal", KERN + "kern_sig.c", ""),
    "delay.begin": ("-", MODEL, "obj:text"),
    "delay.end": ("-", MODEL, "obj:text"),
    "timer.expire": ("-", MODEL, "obj:text"),
    "intr.begin": ("-", MODEL, ""),
    "intr.end": ("-", MODEL, ""),
    "mutex.enter": ("mtx_enter", KERN + "kern_lock.c", "obj:text"),
    "mutex.park": ("mtx_enter, parking", KERN + "kern_lock.c", "obj:text"),
    "mutex.try": ("mtx_enter_try", KERN + "kern_lock.c", "obj:text result:flag"),
    "mutex.leave": ("mtx_leave", KERN + "kern_lock.c", "obj:text"),
    "lock.acquire": ("rw_enter", KERN + "kern_rwlock.c", LOCK),
    "lock.contended": ("rw_enter", KERN + "kern_rwlock.c", LOCK),
    "lock.try": ("rw_enter, RW_NOSLEEP", KERN + "kern_rwlock.c", LOCK),
    "lock.spin": (
        "rw_enter, RW_NOSLEEP",
        KERN + "kern_rwlock.c",
        "obj:text result:flag",
    ),
    "lock.upgrade": ("rw_enter, RW_UPGRADE", KERN + "kern_rwlock.c", "obj:text result:flag"),
    "lock.downgrade": ("rw_enter, RW_DOWNGRADE", KERN + "kern_rwlock.c", "obj:text"),
    "lock.release": ("rw_exit", KERN + "kern_rwlock.c", "obj:text"),
    "chan.sleep": ("msleep", KERN + "kern_synch.c", "obj:text mutex:text"),
    "chan.woken": ("msleep", KERN + "kern_synch.c", "obj:text mutex?:text"),
    "chan.wakeup": ("wakeup", KERN + "kern_synch.c", "obj:text"),
    "chan.wakeup_one": ("wakeup_one", KERN + "kern_synch.c", "obj:text"),
    "witness.order": ("witness_checkorder", KERN + "subr_witness.c", "held:text wanted:text"),
    "time.read": ("getnsecuptime", KERN + "kern_tc.c", "obj:text result:int"),
    "time.pass": ("-", MODEL, "obj:text seconds:int"),
    "time.sleep": ("softclock", KERN + "kern_timeout.c", "obj:text second:int result:int"),
    "page.alloc": ("uvm_pmr_getpages", UVM + "uvm_pmemrange.c", "pages:text"),
    "page.fail": ("uvm_pmr_getpages", UVM + "uvm_pmemrange.c", "count:int why:text"),
    "page.free": ("uvm_pmr_freepages", UVM + "uvm_pmemrange.c", "pages:text"),
    "page.wait": ("uvm_wait", UVM + "uvm_pdaemon.c", "why:text"),
    "page.out": ("uvmpd_scan", UVM + "uvm_pdaemon.c", "obj:text va:hex page:int"),
    "page.in": ("uvm_swap_get", UVM + "uvm_swap.c", "obj:text va:hex page:int"),
    "anon.free": ("uvm_anfree", UVM + "uvm_anon.c", "item:hex"),
    "anon.copy": ("uvmfault_promote", UVM + "uvm_fault.c", "obj:text va:hex page:int old:int"),
    "amap.copy": ("amap_copy", UVM + "uvm_amap.c", "obj:text n:int"),
    "object.read": ("uvn_io", UVM + "uvm_vnode.c", "obj:text"),
    "object.in": ("uvn_get", UVM + "uvm_vnode.c", "obj:text n:int page:int"),
    "swap.full": ("uvm_swapisfull", UVM + "uvm_swap.c", "obj:text result:flag"),
    "swap.alloc": ("uvm_swap_alloc", UVM + "uvm_swap.c", "obj:text result:flag"),
    "swap.write": ("uvm_swap_put", UVM + "uvm_swap.c", "obj:text"),
    "swap.written": ("uvm_aio_aiodone", UVM + "uvm_pager.c", "obj:text"),
    "swap.read": ("uvm_swap_get", UVM + "uvm_swap.c", "obj:text"),
    "swap.free": ("uvm_swap_free", UVM + "uvm_swap.c", "obj:text"),
    "map.unmap": ("uvm_unmap_remove", UVM + "uvm_map.c", "obj:text va:hex n:int"),
    "map.map": ("uvm_mapanon", UVM + "uvm_map.c", "obj:text"),
    "map.protect": ("uvm_map_protect", UVM + "uvm_map.c", "obj:text va:hex value:int"),
    "map.unwire": ("uvm_map_pageable", UVM + "uvm_map.c", "obj:text va:hex"),
    "proc.fork": ("uvmspace_fork", UVM + "uvm_map.c", "obj:text"),
    "proc.begin": ("fork_return", KERN + "kern_fork.c", "obj:text"),
    "cpu.add": ("-", MODEL, "obj:text va:hex value:int"),
    "cpu.load": ("-", MODEL, "obj:text va:hex value:int"),
    "proc.exit": ("exit1", KERN + "kern_exit.c", "obj:text result:flag"),
    "space.free": ("uvmspace_free", UVM + "uvm_map.c", "obj:text"),
    "kva.alloc": ("uvm_map", UVM + "uvm_map.c", "va:hex n:int"),
    "kva.fail": ("km_alloc", UVM + "uvm_km.c", "why:text"),
    "kva.free": ("uvm_unmap", UVM + "uvm_map.c", "va:hex n:int"),
    "pool.get": ("pool_get", KERN + "subr_pool.c", "obj:text item:hex waitok:flag"),
    "pool.fail": ("pool_get, PR_NOWAIT", KERN + "subr_pool.c", "obj:text why:text"),
    "pool.wait": ("pool_get, PR_WAITOK", KERN + "subr_pool.c", "obj:text why:text"),
    "pool.put": ("pool_put", KERN + "subr_pool.c", "obj:text item:hex"),
    "pool.refill": ("-", MODEL, "obj:text n:int"),
    "pool.page": ("pool_p_free", KERN + "subr_pool.c", "obj:text item:hex"),
    "pool.requests": ("pool_runqueue", KERN + "subr_pool.c", "obj:text left?:text result?:flag"),
    "pmap.enter": ("pmap_enter", ARM64 + "pmap.c", "obj:text va:hex page:int"),
    "pmap.fail": ("pmap_enter", ARM64 + "pmap.c", "obj:text va:hex error:text"),
    "pmap.table": ("pmap_set_l1, l2, l3", ARM64 + "pmap.c", "va:hex level:int item:hex"),
    "pmap.remove": ("pmap_remove_pted", ARM64 + "pmap.c", "obj:text va:hex"),
    "pmap.protect": ("pmap_page_ro", ARM64 + "pmap.c", "obj:text va:hex page:int"),
    "pmap.reference": ("pmap_reference", ARM64 + "pmap.c", "obj:text"),
    "pmap.release": ("pmap_destroy", ARM64 + "pmap.c", "obj:text result:int"),
    "mmu.write": ("pmap_pte_insert", ARM64 + "pmap.c", "obj:text va:hex page:int write:flag"),
    "mmu.clear": ("pmap_pte_remove", ARM64 + "pmap.c", "obj:text va:hex"),
    "mmu.protect": ("pmap_pte_update", ARM64 + "pmap.c", "obj:text va:hex"),
    "mmu.flush": ("ttlb_flush", ARM64 + "pmap.c", "obj:text va?:hex"),
    "mmu.access": ("-", MODEL, "obj:text va:hex write:flag result?:int"),
    "pmap.populate": ("pmap_populate", ARM64 + "pmap.c", "obj:text va:hex level:int"),
    "fault.begin": ("uvm_fault", UVM + "uvm_fault.c", "obj:text va:hex"),
    "fault.restart": ("uvm_fault", UVM + "uvm_fault.c", "obj:text va:hex"),
    "fault.end": ("uvm_fault", UVM + "uvm_fault.c", "obj:text va:hex error:int signal?:text"),
    "daemon.lap": ("uvm_pageout", UVM + "uvm_pdaemon.c", "shortage:int"),
    "daemon.shed": ("bufbackoff", KERN + "vfs_bio.c", "n:int"),
    "op.call": ("-", MODEL, "obj:text what:text args:text"),
    "op.return": ("-", MODEL, "obj:text what:text args:text result:text"),
    "mark": ("-", MODEL, "text:text"),
    "inv.violation": ("-", MODEL, "property:text text:text"),
    HEADER: ("-", MODEL, ""),
    END: (
        "-",
        MODEL,
        "outcome:text message?:text property?:text culprits?:text waiting?:text digest:text",
    ),
}
"""Event -> function, file, own fields as ``name:type``, ``name?:type`` where it may be absent.
The header's are nested, and stand in ``schema``."""


def words() -> Iterator[Word]:
    """Every event of ``EVENTS``, in its order. ``KeyError`` for one that the table lacks."""
    for event in EVENTS:
        function, file, fields = _TABLE[event]
        yield Word(event, function, file, tuple(map(_field, fields.split())))


def _field(said: str) -> Field:
    name, _, kind = said.partition(":")
    # the words of Type, checked by the test that makes the schema from them
    return Field(name.removesuffix("?"), kind, not name.endswith("?"))  # type: ignore[arg-type]
