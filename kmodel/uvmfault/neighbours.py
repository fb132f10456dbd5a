"""Fault-ahead: pages beside the faulting one are mapped too, if that costs no waiting.

Source: sys/uvm/uvm_fault.c 1.165 (uvm_fault_upper_lookup, uvm_fault_lower_lookup). Left
out: madvise. The hardware learns of such a mapping only at its first use (``tlb=true``;
without it a valid descriptor counts as valid in hardware too).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kmodel.event import mark
from kmodel.param import PAGE_SHIFT, PAGE_SIZE
from kmodel.point import procedure
from kmodel.uvmfault.flt import Flt
from kmodel.vm.object import UvmObject

TABLE_SHIFT: Final = PAGE_SHIFT + 9
"""What one last table maps."""


def window(flt: Flt) -> Iterator[int]:
    """The addresses beside the faulting one, within the mapping; none if it is narrow."""
    if flt.narrow:
        return
    reach = flt.space.kernel.p.neighbours
    for step in (*range(-reach, 0), *range(1, reach + 1)):
        va = flt.va + step * PAGE_SIZE
        if flt.space.map.entry_at(va) is flt.entry:
            yield va


@procedure
async def upper(flt: Flt) -> int:
    """uvm_fault_upper_lookup: neighbours that have an anon with a page at hand. Held: map,
    amap. Returns how many descriptors went to neighbours in the table of the faulting page:
    for a check, no caller of the kernel asks."""
    mapped = 0
    if flt.entry.amap is None:
        return 0
    for va in window(flt):
        anon = flt.entry.amap.lookup(va >> PAGE_SHIFT)
        if anon is None or anon.page is None or anon.busy:
            continue
        mapped += await _enter(flt, va, anon.page, flt.enter_write and anon.ref == 1)
    return mapped


@procedure
async def lower(flt: Flt, uobj: UvmObject) -> int:
    """uvm_fault_lower_lookup: the same for pages of the object, where no anon is in front.
    Never writable where writing means copying. Held: map, amap, object."""
    mapped = 0
    for va in window(flt):
        page = uobj.resident(flt.entry.page_of(va))
        covered = flt.entry.amap is not None and flt.entry.amap.lookup(va >> PAGE_SHIFT)
        if page is not None and not covered:
            mapped += await _enter(flt, va, page, flt.enter_write and not flt.entry.cow)
    return mapped


@procedure
async def _enter(flt: Flt, va: int, page: int, write: bool) -> int:
    """pmap_enter of one neighbour that is not mapped yet; what it returns is ignored."""
    if await flt.space.pmap.pmap_extract(va) is not None:
        return 0
    if await flt.space.pmap.pmap_enter(va, page, write, canfail=True, access=False):
        mark("a neighbour could not be mapped")
        return 0
    mark("a neighbour was mapped ahead")
    return va >> TABLE_SHIFT == flt.va >> TABLE_SHIFT
